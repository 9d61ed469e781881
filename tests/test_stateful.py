"""Random lives break no invariant; and where a rule of the design is broken, they notice."""

import os
from unittest import mock

import pytest
from django.conf import settings as site_settings
from django.db import connection
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.life import Life, LifeOnTheRootPath
from tests.life_of_an_app import LifeOfAnApp
from tests.life_on_a_device import LifeOnADevice
from tests.prove import PROOF
from tokenauth.device.tokens import DeviceClaims
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.rotation import Step, decide

PROFILE = settings(
    max_examples=int(os.environ.get("TOKENAUTH_STATEFUL_EXAMPLES", "100")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "machine",
    [Life, LifeOnTheRootPath, LifeOnADevice, LifeOfAnApp],
    ids=["bounce", "in-place", "device", "app"],
)
def test_no_life_breaks_an_invariant(machine):
    """Whatever happens in whatever order, the five invariants hold."""
    run_state_machine_as_test(machine, settings=PROFILE)


# What the machine is worth: each of these breaks a rule of the design, and it must notice.


def without(step: Step, instead: Step):
    """Return the decision with one of its steps replaced by another."""

    def decide_wrongly(*arguments, **options):
        decided = decide(*arguments, **options)
        return instead if decided is step else decided

    return mock.patch("tokenauth.session.transitions.decide", decide_wrongly)


def newest_key() -> list[Secret[str | bytes]]:
    """Forget the fallbacks."""
    return [Secret(site_settings.SECRET_KEY)]


@property
def needs_refresh_by_now(credentials):
    """Look at the clock again whenever it matters, not only when the request comes."""
    return NEEDS_REFRESH(credentials)


NEEDS_REFRESH = Credentials.needs_refresh.func
BREAKS = {
    "an-app-is-asked-once": (LifeOfAnApp, without(Step.REISSUE, Step.REUSE)),
    "an-app-is-believed": (LifeOfAnApp, without(Step.REUSE, Step.REISSUE)),
    "asked-again": (Life, mock.patch.object(Credentials, "needs_refresh", needs_refresh_by_now)),
    "a-copy-is-enough": (LifeOnADevice, mock.patch.object(AuthSession, "check_device")),
    "bound-at-once": (
        LifeOnADevice,
        mock.patch.object(DeviceClaims, "older_than", return_value=True),
    ),
    "no-debounce": (Life, without(Step.DEBOUNCE, Step.ROTATE)),
    "strict-single-use": (Life, without(Step.REISSUE, Step.REUSE)),
    "for-ever-window": (Life, without(Step.REUSE, Step.REISSUE)),
    "confirm-at-once": (Life, mock.patch.object(tokens.Claims, "older_than", return_value=True)),
    "never-confirm": (Life, mock.patch.object(AuthSession, "confirm")),
    "no-recheck": (LifeOnTheRootPath, mock.patch("tokenauth.request.settlement.recheck")),
    "no-fallback-keys": (Life, mock.patch.object(tokens, "secret_keys", newest_key)),
    "revoked-is-active": (Life, mock.patch.object(AuthSession, "active", new=True)),
    "old-password-is-good": (
        Life,
        mock.patch("tokenauth.session.users.check_auth_hash", return_value=[]),
    ),
    "replaced-is-swept": (
        Life,
        mock.patch("tokenauth.request.credentials.is_in_flight", return_value=False),
    ),
}


#: Where chance begins, so that what only a rare order shows is noticed in seconds, not minutes.
SOON = {"a-copy-is-enough": 11, "replaced-is-swept": 2, "revoked-is-active": 2}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="says nothing of the database")
@pytest.mark.django_db
@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_rule_is_noticed(broken, monkeypatch):
    """A site that breaks a rule of the design fails within some hundred lives."""
    monkeypatch.delenv(PROOF, raising=False)  # lives on broken sites prove nothing
    machine, breaking = BREAKS[broken]
    if broken in SOON:
        machine = seed(SOON[broken])(type(machine.__name__, (machine,), {}))
    profile = settings(PROFILE, max_examples=500, phases=[Phase.generate], derandomize=True)
    with breaking, pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=profile)
