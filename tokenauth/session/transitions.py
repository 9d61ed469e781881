"""The doors to a session: ``AuthSession.objects.start``, ``.rotate``, and ``QuerySet.revoke``.

Each transition is a single statement whose row count is the answer, so two requests never both
win, without row locks, on SQLite, PostgreSQL, MySQL and MariaDB alike.
"""

import copy
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import router
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from tokenauth import signals
from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken, TokenMismatched, TokenReused
from tokenauth.secret import Masked, Secret, conceal

from . import devices, django_sessions, endings, tokens, users
from .database import prepared
from .database.batches import batched
from .database.contention import run_apart
from .endings import RevokeReason
from .jwt.access_claims import BROWSER, CI
from .lookups import LookUps
from .rotation import Step, decide

if TYPE_CHECKING:
    from tokenauth.models import AuthSession

#: Once, and twice more when another request was faster.
ATTEMPTS = 3


class Brought(NamedTuple):
    """What a client brings to have its refresh token replaced."""

    claims: tokens.Claims
    token_hash: Masked
    key_thumbprint: str | None
    device_thumbprint: str
    since: int | None


class AuthSessionManager(LookUps):
    """The doors to a session: start it, rotate its token, end it."""

    @sensitive_variables()  # see insist()
    def start(
        self,
        request: HttpRequest | None,
        user: AbstractBaseUser,
        persistent: bool = True,
        *,
        backend: str = "",
        ends_at: datetime | None = None,
        adopted_from: str | None = None,
        django_session: str | None = None,
        replaces: Collection[UUID] = (),
        client: devices.Client = devices.A_BROWSER,
    ) -> "AuthSession":
        """Sign a person in: store a new session and return it.

        ``persistent`` False ends it with the browser. ``backend`` is the dotted path of the
        authentication backend that vouches for the user (default: the one that ``authenticate``
        noted on the user, or the only one there is). ``ends_at`` shortens its absolute lifetime.
        ``django_session`` is the key of the Django session that belongs to it from now on,
        ``client`` what it is of if not of a browser. ``replaces`` are sessions that end with this:
        those that the same browser had before.

        Raises ValueError when there are several backends to choose from.
        """
        now, backend = timezone.now(), backend or users.backend_of(user)
        end = now + conf.SESSION_LIFETIME
        session: AuthSession = self.model(
            user_id=user.pk,
            backend=backend,
            auth_hash=users.auth_hash_of(user),
            rotated_at=now,
            issued_at=now,
            created_at=now,
            authenticated_at=None if adopted_from or not users.proves(backend) else now,
            last_seen_at=now,
            absolute_expires_at=min(end, ends_at or end),
            persistent=persistent,
            adopted_from=adopted_from,
            django_session=django_session,
            **client.columns,
            **devices.device_of(request, name=client.name),
        )
        session.expires_at = session.idle_end(now)
        session.set_refresh_token()
        prepared.insert(session, router.db_for_write(self.model))
        session.set_user(user)
        self._make_room(replaces, session, request)
        signals.session_started.send_robust(sender=self.model, session=session, request=request)
        return session

    def _make_room(
        self, replaces: Collection[UUID], session: "AuthSession", request: HttpRequest | None
    ) -> None:
        """End what a session replaces, and what is one too many with it."""
        has_room = self._replace(replaces, session, request)
        # The jobs of a night are no devices: they end by themselves, and shut nobody out.
        if not has_room and session.client != CI:
            self._enforce_limit(session, request)

    def _replace(
        self, sids: Collection[UUID], session: "AuthSession", request: HttpRequest | None
    ) -> bool:
        """End them; tell whether one has made room: it was of the same person."""
        kept = session.django_session or ""  # its data moves on
        ended = self.revoke_each(sids, RevokeReason.REPLACED, request, kept)
        return any(replaced.user_id == session.user_id for replaced in ended)

    def _enforce_limit(self, session: "AuthSession", request: HttpRequest | None) -> None:
        surplus = endings.beyond_limit(self.all(), session)
        if surplus:
            # One that came meanwhile ends this one by itself: two at once must not end each other.
            # One from the future did not: another server's clock is ahead, or the hour came twice.
            meanwhile = {"created_at__gt": session.created_at, "created_at__lte": timezone.now()}
            rows = self.filter(pk__in=surplus).exclude(**meanwhile)
            rows.revoke(RevokeReason.LIMIT, request)

    def revoke_each(
        self, sids: Iterable[UUID], reason: str, request: HttpRequest | None, kept: str = ""
    ) -> list["AuthSession"]:
        """End sessions that are known by id, each by itself; return those that were active.

        Their Django sessions go with them, but for the one under the key ``kept``.
        """
        changes = {"revoked_at": timezone.now(), "revoke_reason": reason}
        ended = [sid for sid in sids if self.swap_active({"pk": sid}, changes)]
        found = [session for session in map(self.find, ended) if session is not None]
        endings.see_off(found, reason, request, kept)
        return found

    def rotate(
        self,
        raw_token: str | Secret[str],
        request: HttpRequest | None = None,
        *,
        since: int | None = None,
        client: str = BROWSER,
        key_thumbprint: str | None = None,
        device_thumbprint: str = "",
    ) -> "AuthSession":
        """Spend a refresh token, and return its session with ``step`` saying what was done.

        The session's tokens are made from it (``AuthSession.refresh_token``). ``since``: see
        ``rotation.decide``. ``client`` is who brings the token, ``key_thumbprint`` the key of which
        they have shown proof: another's token is invalid. ``device_thumbprint`` is that of a
        browser's device token.

        Raises InvalidToken (nothing changed), SessionSuspended, SessionEnded, and its subclasses
        TokenReused and TokenMismatched when this very token ended the session.
        """
        raw_token = conceal(raw_token)
        alias = router.db_for_write(self.model)
        claims = tokens.kinds_of(client)[1].read(raw_token)
        if claims.expired:
            raise InvalidToken("expired")
        keys = key_thumbprint, device_thumbprint
        brought = Brought(claims, tokens.hash_token(raw_token), *keys, since)
        return run_apart(alias, partial(self._rotate, brought, request))

    def _rotate(self, brought: "Brought", request: HttpRequest | None) -> "AuthSession":
        claims, since = brought.claims, brought.since
        for _attempt in range(ATTEMPTS):
            session = self.look_up(claims.sid)
            session.check_key(brought.key_thumbprint)
            now, grace = timezone.now(), conf.GRACE_PERIOD
            step = decide(session, claims.rot, brought.token_hash, now, grace, since=since)
            if step in (Step.REUSE, Step.MISMATCH):
                self._end_for(step, session, claims.rot, request)
            # Only now: a spent token ends the session, whoever brings it.
            session.check_device(brought.device_thumbprint)
            taken = self._take(step, session, request)
            if taken is not None:
                taken.step = step
                return taken
        # Outrun each time, though the token is good. Its owner holds the current one, unless the
        # decision was to hand that out: then those who were faster have noted it.
        session.step = Step.REISSUE if step is Step.REISSUE else Step.DEBOUNCE
        return session

    def _take(
        self, step: Step, session: "AuthSession", request: HttpRequest | None
    ) -> "AuthSession | None":
        """Carry out one step. None: the row is no longer what the step was decided on."""
        if step is Step.ROTATE:
            return self._advance(session, request)
        return self._reissue(session) if step is Step.REISSUE else session

    def _advance(self, session: "AuthSession", request: HttpRequest | None) -> "AuthSession | None":
        now = timezone.now()
        changes: dict[str, Any] = {}
        if request:
            changes |= devices.device_of(request, session.user_agent, session.client_name)
        changes |= {"rotation": session.rotation + 1, "confirmed": False}
        changes |= dict.fromkeys(["rotated_at", "issued_at", "last_seen_at"], now)
        changes["expires_at"] = session.idle_end(now)
        if session.has_django_session is False:
            changes["django_session"] = None  # its time was over, or ``check_usable`` had spoken
        successor = copy.copy(session)
        for name, value in changes.items():
            setattr(successor, name, value)
        successor.begins_day = session.age(now).days > session.age(session.rotated_at).days
        successor.set_refresh_token()
        changes["token_hash"] = successor.token_hash
        if not self.swap_active(session.as_decided_on(), changes):
            return None
        signals.session_rotated.send_robust(sender=self.model, session=successor, request=request)
        return successor

    def _reissue(self, session: "AuthSession") -> "AuthSession | None":
        # Another server may sign with a newer key than this one has: then nothing changes.
        tokens.remake_refresh_token(session)
        session.issued_at = timezone.now()
        changes = {"issued_at": session.issued_at}
        return session if self.swap_active(session.as_decided_on(), changes) else None

    def _end_for(
        self, step: Step, session: "AuthSession", rot: int, request: HttpRequest | None
    ) -> NoReturn:
        reuse = step is Step.REUSE
        reason = RevokeReason.REUSE if reuse else RevokeReason.MISMATCH
        # In the statement that revokes: whoever comes second must not overwrite the first.
        evidence = {f"reuse_{name}": value for name, value in devices.origin_of(request).items()}
        if self.filter(pk=session.pk).revoke(reason, request, **evidence):
            for name, value in evidence.items():
                setattr(session, name, value)
            if reuse:
                endings.tell_of_reuse(session, request)
            else:
                endings.tell_of_mismatch(session, rot)
        raise (TokenReused if reuse else TokenMismatched)(session.pk, reason)

    def end_everywhere(
        self,
        people: Iterable[Any],
        reason: str,
        request: HttpRequest | None = None,
        but: UUID | None = None,
    ) -> int:
        """End every session of these people, by primary key; return how many were active.

        ``but`` is the one that may go on. Django sessions of theirs that were not adopted yet will
        not be.
        """
        count = 0
        for keys in batched(people):
            count += self.filter(user__in=keys).exclude(pk=but).revoke(reason, request)
            if django_sessions.may_turn_up():
                self._leave_marks(
                    [(key, django_sessions.marks_of_person(key)[0]) for key in keys], reason
                )
        return count

    def leave_mark(self, user: AbstractBaseUser, mark: str, request: HttpRequest | None) -> None:
        """Sign a person out of a Django session that another request may adopt at this moment.

        The column is unique: either the mark is first, or it finds what to revoke.
        """
        self._leave_marks([(user.pk, mark)], RevokeReason.LOGOUT)
        self.filter(adopted_from=mark).revoke(RevokeReason.LOGOUT, request)

    def _leave_marks(self, marked: Iterable[tuple[Any, str]], reason: str) -> None:
        moments = ["rotated_at", "issued_at", "created_at", "last_seen_at"]
        moments += ["expires_at", "absolute_expires_at", "revoked_at"]
        # Before any session: pictures and lists by time leave marks out.
        times = dict.fromkeys(moments, django_sessions.long_ago())
        made = [
            self.model(user_id=key, adopted_from=mark, revoke_reason=reason, **times)
            for key, mark in marked
        ]
        self.bulk_create(made, ignore_conflicts=True)

    async def astart(
        self, request: HttpRequest | None, user: AbstractBaseUser, persistent: bool = True
    ) -> "AuthSession":
        """See start()."""
        return await sync_to_async(self.start)(request, user, persistent)

    async def arotate(
        self, raw_token: str | Secret[str], request: HttpRequest | None = None
    ) -> "AuthSession":
        """See rotate()."""
        raw_token = conceal(raw_token)
        return await sync_to_async(self.rotate)(raw_token, request)
