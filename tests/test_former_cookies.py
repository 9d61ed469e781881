"""A site changes its cookie settings, and nobody who is signed in notices."""

from datetime import timedelta

import pytest
import time_machine
from django.http import HttpResponse
from django.urls import include, path
from django.utils import timezone

from tests import urls
from tests.factories import UserFactory
from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.request import cookies, settlement
from tokenauth.request.credentials import Credentials
from tokenauth.request.jar.places import domains_of

SITE = "site.test"
#: What a site had before and what it has since, each as settings.
CHANGES = {
    "to-https": ({"COOKIE_SECURE": False}, {"COOKIE_SECURE": True}),
    "names": ({"ACCESS_COOKIE_NAME": "a", "REFRESH_COOKIE_NAME": "r"}, {}),
    "access-name": ({"ACCESS_COOKIE_NAME": "a"}, {}),
    "refresh-name": ({"REFRESH_COOKIE_NAME": "r"}, {}),
    "to-domain": ({"COOKIE_DOMAIN": None}, {"COOKIE_DOMAIN": SITE}),
    "from-domain": ({"COOKIE_DOMAIN": SITE}, {"COOKIE_DOMAIN": None}),
    "domain-to-domain": ({"COOKIE_DOMAIN": f"app.{SITE}"}, {"COOKIE_DOMAIN": SITE}),
    "to-root": ({"REFRESH_COOKIE_PATH": "/auth/"}, {"REFRESH_COOKIE_PATH": "/"}),
    "from-root": ({"REFRESH_COOKIE_PATH": "/"}, {"REFRESH_COOKIE_PATH": "/auth/"}),
    "all": (
        {
            "ACCESS_COOKIE_NAME": "a",
            "REFRESH_COOKIE_NAME": "r",
            "REFRESH_COOKIE_PATH": "/",
            "COOKIE_SECURE": False,
            "COOKIE_DOMAIN": SITE,
        },
        {"REFRESH_COOKIE_PATH": "/auth/", "COOKIE_SECURE": True, "COOKIE_DOMAIN": None},
    ),
}
each_change = pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)


urlpatterns = [
    *(pattern for pattern in urls.urlpatterns if str(pattern.pattern) != "auth/"),
    path("accounts/", include("tokenauth.urls")),
]


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def apply(settings, options):
    for name, value in options.items():
        setattr(settings, f"TOKENAUTH_{name}", value)


@pytest.fixture
def change(settings, clock):
    """A function that changes settings as a site does that tells the former ones."""

    def change(before, after, *, told=True):
        clock.shift(1)
        for name in before.keys() - after.keys():
            delattr(settings, f"TOKENAUTH_{name}")
        apply(settings, after)
        entry = before | {"changed": timezone.now()}
        former = getattr(settings, "TOKENAUTH_FORMER_COOKIES", [])
        settings.TOKENAUTH_FORMER_COOKIES = [*former, entry] if told else []
        clock.shift(1)

    return change


def places(browser):
    """The places of the token cookies in a browser's jar."""
    live = (
        c for c in browser.jar if not c.is_expired() and c.name not in ("csrftoken", "sessionid")
    )
    return sorted((c.name, c.path, c.domain) for c in live if c.value)


def todays(browser):
    """The places where a browser keeps tokens under today's settings."""
    found = (cookies.access_place(), cookies.refresh_place())
    return sorted(
        (p.name, p.path, f".{p.domain}" if p.domain else browser.origin.host) for p in found
    )


@each_change
def test_nobody_notices_a_change(before, after, change, settings, clock, browser, user):
    """Signed in at once and after the next expiry, in one session; the old cookies are gone."""
    apply(settings, before)
    browser.login(user)
    change(before, after)
    assert browser.get("/whoami/").text == "alice"
    clock.shift(timedelta(minutes=16))
    assert browser.get("/whoami/").text == "alice"
    assert places(browser) == todays(browser)
    for _ in range(2):
        clock.shift(timedelta(minutes=16))
        assert browser.get("/whoami/").text == "alice"
    assert places(browser) == todays(browser)
    assert AuthSession.objects.get().active


def test_two_changes_in_a_row_sign_nobody_out(change, settings, clock, browser, new_browser, user):
    """Each entry says how it differs from today; who missed one comes from the first."""
    first, second, third = (
        {"ACCESS_COOKIE_NAME": n, "REFRESH_COOKIE_NAME": f"r{n}"} for n in "abc"
    )
    apply(settings, first)
    away = new_browser()
    for who in (browser, away):
        who.login(user)
    for before, after in ((first, second), (second, third)):
        change(before, after)
        clock.shift(timedelta(minutes=16))
        assert browser.get("/whoami/").text == "alice"
    assert away.get("/whoami/").text == "alice"
    assert places(browser) == places(away) == todays(browser)


@each_change
def test_a_change_that_is_taken_back_signs_nobody_out(
    before, after, change, settings, clock, browser, new_browser, user
):
    """Neither who came while it lasted nor who was away."""
    unset = dict.fromkeys(before.keys() - after.keys())
    after = after | {name: getattr(conf, name) for name in unset}
    apply(settings, before)
    away = new_browser()
    for who in (browser, away):
        who.login(user)
    change(before, after)
    clock.shift(timedelta(minutes=16))
    assert browser.get("/whoami/").text == "alice"
    change(after, before)
    clock.shift(timedelta(minutes=16))
    for who in (browser, away):
        assert who.get("/whoami/").text == "alice"
        assert places(who) == todays(who)


@each_change
@pytest.mark.parametrize("minutes", [0, 16])
def test_who_signs_out_after_a_change_is_out(
    before, after, minutes, change, settings, clock, browser, user
):
    """No former cookie is left that would sign them in again."""
    apply(settings, before)
    browser.login(user)
    change(before, after)
    clock.shift(timedelta(minutes=minutes))
    browser.get("/")
    browser.logout()
    assert not AuthSession.objects.get().active
    assert browser.get("/whoami/").text == "anonymous"
    assert places(browser) == []


@each_change
def test_who_signs_in_after_a_change_has_one_session(
    before, after, change, settings, clock, browser, user
):
    """A sign-in ends the session that the former cookies were of."""
    apply(settings, before)
    browser.login(user)
    change(before, after)
    browser.login(user)
    assert browser.get("/whoami/").text == "alice"
    assert places(browser) == todays(browser)
    assert AuthSession.objects.active().count() == 1


def test_after_the_idle_lifetime_nothing_former_is_read(change, settings, clock, browser, user):
    """Whatever comes under a former name then was kept by no browser."""
    apply(settings, {"ACCESS_COOKIE_NAME": "a", "ACCESS_TOKEN_LIFETIME": timedelta(days=10)})
    browser.login(user)
    change({"ACCESS_COOKIE_NAME": "a"}, {})
    kept = browser.copy_cookies()
    clock.shift(timedelta(days=9))
    assert browser.get("/whoami/").text == "alice"
    settings.TOKENAUTH_REFRESH_TOKEN_LIFETIME = timedelta(days=9)
    browser.paste_cookies(kept)
    assert browser.get("/whoami/").text == "anonymous"


def test_a_session_from_after_the_change_is_not_believed(change, settings, browser, user, clock):
    """Nobody had it under the former name, so it was planted."""
    change({"COOKIE_SECURE": False}, {"COOKIE_SECURE": True})
    browser.login(user)
    token = browser.value("__Host-access_token")
    browser.jar.clear()
    browser.set_cookie("access_token", token, domain=f".{SITE}")
    assert browser.get("/whoami/").text == "anonymous"


@pytest.fixture
def mallorys(change, settings, new_browser, clock):
    """The tokens of an attacker's session that is older than the move to https."""
    apply(settings, {"COOKIE_SECURE": False})
    mallory = new_browser()
    mallory.login(UserFactory(username="mallory"))
    tokens = mallory.value("access_token"), mallory.value("refresh_token")
    change({"COOKIE_SECURE": False}, {"COOKIE_SECURE": True})
    return tokens


@pytest.mark.parametrize("minutes", [0, 16])
def test_a_planted_older_session_counts_for_nothing_beside_todays(
    mallorys, minutes, clock, browser, user
):
    """Who is signed in stays so, now and after the next refresh."""
    browser.login(user)
    for name, token in zip(("access_token", "refresh_token"), mallorys, strict=True):
        browser.set_cookie(name, token, domain=f".{SITE}")
    clock.shift(timedelta(minutes=minutes))
    assert browser.get("/whoami/").text == "alice"
    assert browser.get("/auth/sessions/").url.path == "/auth/sessions/"
    assert browser.value("access_token") == mallorys[0]


@pytest.mark.parametrize("path", ["/whoami/", "/auth/sessions/", "/auth/refresh/"])
def test_a_lone_planted_refresh_token_of_before_signs_nobody_in(mallorys, path, browser):
    """Not even at the refresh URL, where a script's would count."""
    browser.set_cookie("refresh_token", mallorys[1], domain=f".{SITE}")
    browser.fetch("POST", path)
    assert browser.get("/whoami/").text == "anonymous"


def test_two_planted_twins_sign_nobody_in(mallorys, change, settings, new_browser, browser, clock):
    """Among the former cookies, too, those of two sessions cancel out."""
    apply(settings, {"COOKIE_SECURE": False})
    other = new_browser()
    other.login(UserFactory(username="bob"))
    token = other.value("access_token")
    change({"COOKIE_SECURE": False}, {"COOKIE_SECURE": True})
    browser.set_cookie("access_token", mallorys[0], domain=f".{SITE}")
    browser.set_cookie("access_token", token)
    assert browser.get("/whoami/").text == "anonymous"


def test_a_planted_token_loses_to_a_former_one_that_nobody_can_plant(
    settings, change, new_browser, browser, user, clock
):
    """A sibling's twin of the older session does not even sign the person out."""
    mallory = new_browser()
    apply(settings, {"ACCESS_COOKIE_NAME": "x"})
    browser.login(user)
    mallory.login(UserFactory(username="mallory"))
    token = mallory.value("__Host-x")
    change(
        {"COOKIE_DOMAIN": None, "ACCESS_COOKIE_NAME": "x"}, {"ACCESS_COOKIE_NAME": "access_token"}
    )
    settings.TOKENAUTH_FORMER_COOKIES += [
        {"COOKIE_SECURE": False, "changed": timezone.now()},
    ]
    browser.set_cookie("access_token", token, domain=f".{SITE}")
    assert browser.get("/whoami/").text == "alice"


def test_what_does_not_verify_is_not_deleted(change, settings, clock, browser, user):
    """A former cookie that is no token of ours stays where it is."""
    apply(settings, {"COOKIE_SECURE": False})
    change({"COOKIE_SECURE": False}, {"COOKIE_SECURE": True})
    browser.set_cookie("access_token", "theirs")
    browser.login(user)
    clock.shift(timedelta(minutes=16))
    assert browser.get("/whoami/").text == "alice"
    assert browser.value("access_token") == "theirs"


# The include moves, and with it the path of the refresh cookie


@pytest.fixture
def moved(settings, browser, user, clock):
    """A browser that signed in under /auth/, where the include was."""
    browser.login(user)
    clock.shift(1)
    settings.ROOT_URLCONF = __name__
    settings.TOKENAUTH_FORMER_COOKIES = [
        {"REFRESH_COOKIE_PATH": "/auth/", "changed": timezone.now()}
    ]
    clock.shift(timedelta(minutes=16))
    return browser


@pytest.mark.parametrize("page", ["/whoami/", "/accounts/sessions/"])
def test_a_bounce_goes_on_to_where_the_refresh_token_is(moved, page):
    """By the refresh URL of today and that of before, once; then never again."""
    assert moved.get(page).url.path == page
    assert places(moved) == todays(moved)
    paths = [answer.request.url.path for answer in moved.history[-4:]]
    assert paths == [page, "/accounts/refresh/", "/auth/refresh/", page]


def test_an_upload_survives_the_longer_way(moved):
    """Method and body, and the notes of long bodies, go with it."""
    answer = moved.fetch("POST", "/echo/", content=b"x" * 100_000)
    assert (answer.json()["username"], len(answer.json()["body"])) == ("alice", 100_000)


def test_a_script_is_sent_on_too(moved):
    """A POST to the refresh URL of today ends with its JSON answer."""
    answer = moved.fetch("POST", "/accounts/refresh/")
    assert (answer.status_code, answer.request.url.path) == (200, "/auth/refresh/")
    assert places(moved) == todays(moved)


def test_without_a_refresh_token_the_longer_way_ends(moved):
    """With an answer for nobody, after each refresh URL once."""
    moved.drop_cookie(cookies.refresh_name())
    before = len(moved.history)
    assert moved.get("/whoami/").text == "anonymous"
    assert len(moved.history) - before == 4


# Two access tokens of two sessions, of a site that tells no former settings


@pytest.fixture
def torn(settings, change, browser, user, clock):
    """A browser that holds the cookies of two sessions of Alice: host-only and of the domain."""
    apply(settings, {"COOKIE_DOMAIN": f"app.{SITE}"})
    browser.login(user)
    change({"COOKIE_DOMAIN": f"app.{SITE}"}, {"COOKIE_DOMAIN": SITE}, told=False)
    kept = browser.copy_cookies()
    browser.jar.clear()
    browser.login(user)
    for cookie in kept:
        if "token" in cookie.name and not cookie.name.startswith("csrf"):
            browser.jar.set_cookie(cookie)
    return browser


@pytest.mark.parametrize("minutes", [0, 16])
@pytest.mark.parametrize("live", ["first", "last"])
def test_an_ended_session_does_not_stand_in_the_way(torn, live, minutes, clock):
    """Its token is deleted, and the living one, wherever it is, stays."""
    order = "created_at" if live == "last" else "-created_at"
    ended = AuthSession.objects.order_by(order).first()
    AuthSession.objects.filter(pk=ended.pk).revoke("user")
    clock.shift(timedelta(minutes=minutes))
    assert torn.get("/whoami/").text == "alice"
    access = cookies.access_place()
    assert [p for p in places(torn) if p[0] == access.name] == [(access.name, "/", f".{SITE}")]
    for _ in range(2):
        clock.shift(timedelta(minutes=16))
        assert torn.get("/whoami/").text == "alice"
    assert [p for p in places(torn) if p[0] == access.name] == [(access.name, "/", f".{SITE}")]


def test_of_two_living_sessions_none_counts(torn):
    """Nobody knows whose browser it is; nothing is deleted."""
    before = places(torn)
    assert torn.get("/whoami/").text == "anonymous"
    assert places(torn) == before


def test_a_suspended_session_counts_as_living(torn, user):
    """Its time may not be over: nothing of it is deleted."""
    before = places(torn)
    user.is_active = False
    user.save()
    assert torn.get("/whoami/").text == "anonymous"
    assert places(torn) == before


@pytest.mark.parametrize(
    ("host", "domains"),
    [
        ("app.site.test:8000", [None, "app.site.test", "site.test"]),
        ("localhost", [None]),
        ("127.0.0.1:8000", [None]),
        ("[::1]:8000", [None]),
    ],
)
def test_the_domains_that_can_have_set_a_cookie(host, domains):
    """Each above the host that has a dot; an address has none."""
    assert domains_of(host) == domains


def test_a_cookie_of_the_sites_own_may_be_cached(rf):
    """What is not ours is none of our business."""
    response = HttpResponse()
    response.set_cookie("theme", "dark")
    settlement.delete_cookies(Credentials(rf.get("/")), response)
    assert "Cache-Control" not in response.headers


def test_of_two_ended_sessions_nothing_is_left(torn):
    """Both are deleted, wherever they are."""
    AuthSession.objects.all().revoke("user")
    assert torn.get("/whoami/").text == "anonymous"
    assert [p for p in places(torn) if p[0] == cookies.access_name()] == []


def test_a_site_with_no_former_cookies_pays_nothing(browser, user, server):
    """One query for a person, none for a page that asks for nobody."""
    browser.login(user)
    with server.count_queries() as queries:
        browser.get("/whoami/")
    assert len(queries) == 1
