"""Carry out what a request came to, in its response phase.

Views never set cookies: here, and only here, are token cookies set or deleted. It runs outside the
view's transaction, so ATOMIC_REQUESTS can roll none of it back.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import Error
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.models import AuthSession
from tokenauth.session import tokens
from tokenauth.session.rotation import Step
from tokenauth.session.transitions import ATTEMPTS, RevokeReason
from tokenauth.session.users import auth_hash_of

from . import cookies, django_sessions
from .credentials import Credentials

log = logging.getLogger("tokenauth.security")

#: Seconds after which a response no longer deletes cookies: the person may have signed in again
#: while it was slow, and a deletion can't say which cookie it means.
DELETION_WINDOW = 5


def is_due(credentials: Credentials) -> bool:
    """Tell whether the response needs the database before its cookies are written."""
    session = credentials.session
    return bool(
        credentials.outgoing
        or credentials.signed_in
        or credentials.signed_out
        or credentials.adoptable
        or (session and (confirms(credentials, session) or session.upgraded_auth_hash))
        or (credentials.presented.access and django_sessions.is_modified(credentials.request))
    )


@sensitive_variables()
def settle(credentials: Credentials, response: HttpResponseBase) -> None:
    """Follow what the view did with Django's session, then see what is left to write."""
    if response.status_code < 500:
        follow_django(credentials)
    session = credentials.session
    if credentials.outgoing is not None:
        recheck(credentials, credentials.outgoing)
    elif session is not None and confirms(credentials, session):
        with bookkeeping():
            session.confirm()
    if session is not None and session.upgraded_auth_hash:
        with bookkeeping():
            session.set_auth_hash(session.upgraded_auth_hash)


@contextmanager
def bookkeeping() -> Iterator[None]:
    """Let the answer go out although a note failed: a later request makes the same one."""
    try:
        yield
    except Error:  # InterfaceError, of a connection that is gone, is no DatabaseError
        log.warning("A note about a session could not be written.", exc_info=True)


def confirms(credentials: Credentials, session: AuthSession) -> bool:
    """Tell whether the request proves that the client has kept the session's current token.

    Only a token that came in the cookie can, and only one older than the grace period: inside it
    answers are in flight and Chromium has not written its jar to disk; and a thief who polls
    cannot ask "has the victim confirmed yet?" to stay in step (OWASP: renewal timeout).
    """
    access = credentials.presented.access
    return (
        access is not None
        and credentials.outgoing is None
        and not session.confirmed
        and (access.sid, access.rot) == (session.pk, session.rotation)
        and access.older_than(conf.GRACE_PERIOD)
    )


def follow_django(credentials: Credentials) -> None:
    """Do what Django's ``login()``, ``logout()`` or an old session of Django's asks for."""
    user = credentials.signed_in or credentials.adoptable
    if user is not None and not django_sessions.signed_in(credentials.request, user):
        credentials.signed_out = True  # by a flush() of the Django session
    if credentials.signed_out:
        credentials.end(RevokeReason.LOGOUT)
    elif credentials.signed_in is not None:
        follow_login(credentials, credentials.signed_in)
    elif credentials.adoptable is not None:
        adopt(credentials, credentials.adoptable)
    elif django_sessions.is_modified(credentials.request):
        follow_modification(credentials)


def abandon(credentials: Credentials) -> None:
    """End what a view signed out, although its answer reaches nobody."""
    if credentials.signed_out:
        credentials.end(RevokeReason.LOGOUT)


def follow_login(credentials: Credentials, user: AbstractBaseUser) -> None:
    """Give Django's login a session: the live one with a new token, if it is this user's."""
    kept = renew(credentials, user)
    if kept is not None:
        credentials.replace_with(kept)
        return
    request = credentials.request
    persistent, ends_at = django_sessions.persistence(request)
    backend = django_sessions.backend_of(request)
    credentials.start(user, persistent=persistent, backend=backend, ends_at=ends_at)


def renew(credentials: Credentials, user: AbstractBaseUser) -> AuthSession | None:
    """Replace the token of the user's live session in this browser, if there is one."""
    own = AuthSession.objects.at_writer().select_related("user").filter(user=user.pk)
    backend = django_sessions.backend_of(credentials.request)
    changes = {"backend": backend, "auth_hash": auth_hash_of(user)}
    for _ in range(ATTEMPTS):
        session: AuthSession | None = own.active().filter(pk__in=credentials.sids()).first()
        if session is None:
            return None
        renewed = replace_token(credentials, session, changes)
        if renewed is not None:
            return renewed
    return None


def replace_token(
    credentials: Credentials, session: AuthSession, changes: dict[str, str]
) -> AuthSession | None:
    """Replace the token if the browser has shown that it holds the current one.

    Otherwise, as after a refresh in this very request, it is handed out again: two rotations ahead
    of what the browser may hold, or of a request in flight, would look like theft.
    """
    held = credentials.presented.held
    holds_it = credentials.outgoing is None and held is not None and held.rot == session.rotation
    settled = timezone.now() - session.issued_at >= conf.GRACE_PERIOD
    if holds_it and (settled or session.rotation == 0):
        return AuthSession.objects.advance(session, credentials.request, **changes)
    try:
        return AuthSession.objects.reissue(session, **changes)
    except InvalidToken:
        return None


def adopt(credentials: Credentials, user: AbstractBaseUser) -> None:
    """Start a session for a Django session that is older than tokenauth."""
    session = django_sessions.adopt(credentials.request, user)
    if session is None:
        # A parallel request was faster: the same tokens, then, if they are still to be had.
        credentials.resolve_django_session()
        session = credentials.session
    if session is not None:
        credentials.hand_out(session)


def adopt_now(credentials: Credentials) -> None:
    """Adopt before our own view answers, which says which session it is.

    The view must run outside a transaction (``urls`` sees to that). A view of the site's is adopted
    after it ran: ATOMIC_REQUESTS could roll the session back.
    """
    credentials.get_user()
    user, credentials.adoptable = credentials.adoptable, None
    if user is None:
        return
    adopt(credentials, user)
    if credentials.session is None:  # adopted by a parallel request, and ended since
        credentials.user, credentials.adoptable = AnonymousUser(), None


def follow_modification(credentials: Credentials) -> None:
    """Bind a Django session that was written to while somebody was signed in."""
    session = credentials.get_session()
    if session is not None:
        django_sessions.follow_password_change(credentials.request, session)
        django_sessions.note(credentials.request, session)


def recheck(credentials: Credentials, session: AuthSession) -> None:
    """Let go of tokens that were overtaken while the view ran.

    A session that has ended meanwhile is not brought back. One that was rotated further gets no
    refresh cookie: the browser has its successor, and an old one coming back would look like
    theft.
    """
    rows = AuthSession.objects.at_writer().active().filter(pk=session.pk)
    rotation = rows.values_list("rotation", flat=True).first()
    if rotation is None:
        credentials.outgoing = None
    elif rotation != session.rotation:
        session.step = Step.DEBOUNCE


@sensitive_variables()
def write(credentials: Credentials, response: HttpResponseBase) -> None:
    """Set or delete the cookies, and say what the response depends on."""
    if credentials.outgoing is not None:
        set_cookies(credentials, credentials.outgoing, response)
    elif time.monotonic() - credentials.arrived_at < DELETION_WINDOW:
        delete_cookies(credentials, response)
    if credentials.accessed:
        patch_vary_headers(response, ("Cookie",))


@sensitive_variables()
def set_cookies(credentials: Credentials, session: AuthSession, response: HttpResponseBase) -> None:
    """Set the access cookie, and with it the refresh cookie unless the browser has it."""
    max_age = cookies.seconds_until(session.expires_at) if session.persistent else None
    if session.step is not Step.DEBOUNCE:
        try:
            refresh = tokens.remake_refresh_token(session)
        except InvalidToken:
            # Made by a server with a newer key. Another server, or a later answer, has it.
            return
        cookies.put_refresh(response, refresh, max_age)
    cookies.put_access(response, credentials.access_token, max_age)
    cookies.forbid_caching(response)


def delete_cookies(credentials: Credentials, response: HttpResponseBase) -> None:
    """Delete cookies that came, verified, and are of a session that has ended.

    Nothing else: another site's form post brings no Lax cookies, but its response's deletions
    count; and what does not verify may be a clock or a rolling deploy.
    """
    presented, ended = credentials.presented, credentials.ended
    if any(claims.sid in ended for claims in presented.access_tokens):
        cookies.put_access(response, "", 0)
        cookies.forbid_caching(response)
    if leads_to_login_page(credentials.request, response):
        ended = ended - credentials.found_ended
    if any(token.claims.sid in ended for token in presented.refresh_tokens):
        cookies.put_refresh(response, "", 0)
        cookies.forbid_caching(response)


def leads_to_login_page(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether a person is being redirected, in the end to the login page.

    It is told there why they were signed out, by the dead refresh token that proves whom it
    concerns, and which goes with that page.
    """
    is_person = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return is_person and 300 <= response.status_code < 400
