"""A WebSocket through Channels' own stack is signed in as long as the session is, and no longer.

It reads Django's auth keys by the ``sessionid``, and knows nothing of tokens.
"""

from datetime import timedelta

import pytest
import time_machine
from asgiref.sync import async_to_sync
from channels.auth import AuthMiddlewareStack
from django.test import Client
from django.utils import timezone

from tests.factories import PASSWORD
from tokenauth.models import AuthSession

DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture(params=["db", "cached_db"])
def browser(request, settings, user):
    """A browser in which Alice has signed in, with each engine that has rows."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    client = Client()
    client.post("/django-login/", {"username": user.get_username(), "password": PASSWORD})
    return client


@async_to_sync  # whose database connection is the test's own
async def who_connects(key):
    """Return who a socket that brings this ``sessionid`` belongs to."""
    people = []

    async def consumer(scope, receive, send):
        people.append(scope["user"].get_username() or "anonymous")

    headers = [(b"cookie", f"sessionid={key}".encode())]
    await AuthMiddlewareStack(consumer)({"type": "websocket", "headers": headers}, None, None)
    return people[0]


def key_of(browser):
    return browser.cookies["sessionid"].value


def be_revoked(browser):
    AuthSession.objects.all().revoke("admin")


def log_out(browser):
    browser.post("/auth/api/logout/")


def log_out_of_django(browser):
    browser.post("/django-logout/")


def change_the_password(browser):
    fields = {"old_password": PASSWORD, "new_password1": "other-pass-2"}
    assert browser.post("/password/", fields | {"new_password2": "other-pass-2"}).status_code == 302


def lose_the_cookie(browser):
    """Begin a new Django session, and end."""
    del browser.cookies["sessionid"]
    browser.post("/session-data/", {"data": "new"})
    AuthSession.objects.all().revoke("admin")


@pytest.mark.parametrize(
    "end", [be_revoked, log_out, log_out_of_django, change_the_password, lose_the_cookie]
)
def test_a_socket_is_signed_in_until_the_session_ends(browser, end):
    """Not for the two weeks that a Django session lasts otherwise."""
    key = key_of(browser)
    assert who_connects(key) == "alice"
    end(browser)
    assert who_connects(key) == "anonymous"


def test_a_socket_goes_over_to_the_session_of_a_second_sign_in(browser):
    """Django leaves the same person the key; a copy of it is worth as much, and as long."""
    key = key_of(browser)
    browser.post("/django-login/", {"username": "alice", "password": PASSWORD})
    assert who_connects(key) == "alice"
    be_revoked(browser)
    assert who_connects(key) == "anonymous"


@pytest.mark.parametrize("refreshes", [0, 1, 3])
def test_a_socket_is_signed_in_as_long_as_the_pages_are(browser, clock, refreshes):
    """For 30 days from the last refresh, where a Django session lasts 14 by itself."""
    for _ in range(refreshes):
        clock.shift(20 * DAY)
        assert browser.post("/auth/refresh/").status_code == 200
    clock.shift(29 * DAY)
    assert who_connects(key_of(browser)) == "alice"
    clock.shift(2 * DAY)
    assert who_connects(key_of(browser)) == "anonymous"
