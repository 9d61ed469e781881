"""Who guesses passwords is slowed down; who has a session never notices."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured, MultipleObjectsReturned
from django.db import OperationalError, connection, transaction
from django.db.models import Value
from django.db.models.functions import Collate
from django.test import Client
from django.urls import reverse
from rest_framework.exceptions import Throttled

from tests.factories import PASSWORD, SessionFactory, UserFactory
from tokenauth.models import AuthSession
from tokenauth.pages.forms import LoginForm
from tokenauth.request import cookies, throttling
from tokenauth.request.credentials import Credentials
from tokenauth.session import tokens

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
def test_logins_that_succeed_do_not_count(client, sign_in, door, user, others):
    """An office behind one address, or a script that signs in again and again."""
    statuses(sign_in, others, "alice")
    answers = [sign_in("alice", PASSWORD).status_code for _ in range(10)]
    assert answers == [LET_IN[door]] * 10
    client.cookies.clear()
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
    idents = {throttling.fold(name) for name in ("strasse", "straße")}
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


# The account, however it is spelt

#: What utf8mb4_unicode_ci overlooks, and no rule of Unicode's normal forms takes away.
OVERLOOKED = "\u0488\u06de\u0901\u0e4e\u0f7e"


@pytest.fixture
def overlooking(monkeypatch):
    """A database that finds "alice" by any spelling: MariaDB itself, or the like of it."""

    def find(manager, username):
        typed = username.translate(dict.fromkeys(map(ord, OVERLOOKED)))
        if connection.vendor == "mysql":
            typed = Collate(Value(username), "utf8mb4_unicode_ci")
        return manager.get(**{manager.model.USERNAME_FIELD: typed})

    monkeypatch.setattr(type(get_user_model()._default_manager), "get_by_natural_key", find)


def test_an_account_has_one_limit_however_it_is_spelt(sign_in, door, user, overlooking, failures):
    """MariaDB overlooks characters that no list of ours knows: each gave ten guesses more."""
    spellings = [f"ali{c * n}ce" for c in OVERLOOKED for n in (1, 2)]
    found = [
        sign_in(name, "guess", REMOTE_ADDR=f"192.0.2.{n}").status_code
        for n, name in enumerate(spellings)
    ]
    assert found == [REFUSED[door]] * 3 + [429] * 7
    assert len(failures) == 3
    assert sign_in("alice", PASSWORD).status_code == 429


@pytest.mark.parametrize("exists", [True, False])
def test_no_other_spelling_tells_whether_there_is_such_an_account(sign_in, door, db, exists):
    """A name that nobody has shares its limit with its spellings, as an account does."""
    if exists:
        UserFactory(username="alice")
    assert statuses(sign_in, 3, "alice") == [REFUSED[door]] * 3
    assert statuses(sign_in, 1, "ÁLICE ") == [429]


def test_a_name_of_nothing_but_what_is_overlooked_is_limited_too():
    """It is folded away to nothing."""
    attempts = [throttling.LoginAttempt(None, "\u200b\u0301") for _ in range(3)]
    assert len(attempts) == 3
    with pytest.raises(Throttled):
        throttling.LoginAttempt(None, "\u200b\u0301")


ODD = {
    "nothing": "",
    "nul": "\0",
    "nul-inside": "al\0ice",
    "long-number": "9" * 5000,
    "emoji": "😀" * 1000,
    "four-kilobytes": "x" * 4096,
    "quote": "'",
    "wildcard": "%",
    "right-to-left": "\u202e",
    "letter": "ß",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
@pytest.mark.parametrize("field", ["own", "id"])
def test_a_name_that_nobody_can_have_is_nobodys(user, name, field, monkeypatch):
    """A NUL on PostgreSQL; letters where the model signs in by a number, or a UUID."""
    if field == "id":
        monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")
    with transaction.atomic():
        assert throttling.find_user(name) is None
        throttling.LoginAttempt(None, name)


def test_a_user_who_signs_in_by_a_number_is_limited(user, monkeypatch):
    """What is counted is text."""
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")
    assert throttling.find_user(str(user.pk)) == user
    for _ in range(3):
        throttling.LoginAttempt(None, str(user.pk))
    with pytest.raises(Throttled):
        throttling.LoginAttempt(None, str(user.pk))


@pytest.mark.parametrize("error", [AttributeError, MultipleObjectsReturned])
def test_a_model_that_knows_nobody_by_a_name_is_counted_by_names(user, monkeypatch, error):
    """A site with a backend of its own need have no such manager, nor unique names."""

    def find(manager, username):
        raise error

    monkeypatch.setattr(type(get_user_model()._default_manager), "get_by_natural_key", find)
    for _ in range(3):
        throttling.LoginAttempt(None, "alice")
    with pytest.raises(Throttled):
        throttling.LoginAttempt(None, "ALICE")


def test_a_database_that_is_down_is_no_unknown_name(user, monkeypatch):
    """The login itself would fail as well."""

    def find(manager, username):
        raise OperationalError("the database is gone")

    monkeypatch.setattr(type(get_user_model()._default_manager), "get_by_natural_key", find)
    with pytest.raises(OperationalError):
        throttling.LoginAttempt(None, "alice")


def test_who_is_refused_for_the_address_costs_no_query(rf, user, django_assert_num_queries):
    """Nor does a site pay for limits that it has turned off."""
    for n in range(5):
        throttling.LoginAttempt(rf.get("/"), f"somebody{n}")
    with django_assert_num_queries(0), pytest.raises(Throttled):
        throttling.LoginAttempt(rf.get("/"), "alice")


def test_an_account_without_a_limit_is_not_looked_up(user, settings, django_assert_num_queries):
    """Nobody counts it."""
    settings.TOKENAUTH_LOGIN_RATES = {"account": None}
    with django_assert_num_queries(0):
        throttling.LoginAttempt(None, "alice")


# Browsers that know the account


@pytest.fixture
def own(user, door, sign_in, clock):
    """A function that tries a password in the browser where alice has signed in."""
    browser = Client()
    assert by_form(browser, "alice", PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 302

    def try_password(username, password, **extra):
        return DOORS[door](browser, username, password, REMOTE_ADDR="192.0.2.1", **extra)

    try_password.browser = browser
    return try_password


def keep(browser, *names):
    """Let a browser forget every cookie but these."""
    for name in [*browser.cookies]:
        if name not in names:
            del browser.cookies[name]


def be_older(browser, clock):
    clock.shift(timedelta(days=200))


def be_signed_out_by_staff(browser, clock):
    AuthSession.objects.all().revoke("admin")


def be_stolen(browser, clock):
    AuthSession.objects.all().revoke("reuse")


def have_a_new_password(browser, clock):
    user = get_user_model().objects.get()
    user.set_password("another-pass-1")
    user.save()
    user.set_password(PASSWORD)  # another hash of the same
    user.save()


def bring_only_the_access_token(browser, clock):
    keep(browser, cookies.access_name())


def bring_only_the_refresh_token(browser, clock):
    keep(browser, cookies.refresh_name())


@pytest.mark.parametrize(
    "happens",
    [
        None,
        be_older,
        be_signed_out_by_staff,
        be_stolen,
        have_a_new_password,
        bring_only_the_access_token,
        bring_only_the_refresh_token,
    ],
)
def test_strangers_do_not_shut_the_owners_browser_out(sign_in, door, own, clock, happens):
    """It shows a genuine token of the account, however old (OWASP: device cookies)."""
    if happens:
        happens(own.browser, clock)
    assert statuses(sign_in, 4, "alice") == [REFUSED[door]] * 3 + [429]
    assert own("alice", PASSWORD).status_code == LET_IN[door]
    assert sign_in("alice", PASSWORD).status_code == 429


def test_the_owners_browser_is_limited_by_itself(sign_in, door, own):
    """A stolen token gives no more guesses than anybody has; nor does it shut others out."""
    assert statuses(own, 4, "alice") == [REFUSED[door]] * 3 + [429]
    assert own("alice", PASSWORD).status_code == 429
    assert statuses(sign_in, 2, "alice") == [REFUSED[door]] * 2
    assert sign_in("alice", PASSWORD).status_code == LET_IN[door]


def test_two_browsers_of_one_person_are_two(door, own, user):
    """A child that plays with the tablet shuts nobody out of the laptop."""
    tablet = Client()
    by_form(tablet, "alice", PASSWORD)
    statuses(own, 4, "alice")
    assert by_form(tablet, "alice", PASSWORD).status_code == 302


def test_a_browser_is_known_to_its_own_account_alone(sign_in, door, own):
    """Else an account of one's own would open a limit of its own on any other."""
    UserFactory(username="bob")
    statuses(sign_in, 3, "bob")
    assert own("bob", PASSWORD).status_code == 429


def test_a_session_whose_row_is_gone_is_forgotten(sign_in, door, own):
    """Nobody can tell any more whose it was."""
    AuthSession.objects.all().delete()
    statuses(sign_in, 3, "alice")
    assert own("alice", PASSWORD).status_code == 429


def test_a_forged_token_makes_no_known_browser(sign_in, door, own, settings):
    """The id of a session alone proves nothing."""
    settings.SECRET_KEY = "another key, as long as a real one would have to be"
    statuses(sign_in, 3, "alice")
    assert own("alice", PASSWORD).status_code == 429


def access_cookie(session):
    return f"{cookies.access_name()}={tokens.issue_access_token(session)[0].reveal()}"


def test_a_hundred_sessions_are_not_a_hundred_limits(rf, user, settings):
    """Who knew the old password could sign in for a stock of them, to guess the new one."""
    settings.TOKENAUTH_LOGIN_RATES = {"address": None, "account": "1/10m"}
    brought = [access_cookie(SessionFactory(user=user)) for _ in range(throttling.BROWSERS + 1)]
    requests = [rf.get("/", HTTP_COOKIE=cookie) for cookie in brought]
    for request in requests:
        Credentials(request).attach()
    for request in requests[:-1]:
        throttling.LoginAttempt(request, "alice")
    with pytest.raises(Throttled):
        throttling.LoginAttempt(requests[-1], "alice")
    throttling.LoginAttempt(None, "alice")  # a stranger has a limit of his own


def test_a_browser_is_known_to_whoever_has_signed_in_there_before(rf, user, settings):
    """Also beside the person who is signed in there now."""
    settings.TOKENAUTH_LOGIN_RATES = {"address": None, "account": "1/10m"}
    now, before = SessionFactory(user=UserFactory(username="bob")), SessionFactory(user=user)
    refresh = tokens.remake_refresh_token(before).reveal()
    cookie = f"{access_cookie(now)}; {cookies.refresh_name()}={refresh}"
    request = rf.get("/", HTTP_COOKIE=cookie)
    Credentials(request).attach()
    throttling.LoginAttempt(None, "alice")
    throttling.LoginAttempt(request, "alice")
    with pytest.raises(Throttled):
        throttling.LoginAttempt(request, "alice")


@pytest.mark.parametrize("name", ["alice", "nobody-at-all"])
def test_a_token_does_not_tell_by_the_queries_whether_a_name_is_taken(
    rf, user, django_assert_num_queries, name
):
    """The session is looked for whoever is named."""
    request = rf.get("/", HTTP_COOKIE=access_cookie(SessionFactory()))
    Credentials(request).attach()
    with django_assert_num_queries(2):
        throttling.LoginAttempt(request, name)
