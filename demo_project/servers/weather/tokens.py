"""Verify access tokens (RFC 9068) by the public keys of the authorization server."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

#: The kind of the authorization server's keys: never what a token says of itself (RFC 8725 §3.1).
ALGORITHMS = ["ES256"]
#: Seconds that fetched keys count, and between two fetches, whatever unknown keys tokens name.
MAX_AGE, INTERVAL = 300, 10


class TokenError(Exception):
    """The token is not one of our authorization server's for us."""


class UnavailableError(Exception):
    """Nobody can say now whether a token counts."""


class Keys:
    """The public keys at ``url``. While it is away, the old ones count."""

    def __init__(self, url: str) -> None:
        self._url, self._set = url, KeySet([])
        self._lock = asyncio.Lock()
        self._fetched_at = self._tried_at = float("-inf")

    async def find(self, kid: str) -> KeySet:
        """Return the keys, fetched anew if they are old or none of them has this name.

        Raises UnavailableError.
        """
        async with self._lock:  # one fetches, the others wait for it
            now = time.monotonic()
            known = any(key.kid == kid for key in self._set)
            due = not known or now - self._fetched_at > MAX_AGE
            if due and now - self._tried_at > INTERVAL:
                self._tried_at = now
                await self._fetch(now)
        if not self._set:
            raise UnavailableError("there are no keys")
        return self._set

    async def _fetch(self, now: float) -> None:
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                answer = await client.get(self._url)
            self._set = KeySet.import_key_set(answer.raise_for_status().json())
            self._fetched_at = now
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError):
            return  # it is away, or does not publish keys: the next request after INTERVAL tries


class Verifier:
    """Tell whose a token is: ``issuer`` must have made it, ``audience`` may accept it."""

    def __init__(self, keys: Keys, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    async def claims_of(self, raw: str) -> dict[str, Any]:
        """Return what a genuine token says, expired or not.

        Raises TokenError and UnavailableError.
        """
        try:
            kid = jws.extract_compact(raw.encode()).protected["kid"]
            token = jwt.decode(raw, await self._keys.find(kid), algorithms=ALGORITHMS)
            genuine = token.header["typ"] == "at+jwt" and self._is_for_us(token.claims)
        except (JoseError, ValueError, KeyError, TypeError):
            raise TokenError from None
        if not genuine:
            raise TokenError
        return token.claims

    def _is_for_us(self, claims: Mapping[str, Any]) -> bool:
        # One with "cnf" is bound to a key (RFC 7800), and nobody here asks for the proof.
        needed = {"sub", "sid", "iat", "exp", "client_id"}
        return (
            claims["iss"] == self._issuer
            and self._audience in list(claims["aud"])
            and needed <= claims.keys()
            and "cnf" not in claims
        )
