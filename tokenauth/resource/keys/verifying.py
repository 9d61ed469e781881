"""Verify access tokens by public keys, each once."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.views.decorators.debug import sensitive_variables

from tokenauth.secret import Masked, Secret
from tokenauth.session.jose.keys import KeySet
from tokenauth.session.jwt.access_claims import check_access_claims
from tokenauth.session.jwt.form import DEVICE_TOKEN

if TYPE_CHECKING:
    from tokenauth.device.tokens import DeviceClaims

#: Verified tokens that are remembered: 2 kB each at most, mostly 1 kB.
REMEMBERED = 4096


class Verifier:
    """A set of keys, and the tokens that it has verified.

    What is genuine stays so: the next requests of the same browser cost no cryptography. Other keys
    are another verifier, which remembers nothing: a key that was taken away counts no more.
    """

    def __init__(self, keys: KeySet, issuer: str, audience: str) -> None:
        self.keys, self.issuer, self.audience = keys, issuer, audience
        self._claims_of = lru_cache(REMEMBERED)(self._verify)
        self._device_claims_of = lru_cache(REMEMBERED)(self._verify_device)

    @classmethod
    def from_jwks(cls, document: Any, issuer: str, audience: str) -> "Verifier":
        """Return one with the keys of a set; raise ValueError, which says what is wrong with it."""
        return cls(KeySet.from_jwks(document), issuer, audience)

    def claims_of(self, raw: Secret[str]) -> Mapping[str, Any]:
        """Return what a token says that our issuer has made for us, expired or not.

        It is remembered: whoever gives it away gives a copy. One that is bound to a key says so in
        ``cnf``: the caller asks for the proof.

        Raises InvalidToken, and UnknownKey when it names none of the keys.
        """
        return self._claims_of(Masked(raw.reveal()))

    def device_claims_of(self, raw: Secret[str]) -> "DeviceClaims":
        """Return what a device token says that our issuer has made, expired or not.

        Raises as ``claims_of``.
        """
        return self._device_claims_of(Masked(raw.reveal()))

    @sensitive_variables()
    def _verify_device(self, raw: Masked) -> "DeviceClaims":
        from tokenauth.device.tokens import judged  # noqa: PLC0415  # few sites bind any sessions

        return judged(self.keys.verify(Secret(raw), DEVICE_TOKEN), self.issuer)

    @sensitive_variables()
    def _verify(self, raw: Masked) -> Mapping[str, Any]:
        payload = self.keys.verify(Secret(raw))
        return check_access_claims(payload, self.issuer, self.audience, asks_for_proof=True)
