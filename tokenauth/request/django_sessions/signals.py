"""Hear what Django's own ``login()`` and ``logout()`` say."""

from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser

from . import keys
from .owner import is_ceded

if TYPE_CHECKING:
    from tokenauth.request.credentials import Credentials


def on_login(credentials: "Credentials", user: AbstractBaseUser) -> None:
    """Note Django's ``user_logged_in``; the response phase gives it a session of ours.

    The signal alone is no login: knox sends it for a bearer token.
    """
    store = credentials.store
    if credentials.is_apps_login:
        return
    if is_ceded(credentials) or store is None or not store.modified:
        return
    if keys.signed_in(credentials.request, user):
        store.rebind()
        credentials.follow(user)


def on_logout(credentials: "Credentials") -> None:
    """Note Django's ``user_logged_out``; the response phase ends the session."""
    if is_ceded(credentials):
        return
    if credentials.store is not None:
        credentials.store.judge()  # before it is flushed: it may be somebody else's
    credentials.follow(None)
