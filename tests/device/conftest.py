"""Fixtures: a site over https that binds sessions to devices, and Chromium to visit it."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from tests.chromium import Chromium, Tab
from tests.conftest import leave_out, start_chromium
from tests.device import https
from tests.device.upstream import Upstream
from tests.device.upstream import upstream as the_one
from tests.nginx import find_nginx
from tokenauth.models import AuthSession

#: Whether what takes long is done in full, as `make prove` wants it.
LONG = os.environ.get("TOKENAUTH_LONG_WALKS") == "1"
#: Over the grace period, within which no session is bound.
A_MOMENT = timedelta(seconds=65)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a certificate for both sites, and the hash by which Chromium trusts it."""
    folder = tmp_path_factory.mktemp("certificate")
    folder.chmod(0o755)
    return folder, https.make_certificate(folder)


@pytest.fixture(scope="session")
def chromium_process(certificate) -> Iterator[Chromium]:
    """The one Chromium that binds sessions, without a quota of signatures."""
    process = start_chromium(https.arguments(certificate[1]))
    yield process
    process.close()


@pytest.fixture
def upstream(settings) -> Iterator[Upstream]:
    """A site that binds sessions to devices; says what it was asked, and fails when told to."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]
    settings.MIDDLEWARE = ["tests.device.upstream.middleware", *settings.MIDDLEWARE]
    settings.TOKENAUTH_DEVICE_BINDING = True
    the_one.__init__()
    yield the_one
    the_one.__init__()


@pytest.fixture
def port(certificate, server, upstream) -> Iterator[int]:
    """Where nginx, with TLS and HTTP/2, stands before the live server."""
    program = find_nginx()
    if program is None:
        leave_out("nginx was not found: install it")
    with https.serve(program, certificate[0], server.port) as port:
        yield port


@pytest.fixture
def new_window(chromium_process, server, port) -> Iterator[Callable[..., https.Window]]:
    """A function that gives another window, with a jar and keys of its own."""
    opened: list[https.Window] = []

    def open_window(state: Any = None) -> https.Window:
        opened.append(https.Window(chromium_process, server, port, state))
        return opened[-1]

    yield open_window
    for window in opened:
        window.close()


@pytest.fixture
def chromium(new_window) -> https.Window:
    """A window with an empty jar that notes what becomes of its bound sessions."""
    return new_window()


@pytest.fixture
def open_profile(chromium_process, certificate, server, port) -> Iterator[Callable[..., Any]]:
    """A function that starts a Chromium with a folder of its own."""
    opened: list[https.Profile] = []

    def open_profile(folder: Path, **options: bool) -> https.Profile:
        arguments = https.arguments(certificate[1], **options)
        opened.append(https.Profile(chromium_process, server, port, folder, arguments))
        return opened[-1]

    yield open_profile
    for profile in opened:
        profile.close()


@pytest.fixture
def clock() -> Iterator[Any]:
    """The server's clock."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def tab(chromium, user, clock) -> Tab:
    """A tab in which Alice has signed in, and whose browser has registered a key."""
    tab = chromium.first
    tab.login(user)
    chromium.wait_for_registration()
    return tab


@pytest.fixture
def bound(tab, clock) -> Tab:
    """The same, once her session is bound to that key."""
    clock.shift(A_MOMENT)
    tab.goto("/whoami/")
    assert (tab.text, bool(AuthSession.objects.get().device_key)) == ("alice", True)
    return tab


@pytest.fixture
def pass_by(chromium, clock) -> Callable[[timedelta], None]:
    """A function that lets time go by, on the server and in the jar."""

    def pass_by(pause: timedelta) -> None:
        clock.shift(pause)
        chromium.expire()

    return pass_by
