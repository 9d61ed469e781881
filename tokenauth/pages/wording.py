"""Tell people in words what became of their sessions: on the pages and in e-mails."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Least
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tokenauth.exceptions import SessionSuspended
from tokenauth.models import AuthSession
from tokenauth.request.cookies import Presentation
from tokenauth.session import users
from tokenauth.session.devices import translated
from tokenauth.session.endings import RevokeReason, is_in_flight

#: How long and how many ended sessions are shown to their owner.
RECENTLY = timedelta(days=30)
AT_MOST = 20

#: On the list of their owner's sessions.
ENDINGS: dict[str, object] = {
    RevokeReason.LOGOUT: gettext_lazy("You signed out there."),
    RevokeReason.USER: gettext_lazy("You signed this device out from another one."),
    RevokeReason.ADMIN: gettext_lazy("Staff of this site ended it."),
    RevokeReason.REUSE: gettext_lazy(
        "Ended because its token was used twice: somebody may have copied it."
    ),
    RevokeReason.MISMATCH: gettext_lazy("This site no longer knew its token."),
    RevokeReason.LIMIT: gettext_lazy("You signed in on more devices than this site allows."),
    RevokeReason.REPLACED: gettext_lazy("You signed in there again."),
}
#: On the login page. Who signed out knows why they are there.
GREETINGS: dict[str, object] = {
    RevokeReason.USER: gettext_lazy(
        "You were signed out because this device was signed out from another one."
    ),
    RevokeReason.ADMIN: gettext_lazy(
        "You were signed out because staff of this site ended your session."
    ),
    RevokeReason.REUSE: gettext_lazy(
        "You were signed out because the token of your session was used twice: "
        "somebody may have copied it. Sign in and change your password."
    ),
    RevokeReason.MISMATCH: gettext_lazy(
        "You were signed out because this site no longer knew the token of your session."
    ),
    RevokeReason.LIMIT: gettext_lazy(
        "You were signed out because you signed in on more devices than this site allows."
    ),
    RevokeReason.REPLACED: gettext_lazy(
        "You were signed out because your session was replaced by a new sign-in."
    ),
}


def why_signed_out(presented: Presentation) -> str:
    """Say why the genuine tokens that came sign nobody in; empty without any, or no reason.

    Only who holds a session's token is told, and the sentence is one of ours.
    """
    if presented.held is None:
        return ""
    rows = AuthSession.objects.at_writer().select_related("user")
    session = rows.filter(pk=presented.held.sid).first()
    if session is None:
        return _("You were signed out because your session has expired.")
    if is_in_flight(session.revoke_reason, session.revoked_at):
        return ""
    if session.revoked_at:
        return str(GREETINGS.get(session.revoke_reason, ""))
    if not session.active:
        return _("You were signed out because your session has expired.")
    return why_suspended(session)


def why_suspended(session: AuthSession) -> str:
    """Say why a session that has not ended signs nobody in: a new password, or nothing we tell."""
    try:
        users.check_auth_hash(session.user, session.auth_hash)
    except SessionSuspended:
        return _("You were signed out because the password of your account has changed.")
    return ""


def ago(moment: datetime) -> str:
    """Return how long ago something was, by its largest unit."""
    if timezone.now() - moment < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}


@dataclass(frozen=True)
class Entry:
    """A session on the list of its owner's devices."""

    session: AuthSession
    is_current: bool = False

    @property
    def device(self) -> str:
        """The device in words."""
        return translated(self.session.device) or _("Unknown device")

    @property
    def last_seen(self) -> str:
        """How long ago the session was last seen."""
        return ago(self.session.last_seen_at)

    @property
    def ended(self) -> str:
        """How long ago the session ended."""
        return ago(self.ended_at)

    @property
    def ended_at(self) -> datetime:
        """When the session ended."""
        return self.session.revoked_at or self.session.ends_at

    @property
    def ending(self) -> str:
        """Why the session ended."""
        if not self.session.revoked_at:
            return _("It expired.")
        reason = self.session.revoke_reason
        return str(ENDINGS.get(reason, reason))  # the site may have reasons of its own

    @property
    def was_stolen(self) -> bool:
        """Whether the session's token was used twice."""
        return self.session.revoke_reason == RevokeReason.REUSE


def recently_ended(user: Any) -> list[Entry]:
    """Return what has become of a person's sessions lately, the last first."""
    now = timezone.now()
    ended_at = Coalesce("revoked_at", Least("expires_at", "absolute_expires_at"))
    rows: QuerySet[Any] = AuthSession.objects.at_writer().filter(user=user.pk)
    rows = rows.annotate(ended_at=ended_at).filter(ended_at__gt=now - RECENTLY, ended_at__lte=now)
    return [Entry(session) for session in rows.order_by("-ended_at")[:AT_MOST]]
