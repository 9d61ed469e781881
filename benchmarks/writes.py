"""Weigh what PostgreSQL writes for a rotation, and time the statements of ``tokenauth_clear``.

Sessions out of the middle of the table live through some days, by the clock of this process: each
rotation is one of ours, with a token and a request. An update is HOT when it leaves the indexes
alone (``n_tup_hot_upd``). Of the WAL counts what belongs to this database, with the commits and
without the images of pages that follow a checkpoint (pg_walinspect: PostgreSQL 15, as a superuser).
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import time_machine
from django.core.management import call_command
from django.db import Error, connection
from django.test import RequestFactory, override_settings
from django.utils import timezone

from benchmarks import million  # noqa: F401  # sets Django up
from benchmarks.admin_list import Clock, say
from tokenauth.models import AuthSession
from tokenauth.session import users

#: How many sessions live through each of the lives.
SESSIONS = 100
#: The history that is left when a site shortens the usual ninety days: what ended in those fifteen
#: days goes, of ten million sessions about a million.
HISTORY = timedelta(days=75)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
#: PostgreSQL tells what it counted after a second.
SETTLE = 1.5

WAL = """
WITH record AS MATERIALIZED (SELECT * FROM pg_get_wal_records_info(%s, %s)),
     ours AS (SELECT * FROM record WHERE block_ref LIKE '%%rel %%/' || %s || '/%%')
SELECT sum(record_length - fpi_length) FROM record
WHERE start_lsn IN (SELECT start_lsn FROM ours) OR xid IN (SELECT xid FROM ours WHERE xid <> '0')
"""
COUNTS = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"


class Life(NamedTuple):
    """How a session is used: how long after the one before each of its rotations comes."""

    name: str
    persistent: bool
    rests: list[timedelta]


#: An access token lives for fifteen minutes.
DAY_OF_WORK = [16 * MINUTE] * 30
VISITS = [DAY - 48 * MINUTE, *[16 * MINUTE] * 3] * 8
LIVES = [
    Life("in use all day, kept signed in", True, DAY_OF_WORK),
    Life("in use all day, until the browser closes", False, DAY_OF_WORK),
    Life("an hour a day, kept signed in", True, VISITS),
    Life("one click a day, kept signed in", True, [DAY] * 20),
]


# What was written


class Written(NamedTuple):
    """Updates, how many of them were HOT, and bytes of WAL (None: not to be known)."""

    updates: int
    hot: int
    wal: int | None


def weigh(what: Callable[[], None]) -> Written:
    """Do something, and return what PostgreSQL wrote for it."""
    before, begin = counted(), position()
    what()
    size = wal(begin, position())  # soon: the server keeps no more of it than it must
    after = counted()
    return Written(after[0] - before[0], after[1] - before[1], size)


def ask(sql: str, *params: Any) -> Any:
    """Return the row that answers a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()


def counted() -> tuple[int, int]:
    """Return how many updates the table has seen, and how many of them were HOT."""
    time.sleep(SETTLE)
    ask("SELECT 1")  # what was counted is told at the end of a statement
    updates, hot = ask(COUNTS, AuthSession._meta.db_table)
    return updates, hot


def position() -> str:
    """Return where in the WAL the server is."""
    return str(ask("SELECT pg_current_wal_flush_lsn()")[0])


def wal(begin: str, end: str) -> int | None:
    """Return how many bytes of WAL this database has written in between."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        [oid] = ask("SELECT oid FROM pg_database WHERE datname = current_database()")
        [size] = ask(WAL, begin, end, str(oid))
    except Error:
        return None
    return int(size or 0)


# What is done


def bench() -> None:
    """Measure rotations, confirmations and ``tokenauth_clear``, and print it."""
    with connection.cursor() as cursor:  # nobody else writes
        cursor.execute(f"ALTER TABLE {AuthSession._meta.db_table} SET (autovacuum_enabled = false)")
    say(f"\n{'updates':44}{'count':>8}{'HOT':>8}{'WAL':>10}")
    chosen = some_sessions(SESSIONS * len(LIVES))
    for life in LIVES:
        sessions = [begin(next(chosen), life.persistent) for _ in range(SESSIONS)]
        show(life.name, weigh(lambda sessions=sessions, life=life: live(sessions, life)))
    sessions = [AuthSession.objects.get(pk=session.pk) for session in sessions]
    show("confirmed", weigh(lambda: [session.confirm() for session in sessions]))
    clear()


def show(name: str, written: Written) -> None:
    """Print a line of the table."""
    share, each = written.hot / written.updates, (written.wal or 0) / written.updates
    size = f"{each:.0f} B" if written.wal is not None else "-"
    say(f"{name:44}{written.updates:>8,}{share:>8.1%}{size:>10}")


def some_sessions(count: int) -> Iterator[AuthSession]:
    """Yield living sessions from everywhere in the table."""
    living = AuthSession.objects.active().order_by().values_list("pk", flat=True)
    chosen = random.sample(list(living), count)
    return iter(AuthSession.objects.filter(pk__in=chosen).select_related("user"))


def begin(session: AuthSession, persistent: bool) -> AuthSession:
    """Give a session that was made up a token of its own, as if it had just started."""
    now = timezone.now()
    session.persistent, session.confirmed = persistent, False
    session.rotated_at = session.issued_at = session.last_seen_at = now
    session.absolute_expires_at = now + 180 * DAY
    session.auth_hash = users.auth_hash_of(session.user)
    session.expires_at = session.idle_end(now)
    session.set_refresh_token()
    session.save()
    return session


def live(sessions: Iterable[AuthSession], life: Life) -> None:
    """Rotate each session's token again and again."""
    sessions, now = list(sessions), timezone.now()
    for rest in life.rests:
        now += rest
        with time_machine.travel(now, tick=False):
            sessions = [rotate(session) for session in sessions]


def rotate(session: AuthSession) -> AuthSession:
    """Refresh from the same place and device."""
    headers = {"HTTP_USER_AGENT": session.user_agent, "REMOTE_ADDR": session.ip_address}
    request = RequestFactory().get("/", **headers)
    rotated = AuthSession.objects.rotate(session.refresh_token, request)
    if rotated.rotation != session.rotation + 1:
        raise RuntimeError(f"{session!r} was not rotated: {rotated.step}")
    return rotated


def clear() -> None:
    """Remove what a shorter history has no room for."""
    begun = time.perf_counter()
    before = AuthSession.objects.count()
    with (
        override_settings(TOKENAUTH_HISTORY_LIFETIME=HISTORY),
        connection.execute_wrapper(clock := Clock()),
    ):
        call_command("tokenauth_clear")
    slowest = max(clock.queries, key=lambda query: query.took)
    took, gone = time.perf_counter() - begun, before - AuthSession.objects.count()
    say(f"\ntokenauth_clear: {gone:,} sessions, {len(clock.queries):,} statements, {took:.0f} s")
    say(f"its slowest statement: {slowest.took:.0f} ms, {slowest.sql[:60]}")
