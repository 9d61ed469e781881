"""A server or a network that fails while Chromium proves its key: nobody is signed out by it."""

import threading
from datetime import timedelta

import pytest

from tests.device.https import wait_for
from tests.device.test_chromium import A_MOMENT, EXPIRY, LOGIN, row, with_a_rotation
from tests.device.upstream import LOST, fails_with, loses_the_answer
from tests.processes import PATIENCE
from tests.test_chromium import on_one_server
from tokenauth.device.endpoints import REFRESH, REGISTER

FETCH = """async url => {
    const answer = await fetch(url);
    return [answer.status, answer.headers.get("WWW-Authenticate"), await answer.text()];
}"""


@pytest.fixture
def once(upstream):
    """A function that lets the next request for a device URL meet a fault, and only that."""

    def once(fault):
        def first(request, go_on):
            upstream.fault = None
            return fault(request, go_on)

        upstream.fault = first

    return once


@on_one_server
@pytest.mark.parametrize(
    "fault",
    [loses_the_answer, fails_with(LOST), fails_with(500)],
    ids=["lost answer", "lost request", "500"],
)
def test_a_registration_that_fails_is_made_up_for_with_the_next_rotation(
    chromium, user, clock, upstream, once, fault
):
    """Until then the session is an unbound one, as of any browser."""
    once(fault)
    tab = chromium.first
    tab.login(user)
    wait_for(lambda: upstream.statuses(REGISTER))
    clock.shift(A_MOMENT)
    tab.goto("/private/")
    assert "Hello alice" in tab.text
    assert (chromium.device_tokens, row().device_key) == ([], "")
    clock.shift(EXPIRY)
    tab.goto("/private/")
    chromium.wait_for_registration()
    clock.shift(A_MOMENT)
    tab.goto("/private/")
    assert "Hello alice" in tab.text
    assert row().device_key


@on_one_server
@with_a_rotation
def test_a_page_comes_after_one_refresh_that_fails(chromium, bound, pass_by, once, pause):
    """It is loaded once more, and the browser tries again."""
    for fault in (*map(fails_with, (500, 502, 503)), loses_the_answer):
        once(fault)
        pass_by(pause)
        bound.goto("/private/?q=1")
        bound.run(bound.page.wait_for_selector("text=Hello alice"))
        assert chromium.refreshes[-1] == "Refreshed"
    assert chromium.refreshes.count("Refreshed") == 4
    assert chromium.endings == []


@on_one_server
@pytest.mark.parametrize("fault", [fails_with(503), loses_the_answer], ids=["503", "lost answers"])
def test_who_is_locked_out_while_the_server_fails_is_in_again_afterwards(
    chromium, bound, pass_by, upstream, fault
):
    """Pages lead to the login page meanwhile and scripts are told why; no cookie and no key go."""
    upstream.fault = fault
    pass_by(timedelta(minutes=11))
    status, why, _ = bound.evaluate(FETCH, "/api/ping/")
    assert (status, why) == (401, 'Cookie realm="api", error="device_proof_required"')
    bound.goto("/private/")
    wait_for(lambda: bound.path.startswith(LOGIN))
    assert "/private/" in bound.path
    upstream.fault = None
    bound.goto("/private/")
    bound.run(bound.page.wait_for_selector("text=Hello alice"))
    assert bound.evaluate(FETCH, "/whoami/")[2] == "alice"
    assert chromium.endings == []
    assert row().rotation == 0


@on_one_server
def test_a_refresh_that_hangs_holds_a_page_up_and_signs_nobody_out(
    chromium, bound, pass_by, upstream, once
):
    """Chromium lets the page go after twenty seconds, and then it is loaded once more."""
    is_over = threading.Event()

    def hangs(request, go_on):
        is_over.wait(PATIENCE)
        return go_on(request)

    once(hangs)
    pass_by(EXPIRY)
    try:
        bound.run(bound.page.goto("/private/", timeout=50_000))
        bound.run(bound.page.wait_for_selector("text=Hello alice"))
    finally:
        is_over.set()
    assert chromium.endings == []
    wait_for(lambda: len(upstream.statuses(REFRESH)) >= 2)


@on_one_server
def test_a_browser_whose_clock_was_set_back_gets_another_token(chromium, bound, clock):
    """It keeps a cookie longer than its token lives; a page and a script get over that."""
    clock.shift(timedelta(minutes=11))
    assert chromium.device_tokens
    bound.goto("/private/")
    bound.run(bound.page.wait_for_selector("text=Hello alice"))
    clock.shift(timedelta(minutes=11))
    assert bound.evaluate(FETCH, "/api/ping/")[0] == 401
    assert bound.evaluate(FETCH, "/api/ping/")[0] == 200
