"""A jar for end-to-end tests, in Chromium: loaded as often as a test likes, and never rotated."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from tests.chromium import Window
from tokenauth.models import AuthSession
from tokenauth.testing import storage_state

pytestmark = pytest.mark.parametrize("server", ["wsgi"], indirect=True)

DAY = timedelta(days=1)


@pytest.fixture
def clock():
    """The server's clock."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def new_window(chromium_process, server):
    """A function that gives a window whose jar was loaded."""
    opened = []

    def open_window(state):
        opened.append(Window(chromium_process, server, state=state))
        return opened[-1]

    yield open_window
    for window in opened:
        window.close()


@pytest.mark.parametrize("secure", [True, False])
def test_one_jar_serves_several_browsers_for_days(
    settings, server, new_window, user, clock, secure
):
    """At once and later: no refresh, no rotation, and so no theft."""
    settings.TOKENAUTH_COOKIE_SECURE = secure
    state = storage_state(user, f"http://localhost:{server.port}")
    windows = [new_window(state) for _ in range(3)]
    for pause in (timedelta(), timedelta(hours=1), 10 * DAY):
        clock.shift(pause)
        tabs = [window.tab("/private/") for window in windows]
        assert ["Hello alice" in tab.text for tab in tabs] == [True] * 3
    session = AuthSession.objects.get()
    assert (session.rotation, session.revoke_reason) == (0, "")
    assert not any("refresh" in name for name, _ in windows[0].cookies)


def test_each_jar_is_a_session_with_data_of_its_own(server, new_window, user):
    """Two tests that run beside each other share nothing."""
    url = f"http://localhost:{server.port}"
    one, other = [new_window(storage_state(user, url)).tab("/") for _ in range(2)]
    assert AuthSession.objects.count() == 2
    assert (
        one.fetch("GET", "/auth/api/session/").text != other.fetch("GET", "/auth/api/session/").text
    )
    AuthSession.objects.order_by("created_at").first().delete()
    assert one.fetch("GET", "/whoami/").text == "anonymous"
    assert other.fetch("GET", "/whoami/").text == "alice"


def test_a_jar_that_was_saved_after_a_sign_in_is_for_one_browser(chromium, user, new_window, clock):
    """The second one that loads it brings a spent token, as a thief does."""
    clock.shift(-DAY)
    tab = chromium.tab()
    tab.login(user)
    saved = tab.run(chromium.context.storage_state())
    for pause in (DAY, timedelta(minutes=2)):
        clock.shift(pause)
        new_window(saved) if pause == DAY else None
        tab.goto("/whoami/")
        assert tab.text == "alice"
    new_window(saved).tab("/whoami/")
    assert AuthSession.objects.get().revoke_reason == "reuse"
