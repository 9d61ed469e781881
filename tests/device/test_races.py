"""Threads that bind, register and rotate the same session at the same instant, on the database."""

import time
from collections import Counter
from datetime import timedelta
from functools import partial
from unittest import mock

import pytest
from django.test import RequestFactory

from tests.device.keys import ES256, prove
from tests.prove import tally
from tests.test_races import (  # noqa: F401  # fixtures
    ROUNDS,
    at_once,
    clock,
    handed_out,
    isolation,
    rotator,
    session,
)
from tokenauth.device import binding, endpoints
from tokenauth.device.challenges import make_challenge, to_register
from tokenauth.device.tokens import issue_device_token
from tokenauth.exceptions import DeviceProofRequired
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.request.credentials import Credentials
from tokenauth.request.jar.device import device_place
from tokenauth.session import tokens
from tokenauth.session.jwt.jwk import canonical
from tokenauth.session.rotation import Step

KEYS = [ES256(), ES256()]

pytestmark = pytest.mark.usefixtures("binding_is_on", "isolation")


@pytest.fixture
def binding_is_on(settings):
    settings.TOKENAUTH_DEVICE_BINDING = True


def credentials_of(session, key, *, method="get", headers=None):  # noqa: F811
    """Return what a browser sends that holds a session and the first token of a key."""
    with mock.patch("time.time", return_value=time.time() - 120):
        device = issue_device_token(
            session.pk, canonical(key.jwk), proved=int(time.time()), is_first=True
        )
    jar = {
        cookies.access_name(): tokens.issue_access_token(session)[0],
        cookies.refresh_name(): session.refresh_token,
        device_place(session.pk).name: device,
    }
    header = "; ".join(f"{name}={value.reveal()}" for name, value in jar.items())
    make = getattr(RequestFactory(), method)
    return Credentials(make("/", secure=True, headers={"Cookie": header} | (headers or {})))


def binder(session, key):  # noqa: F811
    """Return a call that binds a session as the end of a request does; it tells whether it did."""
    credentials = credentials_of(session, key)
    credentials.resolve()

    def bind():
        binding.settle(credentials)
        return credentials.outgoing is not None

    return bind


def registrar(session, key):  # noqa: F811
    """Return a call that registers a key; it returns the status."""
    challenge = make_challenge(to_register(session.pk), time.time())
    proof = {"Secure-Session-Response": prove(key, challenge, brings_key=True)}
    credentials = credentials_of(session, key, method="post", headers=proof)
    return lambda: endpoints.register(credentials).status_code


def prover(session, key):  # noqa: F811
    """Return a rotation by whoever shows a device token of a key."""
    jkt = credentials_of(session, key).device_thumbprint(session.pk)
    return partial(rotator(session), device_thumbprint=jkt)


def test_of_two_keys_that_bind_at_once_one_wins(session, clock):  # noqa: F811
    """The row never has both, and only the winner is told."""
    for _ in range(ROUNDS):
        AuthSession.objects.filter(pk=session.pk).update(device_key="")
        session.refresh_from_db()
        results = at_once(*[binder(session, key) for key in KEYS * 4])
        session.refresh_from_db()
        winners = [results[0::2], results[1::2]]
        assert [any(won) for won in winners] == [
            session.device_key == canonical(key.jwk) for key in KEYS
        ]
        assert sum(results) == 1
        tally("rounds")
    assert session.active


def test_no_rotation_without_a_proof_outruns_a_bind(session, clock):  # noqa: F811
    """It is first, or it is refused; afterwards the key rotates, and nobody else."""
    for number in range(ROUNDS):
        AuthSession.objects.filter(pk=session.pk).update(device_key="")
        session.refresh_from_db()
        *results, _ = at_once(*[rotator(session)] * 8, binder(session, KEYS[0]))
        refused = [result for result in results if isinstance(result, DeviceProofRequired)]
        assert len(refused) + len([r for r in results if isinstance(r, AuthSession)]) == 8
        session.refresh_from_db()
        assert session.device_key
        assert handed_out(results) <= {session.refresh_token.reveal()}
        clock.shift(timedelta(minutes=5))
        with pytest.raises(DeviceProofRequired):
            rotator(session)()
        assert prover(session, KEYS[0])().step is Step.ROTATE, number
        session.refresh_from_db()
        clock.shift(timedelta(minutes=5))


@pytest.mark.parametrize("step", [Step.ROTATE, Step.REISSUE])
def test_what_was_decided_before_a_bind_is_not_done_after_it(session, clock, step):  # noqa: F811
    """The statement asks for the key that it was decided on."""
    rotate = rotator(session)
    if step is Step.REISSUE:
        rotate()
        session.refresh_from_db()
    take, bind = AuthSession.objects._take, binder(session, KEYS[0])

    def take_late(*arguments):
        bind()
        return take(*arguments)

    before = AuthSession.objects.get(pk=session.pk)
    with (
        mock.patch.object(AuthSession.objects, "_take", take_late),
        pytest.raises(DeviceProofRequired),
    ):
        rotate()
    after = AuthSession.objects.get(pk=session.pk)
    assert (after.rotation, after.issued_at) == (before.rotation, before.issued_at)
    assert after.active


def test_registering_beside_a_rotation_ends_nothing(session, clock):  # noqa: F811
    """It is answered by 200 or 403, and writes nothing."""
    statuses = Counter()
    for number in range(1, ROUNDS + 1):
        registering = registrar(session, KEYS[0])
        results = at_once(*[registering, rotator(session)] * 4)
        statuses.update(results[0::2])
        session.refresh_from_db()
        assert (session.rotation, session.active, session.device_key) == (number, True, "")
        assert handed_out(results[1::2]) == {session.refresh_token.reveal()}
        clock.shift(timedelta(minutes=5))
    assert set(statuses) <= {200, 403}


def test_registering_beside_a_bind_never_counts(session, clock):  # noqa: F811
    """The second key is noted at most; the session and the first live on."""
    for _ in range(ROUNDS):
        AuthSession.objects.filter(pk=session.pk).update(device_key="", second_key_at=None)
        session.refresh_from_db()
        *statuses, bound = at_once(*[registrar(session, KEYS[1])] * 6, binder(session, KEYS[0]))
        session.refresh_from_db()
        assert bound
        assert session.device_key == canonical(KEYS[0].jwk)
        assert session.active
        assert set(statuses) <= {200, 403}
        assert (session.second_key_at is not None) == (403 in statuses)
