"""What both tokens say, and of what a session's are made.

Nothing here touches a request or the database.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID


def epoch(moment: datetime) -> int:
    """Return seconds since the epoch, the same before and after a trip to the database.

    Under ``USE_TZ = False`` the database forgets ``fold``.
    """
    return int(moment.replace(fold=0).timestamp())


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
    @property
    def client(self) -> str: ...
    @property
    def device_thumbprint(self) -> str: ...


@dataclass(frozen=True)
class Claims:
    """What a genuine token says. ``iat`` and ``exp`` are seconds since the epoch."""

    sid: UUID
    rot: int
    iat: int
    exp: int
    #: The thumbprint of the device key that its session is bound to; empty: to none.
    jkt: str = ""

    @property
    def expired(self) -> bool:
        """Whether the token's time is over."""
        return self.exp <= time.time()

    def valid_for(self, seconds: float) -> bool:
        """Tell whether the token is good for that many seconds more."""
        return self.exp > time.time() + seconds

    def older_than(self, period: timedelta, when: float | None = None) -> bool:
        """Tell whether the token was issued more than ``period`` before now, or before ``when``.

        ``iat`` is cut to whole seconds, so one second is added: never too early.
        """
        now = time.time() if when is None else when
        return now - (self.iat + 1) > period.total_seconds()
