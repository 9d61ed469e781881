"""Carry out what a request came to, in its response phase.

Views never set cookies: here, and only here, are token cookies set or deleted. It runs outside the
view's transaction, so ATOMIC_REQUESTS can roll none of it back.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions, tokens
from tokenauth.session.endings import RevokeReason, outcome_of
from tokenauth.session.rotation import Step

from . import cookies, loops
from .credentials import Credentials
from .django_sessions import following, keys

log = logging.getLogger("tokenauth.security")

#: Seconds after which a response no longer deletes cookies: the person may have signed in again
#: while it was slow, and a deletion can't say which cookie it means.
DELETION_WINDOW = 5
#: An answer that took longer than this carries an access token that is made as it goes out.
SLOW_ANSWER = timedelta(seconds=5)


def is_due(credentials: Credentials) -> bool:
    """Tell whether the response needs the database before its cookies are written."""
    session, store = credentials.session, credentials.store
    return bool(
        credentials.outgoing
        or credentials.signed_in
        or credentials.signed_out
        or credentials.proved_again
        or credentials.adoptable
        or credentials.to_revoke
        # An empty store is false, since Django 6.1.
        or (store is not None and (store.flushed or (session and store.modified)))
        or (session and (confirms(credentials, session) or session.upgraded_auth_hash))
    )


def settle(credentials: Credentials, response: HttpResponseBase) -> None:
    """Follow what the view did with Django's session, then see what is left to write."""
    failed = response.status_code >= 500
    (following.abandon if failed else following.follow_django)(credentials)
    if credentials.to_revoke:
        lost = AuthSession.objects.filter(pk__in=credentials.to_revoke)
        lost.revoke(RevokeReason.LOGOUT, credentials.request)
    session = credentials.session
    if credentials.outgoing is not None:
        if not credentials.answers_at_once:
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
    cannot ask "has the victim confirmed yet?" to stay in step (OWASP: renewal timeout). So old it
    was when it came: while a slow view runs, the browser may be killed.
    """
    access = credentials.presented.access
    return (
        access is not None
        and credentials.outgoing is None
        and not session.confirmed
        and (access.sid, access.rot) == (session.pk, session.rotation)
        and access.older_than(conf.GRACE_PERIOD, credentials.came_at)
    )


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
    is_over = not credentials.answers_at_once and AuthSession.objects.is_over(str(session.pk))
    if is_over or not store.save_first():
        store.withheld = True
    else:
        session.note_django_session(store.row_key)


def recheck(credentials: Credentials, session: AuthSession) -> None:
    """Let go of tokens that were overtaken while the view ran.

    A session that has ended meanwhile is not brought back, nor one whose person has another
    password by now: a resource server would believe the new access token. One that was rotated
    further gets no refresh cookie: the browser has its successor, and an old one coming back would
    look like theft.
    """
    now = outcome_of(AuthSession.objects.look_up, session.pk)
    if not isinstance(now, AuthSession):
        credentials.outgoing = None
        return
    if credentials.binds:
        session.device_key = now.device_key  # by another request of this browser's, meanwhile
    if now.rotation != session.rotation:
        session.step = Step.DEBOUNCE


def write(credentials: Credentials, response: HttpResponseBase) -> None:
    """Set or delete the cookies, and say what the response depends on."""
    if credentials.outgoing is not None:
        set_cookies(credentials, credentials.outgoing, response)
    elif credentials.ended and time.monotonic() - credentials.arrived_at < DELETION_WINDOW:
        delete_cookies(credentials, response)
    if credentials.bearer is not None:
        credentials.bearer.finish(response)
    if credentials.store is not None:
        credentials.store.closed = True
    if credentials.accessed:
        seen = ("Authorization", "Cookie") if conf.takes_bearer_tokens else ("Cookie",)
        patch_vary_headers(response, seen)


def set_cookies(credentials: Credentials, session: AuthSession, response: HttpResponseBase) -> None:
    """Set the access cookie, and with it the refresh cookie unless the browser has it."""
    max_age = session.seconds_left if session.persistent else None
    renew_access_token(credentials, session)
    if session.step is not Step.DEBOUNCE:
        try:
            refresh = session.refresh_token
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


def renew_access_token(credentials: Credentials, session: AuthSession) -> None:
    """Make the access token anew, if the answer took long: its age counts from here.

    It confirms once it is older than the grace period, in which a browser may be killed before it
    has written its jar to disk. The time in which a slow view ran is no part of that.
    """
    if credentials.access is not None and credentials.access.older_than(SLOW_ANSWER):
        credentials.access_token, credentials.access = tokens.issue_access_token(session)


def delete_cookies(credentials: Credentials, response: HttpResponseBase) -> None:
    """Delete cookies that came, verified, and are of a session that has ended.

    Nothing else: another site's form post brings no Lax cookies, but its response's deletions
    count; and what does not verify may be a clock or a rolling deploy. Nor where a token of a
    living session came under the same name: a deletion can't say which of the two it means. On a
    redirect of a person they stay, to be told of by the page at its end.
    """
    presented, ended, others = credentials.presented, credentials.ended, len(response.cookies)
    over = ended | keep_survivor(credentials, response)
    if leads_to_login_page(credentials.request, response):
        ended = ended - credentials.found_ended
        mark(credentials, response)
    if is_all_of(presented.read(cookies.ACCESS, cookies.access_place()), ended):
        cookies.put_access(response, None, 0)
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

    It is told there why they were signed out, by the dead tokens that prove whom it concerns, and
    which go with that page: the access token alone where the login page is the site's own. Not at
    another host, an identity provider's: nothing would ever take them away.
    """
    is_person = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    location = response.headers.get("Location") if 300 <= response.status_code < 400 else None
    if location is None or not is_person:
        return False
    target = urlsplit(location)
    is_here = target.netloc in ("", request.META.get("HTTP_HOST"))
    return is_here and target.scheme in ("", "http", "https")


def mark(credentials: Credentials, response: HttpResponseBase) -> None:
    """Let the next page know that a refresh was tried in vain, or each would be bounced anew.

    Below the include none is bounced, and addresses stay clean.
    """
    url, hash_, fragment = response.headers["Location"].partition("#")
    is_ours = cookies.is_under(unquote(urlsplit(url).path), cookies.include_path())
    if credentials.tried and not is_ours:
        marked = loops.add(url, {loops.MARKER: credentials.tried})
        response.headers["Location"] = f"{marked}{hash_}{fragment}"
