"""A site's policy for Django's sessions counts, on whichever way somebody came in."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from tests.factories import PASSWORD
from tokenauth.models import AuthSession

pytestmark = [pytest.mark.django_db, pytest.mark.users]

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
WAYS = {
    "page": ("/auth/login/", {"remember": "on"}),
    "page-unticked": ("/auth/login/", {}),
    "api": ("/auth/api/login/", {}),
    "api-yes": ("/auth/api/login/", {"remember": "true"}),
    "api-no": ("/auth/api/login/", {"remember": "false"}),
    "djangos-login": ("/django-login/", {}),
    "our-sign-in": ("/own-login/", {}),
}
#: Where nobody is asked.
UNSAID = {"api", "djangos-login", "our-sign-in"}
TICKED = {"page", "api-yes"}

every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def browser():
    return Client(headers={"X-Forwarded-Proto": "https"})


def sign_in(browser, user, way):
    url, fields = WAYS[way]
    answer = browser.post(url, {"username": user.get_username(), "password": PASSWORD} | fields)
    assert answer.status_code in {200, 302}
    return answer


def is_in(browser):
    return browser.get("/whoami/").text != "anonymous"


@every_way
def test_who_is_idle_for_longer_than_the_site_allows_is_out(settings, browser, user, clock, way):
    """SESSION_COOKIE_AGE, where a site has set it, is how long that is; work goes on meanwhile."""
    settings.SESSION_COOKIE_AGE = 900
    sign_in(browser, user, way)
    for _ in range(5):
        clock.shift(timedelta(minutes=9))
        assert is_in(browser)
    clock.shift(timedelta(minutes=15, seconds=1))
    assert not is_in(browser)


def test_who_works_all_the_time_is_not_out(settings, browser, user, clock):
    """Though idle time is counted at rotations: tokens are short enough for that."""
    settings.SESSION_COOKIE_AGE = 900
    sign_in(browser, user, "page")
    for _ in range(30):
        clock.shift(timedelta(seconds=299))
        assert is_in(browser)
        clock.shift(timedelta(minutes=10))
        assert is_in(browser)


def test_djangos_own_default_is_no_policy(browser, user, clock):
    """A site that has set nothing keeps people for a month, not for two weeks."""
    sign_in(browser, user, "page")
    clock.shift(timedelta(days=29))
    assert is_in(browser)


def test_an_adopted_session_follows_the_policy(settings, browser, user, clock):
    """Its idle time begins anew as it is adopted."""
    settings.SESSION_COOKIE_AGE = 900
    browser.force_login(user)
    assert is_in(browser)
    clock.shift(timedelta(minutes=15, seconds=1))
    assert not is_in(browser)


def test_a_django_session_is_adopted_until_the_site_says_so(settings, browser, user, clock):
    """One that turns up later was planted; what was adopted before goes on."""
    settings.TOKENAUTH_ADOPT_UNTIL = timezone.now() + timedelta(days=1)
    late = Client(headers={"X-Forwarded-Proto": "https"})
    for client in (browser, late):
        client.force_login(user)
    assert is_in(browser)
    clock.shift(timedelta(days=1))
    assert is_in(browser)
    assert not is_in(late)


@every_way
@pytest.mark.parametrize("at_close", [True, False], ids=["at-close", "stays"])
def test_a_site_may_sign_out_with_the_browser(settings, browser, user, way, at_close):
    """SESSION_EXPIRE_AT_BROWSER_CLOSE counts where nobody says whether to stay signed in."""
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = at_close
    answer = sign_in(browser, user, way)
    persistent = not at_close if way in UNSAID else way in TICKED
    assert AuthSession.objects.get().persistent is persistent
    for name in (ACCESS, REFRESH):
        assert bool(answer.cookies[name]["max-age"]) is persistent


@pytest.mark.parametrize("at_close", [True, False], ids=["at-close", "stays"])
def test_the_box_begins_as_the_site_says(settings, browser, at_close):
    """Whoever leaves it alone gets what the site wants."""
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = at_close
    box = browser.get("/auth/login/").context["form"]["remember"]
    assert box.value() is not at_close
