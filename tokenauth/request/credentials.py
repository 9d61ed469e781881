"""Settle who sends a request: one ``Credentials`` for each, kept beside it.

The middleware makes it from the cookies, ``request.user`` asks it, and views and Django's login
signals tell it what they did. What it has gathered in the end is carried out by ``settlement``.
All that touches the database is synchronous: the middleware takes it off the event loop.
"""

import time
from threading import get_ident
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, cached_property
from django.views.decorators.debug import sensitive_variables

from tokenauth.exceptions import SessionEnded, SessionExpired, TokenAuthError
from tokenauth.models import AuthSession
from tokenauth.session import tokens
from tokenauth.session.rotation import Step
from tokenauth.session.transitions import RevokeReason

from . import cookies, django_sessions


class Credentials:
    """What a request brought, who it turned out to be, and which cookies its response sets."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.presented = cookies.Presentation(request.META.get("HTTP_COOKIE", ""))
        self.arrived_at = time.monotonic()
        #: The live session that authenticated the request.
        self.session: AuthSession | None = None
        self.user: AbstractBaseUser | AnonymousUser = AnonymousUser()
        #: Whether that is known, and which threads find it out (Django's own code may ask there).
        self.resolved = False
        self.resolving: set[int] = set()
        #: Whether anybody asked who this is: then the response varies on the cookie.
        self.accessed = False
        #: The access token that counts after this response: the one that came or a new one.
        self.access: tokens.Claims | None = None
        #: The session whose tokens go out with the response, and the new access token.
        self.outgoing: AuthSession | None = None
        self.access_token = ""
        #: Sessions that authenticated the request, the last of them now or until a login or logout.
        self.accepted: set[UUID] = set()
        #: Sessions found or made ended in this request.
        self.ended: set[UUID] = set()
        #: Those of them that were found so: the person may wonder why.
        self.found_ended: set[UUID] = set()
        #: What Django's signals said: the person signed in, the Django session's user.
        self.signed_in: AbstractBaseUser | None = None
        self.signed_out = False
        self.adoptable: AbstractBaseUser | None = None

    def attach(self) -> None:
        """Give the request its lazy ``user``, ``auser`` and ``auth_session``."""
        request: Any = self.request
        request._tokenauth = self
        request.user = SimpleLazyObject(self.get_user)
        request.auser = self.aget_user
        request.auth_session = SimpleLazyObject(self.get_session)

    def get_user(self) -> AbstractBaseUser | AnonymousUser:
        """Return the person, or Django's AnonymousUser."""
        self.resolve()
        return self.user

    async def aget_user(self) -> AbstractBaseUser | AnonymousUser:
        """See get_user()."""
        if not self.resolved:
            await sync_to_async(self.resolve)()
        return self.get_user()

    def get_session(self) -> AuthSession | None:
        """Return the person's live session."""
        self.resolve()
        return self.session

    def provide_auth_keys(self) -> None:
        """Put Django's keys where others will look for them."""
        self.resolve()
        if self.session is not None:
            django_sessions.note(self.request, self.session)

    # Who it is

    @cached_property
    def needs_refresh(self) -> bool:
        """Whether the access token is expired, or missing while a refresh token is there.

        Asked by the middleware when the request comes, and not again: a token that was good then
        may expire before the view wants to know who is there, when nobody refreshes it any more.
        """
        access = self.presented.access
        return access.expired if access else self.presented.single is not None

    def resolve(self) -> None:
        """Find out who this is, once: one query, that joins session and user."""
        self.accessed = True
        thread = get_ident()
        if self.resolved or thread in self.resolving:
            return
        self.resolving.add(thread)
        try:
            self._find_out()
            self.resolved = True
        finally:
            # Also after a database that is down, or an async view that did not await: who asks
            # again is told, and not that nobody is signed in.
            self.resolving.discard(thread)

    def _find_out(self) -> None:
        access = self.presented.access
        if access is not None:
            if not self.needs_refresh:
                self._look_up(access.sid)
        elif self.presented.single is not None:
            # Under the include a lone refresh token signs nobody in; a dead one is swept away.
            self._look_up(self.presented.single.claims.sid, signs_in=False)
        else:
            self.resolve_django_session()

    def _look_up(self, sid: UUID, *, signs_in: bool = True) -> None:
        try:
            session = AuthSession.objects.look_up(sid)
        except SessionEnded as ended:
            self._note_end(ended)
        except SessionExpired:
            self._note_expiry(sid)
        except TokenAuthError:
            # Suspended: another look may find it usable again, so nothing is deleted.
            return
        else:
            if signs_in:
                self._accept(session)
                self.access = self.presented.access

    def _accept(self, session: AuthSession) -> None:
        self.session, self.user = session, session.user
        self.resolved = True
        self.accepted.add(session.pk)

    def _note_end(self, ended: SessionEnded) -> None:
        self.resolved = True
        if ended.reason == RevokeReason.REPLACED:
            # The browser has newer cookies by now, or they are on their way to it.
            return
        self.ended.add(ended.sid)
        self.found_ended.add(ended.sid)
        django_sessions.flush(self.request, ended.sid)

    def _note_expiry(self, sid: UUID) -> None:
        """Drop the data, but no token: when the clock is right again the person is signed in."""
        self.resolved = True
        django_sessions.flush(self.request, sid)

    def resolve_django_session(self) -> None:
        """Let a Django session that is older than tokenauth count until it is adopted."""
        django_sessions.flush_orphan(self.request)
        if not django_sessions.adoption_marks(self.request):
            return
        adopted = django_sessions.find_adopted(self.request)
        if adopted is None:
            self.adoptable = django_sessions.find_adoptable(self.request)
            self.user = self.adoptable or self.user
        elif adopted.rotation == 0 and not adopted.confirmed:
            # The answer that carried the tokens was lost, or a parallel request adopted.
            self._look_up(adopted.pk)
            if self.session is not None:
                self._send(self.session)
        elif not adopted.active:
            django_sessions.drop(self.request)

    # The transitions

    @sensitive_variables()
    def refresh(self, token: cookies.Presented) -> Step | None:
        """Rotate here; return what was done, or None if nobody is signed in by this token."""
        if token.claims.expired:
            # Is it only this token, or is its session over?
            self._look_up(token.claims.sid, signs_in=False)
            self.resolved = True
            return None
        try:
            session = AuthSession.objects.rotate(token.raw, self.request)
        except SessionEnded as ended:
            self._note_end(ended)
            return None
        except SessionExpired:
            self._note_expiry(token.claims.sid)
            return None
        except TokenAuthError:
            self.resolved = True
            return None
        self._accept(session)
        self._send(session)
        return session.step

    def start(self, user: AbstractBaseUser, *, persistent: bool, **options: Any) -> AuthSession:
        """Start a session for a person who has just signed in, and end the one it replaces."""
        session = AuthSession.objects.start(
            self.request, user, persistent, replaces=self.sids(), **options
        )
        self.replace_with(session)
        return session

    def replace_with(self, session: AuthSession) -> None:
        """Let a session take the place of those that this browser presented."""
        replaced = self.sids() - {session.pk}
        AuthSession.objects.filter(pk__in=replaced).revoke(RevokeReason.REPLACED, self.request)
        self.ended.clear()
        self.signed_in, self.signed_out, self.adoptable = None, False, None
        self.hand_out(session)

    def hand_out(self, session: AuthSession) -> None:
        """Sign the request in by a session whose tokens go out with the response."""
        self._accept(session)
        self._send(session)
        self.attach()
        django_sessions.follow_password_change(self.request, session)
        django_sessions.note(self.request, session)

    @sensitive_variables()
    def _send(self, session: AuthSession) -> None:
        self.outgoing = session
        self.access_token, self.access = tokens.issue_access_token(session)

    def end(self, reason: str) -> None:
        """End the sessions that this browser presented, and forget its person."""
        sids = self.sids()
        AuthSession.objects.filter(pk__in=sids).revoke(reason, self.request)
        self.ended |= sids
        self.found_ended -= sids
        self.outgoing, self.session, self.access = None, None, None
        self.user, self.resolved = AnonymousUser(), True
        self.signed_in, self.signed_out, self.adoptable = None, False, None
        self.attach()

    def sids(self) -> set[UUID]:
        """Return the sessions that this browser holds: at most one, and any started just now."""
        held = self.presented.held
        return self.accepted | ({held.sid} if held else set())

    # Django's own login() and logout()

    def on_login(self, user: AbstractBaseUser) -> None:
        """Note Django's ``user_logged_in``; the response phase gives it a session of ours.

        The signal alone is no login: knox sends it for a bearer token.
        """
        if not django_sessions.signed_in(self.request, user):
            return
        self.signed_in, self.signed_out = user, False
        self.user, self.resolved = user, True
        self._hide_session()

    def on_logout(self) -> None:
        """Note Django's ``user_logged_out``; the response phase ends the session."""
        self.signed_in, self.signed_out = None, True
        self.user, self.resolved = AnonymousUser(), True
        self._hide_session()

    def _hide_session(self) -> None:
        """Until the response phase the request has no session that is the new person's."""
        self.session = None
        request: Any = self.request
        request.auth_session = None


def credentials_of(request: Any) -> Credentials:
    """Return the credentials of a request, which REST framework may have wrapped.

    Raises ImproperlyConfigured when the middleware is missing.
    """
    found = find_credentials(request)
    if found is None:
        raise ImproperlyConfigured(
            "tokenauth needs its middleware. Edit your MIDDLEWARE setting to replace "
            "'django.contrib.auth.middleware.AuthenticationMiddleware' with "
            "'tokenauth.middleware.TokenAuthMiddleware'."
        )
    return found


def find_credentials(request: Any) -> Credentials | None:
    """Return the credentials of a request; None if no middleware made any."""
    found: Credentials | None = getattr(getattr(request, "_request", request), "_tokenauth", None)
    return found
