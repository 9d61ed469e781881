"""A resource server for the tests: its keys, and tokens for it."""

import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tokenauth.session.jose.keys import SigningKeys

ISSUER, AUDIENCE = "https://app.site.test/", "https://api.site.test/"
COOKIE = "__Host-access_token"
SID, OTHER_SID = "0b7c2f1e-5d0a-4f2e-9a3b-0c1d2e3f4a5b", "1b7c2f1e-5d0a-4f2e-9a3b-0c1d2e3f4a5b"


def new_keys() -> SigningKeys:
    """A new private key of the issuer's."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SigningKeys([pem.decode()])


KEYS = new_keys()
JWKS = KEYS.public.as_jwks()
#: The settings of a resource server that fetches nothing.
SITE = {
    "ROOT_URLCONF": "tests.resource.urls",
    "TOKENAUTH_AUTHORIZATION_SERVER": "https://app.site.test/auth/",
    "TOKENAUTH_ISSUER": ISSUER,
    "TOKENAUTH_AUDIENCE": AUDIENCE,
    "TOKENAUTH_PUBLIC_KEYS": JWKS,
    "LOGIN_URL": "https://app.site.test/auth/login/",
}


def claims(**more: Any) -> dict[str, Any]:
    """What an access token of Alice's browser says; a value of None leaves a claim out."""
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": [ISSUER, AUDIENCE],
        "sub": "7",
        "client_id": "browser",
        "iat": now,
        "exp": now + 24 * 60 * 60,  # some are made before the first test, and there are many
        "jti": f"{now}",
        "sid": SID,
        "rot": 3,
        "auth_time": now,
    }
    return {name: value for name, value in (said | more).items() if value is not None}


def token(keys: SigningKeys = KEYS, **more: Any) -> str:
    """An access token, signed by the issuer."""
    return keys.sign(claims(**more)).reveal()


def expired(**more: Any) -> str:
    """One whose time is over."""
    return token(iat=int(time.time()) - 900, exp=int(time.time()) - 1, **more)
