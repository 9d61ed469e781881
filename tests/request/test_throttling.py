"""Who guesses passwords is slowed down; who has a session never notices."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse

from tests.factories import PASSWORD, UserFactory
from tokenauth.models import AuthSession
from tokenauth.pages.forms import LoginForm
from tokenauth.request import throttling

START = datetime(2030, 1, 1, 12, tzinfo=UTC)  # where a window of any length begins
TOO_MANY = "Too many sign-ins have failed."

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(settings):
    """A time of its own, hence no attempts of other tests, and limits that are soon reached."""
    settings.TOKENAUTH_LOGIN_RATES = {"address": "5/m", "account": "3/10m"}
    cache.clear()
    with time_machine.travel(START, tick=False) as clock:
        yield clock
    cache.clear()


def by_form(client, username, password, **extra):
    data = {"username": username, "password": password}
    return client.post(reverse("tokenauth:login"), data, secure=True, **extra)


def by_api(client, username, password, **extra):
    data = {"username": username, "password": password}
    return client.post(
        reverse("tokenauth:api_login"), data, "application/json", secure=True, **extra
    )


DOORS = {"form": by_form, "api": by_api}
REFUSED = {"form": 200, "api": 401}
LET_IN = {"form": 302, "api": 200}


@pytest.fixture(params=DOORS)
def door(request):
    """Each of the two ways in."""
    return request.param


@pytest.fixture
def sign_in(client, door):
    """A function that tries a password there and returns the answer."""
    return lambda *args, **extra: DOORS[door](client, *args, **extra)


@pytest.fixture
def failures():
    """A list that grows with each password that was found wrong."""
    seen = []

    def note(credentials, **kwargs):
        seen.append(credentials["username"])

    user_login_failed.connect(note)
    yield seen
    user_login_failed.disconnect(note)


def statuses(sign_in, times, username, **extra):
    return [sign_in(username, f"guess-{n}", **extra).status_code for n in range(times)]


def test_an_account_is_closed_to_guesses_until_the_window_ends(sign_in, door, user, clock):
    """Even to the right one: else the limit would tell which guess is right."""
    assert statuses(sign_in, 4, "alice") == [REFUSED[door]] * 3 + [429]
    clock.shift(timedelta(minutes=9))
    answer = sign_in("alice", PASSWORD)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    clock.shift(timedelta(minutes=1))
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]


def test_a_refused_password_is_not_looked_at(sign_in, user, failures):
    """Nor does checking it cost the server anything."""
    statuses(sign_in, 6, "alice")
    assert len(failures) == 3


def test_an_address_is_closed_to_many_accounts(sign_in, door, user, clock):
    """And another address is not."""
    found = [status for n in range(6) for status in statuses(sign_in, 1, f"somebody{n}")]
    assert found == [REFUSED[door]] * 5 + [429]
    assert sign_in("alice", PASSWORD).status_code == 429
    assert sign_in("alice", PASSWORD, REMOTE_ADDR="192.0.2.7").status_code == LET_IN[door]
    clock.shift(timedelta(minutes=1))
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]


def test_the_form_and_the_api_count_together(client, user):
    """Who is refused at one door need not try the other."""
    for _ in range(3):
        by_form(client, "alice", "wrong")
    assert by_api(client, "alice", PASSWORD).status_code == 429
    assert by_form(client, "alice", PASSWORD).status_code == 429


def test_an_attempt_that_was_refused_for_its_address_costs_the_account_nothing(sign_in, door, user):
    """One address alone can't keep an account closed beyond its own limit."""
    statuses(sign_in, 6, "somebody")
    assert set(statuses(sign_in, 9, "alice")) == {429}
    assert sign_in("alice", PASSWORD, REMOTE_ADDR="192.0.2.7").status_code == LET_IN[door]


@pytest.mark.parametrize("others", [0, 2])
def test_logins_that_succeed_do_not_count(sign_in, door, user, others):
    """An office behind one address, or a script that signs in again and again."""
    statuses(sign_in, others, "alice")
    answers = [sign_in("alice", PASSWORD).status_code for _ in range(10)]
    assert answers == [LET_IN[door]] * 10
    assert statuses(sign_in, 2, "alice") == ([REFUSED[door]] * (3 - others) + [429])[:2]


def test_what_is_not_even_a_login_does_not_count(sign_in, door, user):
    """A form without a password is only a mistake."""
    assert 429 not in [sign_in("alice", "").status_code for _ in range(10)]
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]


def test_another_site_cannot_close_an_account(client, user):
    """What is refused for where it comes from is not counted."""
    for _ in range(9):
        answer = by_api(client, "alice", "guess", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
    assert by_api(client, "alice", PASSWORD).status_code == 200


def test_the_owner_keeps_the_sessions_they_have(sign_in, user, clock):
    """Only the way in is closed."""
    browser = Client()
    by_form(browser, "alice", PASSWORD)
    statuses(sign_in, 4, "alice")
    assert "alice" in browser.get("/whoami/", secure=True).text
    clock.shift(timedelta(minutes=9))
    cache.clear()
    clock.shift(timedelta(minutes=9))
    statuses(sign_in, 4, "alice")
    refreshed = browser.post(reverse("tokenauth:refresh"), secure=True)
    assert refreshed.status_code == 200
    assert browser.get("/whoami/", secure=True).text == "alice"


def test_nobody_is_told_whether_there_is_such_an_account(sign_in, user):
    """A name that nobody has is limited like any other."""
    assert statuses(sign_in, 4, "alice") == statuses(
        sign_in, 4, "nobody-at-all", REMOTE_ADDR="192.0.2.9"
    )


def test_the_form_is_shown_again_with_a_plain_message(client, user):
    """It can be sent again from where it is, and says when."""
    answers = [by_form(client, "alice", "wrong") for _ in range(4)]
    page = answers[-1].text
    assert f"{TOO_MANY} Try again in 10 minutes." in page
    assert 'name="password"' in page
    assert 'aria-invalid="true"' not in page
    assert "Retry-After" not in answers[0].headers


def test_the_last_minute_is_one_minute(client, user, clock):
    """A person is not told to wait for 0 minutes."""
    for _ in range(3):
        by_form(client, "alice", "wrong")
    clock.shift(timedelta(minutes=9, seconds=30))
    assert "Try again in 1 minute." in by_form(client, "alice", "wrong").text


def test_the_api_says_it_in_its_own_form(client, user):
    """Like any other error."""
    body = [by_api(client, "alice", "wrong") for _ in range(4)][-1].json()
    assert body["code"] == "throttled"
    assert body["detail"].startswith(TOO_MANY)


def test_a_refusal_is_logged_without_the_name(client, user, caplog):
    """An administrator can see it; a log is no list of accounts."""
    for _ in range(4):
        by_api(client, "alice", "wrong")
    lines = [r.getMessage() for r in caplog.records if r.name == "tokenauth.security"]
    assert lines == ["A login was refused: too many have failed per account."]


@pytest.mark.parametrize(
    "spelling", ["ALICE", " alice ", "álice", "\uff21lice", "ali\u200bce", "a\u0301lice"]
)
def test_another_spelling_is_no_other_account(client, user, spelling):
    """Databases overlook case, accents and spaces; the limit must not be had for each."""
    for _ in range(3):
        by_api(client, spelling, "wrong")
    assert by_api(client, "alice", PASSWORD).status_code == 429


def test_letters_that_become_two_are_folded_too():
    """What is lower case already may still be another spelling."""
    idents = {throttling.AccountThrottle(name).get_ident(None) for name in ("strasse", "straße")}
    assert len(idents) == 1


def test_other_accounts_stay_open(client, user, settings):
    """The limit is the account's own."""
    other = UserFactory(username="alicia")
    for _ in range(4):
        by_api(client, "alice", "wrong")
    assert by_api(client, other.get_username(), PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("meta", "proxies", "ident"),
    [
        ({"REMOTE_ADDR": "192.0.2.7"}, 0, "192.0.2.7"),
        ({"REMOTE_ADDR": "2001:db8:1:2:3:4:5:6"}, 0, "2001:db8:1:2::/64"),
        ({"REMOTE_ADDR": "::ffff:192.0.2.7"}, 0, "192.0.2.7"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, 1, "9.9.9.9"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6, 9.9.9.9"}, 1, "9.9.9.9"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, 2, "10.0.0.1"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, 0, ""),
        ({"REMOTE_ADDR": "100.64.0.1", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, 0, ""),
        ({"REMOTE_ADDR": "8.8.8.8", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, 0, "8.8.8.8"),
        ({"REMOTE_ADDR": ""}, 0, ""),
        (None, 0, ""),
    ],
    ids=[
        "plain",
        "ipv6-of-one-customer",
        "mapped",
        "behind-a-proxy",
        "spoofed",
        "past-the-proxy",
        "a-proxy-nobody-told-us-of",
        "a-proxy-in-shared-address-space",
        "spoofed-without-a-proxy",
        "socket",
        "no-request",
    ],
)
def test_the_address_that_counts(rf, settings, meta, proxies, ident):
    """The client's as far as it can be known; what can't is nobody's fault."""
    settings.TOKENAUTH_TRUSTED_PROXY_COUNT = proxies
    request = None if meta is None else rf.get("/")
    if request:
        request.META.update(meta)
    assert throttling.AddressThrottle().get_ident(request) == ident


def test_everybody_behind_an_unknown_proxy_is_not_one(client, user):
    """One who guesses would keep all the others out."""
    proxied = {"headers": {"X-Forwarded-For": "9.9.9.9"}}
    found = {by_api(client, f"somebody{n}", "wrong", **proxied).status_code for n in range(9)}
    assert found == {401}


@pytest.mark.parametrize(
    ("rates", "limits"),
    [
        (None, (None, None)),
        ({}, ((60, 60), (10, 600))),
        ({"account": None}, ((60, 60), (None, None))),
        ({"address": "7/2h", "account": "9/day"}, ((7, 7200), (9, 86400))),
    ],
    ids=["off", "defaults", "one-off", "both"],
)
def test_a_site_sets_its_own_limits(settings, rates, limits):
    """None turns one off, or both; what is left out keeps its default."""
    settings.TOKENAUTH_LOGIN_RATES = rates
    expected = ((None, None), (None, None)) if rates is None else limits
    throttles = throttling.AddressThrottle(), throttling.AccountThrottle("alice")
    assert tuple((t.num_requests, t.duration) for t in throttles) == expected


@pytest.mark.parametrize("rates", [None, {"address": None, "account": None}], ids=["all", "each"])
def test_without_limits_nobody_is_refused(sign_in, door, user, settings, rates):
    """For sites that have django-axes, or a firewall that counts."""
    settings.TOKENAUTH_LOGIN_RATES = rates
    assert statuses(sign_in, 20, "alice") == [REFUSED[door]] * 20
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]


def test_a_rate_that_cannot_be_read_is_named(settings):
    """For who ignores the system check."""
    settings.TOKENAUTH_LOGIN_RATES = {"account": "often"}
    with pytest.raises(ImproperlyConfigured, match="'often'"):
        throttling.AccountThrottle("alice")


class BrokenCache:
    """A cache whose server is gone."""

    def fail(self, *args, **kwargs):
        raise ConnectionError("the cache is gone")

    add = incr = get = set = touch = fail


def test_a_cache_that_fails_refuses_nobody_and_lets_nobody_in(
    sign_in, door, user, monkeypatch, caplog
):
    """It is no reason to close a site; the password still is what counts."""
    monkeypatch.setattr(throttling.LoginThrottle, "cache", BrokenCache())
    assert statuses(sign_in, 5, "alice") == [REFUSED[door]] * 5
    assert not AuthSession.objects.exists()
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]
    failures = [r for r in caplog.records if r.name == "tokenauth.security"]
    assert {r.levelno for r in failures} == {logging.ERROR}


def test_a_cache_that_keeps_nothing_limits_nobody(sign_in, door, user, settings):
    """Django's DummyCache, in development."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert statuses(sign_in, 9, "alice") == [REFUSED[door]] * 9


def test_a_cache_that_keeps_nothing_is_no_failure(sign_in, door, user, settings, caplog):
    """A login that succeeds has no attempt to take back."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]
    assert [r for r in caplog.records if r.name == "tokenauth.security"] == []


def test_a_cache_with_a_shorter_timeout_keeps_the_window(
    sign_in, door, user, settings, tmp_path, clock
):
    """In files, as in a database, ``incr`` puts the cache's own timeout in place of ours."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path), "TIMEOUT": 60}}
    assert statuses(sign_in, 3, "alice") == [REFUSED[door]] * 3
    clock.shift(timedelta(minutes=2))
    assert sign_in("alice", PASSWORD).status_code == 429


def test_the_cache_tells_neither_names_nor_addresses(client, user, monkeypatch):
    """Its keys are hashed with the site's key."""
    keys = []
    monkeypatch.setattr(throttling.LoginThrottle, "count", lambda self: keys.append(self.key) or 1)
    by_api(client, "alice", "wrong")
    assert len(keys) == 2
    assert not any(word in key for key in keys for word in ("alice", "127.0.0.1"))


def test_guesses_at_the_same_instant_all_count(monkeypatch):
    """A list that is read and written back would miss all but one of them."""
    meeting = threading.Barrier(5)

    def meet(self):
        meeting.wait(10)
        return START.timestamp()

    monkeypatch.setattr(throttling.LoginThrottle, "timer", meet)
    with ThreadPoolExecutor(5) as pool:
        throttles = [throttling.AccountThrottle("alice") for _ in range(5)]
        allowed = list(pool.map(lambda throttle: throttle.allow_request(None, None), throttles))
    assert sorted(allowed) == [False, False, True, True, True]


def test_the_form_works_without_a_request(user):
    """As Django's own does; the account is limited all the same."""
    forms = [LoginForm(data={"username": "alice", "password": "wrong"}) for _ in range(4)]
    assert [form.is_valid() for form in forms] == [False] * 4
    assert [form.has_error("__all__", "throttled") for form in forms] == [False] * 3 + [True]
