"""However much goes wrong, nobody honest is signed out, and a copy of their jar is worth nothing.

``make prove`` goes on until ten thousand refreshes have been answered with a device token.
"""

import os
import random
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from tests.device.trouble import PAUSES, Person, Thief
from tests.factories import UserFactory
from tests.prove import tally
from tokenauth.models import AuthSession

pytestmark = pytest.mark.django_db

REFRESHES = int(os.environ.get("TOKENAUTH_DEVICE_REFRESHES", "200"))
REFRESH = "/auth/device/refresh/"


@pytest.fixture
def clock(settings):
    settings.TOKENAUTH_DEVICE_BINDING = True
    settings.TOKENAUTH_SESSION_LIFETIME = timedelta(days=40_000)
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        yield clock


def test_no_trouble_signs_anybody_out_and_no_copy_lets_anybody_in(clock):
    """A fifth of all requests fail, browsers are killed; thieves copy the jar again and again."""
    rng = random.Random("trouble")  # noqa: S311  # the same each time
    person, thieves, tries = Person(UserFactory(username="alice"), rng, clock), [], 0
    while person.wire.granted < REFRESHES:
        person.act(rng.choice([0, 0.1, 0.4]))
        person.wait(rng.choice(PAUSES))
        # Of what is not on disk yet, a thief who uses it and a crash after that end a session.
        if person.is_bound and not person.unsaved and rng.random() < 0.1:
            thieves.append(Thief(person))
            thieves[-1].try_to_rotate()
        for thief in rng.sample(thieves[-5:], k=rng.randint(0, min(1, len(thieves)))):
            thief.try_everything()
            tries += 1
        assert person.is_there()
    session = AuthSession.objects.get()
    assert session.active
    assert session.second_key_at is None
    # Or nothing was shown: thieves get in, too, for as long as what they have lives.
    got_in = sum(thief.successes for thief in thieves)
    assert min(person.wire.faults, person.kills, session.rotation, got_in) > 0
    for unit, count in {
        "device refreshes": person.wire.granted,
        "rotations": session.rotation,
        "faults": person.wire.faults,
        "kills": person.kills,
        "tries of thieves": tries,
        "of them in time": got_in,
    }.items():
        tally(unit, count)
