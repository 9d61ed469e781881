"""Sign people in with Django's test clients: our cookies beside Django's session.

Without it the first page adopts the Django session that ``client.force_login()`` makes: it costs
more queries than it will on the site, sets cookies, and a second person does not take over.
"""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from http.cookies import Morsel
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.test.client import ClientMixin
from rest_framework.test import APIClient

from .models import AuthSession
from .request import cookies
from .request.django_sessions.keys import SID_KEY
from .secret import Secret
from .session import tokens
from .session.endings import RevokeReason

#: Django's engines that need the table of an app which an API-only site leaves out, and one that
#: can hold the client's session there.
NEED_TABLE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")
NEEDS_NONE = "django.contrib.sessions.backends.signed_cookies"

#: ``requests`` names a host without a dot like this (RFC 2965 §1).
TEST_HOST = "testserver.local"

#: Whose ``login()`` or ``logout()`` is running: Django's client tells its signals nothing of it.
following: ContextVar[ClientMixin | None] = ContextVar("tokenauth.testing", default=None)


# What a site's tests call


def force_login(client: Any, user: AbstractBaseUser, backend: str | None = None) -> None:
    """Sign a person in, as ``client.force_login()`` does, with our cookies too.

    ``client`` is Django's or REST framework's test client, or a ``RequestsClient``.
    """
    if not isinstance(client, ClientMixin):
        lend_cookies(client, user, backend)
        return
    with follow(client):
        client.force_login(user, backend)  # type: ignore[arg-type]  # the stubs know one user model


async def aforce_login(
    client: ClientMixin, user: AbstractBaseUser, backend: str | None = None
) -> None:
    """See force_login()."""
    with follow(client):
        await client.aforce_login(user, backend)  # type: ignore[arg-type]  # the same


def storage_state(user: AbstractBaseUser, url: str, backend: str | None = None) -> dict[str, Any]:
    """Sign a person in, and return the jar as Playwright's ``new_context(storage_state=…)`` wants.

    For end-to-end tests against the live server at ``url``. Each call starts a session. The jar
    holds no refresh token, and an access token that lasts as long as the session: nothing rotates,
    so that it may be loaded as often as a test likes. A jar that was saved after a real sign-in may
    not: a refresh token that comes back is a theft.
    """
    lender = Client()
    force_login(lender, user, backend)
    (sid,) = sids(request_of(lender))
    session = AuthSession.objects.get(pk=sid)
    now, end = int(time.time()), tokens.epoch(session.expires_at)
    claims = tokens.Claims(session.pk, session.rotation, now, end)
    response = HttpResponse()
    cookies.put_access(response, tokens.sign_access_token(session, claims), session.seconds_left)
    kept = [lender.cookies.get(settings.SESSION_COOKIE_NAME), *response.cookies.values()]
    host = urlsplit(url).hostname or ""
    return {"cookies": [as_playwright(m, host, end) for m in kept if m is not None], "origins": []}


class TokenClientMixin(ClientMixin):
    """Give a site's own ``Client`` or ``AsyncClient`` our cookies when somebody signs in.

    It stands before Django's class: ``class SiteClient(TokenClientMixin, Client)``.
    """

    def _login(self, *args: Any, **kwargs: Any) -> None:
        with follow(self):
            super()._login(*args, **kwargs)  # type: ignore[misc]  # private, so not in the stubs

    async def _alogin(self, *args: Any, **kwargs: Any) -> None:
        with follow(self):
            await super()._alogin(*args, **kwargs)  # type: ignore[misc]  # the same

    def logout(self) -> None:
        """End the session of ours too."""
        with follow(self):
            super().logout()

    async def alogout(self) -> None:
        """See logout()."""
        with follow(self):
            await super().alogout()


def install() -> Callable[[], None]:
    """Let every test client sign in and out with our cookies; return what undoes it.

    A second call changes nothing, and what it returns undoes nothing.
    """
    undo = ExitStack()
    for owner, name in (
        *((ClientMixin, name) for name in ("_login", "_alogin", "logout", "alogout")),
        (APIClient, "logout"),  # asks for the session before it calls Django's
    ):
        method = getattr(owner, name)
        if not hasattr(method, "followed_by_tokenauth"):
            undo.enter_context(mock.patch.object(owner, name, followed(method)))
    return undo.close


# How


def followed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a client's method such that we follow the sign-in or sign-out in it."""

    @wraps(method)
    def call(client: ClientMixin, *args: Any, **kwargs: Any) -> Any:
        with follow(client):
            return method(client, *args, **kwargs)

    @wraps(method)
    async def acall(client: ClientMixin, *args: Any, **kwargs: Any) -> Any:
        with follow(client):
            return await method(client, *args, **kwargs)

    wrapper: Any = acall if inspect.iscoroutinefunction(method) else call
    wrapper.followed_by_tokenauth = True
    return wrapper  # type: ignore[no-any-return]  # it is one of the two


@contextmanager
def follow(client: ClientMixin) -> Iterator[None]:
    """Do in a client's cookies what Django's signals say meanwhile."""
    lacks_table = settings.SESSION_ENGINE in NEED_TABLE and not apps.is_installed(
        "django.contrib.sessions"
    )
    token = following.set(client)
    try:
        with override_settings(SESSION_ENGINE=NEEDS_NONE) if lacks_table else nullcontext():
            yield
    finally:
        following.reset(token)


@receiver(user_logged_in, dispatch_uid="tokenauth.testing.follow_login")
def follow_login(request: Any, user: AbstractBaseUser, **kwargs: Any) -> None:
    """Start a session for whom the client signs in, in the place of the one that it holds."""
    client = following.get()
    if client is None:
        return
    store: SessionBase = request.session
    sent = request_of(client)
    session = AuthSession.objects.start(
        sent,
        user,
        persistent=not store.get_expire_at_browser_close(),
        backend=store[BACKEND_SESSION_KEY],
        django_session=row_key(store),
        replaces=sids(sent),
    )
    store[SID_KEY] = str(session.pk)  # Django's client saves it next
    set_cookies(client, session)


@receiver(user_logged_out, dispatch_uid="tokenauth.testing.follow_logout")
def follow_logout(**kwargs: Any) -> None:
    """End the session that the client holds. Django's client empties its jar itself."""
    client = following.get()
    if client is None:
        return
    sent = request_of(client)
    AuthSession.objects.filter(pk__in=sids(sent)).revoke(RevokeReason.LOGOUT, sent)


def row_key(store: SessionBase) -> str | None:
    """Return the key under which a database keeps the Django session; None for other engines."""
    if not isinstance(store, DatabaseStore):
        return None
    if store.session_key is None:  # another person's was flushed
        store.create()
    return store.session_key


def request_of(client: Any) -> HttpRequest:
    """Return what the client would send now: its cookies, headers and address."""
    factory: Any = RequestFactory()
    factory.defaults, factory.cookies = client.defaults, client.cookies
    return factory.get("/")  # type: ignore[no-any-return]  # nor does the client have one


def sids(request: HttpRequest) -> set[Any]:
    """Return the session whose tokens come with a request, if there is one."""
    held = cookies.Presentation(Secret(request.META.get("HTTP_COOKIE", ""))).held
    return {held.sid} if held else set()


def set_cookies(client: Any, session: AuthSession) -> None:
    """Put a session's tokens where its sign-in would have put them.

    Also where they will be looked for if the test overrides DEBUG later: a Django session stays
    signed in there too.
    """
    response = HttpResponse()
    put_tokens(response, session)
    if not settings.is_overridden("TOKENAUTH_COOKIE_SECURE"):  # type: ignore[misc]  # not in the stubs
        with override_settings(DEBUG=not settings.DEBUG):
            put_tokens(response, session)
    client.cookies.update(response.cookies)


def put_tokens(response: HttpResponse, session: AuthSession) -> None:
    """Set both cookies under their names of now."""
    max_age = session.seconds_left if session.persistent else None
    cookies.put_access(response, tokens.issue_access_token(session)[0], max_age)
    cookies.put_refresh(response, tokens.remake_refresh_token(session), max_age)


def as_playwright(morsel: Morsel[str], host: str, end: int) -> dict[str, Any]:
    """Return a cookie of ``host`` in Playwright's words; ``end`` is seconds since the epoch."""
    return {
        "name": morsel.key,
        "value": morsel.value,
        "domain": morsel["domain"] or host,
        "path": morsel["path"] or "/",
        "expires": end,
        "httpOnly": bool(morsel["httponly"]),
        "secure": bool(morsel["secure"]),
        "sameSite": morsel["samesite"] or "Lax",
    }


def lend_cookies(client: Any, user: AbstractBaseUser, backend: str | None) -> None:
    """Sign a person in elsewhere, and put the cookies into the jar of a ``requests.Session``.

    They are not Secure there: it would not send such a cookie to http://testserver.
    """
    lender = Client()
    lender.cookies.load(client.cookies.get_dict())
    force_login(lender, user, backend)
    for cookie in lender.cookies.values():
        client.cookies.set(cookie.key, cookie.value, domain=TEST_HOST, path=cookie["path"] or "/")
