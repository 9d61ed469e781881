"""Make the words that a device key signs, to prove that it is there now (W3C DBSC).

Nothing keeps them. Those of five minutes are the same: a browser signs each only once, and Chrome
makes no more than six signatures in nine minutes.
"""

import base64
from datetime import timedelta
from uuid import UUID

from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf
from tokenauth.secret import Secret
from tokenauth.session.tokens import secret_keys

#: In seconds: for how long one is handed out.
STEP = 300
#: In seconds: how far ahead another server's clock may be.
CLOCK_SKEW = 60
CHALLENGE = "Secure-Session-Challenge"
#: In characters: a longer one is none of ours.
MAX_CHALLENGE = 80


def to_register(sid: UUID) -> str:
    """Return the subject of a challenge for a key that is new to a session."""
    return f"register {sid}"


def to_prove(sid: UUID, thumbprint: str) -> str:
    """Return the subject of a challenge for a key that a session knows."""
    return f"prove {sid} {thumbprint}"


def lifetime() -> timedelta:
    """Return how old a challenge may be.

    The browser is given the next one with each device token, and signs it when that has ended.
    """
    return conf.DEVICE_TOKEN_LIFETIME + timedelta(seconds=STEP)


def make_challenge(subject: str, now: float, *, step: int = STEP) -> str:
    """Return the challenge of a moment, in seconds since the epoch.

    ``subject`` is what is to be proven, and of which session: no other proof passes for it.
    ``step`` 1 makes one that nobody can have signed before.
    """
    moment = int(now) // step * step
    return f"{moment}.{mac_of(moment, subject, secret_keys()[0])}"


@sensitive_variables()
def mac_of(moment: int, subject: str, key: Secret[str | bytes]) -> str:
    """Return by what we know a challenge again, under one ``SECRET_KEY``."""
    text = f"{subject} {moment}"
    mac = salted_hmac("tokenauth.device.challenge", text, secret=key.reveal(), algorithm="sha256")
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


@sensitive_variables()
def moment_of(challenge: object, subject: str, now: float) -> int | None:
    """Return when a challenge was made, in seconds since the epoch; None unless it counts now.

    Whoever has signed it did so after that.
    """
    if not isinstance(challenge, str) or len(challenge) > MAX_CHALLENGE or not challenge.isascii():
        return None
    digits, _, mac = challenge.partition(".")
    moment = int(digits) if digits.isdigit() else 0
    if not -CLOCK_SKEW <= now - moment <= lifetime().total_seconds():
        return None
    good = [mac_of(moment, subject, key) for key in secret_keys()]
    return moment if any(constant_time_compare(mac, one) for one in good) else None


def challenge_header(challenge: str, sid: UUID) -> str:
    """Return the value of ``Secure-Session-Challenge``, for the session that it is for."""
    return f'"{challenge}";id="{sid}"'
