"""Sites that are set up in other ways: each signs in, stays signed in, and signs out."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import time_machine
from django.conf import settings as site
from django.core.checks import run_checks
from django.db import connection, connections
from django.urls import reverse, set_script_prefix

from tests.factories import PASSWORD
from tokenauth.models import AuthSession

NEW_YORK = ZoneInfo("America/New_York")
TOKEN_COOKIES = {("__Host-access_token", "/"), ("__Secure-refresh_token", "/auth/")}
SESSIONS = "django.contrib.sessions", "django.contrib.messages", "django.contrib.admin"
SESSION_MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)


@dataclass
class Variant:
    """A site: its settings, where it is, and the token cookies that its browsers have."""

    settings: dict[str, Any] = field(default_factory=dict)
    cookies: set[tuple[str, str]] = field(default_factory=lambda: TOKEN_COOKIES)
    origin: str = "https://app.site.test"


VARIANTS = {
    "Django's defaults": Variant(),
    "no sessions": Variant(
        {
            "INSTALLED_APPS": [app for app in site.INSTALLED_APPS if app not in SESSIONS],
            "MIDDLEWARE": [m for m in site.MIDDLEWARE if m not in SESSION_MIDDLEWARE],
            "ROOT_URLCONF": "tests.urls_plain",
        }
    ),
    "LoginRequiredMiddleware": Variant(
        {
            "MIDDLEWARE": [
                *site.MIDDLEWARE,
                "django.contrib.auth.middleware.LoginRequiredMiddleware",
            ]
        }
    ),
    "USE_TZ False": Variant({"USE_TZ": False, "TIME_ZONE": NEW_YORK.key}),
    "COOKIE_DOMAIN": Variant(
        {"TOKENAUTH_COOKIE_DOMAIN": ".site.test"},
        {("__Secure-access_token", "/"), ("__Secure-refresh_token", "/auth/")},
    ),
    "COOKIE_SECURE False": Variant(
        {"TOKENAUTH_COOKIE_SECURE": False},
        {("access_token", "/"), ("refresh_token", "/auth/")},
        "http://app.site.test",
    ),
    "REFRESH_COOKIE_PATH /": Variant(
        {"TOKENAUTH_REFRESH_COOKIE_PATH": "/"},
        {("__Host-access_token", "/"), ("__Host-refresh_token", "/")},
    ),
    "included at the root": Variant(
        {"ROOT_URLCONF": "tests.urls_root"},
        {("__Host-access_token", "/"), ("__Host-refresh_token", "/")},
    ),
    "names of the site's own": Variant(
        {"TOKENAUTH_ACCESS_COOKIE_NAME": "a", "TOKENAUTH_REFRESH_COOKIE_NAME": "r"},
        {("__Host-a", "/"), ("__Secure-r", "/auth/")},
    ),
    "SameSite Strict": Variant({"TOKENAUTH_COOKIE_SAMESITE": "Strict"}),
    "lifetimes in seconds": Variant(
        {"TOKENAUTH_ACCESS_TOKEN_LIFETIME": 900, "TOKENAUTH_GRACE_PERIOD": 60}
    ),
    "ATOMIC_REQUESTS": Variant(),
    "FORCE_SCRIPT_NAME": Variant(
        {"FORCE_SCRIPT_NAME": "/app", "LOGIN_REDIRECT_URL": "/app/private/"},
        {("__Host-access_token", "/"), ("__Secure-refresh_token", "/app/auth/")},
    ),
}


class Proxy(httpx.BaseTransport):
    """A web server in front of a WSGI one: takes the prefix off, and serves nothing else."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self.transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raw_path = request.url.raw_path
        assert raw_path.startswith(b"/app/"), request.url
        request.url = request.url.copy_with(raw_path=raw_path.removeprefix(b"/app"))
        return self.transport.handle_request(request)

    def close(self) -> None:
        self.transport.close()


@pytest.fixture(params=VARIANTS)
def variant(request, transactional_db, settings, monkeypatch):
    """A site as it is when its server starts, and until it has ended."""
    chosen = VARIANTS[request.param]
    for name, value in chosen.settings.items():
        setattr(settings, name, value)
    if request.param == "ATOMIC_REQUESTS":
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    set_script_prefix(getattr(site, "FORCE_SCRIPT_NAME", None) or "/")
    yield chosen
    set_script_prefix("/")


@pytest.fixture
def visitor(variant, server, new_browser):
    """A browser that visits it."""
    browser = new_browser(origin=variant.origin)
    if "FORCE_SCRIPT_NAME" in variant.settings and server.kind == "wsgi":
        browser.network.transport = Proxy(browser.network.transport)
    return browser


@pytest.fixture
def clock():
    """The time, which the test can move; local time is New York's."""
    with time_machine.travel(datetime.now(NEW_YORK), tick=True) as clock:
        yield clock


def page(url):
    """Return the path of one of the site's own pages."""
    return reverse("tokenauth:login").removesuffix("auth/login/").removesuffix("login/") + url


def private(browser):
    """Return what the private page says, or the path of where it sends a stranger."""
    answer = browser.get(page("private/"))
    assert answer.status_code == 200
    return answer.text if answer.url.path.endswith("private/") else answer.url.path


def token_cookies(browser):
    return {
        (name, path) for name, path in browser.cookies if name not in ("csrftoken", "sessionid")
    }


@pytest.mark.users
def test_a_person_signs_in_stays_signed_in_and_signs_out(variant, visitor, user, clock):
    """On the pages, without a script."""
    assert private(visitor) == reverse("tokenauth:login")
    visitor.login(user)
    assert token_cookies(visitor) == variant.cookies
    assert f"Hello {user.get_username()}" in private(visitor)
    for rotation in (1, 2):
        clock.shift(timedelta(minutes=20))
        assert f"Hello {user.get_username()}" in private(visitor)
        assert AuthSession.objects.get().rotation == rotation
    assert "Firefox on Linux" in visitor.get(reverse("tokenauth:session_list")).text
    visitor.logout()
    assert token_cookies(visitor) == set()
    assert private(visitor) == reverse("tokenauth:login")
    assert AuthSession.objects.get().revoke_reason == "logout"


@pytest.mark.users
def test_a_person_proves_again_who_they_are(variant, visitor, user, clock):
    """On the page that asks, which starts a new session."""
    ask = reverse("tokenauth:reauthenticate")
    assert visitor.get(ask).url.path == reverse("tokenauth:login")
    visitor.login(user)
    clock.shift(timedelta(minutes=20))
    then = {"next": page("private/")}
    asked = visitor.get(ask, params=then)
    assert (asked.url.path, user.get_username() in asked.text) == (ask, True)
    shown = visitor.post_form(ask, then | {"password": PASSWORD})
    assert f"Hello {user.get_username()}" in shown.text
    assert token_cookies(visitor) == variant.cookies
    first, second = AuthSession.objects.order_by("created_at")
    assert (first.revoke_reason, second.revoke_reason) == ("replaced", "")
    assert second.authenticated_at - first.authenticated_at >= timedelta(minutes=20)


@pytest.mark.users
def test_a_script_signs_in_refreshes_and_signs_out(variant, visitor, user, clock):
    """With ``fetch``, in JSON."""
    credentials = {"username": user.get_username(), "password": PASSWORD}
    login = visitor.fetch("POST", reverse("tokenauth:api_login"), json=credentials)
    assert login.json()["user"]["username"] == user.get_username()
    assert token_cookies(visitor) == variant.cookies
    for rotation in (1, 2):
        clock.shift(timedelta(minutes=20))
        assert visitor.fetch("POST", reverse("tokenauth:refresh")).status_code == 200
        assert AuthSession.objects.get().rotation == rotation
        assert visitor.fetch("PUT", page("api/ping/"), json=[1]).json()["data"] == [1]
    clock.shift(timedelta(minutes=20))
    assert visitor.fetch("PUT", page("api/ping/"), json=[2]).json()["data"] == [2]
    assert visitor.fetch("POST", reverse("tokenauth:api_logout")).status_code == 204
    assert token_cookies(visitor) == set()
    assert visitor.fetch("GET", reverse("tokenauth:api_session")).json()["user"] is None
    assert visitor.fetch("PUT", page("api/ping/"), json=[3]).status_code == 401


@pytest.mark.parametrize("variant", ["Django's defaults", "no sessions"], indirect=True)
def test_a_view_of_the_sites_own_signs_in(variant, visitor, user, clock):
    """With ``tokenauth.pages.views.sign_in``, for months unless it says otherwise."""
    credentials = {"username": user.get_username(), "password": PASSWORD}
    answer = visitor.fetch("POST", page("own-login/"), data=credentials)
    assert answer.text == user.get_username()
    clock.shift(timedelta(days=20))
    assert f"Hello {user.get_username()}" in private(visitor)
    assert AuthSession.objects.get().persistent


@pytest.mark.users
@pytest.mark.usefixtures("variant")
def test_djangos_checks_have_nothing_to_say():
    """With the admin installed, and in every other way."""
    # Those of axes stay registered for the rest of the process that has tested it.
    assert [check for check in run_checks() if not check.id.startswith("axes.")] == []


@pytest.mark.parametrize("variant", ["COOKIE_DOMAIN"], indirect=True)
@pytest.mark.usefixtures("variant")
def test_a_cookie_domain_signs_in_on_its_other_hosts(visitor, user, clock):
    """What it is for; the refresh there is that host's own."""
    visitor.login(user)
    clock.shift(timedelta(minutes=20))
    answer = visitor.get("https://shop.site.test/private/")
    assert (answer.url.host, f"Hello {user.get_username()}" in answer.text) == (
        "shop.site.test",
        True,
    )


@pytest.mark.parametrize("variant", ["included at the root"], indirect=True)
@pytest.mark.usefixtures("variant")
def test_at_the_root_no_page_trusts_a_lone_refresh_token(visitor, user):
    """Every page is under the include there."""
    visitor.login(user)
    visitor.drop_cookie("__Host-access_token")
    assert private(visitor) == "/login/"
    assert AuthSession.objects.get().rotation == 0


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize("variant", ["USE_TZ False"], indirect=True)
@pytest.mark.usefixtures("variant")
@pytest.mark.parametrize("minutes", [20, 35, 50, 65, 130])
@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK),
        datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1),
        datetime(2026, 3, 8, 1, 30, tzinfo=NEW_YORK),
    ],
    ids=["autumn", "autumn, second time", "spring"],
)
def test_local_clocks_that_are_changed_sign_nobody_out(visitor, user, start, minutes):
    """Without ``USE_TZ`` an hour comes twice in autumn and never in spring, lost answers or not."""
    with time_machine.travel(start, tick=True) as clock:
        visitor.login(user)
        for _ in range(4):
            clock.shift(timedelta(minutes=minutes))
            with visitor.losing_answers(), pytest.raises(httpx.ReadError):
                visitor.fetch("POST", reverse("tokenauth:refresh"))
            assert f"Hello {user.get_username()}" in private(visitor)
        assert AuthSession.objects.active().count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a setting of PostgreSQL's")
@pytest.mark.parametrize("variant", ["Django's defaults", "ATOMIC_REQUESTS"], indirect=True)
@pytest.mark.usefixtures("variant")
def test_parallel_tabs_stay_signed_in_at_repeatable_read(visitor, user, clock, monkeypatch):
    """Whoever loses the race is told so by a serialization error, and looks again."""
    from psycopg import IsolationLevel  # noqa: PLC0415  # installed where PostgreSQL is tested

    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.setitem(options, "isolation_level", IsolationLevel.REPEATABLE_READ)
    visitor.login(user)
    for rotation in (1, 2, 3):
        clock.shift(timedelta(minutes=20))
        refresh = [lambda: visitor.fetch("POST", reverse("tokenauth:refresh"))] * 4
        read = [lambda: visitor.get("/private/")] * 4
        answers = visitor.parallel(*refresh, *read)
        assert [answer.status_code for answer in answers] == [200] * 8
        assert all(user.get_username() in answer.text for answer in answers[4:])
        assert AuthSession.objects.get().rotation == rotation


# Settings that a client sees


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("names", "lifetimes"),
    [
        ({}, (15, 30)),
        ({"SIMPLE_JWT": {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=7)}}, (7, 30)),
        ({"SIMPLE_JWT": {"REFRESH_TOKEN_LIFETIME": timedelta(days=3)}}, (15, 3)),
        (
            {
                "SIMPLE_JWT": {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=7)},
                "TOKENAUTH_ACCESS_TOKEN_LIFETIME": timedelta(minutes=4),
                "TOKENAUTH_REFRESH_TOKEN_LIFETIME": timedelta(days=2),
            },
            (4, 2),
        ),
    ],
    ids=["default", "access", "refresh", "ours first"],
)
def test_lifetimes_fall_back_to_simplejwts(client, user, settings, names, lifetimes):
    """Those of ``TOKENAUTH_*`` first, then the site's ``SIMPLE_JWT``, then the default."""
    for name, value in names.items():
        setattr(settings, name, value)
    start = datetime(2030, 1, 1, tzinfo=UTC)
    with time_machine.travel(start, tick=False):
        credentials = {"username": user.get_username(), "password": PASSWORD}
        answer = client.post("/auth/api/login/", credentials).json()
    ends = [datetime.fromisoformat(answer[f"{name}_expires_at"]) for name in ("access", "session")]
    minutes, days = lifetimes
    assert ends == [start + timedelta(minutes=minutes), start + timedelta(days=days)]


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_one_session_too_many_ends_the_one_that_was_not_used_for_longest(
    new_browser, user, settings, clock
):
    """The person's other devices stay signed in, and so does everybody else."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 2
    phone, laptop, tablet = devices = [new_browser(), new_browser(), new_browser()]
    for device in (phone, laptop):
        device.login(user)
        clock.shift(timedelta(minutes=1))
    clock.shift(timedelta(minutes=2))
    private(phone)  # used since
    clock.shift(timedelta(minutes=1))
    tablet.login(user)
    assert ["Hello" in private(device) for device in devices] == [True, False, True]
    assert AuthSession.objects.get(revoke_reason="limit").revoked_at
    assert token_cookies(laptop) == set()


# Another SECRET_KEY


OLD, NEW = site.SECRET_KEY, "the next key, which is just as long as the one before was"


@pytest.fixture
def keys(settings):
    """A function that gives the server these keys: the first signs."""

    def give(key, *fallbacks):
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = key, list(fallbacks)

    return give


@pytest.mark.users
@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
class TestSecretKeyRotation:
    """``SECRET_KEY_FALLBACKS`` keeps everybody signed in; without it people sign in again."""

    @pytest.fixture(autouse=True)
    def signed_in(self, browser, user, clock):
        """Alice, since before the rotation."""
        browser.login(user)

    def hello(self, browser, user):
        return f"Hello {user.get_username()}" in private(browser)

    def test_an_access_token_stays_good(self, browser, user, keys):
        """And the session's auth hash is brought up to date at once."""
        before = AuthSession.objects.get().auth_hash
        keys(NEW, OLD)
        assert self.hello(browser, user)
        assert browser.history[-1].request.url.path == "/private/"
        session = AuthSession.objects.get()
        assert session.rotation == 0
        assert before != session.auth_hash == user.get_session_auth_hash()

    def test_a_refresh_token_stays_good(self, browser, user, clock, keys):
        """Its successor is made under the new key, so the old one can go."""
        keys(NEW, OLD)
        clock.shift(timedelta(minutes=20))
        assert self.hello(browser, user)
        keys(NEW)
        for rotation in (1, 2):
            assert self.hello(browser, user)
            assert AuthSession.objects.get().rotation == rotation
            clock.shift(timedelta(minutes=20))

    @pytest.mark.parametrize("rotated_twice", [False, True], ids=["once", "twice"])
    def test_a_lost_answer_is_given_again(self, browser, user, clock, keys, rotated_twice):
        """The same token, under the key that it was made with."""
        clock.shift(timedelta(minutes=20))
        with browser.losing_answers(), pytest.raises(httpx.ReadError):
            browser.fetch("POST", "/auth/refresh/")
        keys(
            *(["a third key, which is as long as the others", NEW] if rotated_twice else [NEW]), OLD
        )
        assert self.hello(browser, user)
        assert AuthSession.objects.get().rotation == 1
        clock.shift(timedelta(minutes=20))
        assert self.hello(browser, user)
        assert AuthSession.objects.get().rotation == 2

    def test_a_server_without_the_new_key_leaves_everything_as_it_is(
        self, browser, user, clock, keys
    ):
        """In a rolling deploy it can't say who this is; the next request finds one that can."""
        clock.shift(timedelta(minutes=20))
        keys(NEW, OLD)
        with browser.losing_answers(), pytest.raises(httpx.ReadError):
            browser.fetch("POST", "/auth/refresh/")
        before, jar = AuthSession.objects.values().get(), browser.cookies
        keys(OLD)
        assert not self.hello(browser, user)
        assert browser.fetch("POST", "/auth/refresh/").status_code == 401
        assert AuthSession.objects.values().get() == before
        assert {cookie: browser.cookies[cookie] for cookie in TOKEN_COOKIES} == {
            cookie: jar[cookie] for cookie in TOKEN_COOKIES
        }
        keys(NEW, OLD)
        clock.shift(timedelta(seconds=20))  # the loop marker's time
        assert self.hello(browser, user)

    @pytest.mark.parametrize("minutes", [0, 20], ids=["valid", "expired"])
    def test_without_fallbacks_people_sign_in_again(self, browser, user, clock, keys, minutes):
        """A clean page for strangers, no loop, and the old cookies are in nobody's way."""
        clock.shift(timedelta(minutes=minutes))
        keys(NEW)
        start = len(browser.history)
        assert private(browser) == "/auth/login/"
        assert [answer.status_code for answer in browser.history[start:]] == [302, 200]
        assert token_cookies(browser) == TOKEN_COOKIES
        browser.login(user)
        assert self.hello(browser, user)
