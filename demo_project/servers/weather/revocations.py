"""Know which sessions have ended: the authorization server tells it in a Redis stream."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from redis import asyncio as redis
from redis.exceptions import RedisError

from .tokens import UnavailableError

#: Seconds that the knowledge may be old, and that a read may take.
INTERVAL, TIMEOUT = 0.25, 1
#: Entries that are read at once; before the first of them.
PAGE, BEGINNING = 1000, "0-0"


class Revocations:
    """The ended sessions of one issuer, as this process knows them."""

    def __init__(self, url: str, issuer: str) -> None:
        self._redis = redis.from_url(url, decode_responses=True, socket_timeout=TIMEOUT)
        self._stream = f"tokenauth:revoked:{issuer}"
        self._lock = asyncio.Lock()
        #: By session: up to which ``iat`` its tokens count no more, and until when that matters.
        self._told: dict[str, tuple[float, int]] = {}
        self._epoch, self._last = "", BEGINNING
        self._due, self._is_down = 0.0, True

    async def refuse(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token's session has ended. Raises UnavailableError while Redis is away."""
        async with self._lock:  # one reads, the others wait for it
            if time.monotonic() >= self._due:
                self._is_down = not await self._catch_up()
                self._due = time.monotonic() + INTERVAL
        if self._is_down:
            raise UnavailableError("nobody knows whose session has ended")
        before, _ = self._told.get(claims["sid"], (float("-inf"), 0))
        return bool(claims["iat"] <= before)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()

    async def _catch_up(self) -> bool:
        """Read what is new; tell whether that is all there is."""
        try:
            while True:
                epoch, page = await self._read()
                if epoch is None:
                    return False  # Redis has forgotten; the authorization server will tell it again
                if epoch != self._epoch:
                    self._epoch, self._last = epoch, BEGINNING
                elif len(page) < PAGE:
                    return True
        except (RedisError, OSError):
            return False

    async def _read(self) -> tuple[str | None, list[Any]]:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(f"{self._stream}:epoch")
        pipeline.xrange(self._stream, min=f"({self._last}", count=PAGE)
        epoch, page = await pipeline.execute()
        for self._last, entry in page:
            if "sid" in entry:  # else it is about no session
                before = float(entry.get("before") or "inf")
                self._told[entry["sid"]] = (before, int(entry["until"]))
        if page:
            now = time.time()
            self._told = {sid: told for sid, told in self._told.items() if told[1] > now}
        return epoch, page
