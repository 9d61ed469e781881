"""Several hosts, one site: connections that are shared, clocks, keys and caches that are not."""

import json
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings as of_tests
from django.db import connection
from django.utils import timezone

from tests.browser import Browser
from tests.conftest import leave_out
from tests.factories import SessionFactory
from tests.live import Server
from tests.nginx import find_nginx, free_port, nginx
from tests.pgbouncer import find_pgbouncer, pgbouncer
from tests.processes import ROUNDS, expired_access_token, gunicorn, run_django
from tests.test_loops import visit_url
from tests.test_processes import Client, Race
from tests.wsgi import AHEAD, HASTE
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session import tokens

HOST = {"DJANGO_SETTINGS_MODULE": "tests.settings_host"}

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="what several hosts share is PostgreSQL"
)


# Connections that are shared: pgbouncer

#: As the page says, and what else sites set of a database.
PAGE = {"DISABLE_SERVER_SIDE_CURSORS": True}
DATABASES = {
    "as the page says": PAGE,
    "kept and atomic": PAGE | {"CONN_MAX_AGE": None, "ATOMIC_REQUESTS": True},
    "bound by the server": PAGE | {"OPTIONS": {"server_side_binding": True, "isolation_level": 3}},
}


@pytest.fixture
def bouncer(transactional_db):
    """The environment of processes that connect by pgbouncer."""
    with pgbouncer(find_pgbouncer() or leave_out("pgbouncer was not found: install it")) as env:
        yield env | HOST


@pytest.fixture(params=DATABASES)
def pooled(request, bouncer):
    """Two server processes of many threads, which have two connections for all of them."""
    site = json.dumps({"DATABASE": DATABASES[request.param]})
    with gunicorn("--preload", "--workers=2", "--threads=8", **bouncer, TEST_SITE=site) as server:
        yield server


def test_by_pgbouncer_twenty_clients_with_one_token_cost_one_rotation(pooled, user):
    """They are signed in; and out where one of them signs out."""
    for number in range(ROUNDS):
        race = Race(pooled, user, number)
        race.run()
        race.check_that_all_are_signed_in()
        race = Race(pooled, user, number)
        rival = Client(pooled, race.jar)
        rival.prepare("POST", "/auth/logout/")
        race.run(rival)
        race.check_that_nobody_is_signed_in("logout")


def test_by_pgbouncer_a_session_lives_and_ends_as_ever(pooled, user):
    """Sign in, use, refresh, confirm, list, revoke; and a spent token ends what it was of."""
    browser = Browser(pooled)
    for _ in range(2):
        browser.login(user)
        [session] = user.auth_sessions.active()
        spent = session.refresh_token.reveal()
        refresh(browser, session)
        assert browser.get("/whoami/").text == user.get_username()
        confirm(browser, session)
        assert browser.get("/private/").status_code == 200
        session.refresh_from_db()
        assert (session.rotation, session.confirmed) == (1, True)
    others = user.auth_sessions.exclude(pk=session.pk)
    assert {other.revoke_reason for other in others} == {"replaced"}
    other = SessionFactory(user=user)
    assert browser.fetch("DELETE", f"/auth/api/sessions/{other.pk}/").status_code == 204
    browser.set_cookie(cookies.refresh_name(), spent, path="/auth/")
    browser.set_cookie(cookies.access_name(), expired_access_token(session))
    assert browser.get("/whoami/").text == "anonymous"
    browser.close()
    reasons = user.auth_sessions.values_list("revoke_reason", flat=True)
    assert sorted(reasons) == ["replaced", "reuse", "user"]


def refresh(browser, session):
    """Let a browser hold a session whose access token has expired, and was handed out long ago."""
    AuthSession.objects.filter(pk=session.pk).update(issued_at=timezone.now() - timedelta(hours=1))
    browser.set_cookie(cookies.access_name(), expired_access_token(session))


def confirm(browser, session):
    """Let it hold an access token that is older than the grace period."""
    session.refresh_from_db()
    with time_machine.travel(timezone.now() - timedelta(minutes=2)):
        access, _ = tokens.issue_access_token(session)
    browser.set_cookie(cookies.access_name(), access.reveal())


def test_by_pgbouncer_commands_end_and_clear(bouncer, user):
    """``--all`` reads everybody piece by piece."""
    SessionFactory.create_batch(3, user=user)
    site = json.dumps({"DATABASE": PAGE, "TOKENAUTH_HISTORY_LIFETIME": 0})
    for command in ["'tokenauth_revoke', '--all'", "'tokenauth_clear'"]:
        code = f"from django.core.management import call_command; call_command({command})"
        run_django(code, bouncer | {"TEST_SITE": site})
    assert not AuthSession.objects.exclude(token_hash="").exists()  # but the mark of a person


# Hosts behind one nginx, which sends each request to the next of them

NGINX = """
upstream hosts {{ {hosts} }}
server {{
  listen 127.0.0.1:{port};
  location / {{ proxy_pass http://hosts; proxy_set_header Host $http_host; }}
}}
"""
OLD, NEW = of_tests.SECRET_KEY, "the key after that one, which is long enough for HS256, too"


@pytest.fixture
def serve(transactional_db):
    """A function that puts hosts behind nginx, each with settings and an environment of its own."""
    program = find_nginx() or leave_out("nginx was not found: install it")
    with ExitStack() as running:

        def start(*hosts):
            ports = []
            for settings, more in hosts:
                env = HOST | more | {"TEST_SITE": json.dumps(settings)}
                ports.append(running.enter_context(gunicorn("--threads=8", **env)).port)
            port, lines = free_port(), "".join(f"server 127.0.0.1:{port};" for port in ports)
            running.enter_context(nginx(program, NGINX.format(hosts=lines, port=port), port))
            return Server("nginx", port)

        yield start


@pytest.mark.parametrize(
    "hosts",
    [
        [({}, {}), ({}, {AHEAD: "10"})],
        [({}, {}), ({"SECRET_KEY_FALLBACKS": [NEW]}, {})],
        [
            ({"SECRET_KEY_FALLBACKS": [NEW]}, {}),
            ({"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": [OLD]}, {}),
        ],
    ],
    ids=["one clock is ahead", "the new key becomes known", "the new key signs"],
)
def test_hosts_that_are_a_little_apart_sign_nobody_out(serve, settings, user, hosts):
    """Twenty tabs refresh at once, on both; and go on, now on this one and now on that."""
    settings.SECRET_KEY_FALLBACKS = [NEW]  # to know what either host has signed
    server, processes = serve(*hosts), set()
    for number in range(ROUNDS):
        race = Race(server, user, number)
        race.run()
        for _ in range(2):
            race.check_that_all_are_signed_in()
            processes |= {client.process for client in race.clients}
    assert len(processes) == len(hosts)


@pytest.fixture(params=["shared", "apart"])
def caches(request, redis):
    """The settings of a cache that hosts share, or none: Django's default is one for each."""
    backend = "django.core.cache.backends.redis.RedisCache"
    shared = {"CACHES": {"default": {"BACKEND": backend, "LOCATION": redis.url}}}
    return shared if request.param == "shared" else {}


def test_failed_logins_are_counted_together_in_a_cache_that_is_shared(serve, caches, user):
    """Otherwise each host lets as many through."""
    rates = {"TOKENAUTH_LOGIN_RATES": {"account": "2/h"}}
    browser = Browser(serve((caches | rates, {}), (caches | rates, {})))
    guess = {"username": user.get_username(), "password": "a guess"}
    answers = [browser.fetch("POST", "/auth/api/login/", json=guess) for _ in range(6)]
    browser.close()
    let_through = 2 if caches else 4
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * let_through + [429] * (6 - let_through)


def test_a_long_uploads_note_counts_once_where_the_cache_is_shared(serve, caches, user):
    """Otherwise once on each host. It signs in nobody who does not have the cookie."""
    browser = Browser(serve((caches, HASTE), (caches, HASTE)))
    browser.login(user)
    browser.client.follow_redirects = False
    time.sleep(float(HASTE["TOKENAUTH_ACCESS_TOKEN_LIFETIME"]) + 1)
    away = visit_url(browser, "/whoami/").headers["Location"]
    back = visit_url(browser, away).headers["Location"]
    time.sleep(float(HASTE["TOKENAUTH_ACCESS_TOKEN_LIFETIME"]) + 1)
    answers = [visit_url(browser, back).status_code for _ in range(3)]
    browser.close()
    assert answers == ([200, 307, 307] if caches else [200, 200, 307])
