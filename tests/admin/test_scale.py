"""The admin of a large site: PostgreSQL is asked how it would answer each query."""

import random
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.factories import UserFactory
from tokenauth.admin.activity import TOGETHER
from tokenauth.admin.listing import REACH, TIMES
from tokenauth.models import AuthSession
from tokenauth.session.django_sessions import long_ago
from tokenauth.session.endings import RevokeReason

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL for its plans"),
    pytest.mark.django_db,
]

LIST = "admin:tokenauth_authsession_changelist"
SESSIONS, PEOPLE = 20_000, 500
#: Of whom one signs in all the time.
BUSY = "busy"
DAY = timedelta(days=1)


def a_session(person, chance):
    """One of nine months; a few are active, most expired, a third was ended."""
    now = timezone.now()
    begun = now - chance.random() * 270 * DAY
    seen = min(now - chance.random() * DAY / 24, begun + chance.expovariate(1 / 25) * DAY)
    reasons = chance.choices(RevokeReason.values, [600, 150, 30, 2, 2, 20, 250])
    ended = chance.random() < 0.35
    return AuthSession(
        id=uuid4(),
        user=person,
        backend="django.contrib.auth.backends.ModelBackend",
        token_hash=str(chance.random()),
        **dict.fromkeys(["rotated_at", "issued_at", "last_seen_at"], seen),
        created_at=begun,
        expires_at=seen + 30 * DAY,
        absolute_expires_at=begun + 180 * DAY,
        ip_address=f"10.0.{chance.randrange(40)}.{chance.randrange(250)}",
        revoked_at=min(now, seen + DAY / 24) if ended else None,
        revoke_reason=reasons[0] if ended else "",
    )


def a_mark(person):
    """What is left where somebody was signed out everywhere."""
    moments = ["rotated_at", "issued_at", "created_at", "last_seen_at"]
    moments += ["expires_at", "absolute_expires_at", "revoked_at"]
    return AuthSession(
        id=uuid4(),
        user=person,
        adopted_from=uuid4().hex,
        revoke_reason=RevokeReason.ADMIN,
        **dict.fromkeys(moments, long_ago()),
    )


@pytest.fixture(scope="module", autouse=True)
def _crowd(django_db_setup, django_db_blocker):
    """Fill the tables once for all these tests: VACUUM won't run in their transactions."""
    chance = random.Random(3)  # noqa: S311  # no secret
    people = get_user_model().objects
    with django_db_blocker.unblock():
        people.bulk_create(UserFactory.build_batch(PEOPLE, password="!"))
        everybody = list(people.all())
        rows = [a_session(chance.choice(everybody), chance) for _ in range(SESSIONS)]
        for row in rows[::8]:
            row.user = everybody[0]
        rows[0].token_hash = BUSY
        for row in rows[::3]:
            row.device_key = "{}"
        for row in rows[::999]:
            row.second_key_at = row.created_at
        AuthSession.objects.bulk_create([*rows, *map(a_mark, everybody)], batch_size=2000)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    yield
    with django_db_blocker.unblock():
        people.all().delete()


@pytest.fixture
def admin(staff):
    """A staff browser on a site that has been used."""
    client = Client()
    client.force_login(staff)
    client.get(reverse(LIST))
    cache.clear()
    return client


def plans(client, **query):
    """What PostgreSQL does with our table for one page: a plan for each query."""
    with CaptureQueriesContext(connection) as made:
        assert client.get(reverse(LIST), query).status_code == 200
    for sql in (query["sql"] for query in made.captured_queries):
        if "tokenauth_authsession" in sql and sql.lstrip("(").startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {sql.replace('%', '%%')}")
                yield sql, "\n".join(line for (line,) in cursor.fetchall())


def is_picture(sql):
    """Whether a query counts for the picture, by ranges of indexes."""
    return 'AS "part"' in sql or f"OFFSET {TOGETHER}" in sql


def rows_read(plan):
    """How many rows of our table were looked at, those that a filter threw away included."""
    scans = r"Scan.*tokenauth_auth.*\(actual rows=([\d.]+) loops=(\d+)\)"
    thrown = r"Rows Removed by (?:Filter|Index Recheck): (\d+)"
    read = sum(float(n) * int(loops) for n, loops in re.findall(scans, plan))
    return read + sum(map(int, re.findall(thrown, plan)))


def queries():
    return {
        "first page": {},
        "last page": {"p": "10"},
        **{status: {"status": status} for status in TIMES},
        **{
            f"{status}, {column}": {"status": status} | week(column)
            for status, columns in TIMES.items()
            for column in columns
        },
        **{f"order {n} {s}": {"o": f"{s}{n}"} for n in (4, 5, 6) for s in ("", "-")},
        **{f"all, order {n}": {"status": "all", "o": str(n)} for n in (4, 5, 6)},
        "a name": {"q": "person12"},
        "a name of many": {"q": "person"},
        "no name": {"q": "nobody"},
        "an address": {"q": "10.0.7.7"},
        "no address": {"q": "192.0.2.1"},
        "a network": {"q": "10.0.7."},
        "no network": {"q": "192.0.2."},
        "everybody's network": {"q": "10.0."},
    }


def week(column):
    """A filter by time."""
    now = timezone.now()
    return {f"{column}__gte": str(now - 7 * DAY), f"{column}__lt": str(now + DAY)}


def pairs():
    """Each status with each time that it offers, with each order, possible or not."""
    return [
        pytest.param(query | {"o": order}, id=f"{name}, order {order}")
        for name, query in queries().items()
        if "status" in query and "o" not in query
        for order in ("5", "6")
    ]


def test_no_page_reads_the_table_from_end_to_end(admin):
    """Each filter, each order and the search have an index, and use it."""
    pages = queries() | {"a person": {"status": "all", "user__exact": some_user_id()}}
    for name, query in pages.items():
        for sql, plan in plans(admin, **query):
            assert "Seq Scan on tokenauth_authsession" not in plan, (name, sql, plan)


@pytest.mark.parametrize("name", ["first page", "all", "order 5 ", "order 4 "])
def test_a_page_reads_a_few_rows_of_many(admin, name):
    """As many as it lists, and those that it passes over; the picture is counted elsewhere."""
    for sql, plan in plans(admin, **queries()[name]):
        if not is_picture(sql):
            assert rows_read(plan) < SESSIONS / 5, (sql, plan)


@pytest.mark.parametrize("query", pairs())
def test_no_filter_meets_an_order_without_an_index(admin, query):
    """PostgreSQL would read the table in that order, hoping to meet what was asked for."""
    for sql, plan in plans(admin, **query):
        if not is_picture(sql):
            assert rows_read(plan) < SESSIONS / 5, (sql, plan)


@pytest.mark.parametrize(
    "query",
    [
        *({"q": term} for term in ("10.0.0.1", "192.0.2.1", "192.0.2.", "somebody")),
        {"user__exact": None},
    ],
)
def test_what_is_looked_for_is_found_without_reading_the_rest(admin, query):
    """An address, whether there or not, and a person with more sessions than the list leads to."""
    busy = AuthSession.objects.get(token_hash=BUSY).user
    query = {
        name: busy.get_username() if value == "somebody" else value or busy.pk
        for name, value in query.items()
    }
    for sql, plan in plans(admin, status="all", **query):
        if not is_picture(sql):
            assert rows_read(plan) <= REACH + 1, (sql, plan)


def test_several_people_are_found_before_they_are_sorted(admin):
    """A walk through everybody's sessions, in their order, would hope to meet theirs."""
    for status in ("active", "all"):
        found = [plan for sql, plan in plans(admin, status=status, q="person") if " IN (" in sql]
        assert len(found) == 2
        assert [plan for plan in found if "Scan Backward" in plan] == []


@pytest.mark.parametrize("status", ["ended", *RevokeReason.values])
def test_what_was_ended_is_found_without_the_entries_of_what_was_not(admin, status):
    """They stand first in that index, and are most of it."""
    for sql, plan in plans(admin, status=status):
        if not is_picture(sql) and "tokenauth_revoked" in plan:
            assert "revoked_at IS NOT NULL" in plan


def test_the_picture_counts_in_indexes_alone(admin):
    """They look at no row of the table."""
    pictures = [plan for sql, plan in plans(admin) if is_picture(sql)]
    assert pictures
    for plan in pictures:
        scans = re.findall(r"(\S+ \S+ Scan|Seq Scan|Bitmap \w+ Scan)[^\n]*tokenauth", plan)
        assert set(scans) == {"Index Only Scan"}, plan


def test_djangos_date_hierarchy_would_read_every_row(admin, monkeypatch):
    """Why there is none: it asks for the least and the greatest date, and for each year."""
    from tokenauth.admin import AuthSessionAdmin  # noqa: PLC0415  # an app of the settings

    monkeypatch.setattr(AuthSessionAdmin, "date_hierarchy", "created_at")
    read = [rows_read(plan) for sql, plan in plans(admin, status="all") if not is_picture(sql)]
    assert max(read) >= SESSIONS


def some_user_id():
    return str(get_user_model().objects.order_by("pk").first().pk)


# Bound sessions


def narrowed(client, column, **query):
    """The plans of the queries that ask for a column."""
    made = plans(client, **query)
    return [plan for sql, plan in made if column in sql.partition("WHERE")[2]]


@pytest.mark.parametrize("status", ["active", "all"])
@pytest.mark.parametrize(
    ("binding", "column", "share"), [("bound", "device_key", 3), ("second-key", "second_key", 100)]
)
def test_what_is_bound_is_found_among_the_bound(admin, settings, status, binding, column, share):
    """A second key is rare, and has an index that names no other session."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    found = narrowed(admin, column, status=status, binding=binding)
    assert found
    for plan in found:
        assert "Seq Scan on tokenauth_authsession" not in plan
        assert rows_read(plan) <= SESSIONS / share


def test_the_share_of_bound_sessions_is_counted_by_their_index(admin, settings):
    """One query, that meets no session which is bound to nothing."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    [plan] = narrowed(admin, "device_key")
    assert "tokenauth_bound" in plan
    assert rows_read(plan) <= SESSIONS / 3 + 1
