"""Why a session ended, and what is told when a token shows up that should not be there."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tokenauth import signals
from tokenauth.conf import conf

if TYPE_CHECKING:
    from tokenauth.models import AuthSession

log = logging.getLogger("tokenauth.security")


class RevokeReason(models.TextChoices):
    """Why a session was ended before its time."""

    LOGOUT = "logout", _("signed out")
    USER = "user", _("ended by its owner")
    ADMIN = "admin", _("ended by staff")
    REUSE = "reuse", _("its token was used twice")
    MISMATCH = "mismatch", _("its token is newer than the database")
    LIMIT = "limit", _("too many sessions")
    REPLACED = "replaced", _("replaced by a new sign-in")


def is_in_flight(reason: str, revoked_at: datetime | None) -> bool:
    """Tell whether a session was replaced only just now, perhaps by the browser that asks.

    Its newer cookies are there by now, or on their way: what was sent before them ends nothing.
    """
    if reason != RevokeReason.REPLACED or revoked_at is None:
        return False
    return timezone.now() < revoked_at + conf.GRACE_PERIOD


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
