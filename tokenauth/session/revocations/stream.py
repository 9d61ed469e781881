"""The words between who ends sessions and who must know of it: names, entries, a client.

One Redis stream for each issuer. Nothing in here touches the database, and ``redis`` is imported
only by whoever has a URL to give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.views.decorators.debug import sensitive_variables

from tokenauth.secret import Secret

#: Seconds that a request waits for Redis, to connect and for each answer: one that reads, of which
#: there is one in each interval, and one that tells.
TIMEOUT, TELLING_TIMEOUT = 0.1, 0.5
#: How many entries one command asks for.
PAGE = 1000
#: Before every entry there is.
BEGINNING = "0-0"


def stream_of(issuer: str) -> str:
    """Return the key of an issuer's stream."""
    return f"tokenauth:revoked:{issuer}"


def epoch_of(issuer: str) -> str:
    """Return the key that is there while the stream is complete."""
    return f"{stream_of(issuer)}:epoch"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is told of one session.

    ``before``: its tokens with an ``iat`` up to this count no more; None: none of its tokens does.
    ``until``: by then its last access token has expired. Both are seconds since the epoch.
    """

    sid: str
    before: int | None
    until: int

    @property
    def fields(self) -> dict[str, str]:
        """The entry as Redis keeps it."""
        before = "" if self.before is None else str(self.before)
        return {"sid": self.sid, "before": before, "until": str(self.until)}

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> "Entry | None":
        """Return what an entry says; None if it is not about a session.

        Raises ValueError if it is none of ours.
        """
        if "sid" not in fields:
            return None
        before = fields.get("before", "")
        return cls(fields["sid"], int(before) if before else None, int(fields.get("until", "")))


@sensitive_variables()
def connect(url: Secret[str], timeout: float) -> Any:
    """Return a client of the Redis at a URL; it connects when it is used.

    It tries once and waits ``timeout`` seconds, unless the URL says otherwise
    (``?socket_timeout=1``).
    Raises ImproperlyConfigured, without the URL: a password may be in it.
    """
    try:
        import redis  # noqa: PLC0415  # optional
        from redis.backoff import NoBackoff  # noqa: PLC0415  # the same
        from redis.retry import Retry  # noqa: PLC0415  # the same
    except ImportError:
        raise ImproperlyConfigured(
            "TOKENAUTH_REVOCATIONS needs redis-py: pip install 'django-tokenauth[redis]'."
        ) from None
    try:
        return redis.Redis.from_url(
            url.reveal(),
            decode_responses=True,
            protocol=2,  # no greeting that a user with few rights may not say
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        pass  # its text may quote the password, if it was not percent-encoded
    raise ImproperlyConfigured(
        "TOKENAUTH_REVOCATIONS is no address of a Redis: edit it to be like "
        "'redis://user:password@host:6379/0', the password percent-encoded."
    )


def faults() -> tuple[type[Exception], ...]:
    """Return what a client raises while Redis is away, hangs or refuses, or holds no stream."""
    import redis  # noqa: PLC0415  # optional

    return (redis.RedisError, OSError, ValueError)


def describe(error: Exception) -> str:
    """Say for the log what is wrong: the server's own words, never a part of the URL."""
    import redis  # noqa: PLC0415  # optional

    words = f": {error}" if isinstance(error, redis.ResponseError) else ""
    return f"{type(error).__name__}{words}"
