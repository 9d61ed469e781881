"""The browser that binds sessions is worth something: it does what Chromium does."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from tests.device.client import DeviceBrowser
from tests.device.keys import ES256, RS256
from tests.device.wire import open_browser
from tokenauth.models import AuthSession

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False) as clock:
        yield clock


@pytest.fixture
def browser(settings, clock):
    settings.TOKENAUTH_DEVICE_BINDING = True
    browser = open_browser()
    yield browser
    browser.close()


@pytest.fixture
def bound(browser, user, clock):
    """A browser whose session is bound."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    assert browser.get("/whoami/").text == user.get_username()
    assert AuthSession.objects.get().device_key
    return browser


REFRESH = "/auth/device/refresh/"


@pytest.mark.parametrize("kind", [ES256, RS256])
def test_it_binds_and_refreshes(browser, user, clock, kind):
    """With a key of either kind, over hours, by few signatures."""
    browser.network.make_key = kind
    browser.login(user)
    for minutes in (2, *[10] * 20):
        clock.shift(timedelta(minutes=minutes))
        assert browser.get("/whoami/").text == user.get_username()
    session = AuthSession.objects.get()
    assert session.device_key
    assert session.rotation > 5
    assert browser.network.counts == {"registered": 1, "refreshed": 20}
    assert len(browser.network.signatures) <= 21


def test_a_request_waits_for_the_cookie_unless_it_is_out_of_scope(bound, clock):
    """The login page needs none, and another site's link gets none at first."""
    wire = bound.network.transport
    clock.shift(timedelta(minutes=10))
    bound.get("/auth/login/")
    bound.client.get("/whoami/", headers={"Sec-Fetch-Site": "cross-site"})
    assert not wire.asked(REFRESH)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_of_twenty_at_once_one_refreshes(server, settings, clock, user):
    """The others wait for it."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    browser = DeviceBrowser(server)
    browser.login(user)
    for seconds in (62, 600):
        clock.shift(timedelta(seconds=seconds))
        answers = browser.parallel(*[lambda: browser.get("/whoami/")] * 20)
        assert {answer.text for answer in answers} == {user.get_username()}
    assert browser.network.counts == {"registered": 1, "refreshed": 1}
    browser.close()


@pytest.mark.django_db(transaction=True)
def test_a_link_of_another_site_comes_in_at_the_second_try(server, settings, clock, user):
    """The page that loads itself again is this site's own."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    browser = DeviceBrowser(server)
    browser.login(user)
    for seconds in (62, 600):
        clock.shift(timedelta(seconds=seconds))
        answer = browser.get("/whoami/", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.text == user.get_username()
    assert AuthSession.objects.get().device_key
    browser.close()


@pytest.mark.parametrize(
    ("status", "keeps", "says"),
    [
        (500, True, "server_error"),
        (503, True, "server_error"),
        (407, True, "server_error"),
        (400, False, None),
        (401, False, None),
        (404, False, None),
        (429, False, None),
        (302, False, None),
        (403, False, None),
    ],
)
def test_what_a_refresh_is_answered_decides_over_the_key(bound, clock, status, keeps, says):
    """Chromium keeps it where the server may be back, and at the fourth refusal gives it up."""
    wire = bound.network.transport
    clock.shift(timedelta(minutes=10))
    wire.answers[REFRESH] = status
    bound.fetch("GET", "/whoami/")
    assert len(wire.asked(REFRESH)) == (4 if status == 403 else 1)
    assert bool(bound.keys) is keeps
    skipped = wire.asked("/whoami/")[-1].get("secure-session-skipped", "")
    assert skipped.partition(";")[0] == (says or "deleted")


def test_it_forgets_a_session_that_has_ended(bound, clock):
    """The server says so at the next refresh."""
    AuthSession.objects.all().revoke("admin")
    clock.shift(timedelta(minutes=10))
    assert bound.get("/whoami/").text == "anonymous"
    assert not bound.keys


def test_a_copy_of_its_jar_is_worth_nothing_when_the_cookie_is_over(bound, user, clock):
    """Nor with a proof that was read along the way, once that is old."""
    clock.shift(timedelta(minutes=10))
    bound.get("/whoami/")
    [session] = bound.keys.values()
    thief = open_browser()
    thief.paste_cookies(bound.copy_cookies())
    assert thief.get("/whoami/").text == user.get_username()
    clock.shift(timedelta(minutes=16))
    assert thief.get("/whoami/").text == "anonymous"
    assert thief.fetch("POST", "/auth/refresh/").status_code == 401
    assert thief.replay(session).status_code == 403
    assert bound.get("/whoami/").text == user.get_username()
    thief.close()


def test_after_a_restart_it_asks_for_a_challenge(bound, user, clock):
    """What the disk has is the key and the cookies."""
    wire = bound.network.transport
    bound.paste_keys(bound.copy_keys())
    clock.shift(timedelta(minutes=10))
    assert bound.get("/whoami/").text == user.get_username()
    proofs = [headers.get("secure-session-response") for headers in wire.asked(REFRESH)]
    assert [bool(proof) for proof in proofs] == [False, True]


def test_it_signs_no_more_than_chrome_does(bound, clock):
    """Six in nine minutes; then it says why it goes without."""
    wire = bound.network.transport
    for _ in range(6):
        bound.paste_keys(bound.copy_keys())
        bound.lose_device_cookies()
        bound.fetch("GET", "/whoami/")
    skipped = wire.asked("/whoami/")[-1]["secure-session-skipped"]
    assert skipped.startswith("quota_exceeded")
    assert len(bound.network.signatures) == 6


def test_a_device_token_that_was_good_at_first_lets_a_slow_page_in(bound, settings, clock, user):
    """A page may read a big file before it asks who is there."""
    settings.TEST_MEANWHILE = lambda: clock.shift(timedelta(minutes=16))
    assert bound.get("/asks-late/").text == user.get_username()
