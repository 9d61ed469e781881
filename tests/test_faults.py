"""What breaks under a site: a process, the database, the cache, the clock, a backup.

While it is broken people get errors, never somebody else's page and never a cookie of ours deleted;
afterwards they are signed in as before.
"""

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Thread
from time import monotonic
from types import SimpleNamespace

import httpx
import pytest
import time_machine
from django.conf import settings as site_settings
from django.core.cache.backends.base import BaseCache
from django.utils import timezone

from tests.browser import Browser
from tests.conftest import leave_out
from tests.factories import SessionFactory
from tests.processes import (
    PATIENCE,
    ROUNDS,
    an_hour_ago,
    expired_access_token,
    find_postgresql,
    gunicorn,
    postgresql,
    run_django,
)
from tests.prove import tally
from tests.wsgi import HASTE, ORDER
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session.tokens import remake_refresh_token

ENGINE = site_settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
REFRESH_URL = "/auth/refresh/"


def token_cookies(answers):
    """Return the Set-Cookie headers of ours in these answers."""
    headers = [header for answer in answers for header in answer.headers.get_list("set-cookie")]
    return [header for header in headers if "_token=" in header and "csrf" not in header]


# A server process is killed


@pytest.fixture
def killer(transactional_db, tmp_path):
    """A gunicorn whose workers die between the UPDATE and the response while a file is there."""
    order = tmp_path / "die"
    options = ["--preload", "--workers=2", "--worker-class=sync"]
    with gunicorn(*options, **{ORDER: str(order)}) as server:
        yield SimpleNamespace(server=server, order=order)


DOORS = {
    "script": lambda browser: browser.fetch("POST", REFRESH_URL),
    "bounce": lambda browser: browser.get("/whoami/"),
}


@pytest.mark.parametrize("refresh", DOORS.values(), ids=DOORS)
def test_a_process_killed_between_update_and_response_signs_nobody_out(killer, user, refresh):
    """The token was spent and its successor never sent; one person bears it again and again."""
    with an_hour_ago():
        session = SessionFactory(user=user)
    browser = Browser(killer.server)
    for number in range(1, ROUNDS + 1):
        token = remake_refresh_token(session).reveal()
        browser.set_cookie(cookies.refresh_name(), token, path="/auth/")
        browser.set_cookie(cookies.access_name(), expired_access_token(session))
        killer.order.touch()
        with pytest.raises(httpx.TransportError):
            refresh(browser)
        session.refresh_from_db()
        assert session.rotation == number
        assert browser.value(cookies.refresh_name()) == token
        killer.order.unlink()
        assert browser.get("/whoami/").text == user.get_username()
        session.refresh_from_db()
        assert (session.rotation, session.active) == (number, True)
        assert browser.value(cookies.refresh_name()) == remake_refresh_token(session).reveal()
        AuthSession.objects.update(issued_at=timezone.now() - timedelta(hours=1))
        tally("kills")
    browser.close()


# The database goes away


@pytest.fixture
def cluster():
    """A PostgreSQL of our own, with eight people in it."""
    programs = find_postgresql()
    if programs is None:
        leave_out("PostgreSQL's own programs (initdb, pg_ctl) were not found")
    with postgresql(programs) as cluster:
        run_django(
            "from django.core.management import call_command;"
            "from tests.factories import UserFactory;"
            "call_command('migrate', verbosity=0);"
            "[UserFactory(username=f'person{n}') for n in range(8)]",
            cluster.env,
        )
        yield cluster


class Visitor(Thread):
    """A person who looks at one page over and over."""

    def __init__(self, server, name):
        super().__init__(name=name)
        self.browser = Browser(server)
        self.leaves = False
        #: (begin, end, the answers up to the page or the error)
        self.visits = []

    def run(self):
        while not self.leaves:
            begin, seen = monotonic(), len(self.browser.history)
            # A server may close a connection that was kept, just as it is used again: browsers
            # then ask once more.
            with suppress(httpx.RemoteProtocolError):
                self.browser.get("/whoami/")
                self.visits.append((begin, monotonic(), self.browser.history[seen:]))

    def leave(self):
        self.leaves = True
        self.join()

    def sessions(self):
        """Return the ids of the person's sessions."""
        return [session["id"] for session in self.browser.get("/auth/api/sessions/").json()]

    def visits_of(self, since=0.0, until=float("inf")):
        """Return the answers of each visit that lay wholly between these moments."""
        visits = tuple(self.visits)
        return [answers for begin, end, answers in visits if since < begin and end < until]

    def has_refreshed(self, status, since):
        """Tell whether a visit since then led over the refresh URL and ended like this."""
        return any(
            answers[-1].status_code == status and any(REFRESH_URL in str(a.url) for a in answers)
            for answers in self.visits_of(since)
        )


def wait_for_all(visitors, status, since):
    """Wait until all have had to refresh, as long as a very busy machine may take."""
    deadline = monotonic() + PATIENCE
    while not all(visitor.has_refreshed(status, since) for visitor in visitors):
        assert monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def visitors(cluster):
    """Eight people whose access token lasts three seconds, on a site that is under load."""
    options = ["--preload", "--workers=2", "--threads=4"]
    with gunicorn(*options, **cluster.env, **HASTE) as server:
        visitors = [Visitor(server, f"person{number}") for number in range(8)]
        for visitor in visitors:
            visitor.browser.login(SimpleNamespace(get_username=partial(str, visitor.name)))
            (visitor.session,) = visitor.sessions()
        for visitor in visitors:
            visitor.start()
        try:
            yield visitors
        finally:
            for visitor in visitors:
                visitor.leave()
                visitor.browser.close()


@pytest.mark.skipif(ENGINE != "postgresql", reason="part of the tests on PostgreSQL")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_database_that_stops_under_load_signs_nobody_out(cluster, visitors, mode):
    """Errors and no cookies of ours while it is gone; everyone is signed in when it is back."""
    together = partial(wait_for_all, visitors)
    together(200, monotonic())
    for _ in range(max(1, ROUNDS // 20)):
        cluster.stop(mode)
        stopped = monotonic()
        together(500, stopped)
        started = monotonic()
        cluster.start()
        together(200, monotonic())
        for visitor in visitors:
            outage = visitor.visits_of(stopped, started)
            assert [visit[-1].text for visit in outage if visit[-1].status_code != 500] == []
            assert token_cookies([answer for visit in outage for answer in visit]) == []
            tally("requests without a database", len(outage))
        tally("outages")
    for visitor in visitors:
        visitor.leave()
        pages = [visit[-1] for visit in visitor.visits_of()]
        assert {page.status_code for page in pages} == {200, 500}
        assert {page.text for page in pages if page.is_success} == {visitor.name}
        assert visitor.sessions() == [visitor.session]


# In the tests' own process, where the clock may jump


@pytest.fixture
def clock():
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=True) as clock:
        yield clock


class BrokenCache(BaseCache):
    """Raises, whatever it is asked."""

    def __init__(self, location, params):
        super().__init__(params)

    def fail(self, *args, **kwargs):
        raise ConnectionError("the cache is down")

    add = get = set = touch = delete = clear = incr = decr = has_key = fail
    get_many = set_many = delete_many = get_or_set = fail
    aadd = aget = aset = atouch = adelete = aclear = aincr = adecr = ahas_key = fail


BROKEN = {"default": {"BACKEND": f"{__name__}.{BrokenCache.__name__}"}}


def test_a_cache_that_is_down_is_not_missed(browser, user, clock, settings):
    """Signing in, refreshing, reuse and signing out go on without it."""
    settings.CACHES = BROKEN
    assert browser.login(user).status_code == 200
    for _ in range(3):
        clock.shift(timedelta(minutes=20))
        assert browser.get("/whoami/").text == user.get_username()
        assert browser.fetch("POST", REFRESH_URL).status_code == 200
    assert browser.get("/auth/sessions/").status_code == 200
    browser.logout()
    assert browser.get("/whoami/").text == "anonymous"
    assert AuthSession.objects.get().revoke_reason == "logout"
    assert {answer.status_code for answer in browser.history} <= {200, 302, 307}
    tally("faults of the cache")


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_a_cache_that_holds_the_django_sessions_costs_nobody_theirs(
    browser, user, clock, settings, engine
):
    """People stay signed in; what needs the Django session may fail, but leaves our cookies be."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    browser.login(user)
    clock.shift(timedelta(minutes=20))
    healthy = settings.CACHES
    settings.CACHES = BROKEN
    assert browser.get("/whoami/").text == user.get_username()
    clock.shift(timedelta(minutes=20))
    assert browser.fetch("POST", REFRESH_URL).status_code == 200
    held = browser.value(cookies.access_name())
    seen = len(browser.history)
    for url in ("/session-data/", "/auth/login/", "/private/"):
        browser.get(url)
    assert not token_cookies(browser.history[seen:])
    settings.CACHES = healthy
    assert browser.value(cookies.access_name()) == held
    assert browser.get("/whoami/").text == user.get_username()
    tally("faults of the cache")


JUMPS = {
    "back": [timedelta(minutes=-10)],
    "back, then forward": [timedelta(minutes=-10), timedelta(days=1)],
    "forward, then back": [timedelta(days=1), timedelta(minutes=-10)],
}
one_server = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@one_server
@pytest.mark.parametrize("remember", [True, False], ids=["persistent", "browser"])
@pytest.mark.parametrize("age", [1, 20], ids=["fresh", "expired"])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_a_clock_that_jumps_and_comes_back_signs_nobody_out(
    browser, user, clock, jumps, remember, age
):
    """Not one cookie is deleted, whatever was visited while the clock was wrong."""
    browser.login(user, remember=remember)
    clock.shift(timedelta(minutes=age))
    for jump in jumps:
        for shift in (jump, -jump):
            clock.shift(shift)
            wrong_for_long = shift > timedelta(hours=12) and not remember
            for _ in range(2):
                expected = "anonymous" if wrong_for_long else user.get_username()
                assert browser.get("/whoami/").text == expected
                refresh = browser.fetch("POST", REFRESH_URL)
                assert refresh.status_code == (401 if wrong_for_long else 200)
                browser.get("/auth/sessions/")
            tally("jumps of the clock")
    for _ in range(3):
        assert browser.get("/whoami/").text == user.get_username()
        clock.shift(timedelta(minutes=20))
    assert not [header for header in token_cookies(browser.history) if "Max-Age=0" in header]
    assert AuthSession.objects.get().revoked_at is None


@pytest.mark.parametrize("rotations", [1, 2, 5])
def test_a_database_restored_to_an_older_row_ends_the_session(
    browser, user, clock, caplog, rotations
):
    """The client's token is newer than the row: an error is logged, and a new sign-in works."""
    browser.login(user)
    backup = AuthSession.objects.values().get()
    for _ in range(rotations):
        clock.shift(timedelta(minutes=20))
        assert browser.get("/whoami/").text == user.get_username()
    assert AuthSession.objects.get().rotation == rotations
    AuthSession.objects.update(**backup)
    assert browser.get("/whoami/").text == user.get_username()
    clock.shift(timedelta(minutes=20))
    assert browser.get("/whoami/").text == "anonymous"
    assert AuthSession.objects.get().revoke_reason == "mismatch"
    logged = [r for r in caplog.records if r.name == "tokenauth.security"]
    assert [r.levelno for r in logged if str(backup["id"]) in r.getMessage()] == [logging.ERROR]
    browser.get("/private/")
    assert browser.value(cookies.refresh_name()) is None
    check_that_signing_in_works(browser, user, clock)
    tally("restored databases")


def test_a_database_restored_to_before_the_sign_in_ends_the_session(browser, user, clock):
    """There is no such row: its cookies go, and a new sign-in works."""
    browser.login(user)
    AuthSession.objects.all().delete()
    assert browser.get("/whoami/").text == "anonymous"
    check_that_signing_in_works(browser, user, clock)
    tally("restored databases")


def check_that_signing_in_works(browser, user, clock):
    browser.login(user)
    clock.shift(timedelta(minutes=20))
    assert browser.get("/whoami/").text == user.get_username()
    assert AuthSession.objects.active().get().rotation == 1
