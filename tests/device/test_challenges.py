"""Challenges: kept nowhere, the same for five minutes, and good for nothing else."""

from uuid import UUID

import pytest

from tokenauth.device.challenges import STEP, make_challenge, moment_of, to_prove, to_register

#: The first moment of a step.
NOW = 1_800_000_000
SID, OTHER_SID = UUID(int=1), UUID(int=2)
SUBJECT = to_prove(SID, "thumbprint")
#: In seconds: of device tokens, and of challenges.
TEN_MINUTES, LIFETIME = 600, 600 + STEP


def test_those_of_five_minutes_are_the_same():
    """Chrome signs each once, and six in nine minutes."""
    assert make_challenge(SUBJECT, NOW) == make_challenge(SUBJECT, NOW + STEP - 1)
    assert make_challenge(SUBJECT, NOW) != make_challenge(SUBJECT, NOW + STEP)


def test_one_is_good_until_the_device_token_that_came_with_it_has_ended():
    """It is signed then; so it need not be asked for."""
    challenge = make_challenge(SUBJECT, NOW + STEP - 1)
    good = {s: moment_of(challenge, SUBJECT, NOW + s) for s in (0, TEN_MINUTES, LIFETIME)}
    assert set(good.values()) == {NOW}
    assert moment_of(challenge, SUBJECT, NOW + LIFETIME + 1) is None


def test_one_of_another_server_may_be_a_minute_ahead():
    """No clock is right."""
    challenge = make_challenge(SUBJECT, NOW)
    assert moment_of(challenge, SUBJECT, NOW - 60) == NOW
    assert moment_of(challenge, SUBJECT, NOW - 61) is None


def test_one_for_this_moment_is_like_no_other():
    """Whoever has signed it did so after it was made."""
    now = make_challenge(SUBJECT, NOW + 7, step=1)
    assert now != make_challenge(SUBJECT, NOW + 6, step=1)
    assert moment_of(now, SUBJECT, NOW + 7) == NOW + 7


@pytest.mark.parametrize(
    "subject",
    [to_prove(OTHER_SID, "thumbprint"), to_prove(SID, "another"), to_register(SID)],
    ids=["another session", "another key", "another purpose"],
)
def test_one_is_for_a_session_a_key_and_a_purpose(subject):
    """Signed for one it passes for no other."""
    assert moment_of(make_challenge(subject, NOW), SUBJECT, NOW) is None


@pytest.mark.parametrize(
    "made_up",
    [
        *[None, 7, "", ".", "nonsense", f"{NOW}", f"{NOW}.", f"{NOW}.{'A' * 43}"],
        *[f"-{NOW}.x", f"{NOW}.ü", "٣.x", "9" * 70 + ".x", "9" * 5000],
    ],
)
def test_what_nobody_handed_out_is_none(made_up):
    """Whatever it is: it came from anybody."""
    assert moment_of(made_up, SUBJECT, NOW) is None


def test_one_outlives_the_secret_key_that_made_it(settings):
    """As a fallback; by a key that is gone it is nobody's."""
    challenge, old = make_challenge(SUBJECT, NOW), settings.SECRET_KEY
    settings.SECRET_KEY = "another one, of today, which is as long as a key has to be"
    assert moment_of(challenge, SUBJECT, NOW) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert moment_of(challenge, SUBJECT, NOW) == NOW
