"""List sessions in the admin: which, in what order and how far, with ten million in the table.

Nothing here looks at many more rows than the page needs: no ``COUNT(*)``, no ``date_hierarchy``
(it reads every row for the least and the greatest date), no ``LIKE '%…%'``. Each filter and each
order has an index, but not each pair of them: no index narrows down by one time and sorts by
another. So a list is sorted by the time that it is narrowed down by, and what ended offers the time
of its end alone. tests/admin/test_scale.py asks PostgreSQL for its plans, and
``python -m benchmarks.admin_list`` takes the time of each pair.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.db.models.functions import Least
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tokenauth.models import AuthSession
from tokenauth.session import devices
from tokenauth.session.endings import RevokeReason
from tokenauth.session.transitions import AuthSessionQuerySet, long_ago

from .staff import current_session

#: How many sessions a list leads to; whoever looks for others filters or searches.
REACH = 1000
#: How many people a search finds: each has sessions of their own.
PEOPLE = 25
#: From the time of marks, in whichever time zone, to that of the first session.
A_YEAR = timedelta(days=365)

ACTIVE, ENDED, EXPIRED, ALL = "active", "ended", "expired", "all"
#: By which times a list is narrowed down and sorted, the usual order first.
TIMES = {
    **dict.fromkeys([ACTIVE, ALL], ("last_seen_at", "created_at")),
    **dict.fromkeys([ENDED, *RevokeReason.values], ("revoked_at",)),
    EXPIRED: ("expires_at",),
}


def status_of(request: HttpRequest) -> str:
    """Return the status that is listed: unless something else is chosen, what lives."""
    chosen = request.GET.get("status", ACTIVE)
    return chosen if chosen in TIMES else ACTIVE


def orders(request: HttpRequest) -> tuple[str, ...]:
    """Return the columns that the list may be sorted by, the usual one first.

    "Last seen" is in the index of what one person has, and in that of an address.
    """
    status = status_of(request)
    if request.GET.get(SEARCH_VAR) or PersonFilter.parameter_name in request.GET:
        return ("last_seen_at",)
    narrowed = [name for name in TIMES[status] if any(p.startswith(name) for p in request.GET)]
    if narrowed:
        return tuple(narrowed[-1:])
    return TIMES[status] + (("expires_at",) if status == ACTIVE else ())


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs alone
    """Count to ``REACH`` and no further."""

    @cached_property
    def seen(self) -> int:
        """How many rows there are, or one more than ``REACH``.

        In the order of the list, and so by its index: in no order PostgreSQL reads the table from
        its beginning, where the oldest are.
        """
        rows: Any = self.object_list
        return int(rows[: REACH + 1].count())

    @cached_property
    def count(self) -> int:
        """How many rows can be listed."""
        return min(self.seen, REACH)

    @property
    def is_cut(self) -> bool:
        """Whether there are more than can be listed."""
        return self.seen > REACH


class SessionList(ChangeList):
    """The admin's list, that knows which session is one's own and how it is sorted."""

    #: The column that it is sorted by, with a minus if descending.
    order: str

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> models.QuerySet[AuthSession]:
        """Leave out marks, which were never sessions, by the column that the list is sorted by.

        They are older than any session: its index ends before them, and no row is looked at.
        """
        rows: models.QuerySet[AuthSession] = super().get_queryset(request, exclude_parameters)
        if status_of(request) in (ACTIVE, EXPIRED):  # marks are ended
            return rows
        return rows.filter(**{f"{self.order.removeprefix('-')}__gt": long_ago() + A_YEAR})

    def get_results(self, request: HttpRequest) -> None:
        """Mark the session that asks, and offer nothing that would do nothing."""
        super().get_results(request)
        current = current_session(request)
        for session in self.result_list:
            session.is_current = session.pk == current
        self.show_admin_actions = bool(self.result_count)
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count  # no "Show all"

    def get_ordering(
        self, request: HttpRequest, queryset: models.QuerySet[AuthSession]
    ) -> list[Any]:
        """Sort by one column, the newest first: what an index can do.

        No further column, not even Django's primary key, for whose sake PostgreSQL would sort the
        sessions of the same microsecond. And not the oldest first: those have ended, so whoever
        looks for the active ones would wade through all of them. ``expires_at`` can do both.
        """
        asked, allowed = str(super().get_ordering(request, queryset)[0]), orders(request)
        column = asked.removeprefix("-")
        if column not in allowed:
            column = allowed[0]
            asked = f"-{column}"
        if column != "expires_at":
            self.order = f"-{column}"
            return [self.order]
        self.order = asked
        # Nobody revoked any of these, but PostgreSQL finds the index by its first column alone.
        return [asked.replace(column, "revoked_at"), asked]

    def get_ordering_field_columns(self) -> dict[int, Any]:
        """Point the arrow at the column that the list is sorted by, whatever was asked for."""
        name, arrow = self.order.removeprefix("-"), "desc" if self.order.startswith("-") else "asc"
        columns = enumerate(self.list_display)
        return {i: arrow for i, column in columns if self.get_ordering_field(column) == name}


class StatusFilter(admin.SimpleListFilter):
    """What lives, or what ended and why; unless something else is chosen, what lives."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each status and each reason."""
        before = [(ACTIVE, _("Active")), (ENDED, _("Ended")), (EXPIRED, _("Expired"))]
        reasons = [(reason.value, str(capfirst(reason.label))) for reason in RevokeReason]
        return [*before, *reasons, (ALL, _("All"))]

    def value(self) -> str:
        """Return the status that is listed."""
        chosen = super().value()
        return chosen if chosen in dict(self.lookup_choices) else ACTIVE

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Offer no "All" above the others: here it is one of them.

        What another status is not narrowed down or sorted by is left behind.
        """
        for value, title in self.lookup_choices:
            link = {self.parameter_name: None if value == ACTIVE else value}
            alike = TIMES[value] == TIMES[self.value()]
            left = [] if alike else [ORDER_VAR, *TIMES[self.value()]]
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string(link, left),
                "display": title,
            }

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[AuthSession]
    ) -> models.QuerySet[AuthSession]:
        """Narrow the list down."""
        chosen, now = self.value(), timezone.now()
        if chosen == ALL:
            return queryset
        if chosen == ACTIVE:
            # The reason, which is empty as long as nobody revoked, is for the index.
            return cast("AuthSessionQuerySet", queryset.filter(revoke_reason="")).active()
        if chosen == ENDED:
            return queryset.filter(revoked_at__isnull=False)
        if chosen == EXPIRED:
            # Idle or not, a session expires at `expires_at` at the latest: see `idle_end`.
            return queryset.filter(revoked_at__isnull=True, revoke_reason="", expires_at__lte=now)
        return queryset.filter(revoked_at__isnull=False, revoke_reason=chosen)


class PersonFilter(admin.SimpleListFilter):
    """One person's sessions, for the links that lead there; names nobody by itself."""

    title = gettext_lazy("user")
    parameter_name = "user__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the person that the list is narrowed to."""
        if self.parameter_name not in self.used_parameters:
            return []
        pk = str(self.used_parameters[self.parameter_name])
        people = get_user_model()._default_manager
        try:
            return [(pk, person.get_username()) for person in people.filter(pk=pk)]
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters from error

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[AuthSession]
    ) -> models.QuerySet[AuthSession]:
        """Narrow the list down."""
        person: Any = self.value()
        return queryset.filter(user=person) if self.lookup_choices else queryset.none()

    def has_output(self) -> bool:
        """Stay in force for a person who is gone: Django drops a filter without choices."""
        return self.parameter_name in self.used_parameters


class TimeFilter(admin.DateFieldListFilter):
    """Django's, without "No date" and "Has date": the status tells that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.links = self.links[:5]


def username_field() -> Any:
    """Return what people sign in with."""
    model = get_user_model()
    return model._meta.get_field(model.USERNAME_FIELD)


def search_help() -> str:
    """Say what the search box takes."""
    names = _("The beginning of a %(username)s (as it is written), or an IP address.")
    return names % {"username": username_field().verbose_name}


def search(queryset: models.QuerySet[AuthSession], term: str) -> models.QuerySet[AuthSession]:
    """Find the sessions at an address, or of the people whose name begins like this.

    In two steps, for one that asks for either joins all sessions to all people.
    """
    address = devices.clean_ip(term)
    if address:
        return queryset.filter(ip_address=address)
    field = username_field()
    lookup = "startswith" if isinstance(field, models.CharField | models.TextField) else "exact"
    people = get_user_model()._default_manager.order_by()
    try:
        found = people.filter(**{f"{field.name}__{lookup}": term}).values_list("pk", flat=True)
    except (ValueError, ValidationError):
        return queryset.none()
    pks = list(found[:PEOPLE])
    if len(pks) > 1:
        # The same order in words that no index knows: rather than these people's few sessions
        # PostgreSQL would read everybody's in the order of the list, hoping to meet theirs soon.
        queryset = queryset.order_by(Least("last_seen_at", "last_seen_at").desc())
    return queryset.filter(user__in=pks)


def moment(when: datetime, text: str = "") -> str:
    """Return a moment as ``text``, or as its day, and exactly to who points at it."""
    local = timezone.localtime(when) if timezone.is_aware(when) else when
    exact = date_format(local, "DATETIME_FORMAT")
    html = '<time datetime="{}" title="{}">{}</time>'
    return format_html(html, local.isoformat(), exact, text or date_format(local, "DATE_FORMAT"))
