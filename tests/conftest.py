"""Fixtures: a live server, browsers that visit it, people who use them."""

import asyncio
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.signals import request_started
from django.db import connection, connections
from django.db.backends.utils import CursorWrapper
from django.db.models.signals import post_save, pre_delete

import tokenauth
from tests import engines
from tests.browser import Browser
from tests.chromium import ARGUMENTS, Chromium, Window, find_axe, find_executable
from tests.factories import StaffFactory, UserFactory
from tests.live import Server, serve
from tests.processes import PATIENCE
from tests.redis_server import RedisServer, find_redis, redis_server
from tokenauth.signals import sessions_ended


def pytest_configure() -> None:
    """Make sure that `make matrix` tests the wheel."""
    if os.environ.get("TOKENAUTH_TEST_WHEEL") and not tokenauth.__file__.startswith(sys.prefix):
        pytest.exit(f"The installed wheel was to be tested, not {tokenauth.__file__}", 1)


def pytest_report_header() -> str:
    """Say what is tested: which package, database and user model."""
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    return f"tokenauth: {tokenauth.__file__}; {engine}; {settings.AUTH_USER_MODEL}"


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real browser, so that nobody has to remember to."""
    for item in items:
        if {"chromium_process", "engine"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Nothing: the settings give each xdist worker its database, under a name servers know too."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """The database, which PostgreSQL drops when its last user has gone: a server that is ending."""
    yield
    # asgiref's thread for sync code outlives every event loop, and so does its connection.
    asyncio.run(sync_to_async(connections.close_all)())
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            end = time.monotonic() + PATIENCE
            while (others := others_in(cursor)) and time.monotonic() < end:
                time.sleep(0.1)
            assert not others, f"a connection is open since: {others}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give the connections that are opened from here on the name of the test."""
    os.environ["PGAPPNAME"] = item.name[:63]


def others_in(cursor: CursorWrapper) -> list[str]:
    """Return in which tests the others connected to the database."""
    cursor.execute(
        "SELECT application_name FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [name for (name,) in cursor.fetchall()]


@pytest.fixture(autouse=True)
def nothing_left_connected() -> Iterator[None]:
    """A receiver that one test leaves makes another red, on some days, on some machine."""
    before = receivers()
    yield
    assert receivers() == before


def receivers() -> list[set[tuple[str, int]]]:
    """Return the names under which ours listen to sessions that end and people who change."""
    doors = (post_save, pre_delete, request_started, sessions_ended)
    return [{key for key, *_ in signal.receivers if isinstance(key[0], str)} for signal in doors]


@pytest.fixture(params=["wsgi", "asgi"])
def server(request, transactional_db) -> Iterator[Server]:
    """A live server of each kind; ``parametrize("server", ["asgi"], indirect=True)`` for one."""
    with serve(request.param) as running:
        yield running


@pytest.fixture
def new_browser(server) -> Iterator[Callable[..., Browser]]:
    """A function that gives another person's browser, or another device of the same."""
    opened = []

    def open_browser(**kwargs):
        opened.append(Browser(server, **kwargs))
        return opened[-1]

    yield open_browser
    for browser in opened:
        browser.close()


@pytest.fixture
def browser(new_browser) -> Browser:
    """A browser with an empty jar."""
    return new_browser()


@pytest.fixture(scope="session")
def chromium_process() -> Iterator[Chromium]:
    """The one Chromium that all tests share."""
    process = start_chromium()
    yield process
    process.close()


@pytest.fixture
def chromium(chromium_process, server) -> Iterator[Window]:
    """A Chromium window with an empty jar."""
    window = Window(chromium_process, server)
    yield window
    window.close()


@pytest.fixture(scope="session", params=["chromium", *engines.ENGINES])
def engine(request) -> Iterator[Chromium | engines.Engine]:
    """The one process of each engine that all tests share."""
    if request.param == "chromium":
        yield request.getfixturevalue("chromium_process")
        return
    if missing := engines.find_missing(request.param):
        leave_out(f"{request.param} is left out: {', '.join(missing)} not found")
    with engines.ENGINES[request.param]() as process:
        yield process


@pytest.fixture
def window(engine, server) -> Iterator[Window | engines.Window]:
    """A window of each engine, with an empty jar."""
    window = (Window if isinstance(engine, Chromium) else engines.Window)(engine, server)
    yield window
    window.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core: finds what makes a page hard to use for some people."""
    file = find_axe()
    if file is None:
        leave_out(
            "axe-core was not found: `make test` installs it if there is npm, or set AXE_CORE"
        )
    return file.read_text(encoding="utf-8")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of the test's own: it may be stopped."""
    program = find_redis()
    if program is None:
        leave_out("redis-server was not found: install Redis")
    with redis_server(program) as server:
        yield server


@pytest.fixture
def user(db):
    """A person who may sign in."""
    return UserFactory(username="alice")


@pytest.fixture
def staff(db):
    """A person who may use the admin."""
    return StaffFactory(username="root")


def start_chromium(arguments: Sequence[str] = ARGUMENTS) -> Chromium:
    """Start a Chromium; skip the test where there is none."""
    executable = find_executable()
    if executable is None:
        leave_out("Chromium was not found: install it, or say in CHROMIUM where it is")
    if importlib.util.find_spec("playwright") is None:
        leave_out("Playwright is not installed: pip install --group browser")
    return Chromium(executable, arguments)


def leave_out(reason: str) -> NoReturn:
    """Skip a test, or fail it where nothing may be left out (`make test-all`)."""
    (pytest.fail if os.environ.get("TOKENAUTH_REQUIRE_ALL") == "1" else pytest.skip)(reason)
