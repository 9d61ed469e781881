"""Nonces: kept nowhere, known again for five to ten minutes."""

import re

import pytest

from tokenauth.dpop.nonces import STEP, is_nonce, make_nonce

#: The first moment of a step.
NOW = 1_800_000_000.0


def test_a_nonce_is_good_for_its_step_and_the_next():
    """And never before it is handed out."""
    nonce = make_nonce(NOW + STEP - 1)
    assert nonce == make_nonce(NOW)
    assert [is_nonce(nonce, NOW + seconds) for seconds in (-1, 0, STEP, 2 * STEP - 1)] == [
        *[False, True, True, True]
    ]
    assert not is_nonce(nonce, NOW + 2 * STEP)


def test_a_nonce_fits_a_header():
    """RFC 9449 §8.1: NQCHAR."""
    assert re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]{43}", make_nonce(NOW))


@pytest.mark.parametrize("nonce", ["", "nonsense", "\ud800", "ü", "6000000"])
def test_what_nobody_handed_out_is_none(nonce):
    """Nor is anything that no header could carry."""
    assert not is_nonce(nonce, NOW)


def test_nonces_of_another_site_are_none(settings):
    """Nobody can make one up."""
    nonce = make_nonce(NOW)
    settings.SECRET_KEY = "another"
    assert not is_nonce(nonce, NOW)


def test_nonces_outlive_a_change_of_the_secret_key(settings):
    """Those under a fallback are still known; new ones are under the new key."""
    nonce = make_nonce(NOW)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert is_nonce(nonce, NOW)
    assert make_nonce(NOW) != nonce
    assert is_nonce(make_nonce(NOW), NOW)
