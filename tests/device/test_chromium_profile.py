"""A Chromium that is closed, or killed, and started again with the same folder."""

import time

import pytest

from tests.device.conftest import A_MOMENT, LONG
from tests.device.test_chromium import EXPIRY, row
from tests.test_chromium import on_one_server
from tokenauth.device.endpoints import REFRESH

#: Seconds after the registration at which a Chromium is killed. It writes its jar after thirty,
#: its keys after two, and the session is bound after sixty. Earlier than the jar is written, a
#: crash takes every sign-in along that was made just before it.
SIGNED_IN = (0, 0.3, 1, 1.7, 2.5, 4, 7, 12, 20, 28, 30, 32, 40, 55, 60, 61, 62, 64, 70, 92)
JUST_NOW = (35, 61, 66, 95)
KILLS = [*((moment, False) for moment in SIGNED_IN), *((moment, True) for moment in JUST_NOW)]


@on_one_server
def test_a_bound_session_goes_on_after_a_restart(open_profile, tmp_path, user, clock, upstream):
    """The browser kept its key, and proves it before the first page."""
    window = open_profile(tmp_path)
    window.first.login(user)
    window.wait_for_registration()
    clock.shift(A_MOMENT)
    window.first.goto("/whoami/")
    assert row().device_key
    window.close()
    clock.shift(EXPIRY)
    window = open_profile(tmp_path)
    window.expire()
    window.first.goto("/private/")
    assert "Hello alice" in window.first.text
    assert window.refreshes == ["Refreshed"]
    assert upstream.statuses(REFRESH) == [403, 200]


def use_for(window, seconds):
    """Let a person load a page now and then."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1))
        window.first.goto("/whoami/")


def lives_on(window, clock):
    """Assert that the person is signed in, and is so bound to the device at last."""
    for pause in (0 * A_MOMENT, EXPIRY, A_MOMENT, EXPIRY):
        clock.shift(pause)
        window.expire() if pause == EXPIRY else None
        window.first.goto("/private/")
        assert "Hello alice" in window.first.text, f"{pause} after the restart"
        window.wait_for_registration() if pause == EXPIRY and not row().device_key else None
    assert row().device_key
    assert set(window.endings) <= {"Replaced"}


@on_one_server
@pytest.mark.parametrize(("seconds", "just_now"), KILLS if LONG else [(0, False), (2.5, False)])
def test_a_browser_that_is_killed_signs_nobody_out(
    settings, open_profile, tmp_path, user, clock, seconds, just_now
):
    """Whatever of jar and key had reached the disk after the registration.

    Its person had signed in before, and what brought the offer was a rotation; or signed in just
    now, and the jar was written since.
    """
    if not just_now:
        settings.TOKENAUTH_DEVICE_BINDING = False
        window = open_profile(tmp_path)
        window.first.login(user)
        window.close()
        settings.TOKENAUTH_DEVICE_BINDING = True
        clock.shift(EXPIRY)
    window = open_profile(tmp_path)
    window.first.login(user) if just_now else window.first.goto("/whoami/")
    window.wait_for_registration()
    use_for(window, seconds)
    window.kill()
    lives_on(open_profile(tmp_path), clock)
