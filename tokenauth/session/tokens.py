"""Make and verify the two tokens. The only module that touches simplejwt.

Where a site has keys that others verify with (``TOKENAUTH_SIGNING_KEYS``), its access tokens are
signed with those, by ``keys``, and say more. Else both are HS256 JWTs with the claims ``sid``,
``rot``, ``iat``, ``exp``, ``jti`` and a ``token_type`` of our own, each type under a key of its
own that is derived from ``SECRET_KEY`` (RFC 8725 §3.11, §3.12). So neither passes as the other,
nor as a bearer token of the site's own simplejwt API, which would skip revocation and CSRF.

Nothing here touches a request or the database.
"""

import hashlib
import time
from datetime import timedelta
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.debug import sensitive_variables
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Masked, Secret

from .jwt.access_claims import (
    APP,
    BROWSER,
    CI,
    MAX_ROTATION,
    check_access_claims,
    issuer,
    told_to_others,
)
from .jwt.claims import Claims, RefreshTokenState, epoch
from .jwt.form import HS256, check_form
from .jwt.site_claims import check_size, claims_of_site

if TYPE_CHECKING:
    from .jose.keys import SigningKeys

#: What others know of tokens, they know from here.
__all__ = [
    "MAX_ROTATION",
    "AccessToken",
    "BearerAccessToken",
    "BearerRefreshToken",
    "Claims",
    "RefreshToken",
    "TokenMixin",
    "access_claims",
    "derive_backend",
    "epoch",
    "hash_token",
    "issue_access_token",
    "kinds_of",
    "make_refresh_token",
    "remake_refresh_token",
    "secret_keys",
    "sign_access_token",
    "signing_keys",
]

#: Times are judged by us: PyJWT would reject an ``iat`` a second ahead (two servers' clocks
#: differ) and would not let us read the ``sid`` of an expired access token.
LEEWAY = timedelta(days=36500)


@lru_cache(maxsize=64)
@sensitive_variables()
def derive_backend(purpose: str, secret: str | bytes) -> TokenBackend:
    """Return simplejwt's backend for one type of token under one ``SECRET_KEY``."""
    key = salted_hmac(f"tokenauth.{purpose}", "signing key", secret=secret, algorithm="sha256")
    return TokenBackend(HS256, signing_key=key.hexdigest(), leeway=LEEWAY)


def secret_keys() -> list[Secret[str | bytes]]:
    """Return the key that signs, then those that still verify."""
    return [Secret(key) for key in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]]


@cache
def signing_keys() -> "SigningKeys | None":
    """Return the keys that others verify with; None where ``SECRET_KEY`` alone signs.

    Read once: each request needs them, and a file is slow. Only a site that has some needs the
    library for them.

    Raises ImproperlyConfigured.
    """
    if not conf.SIGNING_KEYS:
        return None
    try:
        from .jose.keys import SigningKeys  # noqa: PLC0415  # joserfc is optional

        return SigningKeys(Secret(conf.SIGNING_KEYS))
    except ImportError:
        why = "They need joserfc: pip install 'django-tokenauth[keys]'."
    except ValueError as flaw:
        why = str(flaw)
    raise ImproperlyConfigured(f"TOKENAUTH_SIGNING_KEYS: {why}")


def forget_keys(**kwargs: Any) -> None:
    """Read the keys anew, after a test has changed a setting."""
    signing_keys.cache_clear()


setting_changed.connect(forget_keys, dispatch_uid="tokenauth.forget_keys")


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
        if claims.jkt:
            token.payload["jkt"] = claims.jkt
        return Secret(derive_backend(cls.token_type, secret.reveal()).encode(token.payload))

    @classmethod
    def read(cls, raw: Secret[str]) -> Claims:
        """Verify everything but the times, and return the claims.

        Raises InvalidToken.
        """
        kind: Any = cls
        token = Masked(raw.reveal())
        for secret in secret_keys():
            try:
                return verified(kind, token, secret.reveal())
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
        jkt = payload.get("jkt", "")
        if not isinstance(jkt, str):
            raise ValueError
        return Claims(UUID(str(payload.get("sid"))), rot, iat, exp, jkt)


@lru_cache(maxsize=4096)
@sensitive_variables()
def verified(kind: Any, raw: str, secret: str | bytes) -> Claims:
    """Return the claims of a token under one key, whatever the time.

    What is genuine stays so: the next requests of the same browser need not verify it again. What
    is not is tried each time. Raises InvalidToken for what is no JWT, else what PyJWT and
    ``check`` raise.
    """
    check_form(Secret(raw))
    claims: Claims = kind.check(derive_backend(kind.token_type, secret).decode(raw))  # type: ignore[arg-type]  # simplejwt annotates Token, takes str
    return claims


@lru_cache(maxsize=4096)
@sensitive_variables()
def verified_by_key(kind: Any, keys: "SigningKeys", raw: str, issuer: str) -> Claims:
    """Return the claims of an access token that one of the site's keys has signed.

    Raises InvalidToken. See ``verified``.
    """
    payload = check_access_claims(
        keys.public.verify(Secret(raw)), issuer, issuer, asks_for_proof=BROWSER not in kind.clients
    )
    if payload["client_id"] not in kind.clients:
        raise InvalidToken("of another kind of client")
    sid, jkt = UUID(payload["sid"]), payload.get("jkt", "")
    return Claims(sid, payload["rot"], payload["iat"], payload["exp"], jkt)


class AccessToken(TokenMixin, simplejwt.AccessToken):
    """Signed, good for minutes, sent with every request."""

    token_type = "tokenauth_access"  # noqa: S105  # a name, no password
    clients = frozenset([BROWSER])

    @classmethod
    def read(cls, raw: Secret[str]) -> Claims:
        """Verify everything but the times, and return the claims.

        Raises InvalidToken.
        """
        keys = signing_keys()
        if keys is None:
            return super().read(raw)
        if not keys.verifies_hs256:
            return cls.read_by_key(keys, raw)
        # What signs now, first: most tokens that come are of today, and trying is what takes time.
        by_key, by_secret = partial(cls.read_by_key, keys), super().read
        first, second = (by_secret, by_key) if keys.uses_hs256_first else (by_key, by_secret)
        try:
            return first(raw)
        except InvalidToken:
            return second(raw)

    @classmethod
    def read_by_key(cls, keys: "SigningKeys", raw: Secret[str]) -> Claims:
        """See read()."""
        kind: Any = cls
        return verified_by_key(kind, keys, Masked(raw.reveal()), issuer())


class RefreshToken(TokenMixin, simplejwt.RefreshToken):  # type: ignore[misc]  # simplejwt contradicts itself
    """Single use, good for weeks, sent to the auth URLs only."""

    token_type = "tokenauth_refresh"  # noqa: S105  # a name, no password


class BearerAccessToken(AccessToken):
    """The access token of a client that is no browser: a cookie's does not pass for it."""

    token_type = "tokenauth_bearer_access"  # noqa: S105  # a name, no password
    clients = frozenset([APP, CI])


class BearerRefreshToken(RefreshToken):
    """The refresh token of such a client."""

    token_type = "tokenauth_bearer_refresh"  # noqa: S105  # a name, no password


def kinds_of(client: str) -> tuple[type[AccessToken], type[RefreshToken]]:
    """Return which access and refresh tokens the sessions of a client have."""
    is_browser = client == BROWSER
    return (AccessToken, RefreshToken) if is_browser else (BearerAccessToken, BearerRefreshToken)


def hash_token(raw: Secret[str]) -> Masked:
    """Return the SHA-256 of a token, as the database keeps it.

    A fast hash is enough: the token carries a 256-bit MAC, there is nothing to guess.
    """
    return Masked(hashlib.sha256(raw.reveal().encode()).hexdigest())


def access_claims(session: RefreshTokenState, now: int) -> Claims:
    """Return what an access token says that is issued ``now``, never longer than the session."""
    exp = min(now + int(conf.ACCESS_TOKEN_LIFETIME.total_seconds()), epoch(session.expires_at))
    return Claims(session.id, session.rotation, now, exp, session.device_thumbprint)


def issue_access_token(session: RefreshTokenState) -> tuple[Secret[str], Claims]:
    """Make a new access token for a session."""
    claims = access_claims(session, int(time.time()))
    return sign_access_token(session, claims), claims


def sign_access_token(session: RefreshTokenState, claims: Claims) -> Secret[str]:
    """Return the encoded access token of a session that carries ``claims``.

    Raises ImproperlyConfigured.
    """
    keys, jti = signing_keys(), uuid4().hex
    if keys is None or keys.uses_hs256_first:
        return kinds_of(session.client)[0].issue(secret_keys()[0], claims, jti)
    payload = told_to_others(session, claims) | {"jti": jti} | claims_of_site(session)
    raw = keys.sign(payload)
    check_size(raw, payload)
    return raw


def make_refresh_token(session: RefreshTokenState, secret: Secret[str | bytes]) -> Secret[str]:
    """Make a session's refresh token under one key.

    It is a function of the session's row and the key alone: it can be made again byte for byte,
    so nobody needs to store it.
    """
    iat, exp = epoch(session.rotated_at), epoch(session.expires_at)
    claims = Claims(session.id, session.rotation, iat, exp)
    seed = f"{session.id}.{session.rotation}.{iat}.{session.rotated_at.microsecond}"
    jti = salted_hmac("tokenauth.jti", seed, secret=secret.reveal(), algorithm="sha256").hexdigest()
    return kinds_of(session.client)[1].issue(secret, claims, jti)


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
