"""Keys that a device keeps, and what it proves by them (W3C DBSC §9)."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def encoded(data: bytes | dict[str, Any]) -> str:
    """Write a part of a JWT."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int, size: int) -> str:
    """Write a number as a JWK has it."""
    return encoded(value.to_bytes(size, "big"))


class ES256:
    """A key on P-256."""

    alg = "ES256"

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, str]:
        point = self.private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)}

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class RS256:
    """An RSA key of 2,048 bits: what some TPMs have."""

    alg = "RS256"

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(65537, 2048)

    @property
    def jwk(self) -> dict[str, str]:
        public = self.private.public_key().public_numbers()
        return {"kty": "RSA", "n": number(public.n, 256), "e": number(public.e, 3)}

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())


def prove(key: ES256 | RS256, challenge: str, *, brings_key: bool = False) -> str:
    """Return a proof: that the key has signed a challenge; to register it goes along."""
    header = {"typ": "dbsc+jwt", "alg": key.alg} | ({"jwk": key.jwk} if brings_key else {})
    signed = f"{encoded(header)}.{encoded({'jti': challenge})}"
    return f"{signed}.{encoded(key.sign(signed.encode()))}"
