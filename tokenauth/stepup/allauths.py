"""Let allauth prove who somebody is, where a site has it: it knows second factors and passkeys."""

from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.http import HttpRequest
from django.urls import NoReverseMatch
from django.views.decorators.debug import sensitive_variables

from tokenauth.lazy import credentials_of, find_credentials
from tokenauth.request.credentials import Credentials
from tokenauth.request.django_sessions.adoption import is_replayable
from tokenauth.request.django_sessions.keys import store_of
from tokenauth.request.django_sessions.owner import is_ceded

from .interrupted import Interrupted, pack, unpack

APP = "allauth.account"
#: In the Django session: a form that waits, and which session of ours sent it.
WAITING = "_tokenauth_interrupted"


def connect() -> None:
    """Listen to what allauth proves."""
    signals = import_module(f"{APP}.signals")
    signals.authentication_step_completed.connect(
        on_step, dispatch_uid="tokenauth.follow_reauthentication"
    )


def on_step(request: Any, user: Any, **kwargs: Any) -> None:
    """Receive ``authentication_step_completed``: of a login, or of a reauthentication.

    The response phase starts a session anew, as for a login. What allauth notes in the Django
    session goes over to it: a copy of the jar, which has the one before, gains nothing.
    """
    credentials = find_credentials(request)
    if credentials is None or is_ceded(credentials) or not kwargs.get("reauthenticated"):
        return
    if credentials.get_user() == user:
        credentials.proved_again = credentials.session or credentials.adoptable


def page_for(request: HttpRequest, then: str) -> str | None:
    """Return the page of allauth's on which a person proves who they are, then to go on there.

    None where our own page may ask instead: allauth is not installed, or has no pages. Empty where
    it may not: the person has no means that the site accepts.
    """
    if not apps.is_installed(APP):
        return None
    adapter = import_module(f"{APP}.adapter").get_adapter(request)
    try:
        methods = adapter.get_reauthentication_methods(credentials_of(request).get_user())
    except NoReverseMatch:  # headless only
        accepted = import_module(f"{APP}.app_settings").REAUTHENTICATION_METHODS
        return None if "password" in accepted else ""
    return f"{methods[0]['url']}?{urlencode({'next': then})}" if methods else ""


@sensitive_variables()
def keep(request: HttpRequest, interrupted: Interrupted) -> bool:
    """Let a form wait in the Django session, instead of any other; tell whether it can.

    Not in a session that is kept in its cookie: it is too small, and read by who holds it.
    """
    store = store_of(request)
    if store is None or is_replayable(type(store)):
        return False
    credentials = credentials_of(request)
    packed = pack(interrupted, owner_of(credentials))
    store[WAITING] = {"sid": sid_of(credentials), "packed": str(packed)}
    return True


@sensitive_variables()
def take(request: HttpRequest) -> tuple[bool, Interrupted | None]:
    """Return whether a form has waited until its person proved who they are, and the form.

    None: it has waited too long. Where it is waiting still, it stays.
    """
    store, credentials = store_of(request), credentials_of(request)
    waiting = store.get(WAITING) if store is not None else None
    session = credentials.session
    # Each proof starts a new session.
    is_proved = session is not None and session.authenticated_at is not None
    if store is None or not waiting or not is_proved or waiting["sid"] == sid_of(credentials):
        return False, None
    del store[WAITING]
    return True, unpack(waiting["packed"], [owner_of(credentials)])


def owner_of(credentials: Credentials) -> str:
    """Return for whom it is signed: the Django session goes from one session to the next."""
    return f"user {credentials.get_user().pk}"


def sid_of(credentials: Credentials) -> str | None:
    """Return which session it is; None for a Django session that is not adopted yet."""
    return str(credentials.session.pk) if credentials.session else None
