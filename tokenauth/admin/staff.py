"""End sessions on behalf of staff: with a trace, and several or their own only when asked."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib.admin import AdminSite
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.db import connections, transaction
from django.db.models import Count
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tokenauth.lazy import credentials_of
from tokenauth.models import AuthSession
from tokenauth.session.endings import AuthSessionQuerySet, RevokeReason

#: How many sessions, or people, a question names.
NAMED = 10


def may_revoke(request: HttpRequest) -> bool:
    """Tell whether who asks may end other people's sessions: that is a permission of its own."""
    return bool(request.user.has_perm("tokenauth.revoke_authsession"))


def current_session(request: HttpRequest) -> UUID | None:
    """Return the id of the session that who asks is signed in by."""
    session = credentials_of(request).get_session()
    return session.pk if session else None


def show_to(request: HttpRequest, site: AdminSite, session: AuthSession) -> None:
    """Note on a session what it is to who looks at it: their own, and of whom they may see."""
    session.is_current = session.pk == current_session(request)
    model = get_user_model()
    people = site.get_model_admin(model) if site.is_registered(model) else None
    if people is not None and people.has_view_permission(request, session.user):
        page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        session.person_url = reverse(page, args=[quote(session.user_id)], current_app=site.name)


def is_own(request: HttpRequest, sessions: AuthSessionQuerySet) -> bool:
    """Tell whether who asks would be signed out if these sessions ended."""
    current = current_session(request)
    return current is not None and sessions.active().filter(pk=current).exists()


def revoke(request: HttpRequest, sessions: AuthSessionQuerySet) -> str:
    """End these sessions at once, log each of them, and say how many they were."""
    staff, begun = request.user.pk, timezone.now()
    chosen = set(sessions.active().order_by().values_list("pk", flat=True))
    AuthSession.objects.filter(pk__in=sessions.order_by().values("pk")).revoke(
        RevokeReason.ADMIN, request
    )
    # Found by their time: a list of all the ids may be longer than a statement can be.
    lately = AuthSession.objects.filter(revoked_at__gte=begun, revoke_reason=RevokeReason.ADMIN)
    lately = lately.select_related("user")  # the log names them
    ended = [session for session in lately if session.pk in chosen]
    if ended:
        LogEntry.objects.log_actions(staff, ended, CHANGE, _("Revoked."))  # type: ignore[arg-type]  # it loops over them
    return counted(len(ended))


def counted(count: int) -> str:
    """Say how many sessions were ended."""
    return ngettext("%d session was revoked.", "%d sessions were revoked.", count) % count


def names_of(sessions: AuthSessionQuerySet) -> list[str]:
    """Name what would end: each session if they are few, else the people and how many of each."""
    rows = AuthSession.objects.active().filter(pk__in=sessions.order_by().values("pk"))
    few = list(rows.select_related("user").order_by("-last_seen_at")[: NAMED + 1])
    if len(few) <= NAMED:
        return [str(session) for session in few]
    name = f"user__{get_user_model().USERNAME_FIELD}"
    counts = rows.order_by().values_list(name).annotate(count=Count("pk")).order_by("-count", name)
    people = [f"{person}: {count}" for person, count in counts[:NAMED]]
    more = counts.count() - len(people)
    others = ngettext("%d more person", "%d more people", more) % more
    return [*people, *([others] if more else [])]


def question_about(count: int, *, own: bool) -> str:
    """Say how many sessions would end, and whether one's own is among them."""
    if own and count == 1:
        return _("This is the session by which you are signed in.")
    what = ngettext(
        "%d active session will end at once.", "%d active sessions will end at once.", count
    )
    among = _("The session by which you are signed in is among them.") if own else ""
    return " ".join(filter(None, [what % count, among]))


def people_url(request: HttpRequest, site: AdminSite) -> str:
    """Return where who asks may look for people; empty if they may not, or there is no list."""
    model = get_user_model()
    people = site.get_model_admin(model) if site.is_registered(model) else None
    if not (people and people.has_view_permission(request) and people.get_search_fields(request)):
        return ""
    page = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    return reverse(page, current_app=site.name)


def ask_first(
    request: HttpRequest,
    site: AdminSite,
    *,
    question: str,
    back: str,
    fields: Sequence[tuple[str, str]] = (),
    **context: Any,
) -> TemplateResponse:
    """Show a page whose button repeats the request, with ``fields`` and ``confirmed``.

    ``back`` is where the other button leads.
    """
    context |= {
        **site.each_context(request),
        "title": _("Are you sure?"),
        "question": question,
        "back": back,
        "fields": [*fields, ("confirmed", "yes")],
    }
    request.current_app = site.name  # as Django's own views do
    return TemplateResponse(request, "tokenauth/admin/ask_first.html", context)


def outside_transactions(view: Callable[..., Any]) -> Callable[..., Any]:
    """Free a view from ATOMIC_REQUESTS: revoking can't repeat a lost statement within one."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
