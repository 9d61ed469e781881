"""Decide what a presented refresh token means: a pure function of row, token and time.

The session counts its rotations. With ``c`` for the row's count and ``t`` for the token's:

    t == c                      the current token: rotate, or debounce if only just handed out
    t == c - 1, c unconfirmed   the answer that carried c was lost, another tab was faster, or
                                the browser crashed before its jar reached the disk: c again
    t == c - 1, c confirmed     the client has kept c, so this is somebody else's copy: reuse
    t <  c - 1                  spent long ago: reuse
    t >= since                  of these two, a token that was good when this server itself sent the
                                browser here with it: it comes late, with a big file on a slow line
    anything else               newer than the database: mismatch

RFC 9700 §4.14.2 wants the old token dead at once. We keep it until its successor is *confirmed*,
with no time limit: an answer can be lost for as long as a laptop sleeps. The promise to the
person is the same, since of two holders of one token, one must come back with a spent one.
"""

from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from django.utils.crypto import constant_time_compare


class Step(Enum):
    """What to do with a presented refresh token."""

    ROTATE = "issue the successor"
    REISSUE = "issue the current token again"
    DEBOUNCE = "issue an access token only"
    LATE = "issue nothing: the browser has been given newer ones meanwhile"
    REUSE = "revoke: a spent token came back"
    MISMATCH = "revoke: the database never knew this token"


class RotationState(Protocol):
    """What of a session the decision looks at."""

    @property
    def rotation(self) -> int: ...
    @property
    def token_hash(self) -> str: ...
    @property
    def issued_at(self) -> datetime: ...
    @property
    def confirmed(self) -> bool: ...


def decide(
    row: RotationState,
    rot: int,
    token_hash: str,
    now: datetime,
    grace_period: timedelta,
    *,
    since: int | None = None,
) -> Step:
    """Return the step for a genuine token with claim ``rot`` and hash ``token_hash``.

    ``since`` is the row's rotation when the request was sent on its way, if that is known.

    A clock that jumped back makes the age negative: that debounces, which changes nothing.
    """
    if rot == row.rotation and constant_time_compare(token_hash, row.token_hash):
        return Step.DEBOUNCE if now - row.issued_at < grace_period else Step.ROTATE
    if rot >= row.rotation:
        return Step.MISMATCH
    if rot == row.rotation - 1 and not row.confirmed:
        return Step.REISSUE
    return Step.REUSE if since is None or rot < since else Step.LATE
