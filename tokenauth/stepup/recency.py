"""Judge whether a proof of identity is recent. Nothing here asks a request or the database."""

from datetime import datetime, timedelta

#: How long a proof is recent for a view that says nothing.
FIVE_MINUTES = timedelta(minutes=5)
#: How long that of a device key is, which costs its person nothing.
ONE_MINUTE = timedelta(minutes=1)
#: How far apart the clocks of two servers may be: a proof of the near future counts. One of the far
#: future shows a clock that went back, and nobody knows how old it is.
CLOCK_SKEW = timedelta(seconds=60)


def duration_of(max_age: timedelta | float) -> timedelta:
    """Return a length of time that may be given in seconds.

    Raises ValueError where no proof would ever be recent.
    """
    length = max_age if isinstance(max_age, timedelta) else timedelta(seconds=max_age)
    if length <= timedelta(0):
        raise ValueError(f"max_age must be above zero, not {max_age!r}: nobody could ever pass.")
    return length


def is_recent(authenticated_at: datetime | None, now: datetime, max_age: timedelta) -> bool:
    """Tell whether who signed in has proved who they are at most ``max_age`` ago (RFC 9470 §3).

    ``authenticated_at`` is None where nobody has proved anything to the session.
    """
    return authenticated_at is not None and -CLOCK_SKEW <= now - authenticated_at <= max_age
