"""Count what happened to the sessions on each of the last days.

Each number is a range of an index: how many sessions started on a day, how many were revoked and
why, how many expired, and how many live now. From the last of these the days are reckoned back.
The borders of the days are computed here and not by the database, which may not know of time zones
(MySQL).

On a site with millions of sessions there is much to count: a statement counts some thousands, or
one day; and what is over by midnight is counted once a day. ``python -m benchmarks.scale``
measures it.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Value
from django.utils import timezone

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session.endings import AuthSessionQuerySet, RevokeReason

log = logging.getLogger("tokenauth")

T = TypeVar("T")
Numbers = tuple[int, int, int]

DAYS = 30
#: Counting that took longer (seconds) is not repeated for a while: the more there is to count, the
#: less it changes.
SLOW = 0.1
#: How long what happened today is kept then, and how long what had happened before.
KEPT, KEPT_PAST = timedelta(minutes=10), timedelta(days=1)
#: How many sessions a statement counts, more or less: 5 to 20 ms on PostgreSQL.
TOGETHER = 20_000


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


class Memory:
    """The site's cache, as long as it answers: a picture is no reason to have no page."""

    def __init__(self) -> None:
        self.works = True

    def keep(self, name: str, lifetime: timedelta, compute: Callable[[], T]) -> T:
        """Return what is kept under a name; else compute it, and keep it if that took long."""
        kept: T | None = self.ask(lambda: cache.get(name))
        return self.renew(name, lifetime, compute) if kept is None else kept

    def renew(self, name: str, lifetime: timedelta, compute: Callable[[], T]) -> T:
        """Compute what is kept under a name, whatever that is, and keep it if that took long."""
        began = time.perf_counter()
        result = compute()
        if time.perf_counter() - began > SLOW:
            self.ask(lambda: cache.set(name, result, lifetime.total_seconds()))
        return result

    def ask(self, step: Callable[[], Any]) -> Any:
        """Ask the cache, but not once more when it has failed: that may take seconds each time."""
        try:
            return step() if self.works else None
        except Exception:  # each cache has errors of its own
            self.works = False
            log.warning("The cache failed: the picture in the admin was counted.", exc_info=True)
            return None


def last_days() -> list[Day]:
    """Return the last days, today being the last.

    Kept are numbers alone: every cache can store them, and every version of this module read them.
    """
    *past, today = days = empty_days()
    memory, name = Memory(), f"tokenauth.activity:{today.begin.isoformat()}"
    [changes] = memory.keep(f"{name}:today", KEPT, partial(changes_on, [today]))
    counting_past = (f"{name}:past", KEPT_PAST, partial(look_back, past, changes))
    before = memory.keep(*counting_past)
    if active_after(before, changes) < 0:  # rows were put there since, or taken away
        before = memory.renew(*counting_past)
    numbers = [*before, (changes[0], active_after(before, changes), changes[2])]
    for day, (sign_ins, active, thefts) in zip(days, numbers, strict=True):
        day.sign_ins, day.active, day.thefts = sign_ins, max(0, active), thefts
    return days


def active_after(before: list[Numbers], changes: Numbers) -> int:
    """Return how many sessions live, from how many did before today, and what changed since."""
    sign_ins, ended, _ = changes
    return before[-1][1] + sign_ins - ended


def empty_days() -> list[Day]:
    """Return the days from midnight to midnight, in the time zone of whoever looks."""
    today = timezone.localdate() if settings.USE_TZ else timezone.now().date()
    midnights = [midnight(today + timedelta(days=n)) for n in range(1 - DAYS, 2)]
    return [Day(begin, end) for begin, end in pairwise(midnights)]


def midnight(day: date) -> datetime:
    """Return when a day begins."""
    begin = datetime(day.year, day.month, day.day)  # noqa: DTZ001  # the next line says which zone
    return timezone.make_aware(begin) if settings.USE_TZ else begin


def look_back(days: list[Day], since: Numbers) -> list[Numbers]:
    """Return each day's sign-ins, active sessions and thefts, from what lives now.

    ``since`` is what has changed after the last of these days.
    """
    now, numbers = timezone.now(), list[Numbers]()
    living = unrevoked().filter(expires_at__gt=now)
    active = sum(count(list(slices(living, now)))) - since[0] + since[1]
    for sign_ins, ended, thefts in reversed(changes_on(days)):
        numbers.insert(0, (sign_ins, active, thefts))
        active += ended - sign_ins
    return numbers


def changes_on(days: list[Day]) -> list[Numbers]:
    """Return how many sessions started on each day, ended, and ended for theft."""
    rows, now = AuthSession.objects.order_by(), timezone.now()
    numbers = count(
        [
            *each_day(rows, "created_at", days),
            *each_day(rows, "revoked_at", days),
            *each_day(unrevoked().filter(expires_at__lte=now), "expires_at", days),
            *each_day(rows.filter(revoke_reason=RevokeReason.REUSE), "revoked_at", days),
        ]
    )
    columns = [numbers[n : n + len(days)] for n in range(0, len(numbers), len(days))]
    return [
        (began, ended + old, thefts) for began, ended, old, thefts in zip(*columns, strict=True)
    ]


def unrevoked() -> AuthSessionQuerySet:
    """Return the sessions that nobody ended. The reason, which is empty then, is for the index."""
    rows: AuthSessionQuerySet = AuthSession.objects.order_by()
    return rows.filter(revoked_at__isnull=True, revoke_reason="")


def count_bound() -> int | None:
    """Return how many of the active sessions are bound; None where the site binds none."""
    if not conf.DEVICE_BINDING:
        return None
    return Memory().keep("tokenauth.activity:bound", KEPT, active_and_bound().count)


def active_and_bound() -> AuthSessionQuerySet:
    """Return them, of as far back as a session can live: the index has the time of the sign-in."""
    now = timezone.now()
    rows: AuthSessionQuerySet = unrevoked().exclude(device_key="")
    return rows.filter(expires_at__gt=now, created_at__gt=now - conf.SESSION_LIFETIME)


def each_day(rows: AuthSessionQuerySet, column: str, days: list[Day]) -> list[AuthSessionQuerySet]:
    """Cut sessions into days."""
    return [rows.filter(**{f"{column}__gte": day.begin, f"{column}__lt": day.end}) for day in days]


def slices(rows: AuthSessionQuerySet, begin: datetime | None) -> Iterator[AuthSessionQuerySet]:
    """Cut unrevoked sessions that expire after a moment into ranges of about ``TOGETHER``.

    The first two columns are alike in all of them, but name the index: in the one of the third
    alone PostgreSQL would have to look at each row.
    """
    ordered = rows.order_by("revoked_at", "revoke_reason", "expires_at")
    moments = ordered.values_list("expires_at", flat=True)
    while begin:
        later = moments.filter(expires_at__gt=begin)
        border = next(iter(later[TOGETHER : TOGETHER + 1]), None)
        until = {"expires_at__lte": border} if border else {}
        yield rows.filter(expires_at__gt=begin, **until)
        begin = border


def count(parts: list[AuthSessionQuerySet]) -> list[int]:
    """Count each part: many of them in one query, as long as there is little to count."""
    counts, size = list[int](), 1
    while len(counts) < len(parts):
        counts += count_together(parts[len(counts) : len(counts) + size])
        # No more than four times as many: days without sign-ins say little about the next.
        size = max(1, min(4 * size, TOGETHER * len(counts) // max(1, sum(counts))))
    return counts


def count_together(parts: list[AuthSessionQuerySet]) -> list[int]:
    """Count each part, in one query.

    Each is a range of an index, and counting a range is all that the database has to do: it is
    much faster than asking for each row which day it belongs to.
    """
    numbered: list[Any] = [
        rows.values(part=Value(n)).annotate(count=Count("*")).values_list("part", "count")
        for n, rows in enumerate(parts)
    ]
    counted = dict(numbered[0].union(*numbered[1:], all=True).order_by())
    return [counted.get(n, 0) for n in range(len(parts))]
