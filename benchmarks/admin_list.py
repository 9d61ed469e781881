"""Open the admin over a great many sessions, and time each query.

What a query takes is what Django waits for it, the way to the server and back included: the median
of five visits, after one that warms up. A query that takes ``LIMIT`` or more is printed with its
plan. On a busy machine all numbers are too high: a page that was too slow can be opened again.
"""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from benchmarks import million  # noqa: F401  # sets Django up
from tokenauth.admin import activity
from tokenauth.admin.listing import ACTIVE, ALL, ENDED, EXPIRED, REACH, TIMES
from tokenauth.models import AuthSession

#: Milliseconds that no query may take.
LIMIT = 50
VISITS = 5
#: The columns of the list that sort it; a list that one of them cannot sort ignores it.
ORDERS = {"last seen": "4", "signed in": "5", "expires": "6", "expires, last first": "-6"}


class Page(NamedTuple):
    """A page of the admin; ``counted`` if its picture has to be counted, and was not kept."""

    name: str
    url: str
    counted: bool = False


class Query(NamedTuple):
    """A statement, its parameters and how long it took (milliseconds)."""

    sql: str
    params: Any
    took: float


class Result(NamedTuple):
    """What a page took: how many queries, and the slowest of them."""

    queries: int
    slowest: Query


# The pages


def pages() -> Iterator[Page]:
    """Yield every page, filter, order and search of the admin that shows sessions."""
    url = reverse("admin:tokenauth_authsession_changelist")
    yield Page("the list, its picture counted", url, counted=True)
    for name, query in list_queries().items():
        yield Page(name, f"{url}?{urlencode(query)}")
    session = some_session()
    yield Page("a session", reverse("admin:tokenauth_authsession_change", args=[session.pk]))
    yield Page("a person", reverse("admin:auth_user_change", args=[session.user_id]))
    yield Page("sign out everywhere", reverse("admin:auth_user_sign_out", args=[session.user_id]))


def list_queries() -> dict[str, dict[str, Any]]:
    """Return what the list is asked for, by name: each filter with each order and each search."""
    found = some_session()
    searches = {
        "a name": {"q": found.user.get_username()},
        "the beginning of many names": {"q": "a"},
        "nobody's name": {"q": "nobody"},
        "an address": {"q": found.ip_address},
        "nobody's address": {"q": "192.0.2.1"},
        "a network": {"q": found.ip_address.rpartition(".")[0] + "."},
        "nobody's network": {"q": "192.0.2."},
        "a busy person": {"user__exact": found.user_id},
    }
    queries = {"page 2": {"p": "2"}, "last page": {"p": str(REACH // 100)}}
    for status in TIMES:
        alone = {"status": status}
        queries[status] = alone
        queries |= {f"{status}, by {n}": alone | {"o": o} for n, o in ORDERS.items()}
        queries |= {f"{status}, {n}": alone | q for n, q in time_filters(status).items()}
    for status in (ACTIVE, ENDED, EXPIRED, ALL):
        queries |= {f"{status}, {n}": {"status": status} | q for n, q in searches.items()}
    by_end = {"status": ALL, "o": ORDERS["expires"]}
    return queries | {f"{ALL}, {n}, by expires": by_end | q for n, q in searches.items()}


def time_filters(status: str) -> dict[str, dict[str, Any]]:
    """Return the filters by time that a list offers, as the links beside it have them."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"today": today, "7 days": today - timedelta(days=7), "month": today.replace(day=1)}
    until = today + timedelta(days=1)
    return {
        f"{column} {name}": {f"{column}__gte": str(begin), f"{column}__lt": str(until)}
        for column in TIMES[status]
        for name, begin in begins.items()
    }


def some_session() -> AuthSession:
    """Return a living session of the person who has the most."""
    living = AuthSession.objects.active().filter(user=get_user_model().objects.earliest("pk"))
    return living.latest("last_seen_at")


# The clock


def staff() -> Client:
    """Return the browser of somebody who may do everything."""
    person = get_user_model().objects.create_superuser("root")
    client = Client()
    client.force_login(person)
    client.get(reverse("admin:index"))  # adopts the sign-in
    # Else one of the pages would do so, a minute from now.
    AuthSession.objects.filter(user=person).update(confirmed=True)
    return client


class Clock:
    """Notes each query and how long it took."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, *args: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, params, *args)
        finally:
            self.queries.append(Query(sql, params, (time.perf_counter() - begun) * 1000))


def visit(client: Client, page: Page) -> list[Query]:
    """Open a page, and return its queries."""
    if page.counted:
        cache.clear()
    with connection.execute_wrapper(clock := Clock()):
        response = client.get(page.url)
    if response.status_code != 200:
        raise RuntimeError(f"{page.url} answered {response.status_code}")
    return clock.queries


def measure(client: Client, page: Page) -> list[Query]:
    """Return a page's queries, each with the median of its times."""
    visit(client, page)
    visits = [visit(client, page) for _ in range(VISITS)]
    return [
        Query(*each[0][:2], median(query.took for query in each))
        for each in zip(*visits, strict=True)
    ]


def plan(query: Query) -> str:
    """Return what PostgreSQL did, and where it spent its time."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {query.sql}", query.params)
        return "\n".join(f"    {line}" for (line,) in cursor.fetchall())


def bench(tries: int) -> int:
    """Measure each page and print it; return how many have a query that took too long."""
    client, slow = staff(), 0
    activity.SLOW = -1.0  # keep the picture's numbers, whatever counting them took
    say(f"{AuthSession.objects.count():,} sessions; limit {LIMIT} ms\n")
    say(f"{'page':44}{'queries':>8}{'slowest':>10}")
    for page in pages():
        for _ in range(tries):
            queries = measure(client, page)
            slowest = max(queries, key=lambda query: query.took)
            if slowest.took < LIMIT:
                break
        say(f"{page.name:44}{len(queries):>8}{slowest.took:>7.1f} ms")
        if slowest.took >= LIMIT:
            slow += 1
            say(f"{slowest.sql[:500]}\n{plan(slowest)}")
    say(f"\n{slow or 'no'} page(s) with a query of {LIMIT} ms or more")
    return slow


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
