"""Make and verify the device token: it shows for minutes that a device's key was proven.

Signed as access tokens are, under a type of its own. Nothing here touches a request or the
database.
"""

import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Masked, Secret
from tokenauth.session.jwt.access_claims import is_moment, is_session, is_text, issuer
from tokenauth.session.jwt.claims import Claims
from tokenauth.session.jwt.form import DEVICE_TOKEN
from tokenauth.session.jwt.jwk import thumbprint_of
from tokenauth.session.tokens import AccessToken, derive_backend, secret_keys, signing_keys

if TYPE_CHECKING:
    from tokenauth.session.jose.keys import SigningKeys

TYPE = "device+jwt"


@dataclass(frozen=True)
class DeviceClaims(Claims):
    """What a genuine device token says. Times are seconds since the epoch.

    ``jkt`` is the thumbprint of the key; ``proved`` when it was proven, at the earliest; ``jwk``
    the key itself, as ``jwk.canonical`` writes it, where the session was not bound to it yet.
    """

    proved: int = 0
    jwk: str = field(default="", repr=False)


class DeviceToken(AccessToken):
    """Signed, good for minutes, sent with every request of a browser that holds the key."""

    token_type = "tokenauth_device"  # noqa: S105  # a name, no password

    @classmethod
    def read(cls, raw: Secret[str]) -> DeviceClaims:
        """Verify everything but the times, and return the claims.

        Raises InvalidToken.
        """
        claims: Any = super().read(raw)
        return claims  # type: ignore[no-any-return]  # of ``check`` or ``read_by_key``

    @classmethod
    def check(cls, payload: dict[str, Any]) -> DeviceClaims:
        """Return the claims of a payload whose signature is good, or raise ValueError."""
        if payload.get("token_type") != cls.token_type:
            raise ValueError
        return checked(payload)

    @classmethod
    def read_by_key(cls, keys: "SigningKeys", raw: Secret[str]) -> DeviceClaims:
        """Verify one that a key of the site's has signed. Raises InvalidToken."""
        return verified_by_key(keys, Masked(raw.reveal()), issuer())


def checked(payload: dict[str, Any]) -> DeviceClaims:
    """Return what a payload says, if it may be one of ours; raise ValueError."""
    numbers = [payload.get(name) for name in ("iat", "exp", "proved")]
    jkt, jwk = payload.get("jkt"), payload.get("jwk", "")
    is_ours = is_session(payload.get("sid")) and all(map(is_moment, numbers)) and is_text(jkt)
    if not is_ours or not isinstance(jwk, str) or (jwk and thumbprint_of(jwk) != jkt):
        raise ValueError
    iat, exp, proved = (int(str(number)) for number in numbers)
    return DeviceClaims(UUID(payload["sid"]), 0, iat, exp, str(jkt), proved, jwk)


@lru_cache(maxsize=4096)
@sensitive_variables()
def verified_by_key(keys: "SigningKeys", raw: str, issuer: str) -> DeviceClaims:
    """Return the claims of a device token that one of the site's keys has signed.

    Raises InvalidToken. See ``session.tokens.verified``.
    """
    return judged(keys.public.verify(Secret(raw), DEVICE_TOKEN), issuer)


def judged(payload: dict[str, Any], issuer: str) -> DeviceClaims:
    """Return what a payload says whose signature is good. Raises InvalidToken."""
    if payload.get("iss") != issuer:
        raise InvalidToken("of another issuer")
    try:
        return checked(payload)
    except ValueError:
        raise InvalidToken("no device token of ours") from None


def issue_device_token(sid: UUID, key: str, *, proved: int, is_first: bool = False) -> Secret[str]:
    """Make a device token for a session whose key was proven just now.

    ``key`` is written canonically. The first one carries it: the session is not bound to it yet. A
    proof before it is makes a first one again, as if the key were registered anew: the answer may
    cross one that offers to register another.
    """
    now = int(time.time())
    payload: dict[str, Any] = {"sid": str(sid), "jkt": thumbprint_of(key), "proved": proved}
    payload |= {"iat": now, "exp": now + int(conf.DEVICE_TOKEN_LIFETIME.total_seconds())}
    if is_first:
        payload["jwk"] = key
    payload["jti"] = uuid4().hex
    keys = signing_keys()
    if keys is not None and not keys.uses_hs256_first:
        return keys.sign({"iss": issuer(), **payload}, TYPE)
    token_type = DeviceToken.token_type
    backend = derive_backend(token_type, secret_keys()[0].reveal())
    return Secret(backend.encode({"token_type": token_type, **payload}))
