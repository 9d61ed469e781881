"""List sessions in the admin: which, in what order and how far, with ten million in the table.

Nothing here looks at many more rows than the page needs: no ``COUNT(*)``, no ``date_hierarchy``
(it reads every row for the least and the greatest date), no ``LIKE '%…%'``. A long list is sorted
by what has an index: what lives by its sign-in, what ended by its end. No index has the time a
session was last seen (each rotation would write to all of them), and none narrows down by one time
and sorts by another. A list that can be shown whole is sorted by any column, once it is found.
tests/admin/test_scale.py asks PostgreSQL for its plans, and ``python -m benchmarks.scale``
takes the time of each pair.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session.django_sessions import long_ago
from tokenauth.session.endings import AuthSessionQuerySet, RevokeReason
from tokenauth.session.users import people

from .searching import in_no_index
from .staff import show_to

#: How many sessions a list leads to; whoever looks for others filters or searches.
REACH = 1000
#: From the time of marks, in whichever time zone, to that of the first session.
A_YEAR = timedelta(days=365)

BOUND, SECOND_KEY = "bound", "second-key"
ACTIVE, ENDED, EXPIRED, ALL = "active", "ended", "expired", "all"
#: By which times a list is narrowed down and sorted.
TIMES = {
    **dict.fromkeys([ACTIVE, ALL], ("created_at",)),
    **dict.fromkeys([ENDED, *RevokeReason.values], ("revoked_at",)),
    EXPIRED: ("expires_at",),
}


def status_of(request: HttpRequest) -> str:
    """Return the status that is listed."""
    return listed(request.GET.get("status"))


def listed(chosen: str | None) -> str:
    """Return the status that is listed for what is chosen: what lives, unless it is another."""
    return chosen if chosen in TIMES else ACTIVE


def orders(request: HttpRequest) -> tuple[str, ...]:
    """Return the columns that the list may be sorted by, however long it is, the usual one first.

    The sign-in is in the index of what one person has, and in that of an address.
    """
    status = status_of(request)
    if request.GET.get(SEARCH_VAR) or PersonFilter.parameter_name in request.GET:
        return ("created_at",)
    is_narrowed = any(name.startswith(TIMES[status]) for name in request.GET)
    return TIMES[status] + (("expires_at",) if status == ACTIVE and not is_narrowed else ())


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

    #: The column that it is sorted by, with a minus if descending; and what was asked for.
    order: str
    asked: str

    @property
    def tabs(self) -> list[dict[str, Any]]:
        """Return the links that stand above the list."""
        return [self.link_to(value, title) for value, title in tabs()]

    @property
    def hides_ended(self) -> str:
        """Return the link to everything, where a search looked among what lives alone."""
        is_narrowed = self.query or self.has_active_filters
        if status_of(self.request) != ACTIVE or not is_narrowed:
            return ""
        return str(self.link_to(ALL, "")["query_string"])

    def link_to(self, status: str, title: str) -> dict[str, Any]:
        """Describe the link to another status.

        What that is not narrowed down or sorted by is left behind.
        """
        here = status_of(self.request)
        link = {StatusFilter.parameter_name: None if status == ACTIVE else status}
        left = [] if TIMES[status] == TIMES[here] else [ORDER_VAR, *TIMES[here]]
        return {
            "selected": status == here,
            "query_string": self.get_query_string(link, left),
            "display": title,
        }

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> models.QuerySet[AuthSession]:
        """Leave out marks, which were never sessions, by the column that the list is sorted by.

        They are older than any session: its index ends before them, and no row is looked at.
        """
        rows: models.QuerySet[AuthSession] = super().get_queryset(request, exclude_parameters)
        if status_of(request) not in (ACTIVE, EXPIRED):  # marks are ended
            rows = rows.filter(**{f"{self.order.removeprefix('-')}__gt": long_ago() + A_YEAR})
        if self.asked == self.order or BoundedPaginator(rows, 1).is_cut:
            return rows
        self.order = self.asked
        return in_no_index(rows, self.order)

    def get_results(self, request: HttpRequest) -> None:
        """Mark the session that asks, and offer nothing that would do nothing."""
        self.request = request
        super().get_results(request)
        if not self.paginator.is_cut:
            self.sortable_by = None  # by whatever has an order
        for session in self.result_list:
            show_to(request, self.model_admin.admin_site, session)
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
        What else is asked for has to wait until it is known how many there are.
        """
        self.asked, allowed = str(super().get_ordering(request, queryset)[0]), orders(request)
        column = self.asked.removeprefix("-")
        newest_first = f"-{column if column in allowed else allowed[0]}"
        self.order = self.asked if column == "expires_at" in allowed else newest_first
        # Nobody revoked any of these, but PostgreSQL finds the index by its first column alone.
        first = [self.order.replace("expires_at", "revoked_at")] if "expires" in self.order else []
        return [*first, self.order]

    def get_ordering_field_columns(self) -> dict[int, Any]:
        """Point the arrow at the column that the list is sorted by, whatever was asked for."""
        name, arrow = self.order.removeprefix("-"), "desc" if self.order.startswith("-") else "asc"
        columns = enumerate(self.list_display)
        return {i: arrow for i, column in columns if self.get_ordering_field(column) == name}


class StatusFilter(admin.SimpleListFilter):
    """What lives, or what ended; unless something else is chosen, what lives.

    Tabs above the list lead from one to the other. Among the filters stand the ways in which
    sessions end, once one looks at those that did.
    """

    title = gettext_lazy("how it ended")
    parameter_name = "status"
    template = "tokenauth/admin/ending_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer each reason, below all of them."""
        reasons = [(reason.value, str(capfirst(reason.label))) for reason in RevokeReason]
        return [(ENDED, _("All")), *reasons]

    def value(self) -> str:
        """Return the status that is listed."""
        return listed(super().value())

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Offer no reason for what has not ended."""
        if self.value() in dict(self.lookup_choices):
            yield from (changelist.link_to(*choice) for choice in self.lookup_choices)

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
        # Whom no session belongs to, staff may not be allowed to know.
        theirs = models.Exists(AuthSession.objects.filter(user=models.OuterRef("pk")).order_by())
        try:
            found = people().filter(theirs, pk=pk)
            return [(pk, str(person.get_username())) for person in found]
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


class BindingFilter(admin.SimpleListFilter):
    """The bound sessions, by an index of theirs; what is bound to nothing has none."""

    title = gettext_lazy("device binding")
    parameter_name = "binding"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both, where the site binds any."""
        if not conf.DEVICE_BINDING:
            return []
        return [
            (BOUND, _("Bound to a device")),
            (SECOND_KEY, _("A second device key was shown")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[AuthSession]
    ) -> models.QuerySet[AuthSession]:
        """Narrow the list down."""
        if self.value() == SECOND_KEY:
            return queryset.filter(second_key_at__isnull=False)
        return queryset.exclude(device_key="") if self.value() == BOUND else queryset


def tabs() -> list[tuple[str, str]]:
    """Return what the tabs lead to, and what they are called."""
    return [
        (ACTIVE, _("Active")),
        (ENDED, _("Ended")),
        (EXPIRED, _("Expired")),
        (RevokeReason.REUSE, _("Thefts")),
        (ALL, _("All")),
    ]


class TimeFilter(admin.DateFieldListFilter):
    """Django's, without "No date" and "Has date": the status tells that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.links = self.links[:5]
