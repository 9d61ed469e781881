"""A site changes its cookie settings, and nobody who is signed in notices."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from tokenauth.models import AuthSession
from tokenauth.request import cookies

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
