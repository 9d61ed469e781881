"""How often Chromium's key has to sign: it makes six signatures in nine minutes, and no more.

By its own clock, which no test can hurry. So the signatures of an hour are counted as the server's
clock goes, without a quota, and the quota is met in the seconds that a test takes.
"""

import time
from datetime import timedelta

import pytest

from tests.device.conftest import A_MOMENT
from tests.test_chromium import on_one_server
from tokenauth.device.challenges import STEP

QUOTA, WINDOW = 6, timedelta(minutes=9)


@pytest.fixture
def signatures(upstream, clock):
    """When each distinct proof came, by the server's clock: Chromium keeps what it has signed."""
    seen = {}

    def note(request, go_on):
        proof = request.headers.get("Secure-Session-Response")
        if proof:
            seen.setdefault(proof, time.time())
        return go_on(request)

    upstream.fault = note
    return seen


@pytest.fixture
def thrifty(open_profile, tmp_path, user, clock, signatures):
    """A Chromium with its default quota, in which Alice is bound."""
    clock.shift(STEP - time.time() % STEP)  # the challenge will not change for five minutes
    window = open_profile(tmp_path, quota=True)
    window.first.login(user)
    window.wait_for_registration()
    clock.shift(A_MOMENT)
    window.first.goto("/whoami/")
    assert len(signatures) == 1
    return window


@on_one_server
@pytest.mark.parametrize("minutes", [9, 1], ids=["as tokens end", "each minute"])
def test_an_hour_of_use_costs_fewer_signatures_than_the_quota(
    chromium, signatures, bound, clock, minutes
):
    """A request a minute; in the second case the device token is lost with each."""
    for minute in range(1, 61):
        clock.shift(timedelta(minutes=1))
        chromium.expire() if minute % minutes == 0 else None
        assert bound.fetch("GET", "/whoami/").text == "alice"
    times = sorted(signatures.values())
    ends = [begin + WINDOW.total_seconds() for begin in times]
    busiest = max(
        sum(begin <= moment < end for moment in times)
        for begin, end in zip(times, ends, strict=True)
    )
    assert busiest < QUOTA
    assert len(times) >= 60 // 9


@on_one_server
def test_refreshes_that_sign_the_same_challenge_cost_the_quota_nothing(thrifty, signatures):
    """Chromium signs each challenge once."""
    for _ in range(30):
        thrifty.expire()
        thrifty.first.goto("/whoami/")
        assert thrifty.first.text == "alice"
    assert set(thrifty.refreshes) == {"Refreshed"}
    assert len(signatures) <= 3


@on_one_server
def test_a_key_that_must_sign_too_often_locks_its_person_out_for_a_while(
    thrifty, clock, signatures
):
    """Nothing of the session is lost. A view that wants a proof each time comes to this."""
    for _ in range(QUOTA - 1):
        clock.shift(WINDOW)
        thrifty.expire()
        thrifty.first.goto("/whoami/")
        assert thrifty.first.text == "alice"
    assert len(signatures) == QUOTA
    clock.shift(WINDOW)
    thrifty.expire()
    thrifty.first.goto("/whoami/")
    thrifty.first.run(thrifty.first.page.wait_for_selector("text=anonymous"))
    assert thrifty.refreshes[-1] == "SigningQuotaExceeded"
    assert thrifty.endings == []
