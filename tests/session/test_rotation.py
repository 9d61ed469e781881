"""The decision: what a presented refresh token means."""

from datetime import datetime, timedelta
from itertools import product
from types import SimpleNamespace

import pytest

from tokenauth.session.rotation import Step, decide

NOW = datetime(2026, 3, 1, 12)  # noqa: DTZ001  # as with USE_TZ = False
GRACE = timedelta(seconds=60)
OURS, OTHER = "a" * 64, "b" * 64


def step(rot, *, rotation=5, token_hash=OURS, age=3600, confirmed=False, since=None):
    """The step for a token of count ``rot``, with the row's own handed out ``age`` seconds ago."""
    issued_at = NOW - timedelta(seconds=age)
    row = SimpleNamespace(
        rotation=rotation, token_hash=OURS, issued_at=issued_at, confirmed=confirmed
    )
    return decide(row, rot, token_hash, NOW, GRACE, since=since)


@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "unconfirmed"])
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0, Step.DEBOUNCE),
        (59.999, Step.DEBOUNCE),
        (60, Step.ROTATE),
        (10**7, Step.ROTATE),
        (-600, Step.DEBOUNCE),
    ],
    ids=["at-once", "inside-grace", "after-grace", "much-later", "clock-jumped-back"],
)
def test_the_current_token_rotates_unless_only_just_handed_out(age, expected, confirmed):
    """Inside the grace period, or before it by a clock that jumped, nothing changes."""
    assert step(5, age=age, confirmed=confirmed) is expected


@pytest.mark.parametrize("age", [-600, 0, 59, 60, 10**7])
def test_the_predecessor_is_answered_until_its_successor_is_confirmed(age):
    """An answer can be lost for as long as a laptop sleeps: there is no time limit."""
    assert step(4, token_hash=OTHER, age=age) is Step.REISSUE


@pytest.mark.parametrize("age", [-600, 0, 59, 60, 10**7])
def test_the_predecessor_is_reuse_once_its_successor_is_confirmed(age):
    """The client has kept the successor, so this is somebody else's copy."""
    assert step(4, token_hash=OTHER, age=age, confirmed=True) is Step.REUSE


@pytest.mark.parametrize(("rot", "since"), [(4, 4), (4, 3), (3, 3), (3, 0)])
def test_a_spent_token_that_was_current_when_it_was_sent_is_late(rot, since):
    """The browser was sent here with it, and other tabs were faster than a big file."""
    assert step(rot, token_hash=OTHER, confirmed=True, since=since) is Step.LATE


@pytest.mark.parametrize(("rot", "since"), [(4, 5), (3, 4), (0, 5), (0, 1)])
def test_a_token_that_was_spent_when_it_was_sent_is_reuse(rot, since):
    """Whoever sends it on its way, it was somebody else's copy by then."""
    assert step(rot, token_hash=OTHER, confirmed=True, since=since) is Step.REUSE


@pytest.mark.parametrize("since", [None, 0, 4, 5, 6])
def test_when_it_was_sent_matters_for_a_spent_token_alone(since):
    """All other decisions stay as they are."""
    assert step(5, since=since) is Step.ROTATE
    assert step(5, age=0, since=since) is Step.DEBOUNCE
    assert step(4, token_hash=OTHER, since=since) is Step.REISSUE
    assert step(5, token_hash=OTHER, since=since) is Step.MISMATCH
    assert step(6, token_hash=OTHER, since=since) is Step.MISMATCH


@pytest.mark.parametrize("rot", [0, 1, 3])
@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "unconfirmed"])
def test_a_token_spent_long_ago_is_reuse(rot, confirmed):
    """Two or more behind is theft, whatever else is true."""
    assert step(rot, token_hash=OTHER, age=0, confirmed=confirmed) is Step.REUSE


@pytest.mark.parametrize(("rot", "token_hash"), [(5, OTHER), (6, OURS), (6, OTHER), (99, OTHER)])
@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "unconfirmed"])
def test_a_token_that_the_database_never_knew_is_a_mismatch(rot, token_hash, confirmed):
    """A backup was restored, or a key leaked."""
    assert step(rot, token_hash=token_hash, confirmed=confirmed) is Step.MISMATCH


def test_a_first_token_has_no_predecessor():
    """Right after sign-in, only the first token itself is good."""
    assert step(0, rotation=0) is Step.ROTATE
    assert step(0, rotation=0, token_hash=OTHER) is Step.MISMATCH


def test_only_the_tokens_own_hash_rotates():
    """No other combination of count, hash, age and confirmation ever rotates or debounces."""
    states = product(range(8), [OURS, OTHER], [-5, 0, 59, 60, 9999], [True, False])
    for rot, token_hash, age, confirmed in states:
        found = step(rot, token_hash=token_hash, age=age, confirmed=confirmed)
        assert (found in {Step.ROTATE, Step.DEBOUNCE}) == (rot == 5 and token_hash == OURS)
