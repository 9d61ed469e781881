"""Make and verify the two tokens. The only module that touches simplejwt.

Both are HS256 JWTs with the claims ``sid``, ``rot``, ``iat``, ``exp``, ``jti`` and a
``token_type`` of our own, each type under a key of its own that is derived from
``SECRET_KEY`` (RFC 8725 §3.11, §3.12). So neither passes as the other, nor as a bearer token of
the site's own simplejwt API, which would skip revocation and CSRF.

Nothing here touches a request or the database.
"""

import hashlib
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.debug import sensitive_variables
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Masked, Secret

#: A longer token is refused unread: a browser drops a cookie over 4,096 bytes
#: (RFC 6265bis §5.7), and a header of 3.9 kB of ``[`` makes ``json`` recurse too deep.
MAX_TOKEN_LENGTH = 2048
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
#: ``rotation`` is a PositiveIntegerField; no session gets near it.
MAX_ROTATION = 2**31 - 1
#: Times are judged by us: PyJWT would reject an ``iat`` a second ahead (two servers' clocks
#: differ) and would not let us read the ``sid`` of an expired access token.
LEEWAY = timedelta(days=36500)


class RefreshTokenState(Protocol):
    """What of a session determines its refresh token."""

    @property
    def id(self) -> UUID: ...
    @property
    def rotation(self) -> int: ...
    @property
    def rotated_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def token_hash(self) -> str: ...


@dataclass(frozen=True)
class Claims:
    """What a genuine token says. ``iat`` and ``exp`` are seconds since the epoch."""

    sid: UUID
    rot: int
    iat: int
    exp: int

    @property
    def expired(self) -> bool:
        """Whether the token's time is over."""
        return self.exp <= time.time()

    def valid_for(self, seconds: float) -> bool:
        """Tell whether the token is good for that many seconds more."""
        return self.exp > time.time() + seconds

    def older_than(self, period: timedelta) -> bool:
        """Tell whether the token was issued more than ``period`` ago.

        ``iat`` is cut to whole seconds, so one second is added: never too early.
        """
        return time.time() - (self.iat + 1) > period.total_seconds()


@lru_cache(maxsize=64)
@sensitive_variables()
def derive_backend(purpose: str, secret: str | bytes) -> TokenBackend:
    """Return simplejwt's backend for one type of token under one ``SECRET_KEY``."""
    key = salted_hmac(f"tokenauth.{purpose}", "signing key", secret=secret, algorithm="sha256")
    return TokenBackend("HS256", signing_key=key.hexdigest(), leeway=LEEWAY)


def secret_keys() -> list[Secret[str | bytes]]:
    """Return the key that signs, then those that still verify."""
    return [Secret(key) for key in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]]


class TokenMixin:
    """Sign with the derived key, keep our claims, and leave simplejwt's settings alone.

    simplejwt freezes the site's ``SIMPLE_JWT`` at import and lets it rename or drop claims.
    """

    token_type: str
    payload: dict[str, Any]

    @classmethod
    def issue(cls, secret: Secret[str | bytes], claims: Claims, jti: str) -> Secret[str]:
        """Return the encoded token that carries ``claims``."""
        token = cls()
        token.payload = {
            "token_type": cls.token_type,
            "sid": str(claims.sid),
            "rot": claims.rot,
            "iat": claims.iat,
            "exp": claims.exp,
            "jti": jti,
        }
        return Secret(derive_backend(cls.token_type, secret.reveal()).encode(token.payload))

    @classmethod
    def read(cls, raw: Secret[str]) -> Claims:
        """Verify everything but the times, and return the claims.

        Raises InvalidToken.
        """
        if len(raw.reveal()) > MAX_TOKEN_LENGTH or not COMPACT_JWS.fullmatch(raw.reveal()):
            raise InvalidToken("not a JWT")
        for secret in secret_keys():
            try:
                backend = derive_backend(cls.token_type, secret.reveal())
                return cls.check(backend.decode(raw.reveal()))  # type: ignore[arg-type]  # simplejwt annotates Token, takes str
            # RecursionError and OverflowError: PyJWT turns only ValueError into its own.
            except (TokenBackendError, ValueError, RecursionError, OverflowError):
                continue
        raise InvalidToken("not signed by this site")

    @classmethod
    def check(cls, payload: dict[str, Any]) -> Claims:
        """Return the claims of a payload whose signature is good, or raise ValueError."""
        numbers = [payload.get(name) for name in ("rot", "iat", "exp")]
        rot, iat, exp = [number for number in numbers if type(number) is int]
        if payload.get("token_type") != cls.token_type or not 0 <= rot <= MAX_ROTATION:
            raise ValueError
        return Claims(UUID(str(payload.get("sid"))), rot, iat, exp)


class AccessToken(TokenMixin, simplejwt.AccessToken):
    """Signed, good for minutes, sent with every request."""

    token_type = "tokenauth_access"  # noqa: S105  # a name, no password


class RefreshToken(TokenMixin, simplejwt.RefreshToken):  # type: ignore[misc]  # simplejwt contradicts itself
    """Single use, good for weeks, sent to the auth URLs only."""

    token_type = "tokenauth_refresh"  # noqa: S105  # a name, no password


def hash_token(raw: Secret[str]) -> Masked:
    """Return the SHA-256 of a token, as the database keeps it.

    A fast hash is enough: the token carries a 256-bit MAC, there is nothing to guess.
    """
    return Masked(hashlib.sha256(raw.reveal().encode()).hexdigest())


def epoch(moment: datetime) -> int:
    """Return seconds since the epoch, the same before and after a trip to the database.

    Under ``USE_TZ = False`` the database forgets ``fold``.
    """
    return int(moment.replace(fold=0).timestamp())


def access_claims(session: RefreshTokenState, now: int) -> Claims:
    """Return what an access token says that is issued ``now``, never longer than the session."""
    exp = min(now + int(conf.ACCESS_TOKEN_LIFETIME.total_seconds()), epoch(session.expires_at))
    return Claims(session.id, session.rotation, now, exp)


def issue_access_token(session: RefreshTokenState) -> tuple[Secret[str], Claims]:
    """Make a new access token for a session."""
    claims = access_claims(session, int(time.time()))
    return AccessToken.issue(secret_keys()[0], claims, uuid4().hex), claims


def make_refresh_token(session: RefreshTokenState, secret: Secret[str | bytes]) -> Secret[str]:
    """Make a session's refresh token under one key.

    It is a function of the session's row and the key alone: it can be made again byte for byte,
    so nobody needs to store it.
    """
    iat, exp = epoch(session.rotated_at), epoch(session.expires_at)
    claims = Claims(session.id, session.rotation, iat, exp)
    seed = f"{session.id}.{session.rotation}.{iat}.{session.rotated_at.microsecond}"
    jti = salted_hmac("tokenauth.jti", seed, secret=secret.reveal(), algorithm="sha256").hexdigest()
    return RefreshToken.issue(secret, claims, jti)


def new_refresh_token_hash(session: RefreshTokenState) -> Masked:
    """Return the hash of the token that belongs to the session's present state."""
    return hash_token(make_refresh_token(session, secret_keys()[0]))


def remake_refresh_token(session: RefreshTokenState) -> Secret[str]:
    """Make the token again whose hash the session holds.

    Raises InvalidToken when no key of this server gives it (another server signs with a key
    that this one doesn't know yet).
    """
    for secret in secret_keys():
        raw = make_refresh_token(session, secret)
        if constant_time_compare(hash_token(raw), session.token_hash):
            return raw
    raise InvalidToken("no key of this site makes this session's refresh token")
