"""Tell a client what is wrong with its proof, and what nonce the next one needs (RFC 9449 §7-9)."""

import time

from tokenauth.exceptions import InvalidProof, NonceNeeded

from .nonces import make_nonce

NONCE = "DPoP-Nonce"
#: What is accepted, as ``algs`` and the server's metadata name it (RFC 9449 §5.1, §7.1). Not
#: ``EdDSA``: it names no curve, and is deprecated (RFC 9864).
ALGORITHMS = ("ES256", "Ed25519", "RS256")


def challenge(flaw: InvalidProof | None) -> str:
    """Return what a 401 says where a token came by the scheme DPoP (RFC 9449 §7.1, §9).

    Without a flaw of its proof, it is the token that does not count.
    """
    error = "invalid_dpop_proof" if flaw else "invalid_token"
    error = "use_dpop_nonce" if isinstance(flaw, NonceNeeded) else error
    return f'DPoP realm="api", algs="{" ".join(ALGORITHMS)}", error="{error}"'


def fresh_nonce() -> str:
    """Return the nonce of now, for the header ``NONCE`` (RFC 9449 §8.2)."""
    return make_nonce(time.time())
