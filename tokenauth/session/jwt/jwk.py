"""Say what is wrong with a key of a set, before a library reads it (RFC 7517, 7518 §6, 8037 §2).

Nothing here touches a request or the database.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: The algorithm of each curve. ``Ed25519``: ``EdDSA`` names no curve, and is deprecated (RFC 9864).
CURVES = {"P-256": "ES256", "Ed25519": "Ed25519"}
WRONG_CURVE = "is on a curve that is not accepted: take P-256 or Ed25519"
#: The members that make a public key, by type; and those that only a secret one has.
PUBLIC = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
SECRET = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def keys_in(document: Any) -> list[Any]:
    """Return the entries of a key set; raise ValueError if it is none."""
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError("This is no key set: it has no list 'keys'.")
    return keys


def is_of_later(jwk: Any) -> bool:
    """Tell whether a key is of a type that nobody here knows."""
    kind = jwk.get("kty") if isinstance(jwk, Mapping) else None
    return isinstance(kind, str) and kind not in {*PUBLIC, "oct"}


def public_members(jwk: Mapping[str, Any]) -> dict[str, str]:
    """Return what makes a JWK the public key that it is, and nothing else of it.

    Raises ValueError, which says what is wrong with it.
    """
    kind = jwk.get("kty")
    if kind == "oct":
        raise ValueError("is symmetric: whoever verified with it could sign")
    if SECRET & set(jwk):
        raise ValueError("is private: publish its public part alone")
    members = {name: jwk.get(name) for name in PUBLIC.get(str(kind), ())}
    if not members or not all(isinstance(member, str) for member in members.values()):
        raise ValueError("is incomplete")
    if members.get("crv", "P-256") not in CURVES:
        raise ValueError(WRONG_CURVE)
    return {name: str(member) for name, member in members.items()}


def canonical(jwk: Mapping[str, Any]) -> str:
    """Return a public key as the text that its thumbprint is the hash of (RFC 7638 §3).

    Raises ValueError, which says what is wrong with it.
    """
    members = {"kty": jwk.get("kty"), **public_members(jwk)}
    return json.dumps(members, sort_keys=True, separators=(",", ":"))


def thumbprint_of(text: str) -> str:
    """Return the thumbprint of a public key that is written canonically (RFC 7638)."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
