"""What a secret is wrapped in: told to who asks for it, and to no report."""

import copy
import pickle

import pytest

from tokenauth.models import AuthSession
from tokenauth.secret import Masked, Secret

RAW = "a.b.c"


def test_a_secret_is_told_by_reveal_alone():
    """Not by printing, formatting or looking into it; a copy is as good."""
    secret = Secret(RAW)
    assert secret.reveal() == copy.copy(secret).reveal() == copy.deepcopy(secret).reveal() == RAW
    for text in (repr(secret), str(secret), f"{secret}", f"{secret.reveal}", repr([secret])):
        assert RAW not in text
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_gets_into_no_queue_and_no_cache(protocol):
    """Pickling fails at once, where somebody sees it."""
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        pickle.dumps(Secret(RAW), protocol)


def test_masked_text_is_text_without_a_repr():
    """Whoever writes or compares it finds what it is, and a pickle gives it back."""
    masked = Masked(RAW)
    assert masked == str(masked) == pickle.loads(pickle.dumps(masked)) == RAW  # noqa: S301  # ours
    assert RAW not in repr(masked) + repr([masked]) + repr(pickle.loads(pickle.dumps(masked)))  # noqa: S301


@pytest.mark.parametrize("name", ["token_hash", "auth_hash", "adopted_from"])
def test_a_sessions_hashes_are_masked_on_their_way_in_and_out(name):
    """And a migration sees an ordinary column."""
    field = AuthSession._meta.get_field(name)
    for value in (field.get_prep_value(RAW), field.from_db_value(RAW, None, None)):
        assert (value, repr(value)) == (RAW, "<Masked>")
    assert field.get_prep_value(None) is field.from_db_value(None, None, None) is None
    assert field.deconstruct()[1] == "django.db.models.CharField"
