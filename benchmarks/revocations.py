"""Time how long it takes until every worker of a resource server refuses an ended session.

    python -m benchmarks.revocations                 two minutes or so

Sessions are revoked one by one in PostgreSQL (``PGHOST``, ``PGPORT``, ``PGUSER``, ``PGPASSWORD``; a
database of this run's own), told in a Redis of this run's own, and read by four processes that have
two hundred requests a second each. First all goes well; then Redis is killed in the middle, comes
back two seconds later and knows nothing.

From "committed" to "refused by every worker" is what is timed, on one clock: the wait for a
worker's next request is in it. Exit status 1 if one was missed, or if a worker that was not down
still accepted a session ``BOUND`` seconds after its end.
"""

import argparse
import os
import sys
import time
import tracemalloc
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.db import connection

from benchmarks import million  # noqa: F401  # sets Django up
from tests.factories import UserFactory
from tests.processes import PATIENCE
from tests.redis_server import RedisServer, find_redis, redis_server
from tokenauth.models import AuthSession
from tokenauth.resource.revocations import Revocations
from tokenauth.session.revocations import doors
from tokenauth.session.revocations.publishing import Publisher, publisher
from tokenauth.session.revocations.stream import Entry, epoch_of, stream_of

ISSUER = "https://bench.example"
WORKERS = 4
#: Seconds between two requests of a worker.
REQUEST = 0.005
#: Seconds for which a worker that is not down may accept an ended session.
BOUND = 1.0
#: Seconds that Redis is away.
AWAY = 2.0
NEVER = (float("inf"), float("inf"))

spawn = get_context("spawn")


class Seen(NamedTuple):
    """What one worker saw.

    For each session when the request came that was the first to be refused, and when it was; and
    when all those requests came that found the worker not down.
    """

    refused: dict[str, tuple[float, float]]
    up: list[float]


# A worker


def work(url: str, stop: Any, ready: Any, results: Any) -> None:
    """Have requests until told to stop, and note at each what is new."""
    known = Revocations(url, ISSUER)
    refused, up = dict[str, tuple[float, float]](), list[float]()
    ready.wait()
    while not stop.is_set():
        came = time.time()
        known.refuses("nobody", 0)
        if not known.is_down:
            up.append(came)
        fresh = list(known._told)[len(refused) :]  # in the order of reading
        refused.update(dict.fromkeys(fresh, (came, time.time())))
        time.sleep(REQUEST)
    results.put((refused, up))


@contextmanager
def workers(url: str) -> Iterator[list[Seen]]:
    """Run four while the block does; what they saw is in the list after it."""
    stop, ready, results = spawn.Event(), spawn.Barrier(WORKERS + 1), spawn.Queue()
    processes = [
        spawn.Process(target=work, args=(url, stop, ready, results)) for _ in range(WORKERS)
    ]
    found = list[Seen]()
    for process in processes:
        process.start()
    try:
        ready.wait(PATIENCE)
        time.sleep(1)
        yield found
        stop.set()
        found += [Seen(*results.get(timeout=60)) for _ in processes]
    finally:
        stop.set()
        for process in processes:
            process.join(60)


# The issuer


def make_sessions(count: int) -> list[AuthSession]:
    """Store sessions that were started just now."""
    person = UserFactory()
    model = AuthSession.objects.start(None, person)
    values = {f.attname: getattr(model, f.attname) for f in AuthSession._meta.concrete_fields}
    made = [AuthSession(**values | {"id": uuid4()}) for _ in range(count)]
    return AuthSession.objects.bulk_create(made, batch_size=1000)


def revoke(
    sessions: Sequence[AuthSession], pause: float, server: RedisServer | None
) -> list[float]:
    """End one after the other; with a server, kill that in the middle. Return when it was back."""
    back: list[float] = []
    for n, session in enumerate(sessions):
        AuthSession.objects.filter(pk=session.pk).revoke("admin")
        time.sleep(pause)
        if server and n == len(sessions) // 2:
            server.stop()
            away_until = time.monotonic() + AWAY
        elif server and n > len(sessions) // 2 and not back and time.monotonic() > away_until:
            server.start()
            back.append(time.time())
    return back


@contextmanager
def commits() -> Iterator[dict[str, float]]:
    """Note when each session's end was committed: it is told right after that."""
    moments: dict[str, float] = {}
    tell = Publisher.tell

    def note(self: Publisher, sids: Any, *args: Any, **kwargs: Any) -> None:
        moments.update(dict.fromkeys(sids, time.time()))
        tell(self, sids, *args, **kwargs)

    Publisher.tell = note  # type: ignore[method-assign]  # for a while
    try:
        yield moments
    finally:
        Publisher.tell = tell  # type: ignore[method-assign]  # the same


# What came of it


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(title: str, count: int, pause: float, server: RedisServer, *, restart: bool) -> bool:
    """Revoke so many, print the row, and return whether the promise was kept."""
    sessions = make_sessions(count)
    with workers(server.url) as seen, commits() as committed:
        [back] = revoke(sessions, pause, server if restart else None) or [0.0]
        time.sleep(3)
        fresh = Revocations(server.url, ISSUER)
        missed = sum(not fresh.refuses(sid, 0) for sid in committed)
    if restart:
        say_when_up(seen, back)
    told = committed.items()
    missed += sum(sid not in worker.refused for worker in seen for sid in committed)
    late = sum(is_late(worker, sid, at) for worker in seen for sid, at in told)
    took = sorted(max(w.refused.get(sid, NEVER)[1] for w in seen) - at for sid, at in told)
    points = [took[len(took) // 2], took[len(took) * 99 // 100], took[-1]]
    shown = " | ".join(f"{1000 * seconds:.0f} ms" for seconds in points)
    say(f"| {title} | {len(committed)} | {shown} | {missed} | {late} |")
    return not (missed or late) and len(committed) == count


def say_when_up(seen: Sequence[Seen], back: float) -> None:
    """Print how long the workers needed once Redis was back."""
    up = max(worker.up[bisect(worker.up, back)] for worker in seen)
    say(f"All workers answered by what they know {1000 * (up - back):.0f} ms after Redis was back.")


def is_late(worker: Seen, sid: str, committed: float) -> bool:
    """Tell whether a worker that was not down accepted a session ``BOUND`` after its end."""
    after = bisect(worker.up, committed + BOUND)
    return after < len(worker.up) and worker.up[after] < worker.refused.get(sid, NEVER)[0]


def cost(server: RedisServer, count: int = 100_000) -> None:
    """Print what a hundred thousand ended sessions cost a worker, and what a request does."""
    with server.client as client:
        client.flushall()
        pipeline = client.pipeline(transaction=False)
        until = int(time.time()) + 900
        for n in range(count):
            pipeline.xadd(stream_of(ISSUER), Entry(str(uuid4()), None, until + n // 100).fields)
        pipeline.set(epoch_of(ISSUER), "one")
        pipeline.execute()
        in_redis = client.memory_usage(stream_of(ISSUER), samples=0)
    known = Revocations(server.url, ISSUER)
    began = time.perf_counter()
    while known.is_down:
        known.poll()
        known._due = 0
    took = time.perf_counter() - began
    each = [seconds_of(lambda: known.knows("nobody", 0)), seconds_of(lambda: poll(known), 1000)]
    tracemalloc.start()
    again = Revocations(server.url, ISSUER)
    while again.is_down:
        again.poll()
        again._due = 0
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    say(
        f"\n{count:,} ended sessions: {held / 2**20:.1f} MiB in each process, "
        f"{in_redis / 2**20:.1f} MiB in Redis; read in {took:.1f} s when a process starts.\n"
        f"A request that finds nothing due: {each[0] * 1e6:.2f} µs; one that reads: "
        f"{each[1] * 1e6:.0f} µs of CPU, four times a second at most."
    )


def poll(known: Revocations) -> None:
    """Read, due or not."""
    known._due = 0
    known.refuses("nobody", 0)


def seconds_of(call: Any, times: int = 100_000) -> float:
    """Return how much CPU time one call takes: the least of five rounds."""

    def once() -> float:
        began = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - began) / times

    return min(once() for _ in range(5))


def main() -> None:
    """Run both, print the table and the costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revocations", type=int, default=2000)
    parser.add_argument("--restarted", type=int, default=10_000)
    options = parser.parse_args()
    program = find_redis()
    if program is None:
        sys.exit("redis-server was not found: install Redis")
    connection.creation.create_test_db(verbosity=0)
    try:
        with redis_server(program) as server:
            settings.TOKENAUTH_REVOCATIONS, settings.TOKENAUTH_ISSUER = server.url, ISSUER
            doors.connect()
            doors.begin()
            say(f"load {os.getloadavg()[0]:.1f}\n")
            say("| | revocations | p50 | p99 | max | missed | late |")
            say("|---|---:|---:|---:|---:|---:|---:|")
            kept = run("nothing amiss", options.revocations, 0.01, server, restart=False)
            kept &= run("Redis restarted, empty", options.restarted, 0, server, restart=True)
            publisher().stop()
            cost(server)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    sys.exit(not kept)


if __name__ == "__main__":
    main()
