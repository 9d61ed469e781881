"""An authorization server that publishes its keys, and does it badly if told to."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.resource import JWKS

PATH = "/auth/jwks.json"


class Issuer(ThreadingHTTPServer):
    """A real HTTP server; ``answer`` says what it does with a request, ``asked`` what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Any] = []
        self.leave = threading.Event()
        self.answer: Callable[[Handler], None] = publish(JWKS)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # whom it let wait has gone


class Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:  # the library's name
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.answer(self)

    def log_message(self, *args: Any) -> None:
        pass

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def publish(document: Any, **headers: str) -> Callable[[Handler], None]:
    """Answer with a document, or that it is the one that the other side has."""

    def answer(handler: Handler) -> None:
        if "ETag" in headers and handler.headers.get("If-None-Match") == headers["ETag"]:
            handler.send(304, **headers)
        else:
            handler.send(200, json.dumps(document).encode(), **headers)

    return answer


def reply(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.send(status, body, **headers)


def hang(handler: Handler) -> None:
    """Take the request, and never answer it."""
    handler.server.leave.wait(60)


def drip(handler: Handler) -> None:
    """Answer a byte at a time, each soon enough for any time-out of a socket."""
    handler.send_response(200)
    handler.end_headers()
    with suppress(OSError):
        while not handler.server.leave.wait(0.2):
            handler.wfile.write(b" ")


class Clock:
    """The monotonic clock, which a test sets forward; sockets and threads have their own."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def shift(self, seconds: float) -> None:
        self.ahead += seconds

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Run one until the block ends."""
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="issuer")
        thread.start()
        try:
            yield server
        finally:
            server.leave.set()
            server.shutdown()
            thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """The origin of a server that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield origin


def until(condition: Callable[[], Any], seconds: float = 20) -> bool:
    """Wait until something has come about, which may take its time on a busy machine."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())
