"""Know which sessions have ended, though this server has no database of sessions.

The authorization server tells it in a Redis stream. Each process keeps what is told in memory and
reads what is new in the request that finds it due, so nothing is asked for most requests.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import Lock

from tokenauth.conf import conf
from tokenauth.secret import Masked, Secret, conceal
from tokenauth.session.revocations import stream
from tokenauth.session.revocations.stream import Entry

log = logging.getLogger("tokenauth.security")

#: After so many intervals without a good read nobody knows any more who was signed out.
MISSED = 4
#: Seconds that the first requests of a process wait for the one that reads, and that it may take.
PATIENCE = 2.0
#: Seconds between two times that what is over is forgotten.
TIDY = 60

#: ``before`` and ``until`` of an entry.
Told = tuple[int | None, int]


class Revocations:
    """The ended sessions of one issuer, as one process knows them.

    ``url`` is the address of the Redis, ``interval`` how many seconds old the knowledge may be.
    Ask ``refuses`` (in async code ``arefuses``) of each token, then ``is_down``: if it is, the
    answer is worth no more than TOKENAUTH_REVOCATIONS_DOWN says.
    """

    def __init__(
        self,
        url: str | Secret[str],
        issuer: str,
        interval: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = stream.connect(conceal(url), stream.TIMEOUT)
        self._stream, self._epoch_key = stream.stream_of(issuer), stream.epoch_of(issuer)
        self._interval, self._clock = interval, clock
        self._lock = Lock()
        self._told: dict[str, Told] = {}
        #: One of each: a thousand sessions that end in one second share it.
        self._values: dict[Told, Told] = {}
        self._last, self._epoch = stream.BEGINNING, ""
        self._due = self._good_at = float("-inf")
        self._tidy_at = clock() + TIDY
        self._failures = 0

    def refuses(self, sid: str, iat: int) -> bool:
        """Tell whether a token of a session, issued at ``iat``, counts no more.

        Reads what is new if that is due; then it takes a millisecond, at worst ``TIMEOUT``.
        """
        if self._clock() >= self._due:
            self.poll()
        return self.knows(sid, iat)

    async def arefuses(self, sid: str, iat: int) -> bool:
        """See refuses(). What is due is read in a thread; else nothing is awaited."""
        if self._clock() >= self._due and (self._waits or not self._lock.locked()):
            await asyncio.to_thread(self.poll)
        return self.knows(sid, iat)

    def knows(self, sid: str, iat: int) -> bool:
        """Tell the same by what was read already."""
        told = self._told.get(sid)
        return told is not None and (told[0] is None or iat <= told[0])

    @property
    def is_down(self) -> bool:
        """Whether the last good read is too long ago to believe anything."""
        return self._clock() - self._good_at > MISSED * self._interval

    @property
    def _waits(self) -> bool:
        # After a pause what is known is old, but good in a moment. After a failure it is not.
        return self.is_down and not self._failures

    def poll(self) -> None:
        """Read what is new, if nobody else does so at this moment."""
        if not self._lock.acquire(timeout=PATIENCE if self._waits else 0):
            return
        try:
            if self._clock() >= self._due:
                self._read()
        finally:
            self._lock.release()

    def _read(self) -> None:
        try:
            missing = self._catch_up()
        except stream.faults() as error:
            missing = stream.describe(error)
        if missing is None:
            return  # it is due still: the next request goes on
        if missing:
            self._fail(missing)
        else:
            self._succeed()
        # Twice as long while it is away: each try may cost a request ``TIMEOUT``.
        self._due = self._clock() + self._interval * (2 if self._failures > 1 else 1)

    def _catch_up(self) -> str | None:
        """Read to the end; return why that is not all there is, if so. None: it is far to the end.

        Raises ``stream.faults()``.
        """
        give_up = self._clock() + PATIENCE
        while (asked_at := self._clock()) < give_up:
            since = self._last
            epoch, page = self._fetch(since)
            self._learn(page)
            if epoch is None:
                self._epoch = ""
                return "the issuer has yet to tell all that Redis has forgotten"
            if epoch != self._epoch:
                self._epoch = epoch
                if since != stream.BEGINNING:
                    self._last = stream.BEGINNING
                    continue
            if len(page) < stream.PAGE:
                self._good_at = asked_at
                return ""
        return None

    def _fetch(self, since: str) -> tuple[str | None, list[tuple[str, dict[str, str]]]]:
        pipeline = self._client.pipeline(transaction=False)
        # First the epoch: where it is there, what it stands for is in the stream by then.
        pipeline.get(self._epoch_key)
        pipeline.xrange(self._stream, min=f"({since}", count=stream.PAGE)
        epoch, page = pipeline.execute()
        return epoch, page

    def _learn(self, page: Iterable[tuple[str, dict[str, str]]]) -> None:
        for name, fields in page:
            self._last = name
            entry = Entry.read(fields)
            if entry is not None:
                value = (entry.before, entry.until)
                self._told[entry.sid] = self._values.setdefault(value, value)

    def _succeed(self) -> None:
        if self._failures:
            log.warning("Revocations can be read again.")
        self._failures = 0
        if self._good_at >= self._tidy_at:
            self._forget(time.time())
            self._tidy_at = self._good_at + TIDY

    def _fail(self, reason: str) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("Revocations cannot be read: %s.", reason)

    def _forget(self, now: float) -> None:
        """Let go of sessions whose last token has expired."""
        self._told = {sid: told for sid, told in self._told.items() if told[1] > now}
        self._values = {told: told for told in self._told.values()}


def configured() -> Revocations | None:
    """Return what this process knows, by the site's settings; None where no Redis is set."""
    url = conf.REVOCATIONS
    if not url:
        return None
    return opened(Masked(url), conf.ISSUER or "", conf.REVOCATION_INTERVAL.total_seconds())


@lru_cache(maxsize=4)
def opened(url: str, issuer: str, interval: float) -> Revocations:
    """Return the same for the same settings."""
    return Revocations(url, issuer, interval)
