"""Look at sessions: each by its id, in one query, in the database that is written."""

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models, router
from django.utils import timezone

from tokenauth.exceptions import SessionEnded

from . import django_sessions
from .database import prepared
from .database.contention import insist
from .endings import AuthSessionQuerySet

if TYPE_CHECKING:
    from tokenauth.models import AuthSession


class LookUps(models.Manager.from_queryset(AuthSessionQuerySet)):  # type: ignore[misc]  # django-stubs cannot subclass the call
    """The manager without its doors: find a session, and change its row if it is active."""

    def get_queryset(self) -> AuthSessionQuerySet:
        """Return the sessions of the database that is written: a replica lags behind a revoke."""
        alias = self._db or router.db_for_write(self.model)
        return AuthSessionQuerySet(self.model, using=alias, hints=self._hints)

    def look_up(self, sid: UUID, device_thumbprint: str | None = None) -> "AuthSession":
        """Return a session that may be used now, with its user, in one query.

        By whom shows the device key of this thumbprint; None does not ask for any.

        Raises SessionEnded or SessionSuspended.
        """
        session = self.find(sid)
        if session is None:
            raise SessionEnded(sid)
        session.check_usable()
        if device_thumbprint is not None:
            session.check_device(device_thumbprint)
        return session

    def find(self, sid: UUID) -> "AuthSession | None":
        """Return a session, whatever became of it, with its user."""
        alias = router.db_for_write(self.model)
        kind = django_sessions.joined_model(alias)
        session: AuthSession | None = prepared.look_up(partial(self._rows, alias), alias, kind, sid)
        return session

    def _rows(self, alias: str) -> "AuthSessionQuerySet":
        rows: AuthSessionQuerySet = django_sessions.with_existence(self.using(alias))
        return rows.lean()

    def rotation_of(self, sid: UUID) -> int | None:
        """Return the number of a session's current refresh token; None if it has ended."""
        rows: AuthSessionQuerySet = self.active().filter(pk=sid)
        return rows.values_list("rotation", flat=True).first()

    def is_over(self, sid: str) -> bool:
        """Tell whether a session has ended, for whatever reason."""
        return not self.active().filter(pk=sid).exists()

    def swap_active(self, where: dict[str, Any], changes: dict[str, Any]) -> int:
        """Update the active sessions of which ``where`` is true; return how many were."""
        active: dict[str, Any] = where | {"revoked_at__isnull": True}
        active |= dict.fromkeys(["expires_at__gt", "absolute_expires_at__gt"], timezone.now())
        alias = router.db_for_write(self.model)
        return insist(alias, partial(prepared.swap, self.all, alias, active, changes))
