"""Tell people in words what became of their sessions: on the pages and in e-mails."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Least
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from tokenauth.exceptions import SessionSuspended
from tokenauth.lazy import find_credentials
from tokenauth.models import AuthSession
from tokenauth.request.cookies import Presentation
from tokenauth.session import users
from tokenauth.session.devices import translated
from tokenauth.session.endings import RevokeReason, is_in_flight
from tokenauth.session.jwt.access_claims import BROWSER

#: How long and how many ended sessions are shown to their owner.
RECENTLY = timedelta(days=30)
AT_MOST = 20

#: On the list of their owner's sessions.
ENDINGS: dict[str, object] = {
    RevokeReason.LOGOUT: gettext_lazy("You signed out there."),
    RevokeReason.USER: gettext_lazy("You signed this device out from another one."),
    RevokeReason.ADMIN: gettext_lazy("Staff of this site ended it."),
    RevokeReason.REUSE: gettext_lazy(
        "Somebody else may have used your sign-in there. We have signed both of you out."
    ),
    RevokeReason.MISMATCH: gettext_lazy("This site no longer recognised it."),
    RevokeReason.LIMIT: gettext_lazy("You signed in on more devices than this site allows."),
    RevokeReason.REPLACED: gettext_lazy("You signed in there again."),
}
#: On the login page. Who signed out just now is told so by the page that did it.
GREETINGS: dict[str, object] = {
    RevokeReason.USER: gettext_lazy(
        "You were signed out because this device was signed out from another one."
    ),
    RevokeReason.ADMIN: gettext_lazy(
        "You were signed out because staff of this site ended your session."
    ),
    RevokeReason.REUSE: gettext_lazy(
        "Somebody else may have used your sign-in on this device. We have signed both of you out. "
        "Sign in, and change your password."
    ),
    RevokeReason.MISMATCH: gettext_lazy(
        "You were signed out because this site no longer recognised your sign-in."
    ),
    RevokeReason.LIMIT: gettext_lazy(
        "You were signed out because you signed in on more devices than this site allows."
    ),
    RevokeReason.REPLACED: gettext_lazy(
        "You were signed out because your session was replaced by a new sign-in."
    ),
}

#: Each unit of time, the largest first.
UNITS: tuple[tuple[timedelta, Any], ...] = (
    (timedelta(days=365), ngettext_lazy("%(n)d year ago", "%(n)d years ago", "n")),
    (timedelta(days=30), ngettext_lazy("%(n)d month ago", "%(n)d months ago", "n")),
    (timedelta(days=7), ngettext_lazy("%(n)d week ago", "%(n)d weeks ago", "n")),
    (timedelta(days=1), ngettext_lazy("%(n)d day ago", "%(n)d days ago", "n")),
    (timedelta(hours=1), ngettext_lazy("%(n)d hour ago", "%(n)d hours ago", "n")),
    (timedelta(minutes=1), ngettext_lazy("%(n)d minute ago", "%(n)d minutes ago", "n")),
)


def why_signed_out(request: HttpRequest) -> str:
    """Say why a person who meets a login page was signed out; empty if nobody was.

    For any login page: ours asks it, and so does the tag ``{% why_signed_out %}``. What is left of
    the session in the browser goes with the answer.
    """
    credentials = find_credentials(request)
    if credentials is None or credentials.get_user().is_authenticated:
        return ""
    credentials.sweep()
    return reason_of(credentials.presented, needs_proof=credentials.needs_proof)


async def awhy_signed_out(request: HttpRequest) -> str:
    """See why_signed_out()."""
    return await sync_to_async(why_signed_out)(request)


def reason_of(presented: Presentation, *, needs_proof: bool = False) -> str:
    """Say why the genuine tokens that came sign nobody in; empty without any, or no reason.

    ``needs_proof``: the session is bound to a device, and nothing came that proves it is there.
    Only who holds a session's token is told, and the sentence is one of ours.
    """
    if presented.held is None:
        return ""
    rows = AuthSession.objects.lean().select_related("user")
    session = rows.filter(pk=presented.held.sid).first()
    if session is None:
        return _("You were signed out because your session has expired.")
    if is_in_flight(session.revoke_reason, session.revoked_at):
        return ""
    if session.revoked_at:
        return str(GREETINGS.get(session.revoke_reason, ""))
    if not session.active:
        return _("You were signed out because your session has expired.")
    return why_suspended(session, needs_proof=needs_proof)


def why_suspended(session: AuthSession, *, needs_proof: bool) -> str:
    """Say why a session that has not ended signs nobody in, if that is something we tell."""
    if has_new_password(session.user, session):
        return _("You were signed out because the password of your account has changed.")
    if needs_proof and not users.is_suspended(session):
        return _(
            "Your sign-in is bound to the device that it was made on, and this browser has not "
            "proved that it is that device. Sign in again."
        )
    return ""


def has_new_password(user: Any, session: AuthSession) -> bool:
    """Tell whether a session is older than its person's password."""
    try:
        users.check_auth_hash(user, session.auth_hash)
    except SessionSuspended:
        return True
    return False


def ago(moment: datetime) -> str:
    """Return how long ago something was, by its largest unit."""
    passed = timezone.now() - moment
    for length, words in UNITS:
        if passed >= length:
            return str(words % {"n": passed // length})
    return _("just now")


def breakable(address: str | None) -> SafeString:
    """Return an address that a line may break within, but not within a group of its digits."""
    groups = ((group,) for group in (address or "").split(":"))
    return format_html_join(mark_safe(":<wbr>"), "{}", groups)


def place(address: str | None, label: str) -> SafeString:
    """Return an address for a page, with what the site knows of it; empty without one."""
    html = breakable(address)
    return format_html("{} ({})", html, label) if label else html


def place_in_text(address: str | None, label: str) -> str:
    """See place(): for what is no page."""
    return f"{address} ({label})" if label else address or ""


@dataclass(frozen=True)
class Entry:
    """A session on the list of its owner's devices."""

    session: AuthSession
    is_current: bool = False
    #: Further sign-ins on such a device, which stand below it.
    others: list["Entry"] = field(default_factory=list)

    @property
    def device(self) -> str:
        """The device in words."""
        return translated(self.session.device) or _("Unknown device")

    @property
    def client(self) -> str:
        """What kind of client it is; empty for a browser, which needs no word."""
        session = self.session
        return "" if session.client == BROWSER else capfirst(session.get_client_display())

    @property
    def binding(self) -> str:
        """That it is bound to a device, if it is."""
        if not self.session.is_bound:
            return ""
        return _("Bound to this device") if self.is_current else _("Bound to that device")

    @cached_property
    def place(self) -> SafeString:
        """The address, with what the site knows of it."""
        return place(self.session.ip_address, self.session.address_label)

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


def group(entries: Iterable[Entry]) -> list[Entry]:
    """Put the sign-ins of one kind of browser below the first of them."""
    groups: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        first = groups.setdefault((entry.session.device, entry.session.user_agent), entry)
        if first is not entry:
            first.others.append(entry)
    return list(groups.values())


def recent_thefts(user: Any) -> list[Entry]:
    """Return a person's sessions that were stolen lately, and since the password is what it is."""
    rows = AuthSession.objects.lean()
    rows = rows.filter(user=user.pk, revoke_reason=RevokeReason.REUSE)
    lately = rows.filter(revoked_at__gt=timezone.now() - RECENTLY).order_by("-revoked_at")
    return [Entry(s) for s in lately[:AT_MOST] if not has_new_password(user, s)]


def recently_ended(user: Any) -> list[Entry]:
    """Return what has become of a person's sessions lately, the last first."""
    now = timezone.now()
    ended_at = Coalesce("revoked_at", Least("expires_at", "absolute_expires_at"))
    rows: QuerySet[Any] = AuthSession.objects.lean().filter(user=user.pk)
    rows = rows.annotate(ended_at=ended_at).filter(ended_at__gt=now - RECENTLY, ended_at__lte=now)
    return [Entry(session) for session in rows.order_by("-ended_at")[:AT_MOST]]
