"""End sessions on behalf of staff: with a trace, and not without a warning their own."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib.admin import AdminSite
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connections, transaction
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tokenauth.models import AuthSession
from tokenauth.request.credentials import credentials_of
from tokenauth.session.endings import RevokeReason
from tokenauth.session.transitions import AuthSessionQuerySet


def may_revoke(request: HttpRequest) -> bool:
    """Tell whether who asks may end other people's sessions: that is a permission of its own."""
    return bool(request.user.has_perm("tokenauth.revoke_authsession"))


def current_session(request: HttpRequest) -> UUID | None:
    """Return the id of the session that who asks is signed in by."""
    session = credentials_of(request).get_session()
    return session.pk if session else None


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
    lately = AuthSession.objects.at_writer().filter(
        revoked_at__gte=begun, revoke_reason=RevokeReason.ADMIN
    )
    ended = [session for session in lately if session.pk in chosen]
    if ended:
        LogEntry.objects.log_actions(staff, ended, CHANGE, _("Revoked."))  # type: ignore[arg-type]  # it loops over them
    return counted(len(ended))


def counted(count: int) -> str:
    """Say how many sessions were ended."""
    return ngettext("%d session was revoked.", "%d sessions were revoked.", count) % count


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
