"""Ask a request for its proof, once each (RFC 9449 §4.3, §11.1).

The default cache remembers which were used. Sync: what is on an event loop leaves it first.
"""

import hashlib
import logging
import time

from django.core.cache import cache
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from tokenauth.exceptions import InvalidProof
from tokenauth.secret import Masked, Secret

from .nonces import STEP
from .reading import WINDOW, Proof, check_age, read_proof

log = logging.getLogger("tokenauth.security")

#: In seconds: longer than any proof is accepted, by its nonce or by its ``iat``, and by the slower
#: of two servers' clocks.
MEMORY = 2 * STEP + WINDOW


@sensitive_variables()
def prove(request: HttpRequest, token: Secret[str] | None, *, needs_nonce: bool) -> Proof | None:
    """Return the proof that a request brings, good and never used before; None if it brings none.

    From here on it is used: ask before anything changes, and once in a request. ``token`` is the
    access token that comes with it, if one does.

    The address is what the client sees, if the proxy says so: behind one that ends TLS without
    ``SECURE_PROXY_SSL_HEADER``, or changes ``Host``, it is another and every proof is refused. One
    that passes these headers on from the client lets it choose the host, among ``ALLOWED_HOSTS``.

    Raises InvalidProof, and NonceNeeded where another proof is to be signed with a nonce of ours.
    """
    if "DPoP" not in request.headers:
        return None
    raw, url = Secret(request.META["HTTP_DPOP"]), request.build_absolute_uri()
    request.META["HTTP_DPOP"] = Masked(raw.reveal())  # or reports of errors would show it
    proof = read_proof(raw, method=str(request.method), url=url, token=token)
    check_age(proof, time.time(), needs_nonce=needs_nonce)
    use_once(proof)
    return proof


@sensitive_variables()
def use_once(proof: Proof) -> None:
    """Write down that a proof is used. Raises InvalidProof if it was, or if nobody can know.

    Not by ``SECRET_KEY``: on the day that it changes, servers with both would accept a proof each.
    """
    digest = hashlib.sha256(f"{proof.thumbprint}{proof.jti}".encode()).hexdigest()
    try:
        is_new = cache.add(f"tokenauth:dpop:{digest}", 1, MEMORY)
    except Exception:  # each cache has errors of its own
        log.exception("The cache failed: no DPoP proof is accepted.")
        is_new = False
    if not is_new:
        raise InvalidProof("used before, as far as can be known: sign another")


def flaw_of(
    request: HttpRequest, token: Secret[str], thumbprint: str | None
) -> InvalidProof | None:
    """Return what is wrong with the proof that a token needs which is bound to a key (RFC 9449 §7).

    None if it came and is good. See ``prove``.
    """
    try:
        proof = prove(request, token, needs_nonce=False)
    except InvalidProof as flaw:
        return flaw
    if proof is None or proof.thumbprint != thumbprint:
        return InvalidProof("not of the key that the token is bound to")
    return None
