"""Chromium's bound sessions, served by processes of their own, on the real clock."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.conftest import leave_out
from tests.device import https
from tests.device.https import wait_for
from tests.device.test_chromium import PAUSE, row
from tests.nginx import find_nginx
from tests.processes import gunicorn, uvicorn
from tokenauth.models import AuthSession

SETTINGS = "tests.device.settings"

GREETING = """url => new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onmessage = ({data}) => { resolve(data); socket.close(); };
    socket.onclose = ({code}) => reject(`closed: ${code}`);
})"""


@pytest.fixture
def visit(chromium_process, certificate):
    """A function that gives a window before a server's nginx, in which Alice is bound."""
    opened = []

    def visit(server, port, user):
        window = https.Window(chromium_process, server, port)
        opened.append(window)
        window.first.login(user)
        window.wait_for_registration()
        wait_for(lambda: window.first.goto("/private/") and row().device_key, PAUSE)
        return window

    yield visit
    for window in opened:
        window.close()


@pytest.fixture
def tls(certificate):
    """A function that puts nginx before a server."""
    program = find_nginx()
    if program is None:
        leave_out("nginx was not found: install it")
    return lambda server: https.serve(program, certificate[0], server.port)


def children_of(pid):
    """Return the processes that one has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def test_a_websocket_is_opened_once_the_key_is_proven(visit, tls, user, transactional_db):
    """Its handshake waits for the device token, as any request does."""
    with (
        uvicorn("tests.asgi_channels:application", DJANGO_SETTINGS_MODULE=SETTINGS) as server,
        tls(server) as port,
    ):
        window = visit(server, port, user)
        window.expire()
        url = f"{window.origin.replace('https', 'wss')}/anywhere/"
        assert window.first.evaluate(GREETING, url) == "alice"
        assert set(window.refreshes) == {"Refreshed"}
        window.first.goto("/private/")
        assert "Hello alice" in window.first.text


def test_a_server_that_is_restarted_during_a_refresh_signs_nobody_out(
    visit, tls, user, transactional_db
):
    """The browser hears nothing, and the page asks once more."""
    with (
        gunicorn("--workers=1", "--worker-class=sync", DJANGO_SETTINGS_MODULE=SETTINGS) as server,
        tls(server) as port,
    ):
        window = visit(server, port, user)
        for number in range(2):
            window.expire()
            [worker] = children_of(server.pid)
            os.kill(worker, signal.SIGSTOP)  # the refresh waits for it
            address = f"/private/?{number}"
            click = window.first.page.evaluate(
                "url => setTimeout(() => { location.href = url; })", address
            )
            window.run(click)
            wait_for_socket(server, worker)
            os.kill(worker, signal.SIGKILL)
            window.run(window.first.page.wait_for_url(re.compile(re.escape(address))))
            window.run(window.first.page.wait_for_selector("text=Hello alice"))
        assert window.endings == []
        assert AuthSession.objects.active().count() == 1


def wait_for_socket(server, worker):
    """Wait until something is queued at the port of a worker that does not accept."""
    address = f":{server.port:04X} "

    def is_queued():
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
        return any(
            address in line.split()[1] + " " and line.split()[3] == "01" for line in lines[1:]
        )

    wait_for(is_queued)
