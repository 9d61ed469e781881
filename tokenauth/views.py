"""Where sites find the views and ``sign_in``."""

from tokenauth.pages.views import LoginView, LogoutView, SessionListView
from tokenauth.shortcuts import sign_in

__all__ = ["LoginView", "LogoutView", "SessionListView", "sign_in"]
