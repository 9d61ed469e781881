"""Make proofs as an app does, good ones and broken ones."""

import base64
import hashlib
import json
import time
from itertools import count

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tokenauth.secret import Secret

KEYS = {
    "ES256": ECKey.generate_key("P-256"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "RS256": RSAKey.generate_key(2048),
}
#: What all of them are signed for, unless they say something else.
METHOD, URL = "POST", "https://testserver/auth/token/"
NUMBERS = count(1)


def segment(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hash_of(token):
    return segment(hashlib.sha256(token.encode()).digest())


def without_nones(members):
    return {name: member for name, member in members.items() if member is not None}


def make_proof(alg="ES256", /, *, key=None, header=None, claims=None, **changes):
    """Return a proof as an app makes it: the next ``jti``, now.

    ``changes`` are claims, and ``header`` members of the header, that are other than they should
    be; None drops one. ``claims`` stands in place of all of them, as bytes or as JSON.
    """
    key = key or KEYS[alg]
    words = {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)}
    says = {"jti": f"proof-{next(NUMBERS)}", "htm": METHOD, "htu": URL, "iat": int(time.time())}
    words = header if isinstance(header, bytes) else without_nones(words | (header or {}))
    says = without_nones(says | changes) if claims is None else claims
    signed = f"{segment(words)}.{segment(says)}"
    signature = jws.JWSRegistry.algorithms[alg].sign(signed.encode(), key)
    return Secret(f"{signed}.{segment(signature)}")
