"""Open the admin over a million sessions on PostgreSQL, and time each query.

    python -m benchmarks.admin_list                      one million, about a minute
    python -m benchmarks.admin_list --rows 10000000      ten million, about ten

The server is the one that ``PGHOST``, ``PGPORT``, ``PGUSER`` and ``PGPASSWORD`` name; the database
is made for this run and dropped after it. What a query takes is what Django waits for it, the way
to the server and back included: the median of five visits, after one that warms up. Exit status 1
if any takes ``LIMIT`` or more: then its plan is printed, too. On a busy machine
all numbers are too high: ``--tries 3`` opens a page that was too slow up to three times.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from statistics import median
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import setup_test_environment
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from tokenauth.admin import activity
from tokenauth.admin.listing import ACTIVE, ALL, ENDED, EXPIRED, REACH, TIMES
from tokenauth.models import AuthSession

#: Milliseconds that no query may take.
LIMIT = 50
VISITS = 5
#: The columns of the list that sort it; a list that one of them cannot sort ignores it.
ORDERS = {"last seen": "4", "signed in": "5", "expires": "6", "expires, last first": "-6"}
#: Sign-ins for each session that is left: the others ended long ago.
SIGN_INS = 2.01

#: Ten sessions for each person, and for a few of them thousands.
PEOPLE = """
INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff,
                       is_active, date_joined)
SELECT (ARRAY['alice','bob','carol','dave','erin','frank','grace','heidi','ivan','judy'])
           [1 + n %% 10] || n, '!', '', '', '', FALSE, FALSE, TRUE, now()
FROM generate_series(1, %(people)s) AS n
"""

#: Sign-ins of nine months. A person uses a device for some weeks, coming back about once a day;
#: then a third of the sessions is ended, and the others expire. What ended more than ninety days
#: ago was removed by ``tokenauth_clear``. The oldest come first, as on a live site.
SESSIONS = """
INSERT INTO tokenauth_authsession (id, user_id, backend, auth_hash, token_hash, rotation,
    rotated_at, issued_at, confirmed, created_at, last_seen_at, expires_at, absolute_expires_at,
    persistent, ip_address, user_agent, device, device_kind, revoked_at, revoke_reason,
    reuse_user_agent)
SELECT gen_random_uuid(), %(first)s + floor(%(people)s * power(random(), 2))::int,
    'django.contrib.auth.backends.ModelBackend', md5(n::text), md5(n::text) || md5(n::text),
    extract(epoch FROM seen - begun)::int / 3600, seen, seen, TRUE, begun, seen, idle_end,
    absolute_end, TRUE, ('10.' || n %% 100 || '.' || n %% 241 || '.' || n %% 251)::inet,
    'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0',
    'Firefox on Linux', 'desktop', revoked, reason, ''
FROM (
    SELECT *, least(seen + interval '30 days', absolute_end) AS idle_end,
        CASE WHEN reason <> '' THEN least(now(), seen + random() * interval '1 hour') END AS revoked
    FROM (
        SELECT *, begun + interval '180 days' AS absolute_end,
            CASE WHEN used_until < now() THEN used_until
                ELSE greatest(begun, now() + ln(1 - random()) * interval '1 day') END AS seen,
            CASE
                WHEN used_until > now() OR random() < 0.65 THEN ''
                WHEN random() < 0.55 THEN 'logout'
                WHEN random() < 0.55 THEN 'replaced'
                WHEN random() < 0.55 THEN 'user'
                WHEN random() < 0.90 THEN 'admin'
                WHEN random() < 0.80 THEN 'limit'
                WHEN random() < 0.80 THEN 'reuse'
                ELSE 'mismatch' END AS reason
        FROM (
            SELECT *, begun - ln(1 - random()) * interval '25 days' AS used_until
            FROM (
                SELECT n, now() - interval '270 days' * (n::float / %(sign_ins)s) AS begun
                FROM generate_series(%(sign_ins)s, 1, -1) AS n
            ) AS sign_in
        ) AS stay
    ) AS visit
) AS session
WHERE coalesce(revoked, idle_end) > now() - interval '90 days'
"""

#: What a live site did since its last VACUUM: a twentieth of the living sessions rotated.
ROTATIONS = """
UPDATE tokenauth_authsession
SET rotation = rotation + 1, last_seen_at = now(), rotated_at = now(), issued_at = now(),
    expires_at = least(now() + interval '30 days', absolute_expires_at)
WHERE revoked_at IS NULL AND expires_at > now() AND random() < 0.05
"""


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


# The table


def fill(rows: int) -> None:
    """Make people and sessions. The indexes are made afterwards: that is ten times as fast."""
    people = max(1, rows // 10)
    indexes = secondary_indexes()
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for name in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(PEOPLE, {"people": people})
        cursor.execute("SELECT min(id) FROM auth_user")
        [first] = cursor.fetchone()
        sign_ins = round(rows * SIGN_INS)
        cursor.execute(SESSIONS, {"people": people, "first": first, "sign_ins": sign_ins})
        for statement in indexes.values():
            cursor.execute(statement)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute(ROTATIONS)


def secondary_indexes() -> dict[str, str]:
    """Return the indexes that serve no constraint, each with the statement that makes it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s "
            "AND indexdef NOT LIKE 'CREATE UNIQUE%%'",
            [AuthSession._meta.db_table],
        )
        return dict(cursor.fetchall())


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the database, fill it, measure, drop it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="sessions (1000000)")
    parser.add_argument("--tries", type=int, default=1, help="visits to a slow page (1)")
    options = parser.parse_args(arguments)
    setup_test_environment()
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        begun = time.perf_counter()
        fill(options.rows)
        say(f"filled in {time.perf_counter() - begun:.0f} s")
        return bool(bench(options.tries))
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
