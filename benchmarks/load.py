"""Measure requests under load: gunicorn's or uvicorn's processes serve them, wrk sends them.

    python -m benchmarks.load
    python -m benchmarks.load --columns "tokenauth session_db" --database postgresql

Columns, projects and credentials are those of :mod:`benchmarks.requests`. Every column has a server
of its own. They all run from the beginning to the end, and wrk turns from one to the next after a
second, again and again, so that whatever else the machine does falls on all of them. Each figure is
the median of the rounds, each ratio the median of the ratios within a round. The first round warms
up and is thrown away.

The table goes to the output, everything to ``benchmarks/results/``. ``--write`` puts the table into
the documentation. The database is PostgreSQL where ``PGHOST`` is given, else SQLite.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.column import HOST, Request, environment
from benchmarks.columns import Column
from benchmarks.requests import ENVIRONMENT, ROOT, Place, pick, places, say, with_floors

#: What is measured if nothing else is asked for: all columns take twice as long.
DEFAULT = (
    "session_db simplejwt_cookie tokenauth_asks tokenauth_silent tokenauth_no_cookie"
    " session_db_async tokenauth_async simplejwt_refresh tokenauth_refresh"
)
WORKERS = 2
#: Twice the workers: none has to wait for the next request.
CONNECTIONS = 4
#: Credentials for each round of a column that spends them; with the last, its round is over.
EACH = 200
#: Seconds to wait for what a busy machine may take its time for.
PATIENCE = 300
SCRIPT = Path(__file__).with_name("load.lua")
#: What a proxy in front says. Both servers believe it, since it comes from this machine. Each
#: request has a connection of its own: gunicorn's workers know no other, and uvicorn's would hold
#: the body of each further answer back for 40 ms (Kludex/uvicorn#3149).
PROXY = {"host": HOST, "x-forwarded-proto": "https", "connection": "close"}
FIGURES = ("rate", "p50", "p99")


def why_not() -> str:
    """Return what is missing and how to install it; nothing if all is here."""
    if not shutil.which("wrk"):
        return "wrk is not installed. On Debian and Ubuntu: apt install wrk"
    missing = [name for name in ("gunicorn", "uvicorn") if not find_spec(name)]
    return f"{missing[0]} is not installed: pip install {' '.join(missing)}" if missing else ""


def server(column: Column, port: int) -> list[str]:
    """Return the module that serves a column, and its arguments."""
    common = [f"--workers={WORKERS}", "--log-level=error"]
    if column.is_async:
        where = ["--host=127.0.0.1", f"--port={port}", "--lifespan=off", "--no-access-log"]
        return ["uvicorn", *common, *where, "--factory", "django.core.asgi:get_asgi_application"]
    where = [f"--bind=127.0.0.1:{port}", "--preload", "--no-control-socket"]
    return ["gunicorn", *common, *where, "django.core.wsgi:get_wsgi_application()"]


def wire(request: Request) -> bytes:
    """Return a request as it is sent."""
    body: bytes = request["body"].encode()
    headers = PROXY | request["headers"] | ({"content-length": str(len(body))} if body else {})
    lines = [f"{request['method']} {request['path']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Site:
    """A column that is being served, by processes of its own."""

    def __init__(self, place: Place, column: Column) -> None:
        self.column = column
        self.prepared: list[Request] = json.loads(place.file(column).read_text(encoding="utf-8"))
        self.unspent = iter(self.prepared)
        self.file = place.file(column).with_suffix(".wire")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        where = environment(column, place.engine, place.database(column))
        self.process = subprocess.Popen(  # noqa: S603  # our own words
            [sys.executable, "-m", *server(column, self.port)], cwd=ROOT, env=ENVIRONMENT | where
        )

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *exception: object) -> None:
        """End it: it ends its workers."""
        self.process.terminate()
        self.process.wait()

    def take(self, number: int) -> list[Request]:
        """Return the next requests; those that spend nothing are sent again and again."""
        return list(islice(self.unspent, number)) if self.column.spends else self.prepared

    def connect(self) -> HTTPConnection:
        """Connect, once it has started."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            with suppress(ConnectionRefusedError):
                connection.connect()
                return connection
            time.sleep(0.1)
        raise SystemExit(f"{self.column.name}: the server did not start; what it said is above")

    def check(self) -> None:
        """Send one request; what is wrong is easier to see in its answer than in wrk's numbers."""
        request = self.take(1)[0]
        connection = self.connect()
        headers = PROXY | request["headers"]
        connection.request(request["method"], request["path"], request["body"] or None, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != self.column.status:
            raise SystemExit(f"{self.column.name} answered {answer.status}: {body[:300]!r}")

    def load(self, seconds: int, connections: int) -> dict[str, float]:
        """Send as many requests as it answers; return what wrk says, and how busy wrk was."""
        self.file.write_bytes(b"\0".join(map(wire, self.take(EACH))))
        spends = "once" if self.column.spends else "again"
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
        command += [f"--timeout={PATIENCE}s", f"--script={SCRIPT}", f"http://127.0.0.1:{self.port}"]
        command += ["--", str(self.file), str(self.column.status), spends]
        before = getrusage(RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603  # our own words
        after = getrusage(RUSAGE_CHILDREN)
        said = json.loads(done.stdout.splitlines()[-1])
        if said["wrong"] or said["lost"] or not said["answered"]:
            raise SystemExit(f"{self.column.name} did not answer all as it should: {said}")
        took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {name: said[name] for name in (*FIGURES, "answered")} | {"wrk": took / seconds}


def take_turns(sites: list[Site], options: argparse.Namespace) -> dict[str, Any]:
    """Let the columns take turns; return the rounds and their medians by name."""
    rounds: dict[str, list[dict[str, float]]] = {site.column.name: [] for site in sites}
    for turn in range(options.rounds + 1):
        say(f"\rround {turn} of {options.rounds}{' (warms up)' if not turn else ' ' * 11}", end="")
        for site in sites:
            found = site.load(options.seconds, options.connections)
            rounds[site.column.name] += [found] if turn else []
    say("")
    return {
        name: {figure: round(median(one[figure] for one in own), 3) for figure in FIGURES}
        | {"rounds": own}
        for name, own in rounds.items()
    }


def measure(options: argparse.Namespace, columns: list[Column]) -> dict[str, Any]:
    """Measure columns and their floors; return it by name."""
    everything = with_floors(columns)
    with places(options.database, everything) as place, ExitStack() as stack:
        for column in everything:
            say(f"\rpreparing {column.name:30}", end="")
            place.prepare(column, 1 + EACH * (options.rounds + 1) if column.spends else 1)
        say("\r" + " " * 40 + "\r", end="")
        sites = [stack.enter_context(Site(place, column)) for column in everything]
        for site in sites:
            site.check()
        return take_turns(sites, options)


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a reader must know to repeat it."""
    help_text = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)  # noqa: S607  # what the PATH has
    wrk = re.search(r"\d+(\.\d+)+", help_text.stdout)
    tools = {name: report.version_of(name) for name in ("gunicorn", "uvicorn")}
    about = report.describe(options, "load")
    return about | {
        "tools": tools | {"wrk": wrk[0] if wrk else "of an unknown version"},
        "workers": WORKERS,
        "connections": options.connections,
        "seconds": options.seconds,
        "processors": os.cpu_count(),
        "load average": round(os.getloadavg()[0], 1),
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, if all that is needed is here."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = "postgresql" if "PGHOST" in os.environ else "sqlite"
    parser.add_argument("--columns", default="", help=f"names, or their beginnings ({DEFAULT})")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default=default)
    parser.add_argument("--rounds", type=int, default=6, help="after one that warms up (6)")
    parser.add_argument("--seconds", type=int, default=1, help="of a round (1)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help=f"({CONNECTIONS})")
    parser.add_argument("--write", action="store_true", help="into docs/topics/performance.md")
    options = parser.parse_args(arguments)
    if reason := why_not():
        raise SystemExit(reason)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and say what was found."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as after Ctrl-C: end the servers
    options = parse(arguments)
    columns = pick(options.columns or DEFAULT)
    result = describe(options) | {"columns": measure(options, columns)}
    text = report.load_table(result)
    sys.stdout.write(text)
    say(f"all of it: {report.keep(result, 'load-')}")
    if options.write:
        report.put("load", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
