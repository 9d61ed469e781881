"""Where sites find the views, ``sign_in`` and ``why_signed_out``."""

from tokenauth.pages.views import LoginView, LogoutView, SessionListView
from tokenauth.pages.wording import awhy_signed_out, why_signed_out
from tokenauth.shortcuts import sign_in

__all__ = [
    "LoginView",
    "LogoutView",
    "SessionListView",
    "awhy_signed_out",
    "sign_in",
    "why_signed_out",
]
