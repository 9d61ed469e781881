"""Count what happened to the sessions on each of the last days.

Three queries, each a range of an index that ends with today: how many sessions started, how many
were revoked and why, how many expired or live still. From the last of these numbers the days are
reckoned back. The borders of the days are computed here and not by the database, which may not
know of time zones (MySQL).
"""

import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Value
from django.utils import timezone

from .models import AuthSession
from .sessions import AuthSessionQuerySet, RevokeReason

DAYS = 30
#: Counting that took longer (seconds) is not repeated for a while: the more there is to count, the
#: less it changes.
SLOW = 0.1
KEPT = timedelta(minutes=10)


@dataclass
class Day:
    """What happened on a day; ``active`` sessions were left when it ended."""

    begin: datetime
    end: datetime
    sign_ins: int = 0
    active: int = 0
    thefts: int = 0

    @property
    def date(self) -> date:
        """The day in the calendar of whoever looks."""
        return self.begin.date()


def last_days() -> list[Day]:
    """Return the last days, today being the last."""
    days = empty_days()
    key = f"tokenauth.activity:{days[0].begin.isoformat()}"
    kept: list[Day] | None = cache.get(key)
    if kept is not None:
        return kept
    began = time.perf_counter()
    fill(days)
    if time.perf_counter() - began > SLOW:
        cache.set(key, days, KEPT.total_seconds())
    return days


def empty_days() -> list[Day]:
    """Return the days from midnight to midnight, in the time zone of whoever looks."""
    today = timezone.localdate() if settings.USE_TZ else timezone.now().date()
    midnights = [midnight(today + timedelta(days=n)) for n in range(1 - DAYS, 2)]
    return [Day(begin, end) for begin, end in pairwise(midnights)]


def midnight(day: date) -> datetime:
    """Return when a day begins."""
    begin = datetime(day.year, day.month, day.day)  # noqa: DTZ001  # the next line says which zone
    return timezone.make_aware(begin) if settings.USE_TZ else begin


def fill(days: list[Day]) -> None:
    """Count, and reckon back from the sessions that live now."""
    rows, now = AuthSession.objects.order_by(), timezone.now()
    kept = rows.filter(revoked_at__isnull=True, revoke_reason="")
    sign_ins = count(each_day(rows, "created_at", days))
    thefts = each_day(rows.filter(revoke_reason=RevokeReason.REUSE), "revoked_at", days)
    revoked = count([*each_day(rows, "revoked_at", days), *thefts])
    expired = each_day(kept.filter(expires_at__lte=now), "expires_at", days)
    *expired_on, active = count([*expired, kept.filter(expires_at__gt=now)])
    for n, day in reversed(list(enumerate(days))):
        day.sign_ins, day.thefts, day.active = sign_ins[n], revoked[DAYS + n], active
        active += revoked[n] + expired_on[n] - sign_ins[n]


def each_day(rows: AuthSessionQuerySet, column: str, days: list[Day]) -> list[AuthSessionQuerySet]:
    """Cut sessions into days."""
    return [rows.filter(**{f"{column}__gte": day.begin, f"{column}__lt": day.end}) for day in days]


def count(parts: list[AuthSessionQuerySet]) -> list[int]:
    """Count each part, all in one query.

    Each is a range of an index, and counting a range is all that the database has to do: it is
    much faster than asking for each row which day it belongs to.
    """
    numbered: list[Any] = [
        rows.values(part=Value(n)).annotate(count=Count("*")).values_list("part", "count")
        for n, rows in enumerate(parts)
    ]
    counted = dict(numbered[0].union(*numbered[1:], all=True).order_by())
    return [counted.get(n, 0) for n in range(len(parts))]
