"""The reasons why a token signs nobody in.

::

    TokenAuthError
      + InvalidToken          nobody made this token, or its time is over: nothing changes
          + UnknownKey          … or its key is not known here, not yet perhaps
      + InvalidProof          nobody proved to hold the key of what they bring: nothing changes
          + NonceNeeded         … but may do so, with the nonce that they are told
      + Unavailable           nobody can say now: nothing changes
      + SessionSuspended      its session lives, but may not be used now: nothing changes
          + SessionExpired      … because its time has just run out, by this clock
          + DeviceProofRequired … without a proof of the device key that it is bound to
      + SessionEnded          its session is over: the browser's cookies may go
          + SignedOutElsewhere … because somebody deleted its Django session
          + TokenReused       … because this very token had been spent: theft
          + TokenMismatched   … because the database never knew this token

No message carries a token, a hash or a key.
"""

from datetime import datetime
from uuid import UUID


class TokenAuthError(Exception):
    """No session can be had from what was presented."""


class InvalidToken(TokenAuthError):  # noqa: N818  # named for the state, like Django's own
    """The token is malformed, of another type, signed by someone else, or expired."""


class UnknownKey(InvalidToken):
    """The token names a key that is not in the set: one that is new, or nobody's."""


class Unavailable(TokenAuthError):  # noqa: N818  # the same
    """Nobody can say now whether a token counts."""


class InvalidProof(TokenAuthError):  # noqa: N818  # the same
    """The proof of a key is malformed, made for something else, used before, or of no use."""


class NonceNeeded(InvalidProof):
    """The DPoP proof is to be signed again, with a nonce of ours (RFC 9449 §8, §9)."""


class SessionSuspended(TokenAuthError):  # noqa: N818  # the same
    """The user is inactive, has another password by now, or no backend vouches for them.

    Or its time has just run out, which may be the clock's fault: SessionExpired.
    """


class SessionExpired(SessionSuspended):
    """Its time has just run out, unless the clock is wrong: the cookies stay, the data goes."""


class DeviceProofRequired(SessionSuspended):
    """It is bound to a device, and nothing shows that the request comes from there."""

    #: What a script is told.
    code = "device_proof_required"


class SessionEnded(TokenAuthError):  # noqa: N818  # the same
    """The session was revoked, expired a while ago, or is gone from the database."""

    #: The session's id, the claim ``sid``.
    sid: UUID
    #: Why it was revoked; empty when it expired or is gone.
    reason: str
    #: When it was revoked; None when it was not.
    revoked_at: datetime | None

    def __init__(self, sid: UUID, reason: str = "", revoked_at: datetime | None = None) -> None:
        super().__init__(f"session {sid} has ended ({reason or 'expired or deleted'})")
        self.sid = sid
        self.reason = reason
        self.revoked_at = revoked_at


class SignedOutElsewhere(SessionEnded):
    """Its Django session was deleted: by allauth's usersessions, a session admin, a recipe.

    Nothing has written this down yet.
    """


class TokenReused(SessionEnded):
    """A spent refresh token came back after its successor was confirmed (RFC 9700 §4.14.2)."""


class TokenMismatched(SessionEnded):
    """The token is genuine, but newer than the database: a restored backup or a leaked key."""
