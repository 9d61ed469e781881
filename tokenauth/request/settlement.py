"""Carry out what a request came to, in its response phase.

Views never set cookies: here, and only here, are token cookies set or deleted. It runs outside the
view's transaction, so ATOMIC_REQUESTS can roll none of it back.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import Error, router
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.crypto import constant_time_compare

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken, SessionSuspended
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions, tokens
from tokenauth.session.endings import RevokeReason
from tokenauth.session.rotation import Step
from tokenauth.session.users import auth_hash_of, check_auth_hash

from . import cookies
from .credentials import Credentials
from .django_sessions import adoption, keys

log = logging.getLogger("tokenauth.security")

#: Seconds after which a response no longer deletes cookies: the person may have signed in again
#: while it was slow, and a deletion can't say which cookie it means.
DELETION_WINDOW = 5


def is_due(credentials: Credentials) -> bool:
    """Tell whether the response needs the database before its cookies are written."""
    session, store = credentials.session, credentials.store
    return bool(
        credentials.outgoing
        or credentials.signed_in
        or credentials.signed_out
        or credentials.adoptable
        or credentials.to_revoke
        # An empty store is false, since Django 6.1.
        or (store is not None and (store.flushed or (session and store.modified)))
        or (session and (confirms(credentials, session) or session.upgraded_auth_hash))
    )


def settle(credentials: Credentials, response: HttpResponseBase) -> None:
    """Follow what the view did with Django's session, then see what is left to write."""
    failed = response.status_code >= 500
    (abandon if failed else follow_django)(credentials)
    if credentials.to_revoke:
        lost = AuthSession.objects.filter(pk__in=credentials.to_revoke)
        lost.revoke(RevokeReason.LOGOUT, credentials.request)
    session = credentials.session
    if credentials.outgoing is not None:
        recheck(credentials, credentials.outgoing)
    elif session is not None and confirms(credentials, session):
        with bookkeeping():
            session.confirm()
    if session is not None and session.upgraded_auth_hash:
        with bookkeeping():
            session.set_auth_hash(session.upgraded_auth_hash)
    if credentials.outgoing is not None and credentials.outgoing.begins_day:
        prolong(credentials, credentials.outgoing, response)
    if not failed:
        keep_data(credentials)


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
    if is_signed_out(credentials):
        credentials.end(RevokeReason.LOGOUT)
    elif credentials.signed_in is not None:
        follow_login(credentials, credentials.signed_in)
    elif credentials.adoptable is not None:
        adopt(credentials, credentials.adoptable)
    elif credentials.session is not None and keys.is_modified(credentials.request):
        follow_new_password(credentials, credentials.session)


def is_signed_out(credentials: Credentials) -> bool:
    """Tell whether the view signed the person out: with ``logout()`` or with the data."""
    session, store = credentials.session, credentials.store
    if credentials.signed_out or (store is not None and store.flushed):
        return True
    user = credentials.signed_in or credentials.adoptable or (session and session.user)
    is_touched = store is not None and (store.modified or not session)
    return bool(user and is_touched and not keys.signed_in(credentials.request, user))


def abandon(credentials: Credentials) -> None:
    """Sign out whom a view signed out, or over whom it signed in somebody, and then failed.

    As Django does: the data of the one before is gone, and that of the next was not saved. A
    cancelled request alike: nobody gets its answer.
    """
    store = credentials.store
    flushed = store is not None and store.flushed
    if credentials.signed_out or credentials.signed_in or flushed:
        credentials.end(RevokeReason.LOGOUT)


def follow_login(credentials: Credentials, user: AbstractBaseUser) -> None:
    """Give Django's login a session of ours: a new one for each proof of identity.

    A copy of the jar gains nothing by what is proven after it was taken (ASVS 7.2.4).
    """
    request = credentials.request
    if not keys.proves_anew(request):
        live = AuthSession.objects.at_writer().active().select_related("user")
        kept: AuthSession | None = live.filter(pk__in=credentials.sids(), user=user.pk).first()
        if kept is not None:
            kept.step = Step.DEBOUNCE  # a new access token only
            credentials.hand_out(kept)
            return
    start_anew(credentials, user)


def start_anew(credentials: Credentials, user: AbstractBaseUser) -> None:
    """Start a session with the backend and the lifetime that Django's session has."""
    request, user = credentials.request, as_left(credentials, user)
    persistent, ends_at = keys.persistence(request)
    backend = keys.backend_of(request)
    credentials.start(user, persistent=persistent, backend=backend, ends_at=ends_at)


def follow_new_password(credentials: Credentials, session: AuthSession) -> None:
    """Start a session anew after ``update_session_auth_hash``, which sends no signal.

    The user is read again: the hash must be that of the password now in the database. A hash
    that differs only by the key under which it was made is no new password.
    """
    left = keys.hash_left(credentials.request)
    if not left or constant_time_compare(left, session.auth_hash):
        return
    user = read_again(session.user)
    if not constant_time_compare(left, auth_hash_of(user)):
        return
    try:
        session.auth_hashes = check_auth_hash(user, session.auth_hash)
    except SessionSuspended:
        start_anew(credentials, user)


def as_left(credentials: Credentials, user: AbstractBaseUser) -> AbstractBaseUser:
    """Return the user with the password that the view has left, by another instance perhaps."""
    left = keys.hash_left(credentials.request)
    return user if constant_time_compare(left, auth_hash_of(user)) else read_again(user)


def read_again(user: Any) -> Any:
    """Return the user as the database that is written has it now."""
    model = type(user)
    return model._base_manager.using(router.db_for_write(model)).get(pk=user.pk)


def adopt(credentials: Credentials, user: AbstractBaseUser) -> None:
    """Start a session for a Django session that is older than tokenauth."""
    store = credentials.store
    assert store is not None  # noqa: S101  # for the type checker: there is one to adopt
    session = adoption.adopt(credentials.request, as_left(credentials, user))
    if session is None:
        # A parallel request was faster: the same tokens, then, if they are still to be had.
        credentials.adoptable = None
        credentials.resolve_django_session()
        session = credentials.session
    if session is not None:
        credentials.signed_in, credentials.adoptable = None, None
        credentials.hand_out(session)
    else:
        # It was signed out meanwhile: what this view has written goes nowhere.
        store.withheld = True


def adopt_now(credentials: Credentials) -> None:
    """Adopt before our own view answers, which says which session it is.

    The view must run outside a transaction (``urls`` sees to that). A view of the site's is adopted
    after it ran: ATOMIC_REQUESTS could roll the session back.
    """
    credentials.get_user()
    user = credentials.adoptable
    if user is None:
        return
    adopt(credentials, user)
    if credentials.session is None:  # adopted by a parallel request, and ended since
        credentials.user, credentials.adoptable = AnonymousUser(), None


def prolong(credentials: Credentials, session: AuthSession, response: HttpResponseBase) -> None:
    """Let the Django session last as long as the sign-in, once for each day of its life.

    Otherwise idle timers would restart, hijackers lose their way back and sockets turn anonymous.
    """
    store, key = credentials.store, session.django_session
    if key:
        django_sessions.prolong(key, session.expires_at)
        came = credentials.request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if session.persistent and came == key:
            cookies.put_django_session(response, key, session.seconds_left)
    elif store is not None and keys.belongs_to(store, session):
        store.modified = True


def keep_data(credentials: Credentials) -> None:
    """Save what the view wrote, unless its session was ended meanwhile: then nothing goes out.

    SessionMiddleware would save it after us, and answer 400 where it is gone.
    """
    store, session = credentials.store, credentials.session
    if store is None or session is None or not store.modified:
        return
    if AuthSession.objects.is_over(str(session.pk)) or not store.save_first():
        store.withheld = True
    else:
        session.note_django_session(store.row_key)


def recheck(credentials: Credentials, session: AuthSession) -> None:
    """Let go of tokens that were overtaken while the view ran.

    A session that has ended meanwhile is not brought back. One that was rotated further gets no
    refresh cookie: the browser has its successor, and an old one coming back would look like
    theft.
    """
    rotation = AuthSession.objects.rotation_of(session.pk)
    if rotation is None:
        credentials.outgoing = None
    elif rotation != session.rotation:
        session.step = Step.DEBOUNCE


def write(credentials: Credentials, response: HttpResponseBase) -> None:
    """Set or delete the cookies, and say what the response depends on."""
    if credentials.outgoing is not None:
        set_cookies(credentials, credentials.outgoing, response)
    elif time.monotonic() - credentials.arrived_at < DELETION_WINDOW:
        delete_cookies(credentials, response)
    if credentials.store is not None:
        credentials.store.closed = True
    if credentials.accessed:
        patch_vary_headers(response, ("Cookie",))


def set_cookies(credentials: Credentials, session: AuthSession, response: HttpResponseBase) -> None:
    """Set the access cookie, and with it the refresh cookie unless the browser has it."""
    max_age = session.seconds_left if session.persistent else None
    if session.step is not Step.DEBOUNCE:
        try:
            refresh = tokens.remake_refresh_token(session)
        except InvalidToken:
            # Made by a server with a newer key. Another server, or a later answer, has it.
            return
        cookies.put_refresh(response, refresh, max_age)
    cookies.put_access(response, credentials.access_token, max_age)
    moved = credentials.ended | credentials.sids()  # a session that this one replaces, too
    refresh_moved = credentials.ended if session.step is Step.DEBOUNCE else moved
    host = credentials.request.get_host  # which may refuse to say
    cookies.clear_others(response, credentials.presented, host, moved, refresh_moved)
    cookies.forbid_caching(response)


def delete_cookies(credentials: Credentials, response: HttpResponseBase) -> None:
    """Delete cookies that came, verified, and are of a session that has ended.

    Nothing else: another site's form post brings no Lax cookies, but its response's deletions
    count; and what does not verify may be a clock or a rolling deploy. Nor where a token of a
    living session came under the same name: a deletion can't say which of the two it means.
    """
    presented, ended, others = credentials.presented, credentials.ended, len(response.cookies)
    over = ended | keep_survivor(credentials, response)
    if is_all_of(presented.read(cookies.ACCESS, cookies.access_place()), ended):
        cookies.put_access(response, None, 0)
    if leads_to_login_page(credentials.request, response):
        ended = ended - credentials.found_ended
    if is_all_of(presented.refresh_tokens, ended):
        cookies.put_refresh(response, None, 0)
    host = credentials.request.get_host  # which may refuse to say
    cookies.clear_others(response, presented, host, over, ended)
    if len(response.cookies) > others:
        cookies.forbid_caching(response)


def is_all_of(tokens: list[cookies.Presented], sids: set[UUID]) -> bool:
    """Tell whether there are tokens, and all of them of these sessions."""
    return bool(tokens) and {token.sid for token in tokens} <= sids


def keep_survivor(credentials: Credentials, response: HttpResponseBase) -> set[UUID]:
    """Set the living session's access token anew, so that the dead one beside it can go.

    Nobody knows which of the two is at today's place. The same token: a new one would be a refresh
    without a refresh token.
    """
    session, token = credentials.survivor, credentials.presented.access_token
    if session is None or token is None or not credentials.ended - {token.sid}:
        return set()
    cookies.put_access(response, token.raw, session.seconds_left if session.persistent else None)
    return {token.sid}


def leads_to_login_page(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether a person is being redirected, in the end to the login page.

    It is told there why they were signed out, by the dead refresh token that proves whom it
    concerns, and which goes with that page.
    """
    is_person = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return is_person and 300 <= response.status_code < 400
