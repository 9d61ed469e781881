"""End sessions: why, by which statement, and what is told of it."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import models, router
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tokenauth import signals
from tokenauth.conf import conf
from tokenauth.exceptions import TokenAuthError

from . import django_sessions
from .database import prepared
from .database.batches import batched
from .database.contention import insist

if TYPE_CHECKING:
    from tokenauth.models import AuthSession

T = TypeVar("T")

log = logging.getLogger("tokenauth.security")


class RevokeReason(models.TextChoices):
    """Why a session was ended before its time."""

    LOGOUT = "logout", _("signed out")
    USER = "user", _("ended by its owner")
    ADMIN = "admin", _("ended by staff")
    REUSE = "reuse", _("theft: used from two places")
    MISMATCH = "mismatch", _("not recognised: restored backup, or a leaked key")
    LIMIT = "limit", _("too many devices")
    REPLACED = "replaced", _("signed in again")


class AuthSessionQuerySet(models.QuerySet["AuthSession"]):
    """Sessions, as a set to narrow down or to end."""

    def active(self, now: datetime | None = None) -> Self:
        """Return the sessions that are neither revoked nor expired."""
        now = now or timezone.now()
        return self.filter(revoked_at__isnull=True, expires_at__gt=now, absolute_expires_at__gt=now)

    def lean(self) -> Self:
        """Leave unread what is of use only where the site binds sessions to devices."""
        return self if conf.DEVICE_BINDING else self.defer("device_key", "second_key_at")

    def swap(self, **changes: Any) -> int:
        """Update the rows that are still as this set describes them; return how many were."""
        return insist(self.db, partial(self.update, **changes))

    def revoke(self, reason: str, request: HttpRequest | None = None, **changes: Any) -> int:
        """End these sessions at once, and return how many were still active.

        A session that another process ended in the meantime is neither counted nor signalled.
        ``changes`` are further columns to write with it.
        """
        ids = list(
            self.using(router.db_for_write(self.model))
            .active()
            .order_by()
            .values_list("pk", flat=True)
        )
        return sum(self._revoke_batch(batch, reason, request, changes) for batch in batched(ids))

    def _revoke_batch(
        self, ids: list[UUID], reason: str, request: HttpRequest | None, changes: dict[str, Any]
    ) -> int:
        now = timezone.now()
        rows = self.model.objects.filter(pk__in=ids)
        rows.filter(revoked_at__isnull=True).swap(revoked_at=now, revoke_reason=reason, **changes)
        ended = list(rows.filter(revoked_at=now, revoke_reason=reason))
        see_off(ended, reason, request)
        return len(ended)

    async def arevoke(self, reason: str, request: HttpRequest | None = None) -> int:
        """See revoke()."""
        return await sync_to_async(self.revoke)(reason, request)


def outcome_of(look: Callable[..., T], *args: Any, **kwargs: Any) -> T | TokenAuthError:
    """Return what a look at a session, or its rotation, came to, be it an exception."""
    try:
        return look(*args, **kwargs)
    except TokenAuthError as error:
        return error


def is_in_flight(reason: str, revoked_at: datetime | None) -> bool:
    """Tell whether a session was replaced only just now, perhaps by the browser that asks.

    Its newer cookies are there by now, or on their way: what was sent before them ends nothing.
    """
    if reason != RevokeReason.REPLACED or revoked_at is None:
        return False
    return timezone.now() < revoked_at + conf.GRACE_PERIOD


def beyond_limit(rows: AuthSessionQuerySet, session: "AuthSession") -> list[UUID]:
    """Return the keys of a person's active sessions that a new one makes too many."""
    limit = conf.MAX_SESSIONS_PER_USER
    if not limit:
        return []
    given = {"pk": session.pk, "user": session.user_id, "expires_at": timezone.now()}
    return prepared.column(partial(unseen_longest, limit, rows), rows.db, limit, given)


def unseen_longest(
    limit: int, rows: AuthSessionQuerySet, given: dict[str, Any]
) -> models.QuerySet[Any]:
    """Return the keys of what is over the limit, if the new one counts as the last seen."""
    others = rows.active(given["expires_at"]).filter(user=given["user"]).exclude(pk=given["pk"])
    return others.order_by("-last_seen_at").values_list("pk", flat=True)[limit - 1 :]


def see_off(
    ended: Sequence["AuthSession"], reason: str, request: HttpRequest | None, kept: str = ""
) -> None:
    """Signal that sessions have just ended, and delete their Django sessions.

    A socket, or another process, that reads Django's own keys finds nobody any more. ``kept`` is
    the key of the one that has moved on to a successor.
    """
    if ended:
        signals.sessions_ended.send_robust(sender=type(ended[0]), sessions=ended)
    bound = [each for each in ended if each.django_session and each.django_session != kept]
    gone = {each.django_session for each in bound if each.has_django_session is False}
    django_sessions.delete([str(each.django_session) for each in bound], gone)
    for session in ended:
        signals.session_revoked.send_robust(
            sender=type(session), session=session, request=request, reason=reason
        )


def tell_of_reuse(session: "AuthSession", request: HttpRequest | None) -> None:
    """Log and signal that a spent refresh token came back: somebody has copied it."""
    log.warning(
        "Session %s ended: a spent refresh token came back. "
        "User %s was on %r at %s; the token came from %r at %s.",
        *session.parties,
    )
    signals.refresh_token_reused.send_robust(sender=type(session), session=session, request=request)


def tell_of_mismatch(session: "AuthSession", rot: int) -> None:
    """Log that a genuine refresh token is newer than the database; ``rot`` is its rotation.

    The very next one tells of a rotation that was undone, rather than of a forger.
    """
    undone = rot == session.rotation + 1
    log.error(
        "Session %s ended: its refresh token is newer than the database. %s "
        "User %s was on %r at %s; the token came from %r at %s.",
        session.pk,
        "Was a rotation rolled back by a transaction around it, or a backup restored?"
        if undone
        else "Was a backup restored, or has a key leaked?",
        *session.parties[1:],
    )
