"""Settle who sends a request: one ``Credentials`` for each, kept beside it.

The middleware makes it from the cookies, ``request.user`` asks it, and views and Django's login
signals tell it what they did. What it has gathered in the end is carried out by ``settlement``.
All that touches the database is synchronous: the middleware takes it off the event loop.
"""

import time
from functools import partial
from threading import get_ident
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import get_user as cached_by_django
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import cached_property

from tokenauth.conf import conf
from tokenauth.exceptions import (
    DeviceProofRequired,
    SessionEnded,
    SignedOutElsewhere,
    TokenAuthError,
)
from tokenauth.lazy import Lazy
from tokenauth.models import AuthSession
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.endings import is_in_flight, outcome_of
from tokenauth.session.rotation import Step

from . import cookies
from .django_sessions import adoption, keys
from .django_sessions.owner import Owner, is_ceded
from .django_sessions.store import BoundStore, bind
from .header.bearer import bearer_of

#: What a look at a session, or its rotation, came to.
Outcome = AuthSession | TokenAuthError


class Credentials:
    """What a request brought, who it turned out to be, and which cookies its response sets."""

    #: The live session that authenticated the request.
    session: AuthSession | None = None
    resolved = False  #: whether that is known
    #: Whether anybody asked who this is: then the response varies on the cookie.
    accessed = False
    #: Whether an expired token came that this request can't have refreshed: nobody knows.
    unknown = False
    tried = ""  #: when it was bounced before, in vain, by the loop marker
    #: The access token that counts after this response: the one that came or a new one.
    access: tokens.Claims | None = None
    #: The session whose tokens go out with the response, and the new access token.
    outgoing: AuthSession | None = None
    access_token: Secret[str]
    #: Whether no view runs between that session's new state and the response.
    answers_at_once = False
    survivor: AuthSession | None = None  #: the living one, where tokens of several came
    #: What Django's signals said: the person signed in, the Django session's user.
    signed_in: AbstractBaseUser | None = None
    signed_out = False
    proved_again: Any = None  #: the session, or who is adoptable, that did so without ``login()``
    adoptable: AbstractBaseUser | None = None
    #: Whether the Django session was one, and that is over.
    barred = False
    needs_proof = False  #: whether its session is bound to a device that did not prove itself
    asked_before = False  #: whether the browser was sent back here a moment ago, to prove it
    #: Whether it is an app that is being signed in, which is no login of this browser's.
    is_apps_login = False
    #: Django's session, bound to whoever is there.
    store: BoundStore | None = None

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        #: Whether the site binds sessions to devices.
        self.binds = conf.DEVICE_BINDING
        #: What came in an ``Authorization`` header of ours: then the cookies don't count.
        self.bearer = bearer_of(request)
        self.presented: cookies.Presentation = self.bearer or cookies.Presentation(
            Secret(request.META.get("HTTP_COOKIE", ""))
        )
        self.arrived_at, self.came_at = time.monotonic(), time.time()
        self.user: AbstractBaseUser | AnonymousUser = AnonymousUser()
        #: Which threads find out who it is (Django's own code may ask there).
        self.resolving: set[int] = set()
        #: Sessions that authenticated the request, the last of them now or until a login or logout.
        self.accepted: set[UUID] = set()
        self.ended: set[UUID] = set()  #: sessions found or made ended in this request
        self.found_ended: set[UUID] = set()  #: those found so: the person may wonder why
        self.to_revoke: set[UUID] = set()  #: those that somebody ended without our knowing
        self.shown: dict[UUID, str] = {}  #: the device keys proven, by session

    def attach(self) -> None:
        """Give the request its lazy ``user``, ``auser``, ``auth_session``, and bind its session."""
        request: Any = self.request
        request._tokenauth = self
        request.user = Lazy(self.get_user)
        request.auser = self.aget_user
        request.auth_session = Lazy(self.get_session)
        for cached in ("_cached_user", "_acached_user"):  # by Django's own get_user(), before
            request.__dict__.pop(cached, None)
        self.store = bind(request, Owner(self))

    def get_user(self) -> AbstractBaseUser | AnonymousUser:
        """Return the person, or Django's AnonymousUser."""
        if is_ceded(self):
            return cached_by_django(self.request)
        self.resolve()
        return self.user

    async def aget_user(self) -> AbstractBaseUser | AnonymousUser:
        """See get_user()."""
        if is_ceded(self) or not self.resolved:
            return await sync_to_async(self.get_user)()
        return self.get_user()

    def get_session(self) -> AuthSession | None:
        """Return the person's live session."""
        if is_ceded(self):
            return None
        self.resolve()
        return self.session

    def device_thumbprint(self, sid: UUID) -> str:
        """Return that of the device key which was proven for a session; empty if none was.

        The middleware asks when the request comes, and it counts to the end: see needs_refresh.
        """
        if self.binds and sid not in self.shown:
            from .jar.device import good_device_token  # noqa: PLC0415  # few sites bind any

            token = good_device_token(self.presented.header, sid)
            self.shown[sid] = token.jkt if token else ""
        return self.shown.get(sid, "")

    # Who it is

    @cached_property
    def needs_refresh(self) -> bool:
        """Whether the access token is expired, or missing while a refresh token is there.

        Asked by the middleware when the request comes, and not again: a token that was good then
        may expire before the view wants to know who is there, when nobody refreshes it any more.
        """
        access = self.presented.access
        if self.bearer is not None:
            return False  # an app does that by itself
        return access.expired if access else self.presented.single is not None

    def heed_header(self) -> None:
        """Let a token in the header do what the header alone can."""
        access = self.presented.access
        if access is not None:
            # No other site can make a browser send it, and the cookies don't count.
            self.request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # Django's own, for its test client
            self.unknown = access.expired

    def accept_late(self) -> None:
        """Let an expired access token count for this request, which was long on its way."""
        self.needs_refresh = False

    def resolve(self) -> None:
        """Find out who this is, once: one query, that joins session and user."""
        self.accessed = True
        if self.store is not None:
            self.store.accessed = True  # as Django's own look at the user does
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

    async def aresolve(self) -> None:
        """See resolve()."""
        if not self.resolved:
            await sync_to_async(self.resolve)()
        self.accessed = True

    def _find_out(self) -> None:
        access = self.presented.access
        if self.bearer is not None:
            self._record(outcome_of(self.bearer.look_up))
            self.access = access if self.session is not None else None
        elif access is not None:
            if not self.needs_refresh and self._look_up(access.sid):
                self.access = access
            if self.to_revoke:
                # By Django's own login(), perhaps, in a site's tests: who is it now?
                self.resolve_django_session()
        elif self.presented.single is not None:
            # Under the include a lone refresh token signs nobody in; a dead one is swept away.
            self._look_up(self.presented.single.claims.sid, signs_in=False)
        else:
            self.resolve_django_session()

    def _look_up(self, sid: UUID, *, signs_in: bool = True) -> bool:
        key = self.device_thumbprint(sid) if self.binds else None
        outcome = outcome_of(AuthSession.objects.look_up, sid, key)
        if signs_in or not isinstance(outcome, AuthSession):
            self._record(outcome)
        return self.session is not None

    def _record(self, outcome: Outcome) -> None:
        """Write down what a look or a rotation came to: who is there, or what is over."""
        self.resolved = True
        if isinstance(outcome, AuthSession):
            self.session, self.user = outcome, outcome.user
            self.accepted.add(outcome.pk)
            if self.store is not None:
                self.store.judge_again()
        elif isinstance(outcome, DeviceProofRequired):
            self.needs_proof = True
        elif isinstance(outcome, SessionEnded) and not is_in_flight(
            outcome.reason, outcome.revoked_at
        ):
            if self.needs_proof:
                self.needs_proof = self.unknown = False
            self.ended.add(outcome.sid)
            self.found_ended.add(outcome.sid)
            if isinstance(outcome, SignedOutElsewhere):
                self.to_revoke.add(outcome.sid)

    def sweep(self) -> None:
        """Let the cookies of a session that has ended go with this response, and no others.

        For where nobody is looked up: an expired access token signs in nobody.
        """
        held = self.presented.held
        if held is not None and self.session is None and held.sid not in self.ended:
            self._look_up(held.sid, signs_in=False)

    def part_rivals(self) -> None:
        """Let the access tokens of ended sessions go, where those of several came."""
        for sid in self.presented.rivals:
            outcome = outcome_of(AuthSession.objects.look_up, sid)
            if isinstance(outcome, SessionEnded):
                self._record(outcome)
                self.presented.leave_out(sid)
            elif isinstance(outcome, AuthSession):
                self.survivor = outcome
        self.resolved = False

    def resolve_django_session(self) -> None:
        """Let a Django session that is older than tokenauth count until it is adopted."""
        if self.store is None or not adoption.marks_of(self.request):
            return
        with self.store.as_it_came():
            self._resolve_marked(adoption.find_adopted(self.request))

    def _resolve_marked(self, adopted: AuthSession | None) -> None:
        if adopted is None:
            self.adoptable = adoption.find_adoptable(self.request)
            self.user = self.adoptable or self.user
        elif not adopted.active:
            self.barred = True
        elif adopted.rotation == 0 and not adopted.confirmed and self._look_up(adopted.pk):
            # The answer that carried the tokens was lost, or a parallel request adopted.
            self._send(adopted)

    # The transitions

    def refresh(self, token: cookies.Presented, since: int | None = None) -> Step | None:
        """Rotate here; return what was done, or None if nobody is signed in by this token.

        ``since``: see ``rotation.decide``.
        """
        if token.claims.expired:
            # Is it only this token, or is its session over?
            self._look_up(token.claims.sid, signs_in=False)
            self.resolved = True
            return None
        key = self.device_thumbprint(token.sid)
        rotate = partial(AuthSession.objects.rotate, since=since, device_thumbprint=key)
        outcome = outcome_of(rotate, token.raw, self.request)
        self._record(outcome)
        if not isinstance(outcome, AuthSession):
            return None
        if outcome.step is not Step.LATE:
            self._send(outcome)
        return outcome.step

    def start(self, user: AbstractBaseUser, *, persistent: bool, **options: Any) -> AuthSession:
        """Start a session for a person who has just signed in, and end those it replaces."""
        if self.adoptable is not None:
            adoption.bar(self.request, self.adoptable)
        key = self.store.row_key if self.store is not None else None
        session = AuthSession.objects.start(
            self.request, user, persistent, django_session=key, replaces=self.sids(), **options
        )
        self.ended.clear()
        self.signed_in, self.signed_out, self.adoptable = None, False, None
        self.hand_out(session)
        return session

    def hand_out(self, session: AuthSession) -> None:
        """Sign the request in by a session whose tokens go out with the response."""
        self._record(session)
        self._send(session)
        self.attach()
        if self.store is not None:
            self.store.rebind()
            self.store.update(keys.auth_keys(session))

    def _send(self, session: AuthSession) -> None:
        self.access_token, self.access = tokens.issue_access_token(session)
        self.outgoing = session  # last: the claims of a site's own may fail

    def end(self, reason: str) -> None:
        """End the sessions that this browser presented, and forget its person."""
        if self.adoptable is not None:
            adoption.bar(self.request, self.adoptable)
        sids = self.sids()
        AuthSession.objects.revoke_each(sids, reason, self.request)
        self.ended |= sids
        self.found_ended -= sids
        self.outgoing, self.session, self.access = None, None, None
        self.user, self.resolved = AnonymousUser(), True
        self.signed_in, self.signed_out, self.adoptable = None, False, None
        self.attach()

    def sids(self) -> set[UUID]:
        """Return the sessions that this browser holds: at most one, and any started just now.

        A token older than the idle lifetime was not kept by a browser: it shows nothing.
        """
        held = self.presented.held
        is_kept = held is not None and not held.older_than(conf.REFRESH_TOKEN_LIFETIME)
        return self.accepted | ({held.sid} if held and is_kept else set())

    def follow(self, user: AbstractBaseUser | None) -> None:
        """Note whom Django's login() has signed in, None for its logout().

        The response phase carries it out. Until then no session is the new person's.
        """
        self.signed_in, self.signed_out = user, user is None
        self.user, self.resolved = user or AnonymousUser(), True
        self.session = None
        request: Any = self.request
        request.auth_session = None
