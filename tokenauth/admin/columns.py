"""Show one session to staff, in the list's columns and on its page."""

from datetime import datetime
from operator import itemgetter
from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.pages import wording
from tokenauth.session.devices import label_of, translated
from tokenauth.session.endings import RevokeReason
from tokenauth.session.jwt.access_claims import BROWSER

#: A heading, and the fields below it.
Section = tuple[Any, Any]

#: What a session's page says first, then more of it, each below a heading.
FIRST: Section = (
    gettext_lazy("Session"),
    {"fields": ("status", "user", "name", "address", "timeline")},
)
DETAILS: Section = (
    gettext_lazy("Details"),
    {
        "fields": (
            *("client", "user_agent", "backend", "persistent", "created_at", "last_seen_at"),
            *("rotation", "rotated_at", "expires_at", "absolute_expires_at", "revoked_at"),
        )
    },
)
#: On the page of a session that ended because of a token that came.
EVIDENCE: Section = (gettext_lazy("Who used its tokens"), {"fields": ("evidence",)})
BY_TOKEN = {RevokeReason.REUSE, RevokeReason.MISMATCH}


class SessionColumns:
    """What is shown of a session. ``staff.show_to`` has noted on it what it is to who looks."""

    @admin.display(description=gettext_lazy("user"))
    def person(self, session: AuthSession) -> str:
        """Name the person, and link to their page if who looks may see it."""
        name = breakable(str(session.user.get_username()))
        url = session.person_url
        return format_html('<a href="{}">{}</a>', url, name) if url else name

    @admin.display(description=gettext_lazy("device"))
    def name(self, session: AuthSession) -> str:
        """Name the browser and the system; else what it calls itself, which may be long."""
        name = translated(session.device) or Truncator(session.user_agent).chars(60)
        name = name or _("Unknown device")
        is_browser = session.client == BROWSER
        return name if is_browser else f"{name} ({session.get_client_display()})"

    @admin.display(description=gettext_lazy("IP address"))
    def address(self, session: AuthSession) -> str:
        """Show the address; unlike the field, it offers no order that has no index."""
        return wording.place(session.ip_address, session.address_label)

    @admin.display(description=gettext_lazy("last seen"), ordering="last_seen_at")
    def last_seen(self, session: AuthSession) -> str:
        """Say how long ago, and exactly when to who asks."""
        return moment(session.last_seen_at, wording.ago(session.last_seen_at))

    @admin.display(description=gettext_lazy("signed in"), ordering="created_at")
    def signed_in(self, session: AuthSession) -> str:
        """Show the day."""
        return moment(session.created_at)

    @admin.display(description=gettext_lazy("expires"), ordering="expires_at")
    def expires(self, session: AuthSession) -> str:
        """Show the day."""
        return moment(session.expires_at)

    @admin.display(description=gettext_lazy("ended"), ordering="revoked_at")
    def revoked(self, session: AuthSession) -> str:
        """Show the day."""
        return moment(session.revoked_at) if session.revoked_at else ""

    @admin.display(description=gettext_lazy("device key"))
    def bound(self, session: AuthSession) -> str | None:
        """Say whether it is bound to one. In words: without one, nothing is wrong."""
        return _("bound") if session.is_bound else None

    @admin.display(description=gettext_lazy("status"))
    def state(self, session: AuthSession) -> str:
        """Say whether the session lives, and why not."""
        return state_of(session)

    @admin.display(description=gettext_lazy("status"))
    def status(self, session: AuthSession) -> SafeString:
        """Say the same, beside the button that ends it.

        In the form of the page, whose token it sends: here every theme of the admin shows it.
        """
        context = {"state": state_of(session), "revoke_url": session.revoke_url}
        return render_to_string("tokenauth/admin/status.html", context)

    @admin.display(description=gettext_lazy("what happened"))
    def timeline(self, session: AuthSession) -> SafeString:
        """Tell the session's life, in order."""
        events = [(moment(when, exactly(when)), what) for when, what in events_of(session)]
        return render_to_string("tokenauth/admin/timeline.html", {"events": events})

    @admin.display(description=gettext_lazy("the two"))
    def evidence(self, session: AuthSession) -> SafeString:
        """Set the two side by side who used the session's tokens."""
        brought_from = session.reuse_ip_address
        context: dict[str, Any] = {
            "session": session,
            "is_theft": session.revoke_reason == RevokeReason.REUSE,
            "device": translated(session.device) or _("Unknown device"),
            "place": wording.place(session.ip_address, session.address_label),
            "reuse_device": translated(session.reuse_device) or _("Unknown device"),
            "reuse_place": wording.place(brought_from, label_of(brought_from)),
        }
        return render_to_string("tokenauth/admin/evidence.html", context)


def breakable(name: str) -> SafeString:
    """Return a name that a line may break within, if it is an e-mail address."""
    return format_html_join(mark_safe("@<wbr>"), "{}", ((part,) for part in name.split("@")))


def state_of(session: AuthSession) -> str:
    """Say whether a session lives, and why not."""
    if session.revoked_at:
        return str(session.get_revoke_reason_display())
    if not session.active:
        return _("expired")
    return _("active (this session)") if session.is_current else pgettext("session", "active")


def events_of(session: AuthSession) -> list[tuple[datetime, str]]:
    """Return what happened to a session, in order; the last may be yet to come."""
    events = [(session.created_at, pgettext("event", "Signed in"))]
    if session.rotation:
        times = ngettext("Refreshed %d time", "Refreshed %d times", session.rotation)
        events.append((session.rotated_at, times % session.rotation))
    if session.last_seen_at > session.rotated_at:
        events.append((session.last_seen_at, pgettext("event", "Last seen")))
    if conf.DEVICE_BINDING and session.second_key_at:
        events.append((session.second_key_at, _("A second device key was shown")))
        events.sort(key=itemgetter(0))
    if session.revoked_at:
        return [*events, (session.revoked_at, ending_of(session))]
    end = pgettext("event", "Expires") if session.active else pgettext("event", "Expired")
    return [*events, (session.ends_at, end)]


def ending_of(session: AuthSession) -> str:
    """Say how a revoked session ended."""
    reason = str(session.get_revoke_reason_display())
    if session.revoke_reason not in BY_TOKEN:
        return _("Ended: %(reason)s") % {"reason": reason}
    device = translated(session.reuse_device) or _("Unknown device")
    where = wording.place_in_text(session.reuse_ip_address, label_of(session.reuse_ip_address))
    what = {"reason": reason, "who": ", ".join(filter(None, [device, where]))}
    return _("Ended (%(reason)s): a token came from %(who)s") % what


def moment(when: datetime, text: str = "") -> str:
    """Return a moment as ``text``, or as its day, and exactly to who points at it."""
    local = timezone.localtime(when) if timezone.is_aware(when) else when
    html = '<time datetime="{}" title="{}">{}</time>'
    return format_html(
        html, local.isoformat(), exactly(when), text or date_format(local, "SHORT_DATE_FORMAT")
    )


def exactly(when: datetime) -> str:
    """Return a moment in full."""
    local = timezone.localtime(when) if timezone.is_aware(when) else when
    return date_format(local, "DATETIME_FORMAT")


def marked(section: Any) -> Any:
    """Return the first section of a session's page, which says whether it is bound."""
    title, options = section
    more = ("bound",) if conf.DEVICE_BINDING else ()
    return (title, options | {"fields": (*options["fields"], *more)})


def second_key_of(session: AuthSession | None) -> list[Any]:
    """Return what the page of a session says of another device's key, if one was shown."""
    if session is None or not conf.DEVICE_BINDING or session.second_key_at is None:
        return []
    words = _(
        "For this session, the key of another device was shown. Somebody may have copied its "
        "cookies before it was bound; or an answer came late, and it was the same browser. That "
        "key does not count, and nothing was ended. Ask the person: if they had to sign in again "
        "at about that time, or do not know the device above, revoke this session."
    )
    shown = format_html('<div class="tokenauth tokenauth-evidence"><p>{}</p></div>', words)
    fields = {"fields": ("second_key_at",), "description": shown}
    return [(_("A second device key"), fields)]
