"""The way to a server in the test's own process, thread and transaction: fast, and it may fail."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from tests.device.client import DeviceBrowser
from tests.live import Application, Server


class Wire(httpx.BaseTransport):
    """It notes what passes; ``answers`` says with which status it answers a path by itself."""

    def __init__(self) -> None:
        self.site = httpx.WSGITransport(Application(WSGIHandler))
        self.sent: list[tuple[str, httpx.Headers]] = []
        self.answers: dict[str, int] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.url.path, request.headers))
        status = self.answers.get(request.url.path)
        return self.pass_on(request) if status is None else httpx.Response(status)

    def pass_on(self, request: httpx.Request) -> httpx.Response:
        with keeping_connections():
            answer = self.site.handle_request(request)
            answer.read()
        return answer

    def asked(self, path: str) -> list[httpx.Headers]:
        """Return the headers of each request for a path."""
        return [headers for where, headers in self.sent if where == path]


@contextmanager
def keeping_connections() -> Iterator[None]:
    """Let a request use the test's connection, and leave it open, as Django's test client does."""
    signals = request_started, request_finished
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


def open_browser(wire: Wire | None = None) -> DeviceBrowser:
    """Return a browser that visits the site by such a wire."""
    browser = DeviceBrowser(Server("wsgi", 80))
    browser.network.transport.close()
    browser.network.transport = wire or Wire()
    return browser
