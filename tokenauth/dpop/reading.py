"""Read a proof: who has signed this very request, with which key, and when (RFC 9449 §4.3).

Nothing here touches a request, a cache or the database. No message, and no ``repr``, tells anything
of what a proof says. Imported only where there are app clients: ``keys`` needs joserfc.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.views.decorators.debug import sensitive_variables

from tokenauth.exceptions import InvalidProof, NonceNeeded
from tokenauth.secret import Secret
from tokenauth.session.jose import self_signed

from .addresses import normalise
from .answers import ALGORITHMS
from .nonces import is_nonce

KIND = self_signed.Kind("dpop+jwt", ALGORITHMS)
#: In seconds: how far the client's clock may be from ours, where it has no nonce of ours.
WINDOW = 60
JTI = re.compile("[ -~]{1,255}")
#: In seconds since the epoch: above, Python can't always calculate with it.
END_OF_TIME = 2**40


@dataclass(frozen=True, repr=False)
class Proof:
    """What a genuine proof says of its client.

    ``thumbprint`` is that of the key (RFC 7638, SHA-256), the ``jkt`` of what is bound to it;
    ``jti`` the proof's name, ``iat`` when it was signed by the client's clock, in seconds since the
    epoch; ``nonce`` is empty where it has none.
    """

    thumbprint: str
    jti: str
    iat: int
    nonce: str


@sensitive_variables()
def read_proof(raw: Secret[str], *, method: str, url: str, token: Secret[str] | None) -> Proof:
    """Return what a proof says that was signed for a request, and for the token that it brings.

    Its age is still to be judged, by ``check_age``, and so is whether it was used before, and
    whether the token is bound to that key. ``method`` and ``url`` are the request's; without a
    token an ``ath`` means nothing.

    Raises InvalidProof, which says what is wrong.
    """
    thumbprint = self_signed.signer_of(raw, KIND).kid
    claims = self_signed.part_of(raw, 1)
    check_target(claims, method, url)
    if token is not None and claims.get("ath") != hash_of(token):
        raise InvalidProof("its ath is not the hash of the token")
    jti, iat, nonce = (claims.get(name, "") for name in ("jti", "iat", "nonce"))
    if not (isinstance(jti, str) and JTI.fullmatch(jti)):
        raise InvalidProof("its jti is not 1 to 255 characters of ASCII")
    if type(iat) not in {int, float} or not 0 < iat < END_OF_TIME:
        raise InvalidProof("its iat is not a time")
    if not isinstance(nonce, str):
        raise InvalidProof("its nonce is not a text")
    return Proof(thumbprint, jti, int(iat), nonce)


@sensitive_variables()
def check_target(claims: Mapping[str, Any], method: str, url: str) -> None:
    """Compare what the proof was signed for with what is asked for (RFC 9449 §4.3)."""
    if claims.get("htm") != method:
        raise InvalidProof("its htm is not the method of the request")
    htu = claims.get("htu")
    target = normalise(htu) if isinstance(htu, str) else None
    if target is None or target != normalise(url):
        raise InvalidProof("its htu is not the address of the request")


@sensitive_variables()
def hash_of(token: Secret[str]) -> str:
    """Return the ``ath`` of a token (RFC 9449 §4.2)."""
    digest = hashlib.sha256(token.reveal().encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check_age(proof: Proof, now: float, *, needs_nonce: bool) -> None:
    """Let pass a proof that was signed just now, in seconds since the epoch (RFC 9449 §11.1).

    Where it has a nonce, our own clock has the word, and not that of the client. So whose clock is
    wrong is asked for a nonce, and not locked out. A bad nonce is never overlooked: signed an hour
    ahead, a proof would pass by its nonce now, and by its ``iat`` then, when nobody remembers it.

    Raises NonceNeeded.
    """
    if proof.nonce or needs_nonce:
        if not is_nonce(proof.nonce, now):
            raise NonceNeeded("without a nonce of this server, or with an old one")
    elif abs(now - proof.iat) > WINDOW:
        raise NonceNeeded(f"its iat is over {WINDOW} seconds away: sign it with a nonce")
