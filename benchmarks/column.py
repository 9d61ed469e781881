"""Serve the requests of one column, when the parent says so (see :mod:`benchmarks.requests`).

    python -m benchmarks.column NAME ENGINE DATABASE FILE prepare 100
    python -m benchmarks.column NAME ENGINE DATABASE FILE serve

``prepare`` makes the tables and the credentials and writes the requests into the file. ``serve``
reads a command from each line of its input and answers each by a line of JSON.
"""

import argparse
import asyncio
import gc
import io
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connections
from django.db.backends.signals import connection_created
from django.utils.module_loading import import_string

from benchmarks import valgrind
from benchmarks.columns import COLUMNS, Column

Request = dict[str, Any]

HOST = "testserver"
STATEMENTS = {"SELECT": "reads", "INSERT": "writes", "UPDATE": "writes", "DELETE": "writes"}


class Wsgi:
    """Calls Django as a WSGI server does."""

    def __init__(self) -> None:
        self.handler = WSGIHandler()
        self.handler.load_middleware()

    def environ(self, request: Request) -> dict[str, Any]:
        """Return what the server makes of a request."""
        path, _, query = request["path"].partition("?")
        body = request["body"].encode()
        environ = {
            "REQUEST_METHOD": request["method"],
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_HOST": HOST,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        for name, value in request["headers"].items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        return environ

    def prepare(self, requests: list[Request]) -> Callable[[], list[Any]]:
        """Return a function that has them all answered, one after the other."""
        environs = [self.environ(request) for request in requests]
        return lambda: [self.answer(environ) for environ in environs]

    def answer(self, environ: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and body."""
        status = []
        response = self.handler(environ, lambda line, headers: status.append(line))
        body = b"".join(response)
        response.close()
        return int(status[0][:3]), body


class Asgi:
    """Calls Django as an ASGI server does."""

    def __init__(self) -> None:
        self.handler = ASGIHandler()
        self.loop = asyncio.new_event_loop()

    def scope(self, request: Request) -> dict[str, Any]:
        """Return what the server makes of a request."""
        path, _, query = request["path"].partition("?")
        headers = {"host": HOST} | request["headers"]
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request["method"],
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 50000),
            "server": (HOST, 443),
        }

    def prepare(self, requests: list[Request]) -> Callable[[], list[Any]]:
        """Return a function that has them all answered, one after the other."""
        scopes = [(self.scope(request), request["body"].encode()) for request in requests]

        async def answer_all() -> list[tuple[int, bytes]]:
            return [await self.answer(scope, body) for scope, body in scopes]

        return lambda: self.loop.run_until_complete(answer_all())

    async def answer(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        """Return status and body."""
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if incoming:
                return incoming.pop()
            return await self.loop.create_future()  # the browser does not go away

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.handler(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


class Statements:
    """Counts what is sent to the database, on connections that are there and those to come."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        word = sql.lstrip().partition(" ")[0].upper()
        self.counts[STATEMENTS.get(word, "others")] += 1
        return execute(sql, *args)

    def join(self, connection: Any, **kwargs: Any) -> None:
        """Listen to a connection."""
        connection.execute_wrappers.append(self)

    def count(self, run: Callable[[], None]) -> dict[str, int]:
        """Return how many of each kind a run took."""
        connection_created.connect(self.join)
        self.join(connections["default"])
        run()
        connection_created.disconnect(self.join)
        connections["default"].execute_wrappers.remove(self)
        return dict(self.counts)


class Server:
    """Answers the parent's commands."""

    def __init__(self, column: Column, requests: list[Request]) -> None:
        self.column = column
        self.requests: Iterator[Request] = (
            iter(requests) if column.spends else itertools.cycle(requests)
        )
        self.gateway = Asgi() if column.is_async else Wsgi()

    def prepared(self, number: int) -> Callable[[], None]:
        """Return a function that answers the next requests; what is wrong is found afterwards."""
        requests = list(itertools.islice(self.requests, number))
        if len(requests) < number:
            raise RuntimeError("more requests are wanted than were prepared")
        run = self.gateway.prepare(requests)

        def checked() -> None:
            self.answers = run()

        self.answers: list[tuple[int, bytes]] = []
        return checked

    def check(self) -> None:
        """Raise RuntimeError unless all were answered as the column says."""
        for status, body in self.answers:
            if status != self.column.status:
                raise RuntimeError(f"{self.column.name} answered {status}: {body[:300]!r}")

    def skip(self, number: int) -> int:
        """Leave out what another process has spent."""
        if self.column.spends:
            self.requests = itertools.islice(self.requests, number, None)
        return number

    def warm(self, number: int) -> str:
        """Answer some, and return what the last said."""
        self.prepared(number)()
        self.check()
        gc.collect()
        gc.freeze()
        return self.answers[-1][1].decode()[:80]

    def statements(self, number: int) -> dict[str, float]:
        """Return the statements of a request."""
        counts = Statements().count(self.prepared(number))
        self.check()
        return {kind: count / number for kind, count in counts.items()}

    def time(self, number: int) -> float:
        """Return the microseconds of CPU time of a request, the mean of some.

        Of the process: it does nothing else, and under ASGI other threads work too.
        """
        run = self.prepared(number)
        begun = time.process_time_ns()
        run()
        took = time.process_time_ns() - begun
        self.check()
        return took / number / 1000

    def count(self, number: int) -> int:
        """Let valgrind count the instructions; the first request after the start is left out."""
        counter = valgrind.Counter()
        counter.tell(valgrind.START)
        self.prepared(1)()
        self.check()
        run = self.prepared(number)
        gc.collect()  # the next will come at the same request in every run
        counter.count(run)
        counter.tell(valgrind.STOP)
        self.check()
        return number

    def obey(self, line: str) -> Any:
        """Do what a line says: a command and a number."""
        command, number = line.split()
        return {
            "skip": self.skip,
            "warm": self.warm,
            "statements": self.statements,
            "time": self.time,
            "count": self.count,
        }[command](int(number))


def prepare(column: Column, number: int) -> list[Request]:
    """Make tables and credentials; return the requests."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    make = import_string("benchmarks.credentials.MAKERS")[column.credentials]
    return list(make(number))


def environment(column: Column, engine: str, database: str) -> dict[str, str]:
    """Return what makes a process that of a column, on its database."""
    return {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "BENCH_COLUMN": column.name,
        "BENCH_ENGINE": engine,
        "BENCH_DATABASE": database,
    }


def main() -> None:
    """Prepare, or serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=COLUMNS)
    parser.add_argument("engine")
    parser.add_argument("database")
    parser.add_argument("file", type=Path)
    parser.add_argument("mode", choices=["prepare", "serve"])
    parser.add_argument("number", type=int, nargs="?", default=1)
    options = parser.parse_args()
    column = COLUMNS[options.name]
    os.environ |= environment(column, options.engine, options.database)
    django.setup()
    if options.mode == "prepare":
        requests = prepare(column, options.number)
        options.file.write_text(json.dumps(requests), encoding="utf-8")
        return
    server = Server(column, json.loads(options.file.read_text(encoding="utf-8")))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(server.obey(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
