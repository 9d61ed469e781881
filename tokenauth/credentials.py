"""Settle who sends a request: one ``Credentials`` per request, kept beside the request.

The middleware makes it from the cookies, ``request.user`` asks it, views and Django's login
signals tell it what they did, and in the end it writes the cookies. Only here are token cookies
set or deleted. All that touches the database is synchronous: the middleware takes it off the
event loop.
"""

import time
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth import login, logout
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import rotate_token
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.views.decorators.debug import sensitive_variables

from . import cookies, django_sessions, tokens
from .conf import conf
from .exceptions import InvalidToken, SessionEnded, TokenAuthError
from .models import AuthSession, RevokeReason, auth_hash_of
from .rotation import Step

#: Seconds after which a response no longer deletes cookies: the person may have signed in again
#: while it was slow, and a deletion can't say which cookie it means.
DELETION_WINDOW = 5
#: An access token this close to its end (seconds) is refreshed rather than called valid: the
#: server that will see it next may have a clock that is a little ahead.
CLOCK_SKEW = 5


class Credentials:
    """What a request brought, who it turned out to be, and which cookies its response sets."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.presented = cookies.Presentation(request.META.get("HTTP_COOKIE", ""))
        self.arrived_at = time.monotonic()
        #: The live session that authenticated the request.
        self.session: AuthSession | None = None
        self.user: AbstractBaseUser | AnonymousUser = AnonymousUser()
        self.resolved = False
        #: Whether anybody asked who this is: then the response varies on the cookie.
        self.accessed = False
        #: The access token that counts after this response: the one that came or a new one.
        self.access: tokens.Claims | None = None
        #: The session whose tokens go out with the response, and the new access token.
        self.outgoing: AuthSession | None = None
        self.access_token = ""
        #: Sessions found or made ended in this request.
        self.ended: set[UUID] = set()
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
        """Put Django's keys where RemoteUserMiddleware will look for them."""
        self.resolve()
        if self.session is not None:
            django_sessions.note(self.request, self.session)

    # Finding out

    @property
    def needs_refresh(self) -> bool:
        """Whether the access token is expired, or missing while a refresh token is there."""
        access = self.presented.access
        return access.expired if access else self.presented.single is not None

    def resolve(self) -> None:
        """Find out who this is, once: one query, that joins session and user."""
        self.accessed = True
        if self.resolved:
            return
        self.resolved = True
        access = self.presented.access
        if access is not None:
            if not access.expired:
                self._look_up(access.sid)
        elif self.presented.single is not None:
            # Under the include a lone refresh token signs nobody in; a dead one is swept away.
            self._find_end(self.presented.single.claims.sid)
        else:
            self._resolve_django_session()

    def _look_up(self, sid: UUID) -> None:
        try:
            self._accept(AuthSession.objects.look_up(sid))
        except SessionEnded as ended:
            self._note_end(ended)
        except TokenAuthError:
            # Suspended: another look may find it usable again, so nothing is deleted.
            return
        else:
            self.access = self.presented.access

    def _find_end(self, sid: UUID) -> None:
        try:
            AuthSession.objects.look_up(sid)
        except SessionEnded as ended:
            self._note_end(ended)
        except TokenAuthError:
            return

    def _accept(self, session: AuthSession) -> None:
        self.resolved = True
        self.session, self.user = session, session.user

    def _note_end(self, ended: SessionEnded) -> None:
        self.resolved = True
        if ended.reason == RevokeReason.REPLACED:
            # The browser has newer cookies by now, or they are on their way to it.
            return
        self.ended.add(ended.sid)
        django_sessions.flush(self.request, ended.sid)

    def _resolve_django_session(self) -> None:
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

    # The transitions

    @sensitive_variables()
    def refresh(self, raw: str) -> Step | None:
        """Rotate here; return what was done, or None if nobody is signed in by this token."""
        try:
            session = AuthSession.objects.rotate(raw, self.request)
        except SessionEnded as ended:
            self._note_end(ended)
            return None
        except TokenAuthError:
            self.resolved = True
            return None
        self._accept(session)
        self._send(session)
        return session.step

    def start(self, user: AbstractBaseUser, *, persistent: bool, **options: Any) -> AuthSession:
        """Start a session for a person who has just signed in, and end the one it replaces."""
        session = AuthSession.objects.start(self.request, user, persistent, **options)
        self._replace_with(session)
        return session

    def _replace_with(self, session: AuthSession) -> None:
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
        django_sessions.note(self.request, session)

    @sensitive_variables()
    def _send(self, session: AuthSession) -> None:
        self.outgoing = session
        self.access_token, self.access = tokens.issue_access_token(session)

    def end(self, reason: str) -> None:
        """End the sessions that this browser presented, and forget its person."""
        sids = self.sids()
        AuthSession.objects.filter(pk__in=sids).revoke(reason, self.request)
        self.forget(sids)

    def forget(self, sids: set[UUID]) -> None:
        """Treat the request as nobody's: its sessions have ended."""
        self.ended |= sids
        self.outgoing, self.session, self.access = None, None, None
        self.user = AnonymousUser()
        self.signed_in, self.signed_out, self.adoptable = None, False, None
        self.resolved = True
        self.attach()

    def sids(self) -> set[UUID]:
        """Return the sessions that this browser holds: at most one, and any started just now."""
        held = self.presented.access or self.presented.single
        claims = held.claims if isinstance(held, cookies.Presented) else held
        found = {claims.sid} if claims else set()
        return found | ({self.session.pk} if self.session else set())

    # Django's own login() and logout()

    def on_login(self, user: AbstractBaseUser) -> None:
        """Note Django's ``user_logged_in``; the response phase gives it a session of ours.

        The signal alone is no login: knox sends it for a bearer token.
        """
        if not django_sessions.signed_in(self.request, user):
            return
        self.signed_in, self.signed_out = user, False
        self.user, self.resolved = user, True
        request: Any = self.request
        request.auth_session = SimpleLazyObject(lambda: None)

    def on_logout(self) -> None:
        """Note Django's ``user_logged_out``; the response phase ends the session."""
        self.signed_in, self.signed_out = None, True
        request: Any = self.request
        request.auth_session = SimpleLazyObject(lambda: None)

    # The response phase

    @property
    def unsettled(self) -> bool:
        """Whether the response needs a look at the database before its cookies are written."""
        return bool(
            self.outgoing
            or self.signed_in
            or self.signed_out
            or self.adoptable
            or (self.session and (self._confirms or self.session.upgraded_auth_hash))
            or (self.presented.access and django_sessions.is_modified(self.request))
        )

    def settle(self, response: HttpResponseBase) -> None:
        """Follow what the view did, then make sure that what goes out is still alive.

        Runs outside the view's transaction: ATOMIC_REQUESTS can roll none of it back.
        """
        if response.status_code < 500:
            self._follow_django()
        if self.outgoing is not None:
            self._recheck(self.outgoing)
        elif self.session is not None and self._confirms:
            self.session.confirm()
        if self.session is not None and self.session.upgraded_auth_hash:
            self.session.set_auth_hash(self.session.upgraded_auth_hash)

    @property
    def _confirms(self) -> bool:
        """Whether the request proves that the client has kept the current token.

        Only a token that came in the cookie can, and only one older than the grace period: inside
        it answers are in flight and Chromium has not written its jar to disk; and a thief who
        polls cannot ask "has the victim confirmed yet?" to stay in step.
        """
        access, session = self.presented.access, self.session
        return (
            access is not None
            and session is not None
            and self.outgoing is None
            and not session.confirmed
            and access.sid == session.pk
            and access.rot == session.rotation
            and access.older_than(conf.GRACE_PERIOD)
        )

    def _follow_django(self) -> None:
        if self.signed_out:
            self.end(RevokeReason.LOGOUT)
        elif self.signed_in is not None:
            self._follow_login(self.signed_in)
        elif self.adoptable is not None:
            self._adopt(self.adoptable)
        elif django_sessions.is_modified(self.request):
            self._follow_modification()

    def _follow_login(self, user: AbstractBaseUser) -> None:
        """Give Django's login a session: the live one with a new token, if it is this user's."""
        kept = self._renew(user)
        if kept is not None:
            self._replace_with(kept)
            return
        persistent, ends_at = django_sessions.persistence(self.request)
        backend = django_sessions.backend_of(self.request)
        self.start(user, persistent=persistent, backend=backend, ends_at=ends_at)

    def _renew(self, user: AbstractBaseUser) -> AuthSession | None:
        """Replace the token of the user's live session in this browser, if there is one."""
        rows = AuthSession.objects.at_writer().active().select_related("user")
        session: AuthSession | None = rows.filter(pk__in=self.sids(), user=user.pk).first()
        return session and AuthSession.objects.advance(
            session,
            self.request,
            backend=django_sessions.backend_of(self.request),
            auth_hash=auth_hash_of(user),
        )

    def _adopt(self, user: AbstractBaseUser) -> None:
        session = django_sessions.adopt(self.request, user)
        if session is None:
            # A parallel request was faster: the same tokens, then, if they are still to be had.
            self._resolve_django_session()
        else:
            self.hand_out(session)

    def _follow_modification(self) -> None:
        """Bind a Django session that was written to while somebody was signed in."""
        self.resolve()
        if self.session is not None:
            django_sessions.follow_password_change(self.request, self.session)
            django_sessions.note(self.request, self.session)

    def _recheck(self, session: AuthSession) -> None:
        """Let go of tokens that were overtaken while the view ran.

        A session that has ended meanwhile is not brought back. One that was rotated further gets
        no refresh cookie: the browser has its successor, and an old one coming back would look
        like theft.
        """
        rows = AuthSession.objects.at_writer().active().filter(pk=session.pk)
        rotation = rows.values_list("rotation", flat=True).first()
        if rotation is None:
            self.outgoing = None
        elif rotation != session.rotation:
            session.step = Step.DEBOUNCE

    @sensitive_variables()
    def write(self, response: HttpResponseBase) -> None:
        """Set or delete the cookies, and say what the response depends on."""
        if self.outgoing is not None:
            self._set_cookies(response, self.outgoing)
        else:
            self._delete_cookies(response)
        if self.accessed:
            patch_vary_headers(response, ("Cookie",))

    @sensitive_variables()
    def _set_cookies(self, response: HttpResponseBase, session: AuthSession) -> None:
        max_age = cookies.seconds_until(session.expires_at) if session.persistent else None
        refresh = None
        if session.step is not Step.DEBOUNCE:
            try:
                refresh = tokens.remake_refresh_token(session)
            except InvalidToken:
                return
        cookies.put_access(response, self.access_token, max_age)
        if refresh is not None:
            cookies.put_refresh(response, refresh, max_age)
        cookies.forbid_caching(response)

    def _delete_cookies(self, response: HttpResponseBase) -> None:
        """Delete cookies that came, verified, and are of a session that has ended.

        Nothing else: another site's form post brings no Lax cookies, but its response's deletions
        count; and what does not verify may be a clock or a rolling deploy.
        """
        if not self.ended or time.monotonic() - self.arrived_at > DELETION_WINDOW:
            return
        if any(claims.sid in self.ended for claims in self.presented.access_tokens):
            cookies.put_access(response, "", 0)
            cookies.forbid_caching(response)
        if any(token.claims.sid in self.ended for token in self.presented.refresh_tokens):
            cookies.put_refresh(response, "", 0)
            cookies.forbid_caching(response)


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


def sign_in(request: HttpRequest, user: AbstractBaseUser, *, persistent: bool) -> AuthSession:
    """Sign in a person that ``authenticate()`` returned, as our own views do.

    With Django's ``login()`` where sessions are installed: it sends ``user_logged_in``, drops the
    previous person's data and replaces the CSRF token.
    """
    credentials = credentials_of(request)
    store = django_sessions.store_of(request)
    if store is None:
        rotate_token(request)
        user_logged_in.send(sender=type(user), request=request, user=user)
    else:
        login(request, user)  # type: ignore[arg-type]  # the stubs know one user model
        if not persistent:
            store.set_expiry(0)
    return credentials.start(user, persistent=persistent)


def sign_out(request: HttpRequest, reason: str = RevokeReason.LOGOUT) -> None:
    """Sign the person out, as our own views do. Works with any cookie in the jar, or none."""
    credentials = credentials_of(request)
    if django_sessions.store_of(request) is None:
        user = credentials.get_user()
        person = user if user.is_authenticated else None
        user_logged_out.send(sender=type(person), request=request, user=person)
    else:
        logout(request)
    credentials.end(reason)
