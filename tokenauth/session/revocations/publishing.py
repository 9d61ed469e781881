"""Let one process tell what ends in it, and see to it that nothing stays untold.

Telling takes place in the request that ended the session, after the commit. What fails is made good
by a thread, which also sees when Redis has lost its memory. It needs no list of what is untold: the
rows say what ended, the stream says what was told.
"""

import logging
import time
from collections.abc import Collection
from functools import lru_cache
from threading import Event, Lock, Thread

from django.db import Error, connections

from tokenauth.conf import conf
from tokenauth.secret import Masked, Secret

from . import rows, stream
from .stream import Entry
from .telling import Teller, before_now, entries_of, lacking

log = logging.getLogger("tokenauth.security")

#: Seconds between two looks at Redis, and after a failure for each there was, but no more.
PACE, HASTE = 0.5, 0.1
#: Entries that a process keeps for itself while Redis is away; the rows know the rest.
MOST = 10_000
#: Seconds for which one process looks for all of them whether anything was left untold, and those
#: within which another one does not also fill a Redis that has lost its memory.
TURN, FILLING = 60, 10


class Publisher:
    """What one process has to tell, and whether it could."""

    def __init__(self, url: Secret[str], issuer: str) -> None:
        self.teller = Teller(url, issuer)
        #: What could not be told, to be told at once when Redis is back.
        self.untold: list[Entry] = []
        #: Whether the rows may know more that is untold: a process before this one may have died.
        self.doubts = True
        self.failures = 0
        self.looks_at = time.monotonic() + TURN
        self.woken, self.is_stopped = Event(), False
        self.thread, self.lock = Thread(), Lock()

    def tell(self, sids: Collection[str], before: int | None = None, *, known: bool = True) -> None:
        """Tell at once that sessions have ended, or let the thread do it when Redis is back.

        ``before`` as in ``Entry``. ``known``: the rows say so too.
        """
        entries = entries_of(sids, before)
        if not self.failures:
            try:
                self.teller.tell(entries)
            except stream.faults() as error:
                self.fail(error)
                self.woken.set()  # it may be but a hiccup
            else:
                return
        if known and len(self.untold) > MOST:
            self.doubts = True
        else:
            self.untold += entries
        self.start()

    def start(self) -> None:
        """Have the thread running in this process, which may have been forked."""
        if self.thread.is_alive() or not self.lock.acquire(blocking=False):
            return
        try:
            self.thread = Thread(target=self.watch, name="tokenauth-revocations", daemon=True)
            self.thread.start()
        finally:
            self.lock.release()

    def watch(self) -> None:
        """Look after the stream until it is stopped."""
        while not self.is_stopped:
            self.woken.clear()
            self.tend()
            connections.close_all()  # nobody would close those of this thread
            self.woken.wait(self.pause())

    def pause(self) -> float:
        """Return for how many seconds to do nothing."""
        return min(HASTE * self.failures, PACE) if self.failures else PACE

    def stop(self) -> None:
        """End the thread."""
        self.is_stopped = True
        self.woken.set()
        if self.thread.is_alive():
            self.thread.join()

    def make_good(self) -> bool:
        """Tell what any process has left untold; return whether that was possible."""
        self.doubts = True
        return self.tend()

    def tend(self) -> bool:
        """Tell what is untold, if anything may be; return whether that was possible."""
        try:
            self.look()
        except hindrances() as error:
            self.doubts = True
            self.fail(error)
            return False
        if self.failures:
            log.warning("Ended sessions can be told again.")
        self.failures = 0
        return True

    def look(self) -> None:
        """Do so, or raise what stands in the way."""
        run, is_complete = self.teller.run()
        if not is_complete:
            self.fill(run)
            return
        self.tell_untold()
        if self.doubts or self.is_my_turn():
            self.catch_up()

    def fill(self, run: str) -> None:
        """Tell a Redis anew what it has forgotten, unless another process is about it."""
        if not self.teller.takes_turn("filling", FILLING):
            return
        try:
            self.teller.take_back()
            self.catch_up()
            self.tell_untold()
            self.teller.declare_complete(run)
        finally:
            self.teller.ends_turn("filling")

    def is_my_turn(self) -> bool:
        """Tell whether to look for what a process left untold that died, and for its life only."""
        if time.monotonic() < self.looks_at:
            return False
        self.looks_at = time.monotonic() + TURN
        return self.teller.takes_turn("turn", TURN)

    def tell_untold(self) -> None:
        """Tell what this process could not."""
        untold = list(self.untold)
        self.teller.tell(untold)
        del self.untold[: len(untold)]

    def catch_up(self) -> None:
        """Tell what ended within an access token's life and the stream lacks."""
        self.doubts = False  # before it is looked: who has more to tell meanwhile is in doubt again
        told = self.teller.told()
        lost = [each for each in rows.ended_lately() if lacking(told, *each)]
        over = entries_of([sid for sid, since in lost if since is None])
        suspended = entries_of([sid for sid, since in lost if since is not None], before_now())
        self.teller.tell([*over, *suspended])

    def fail(self, error: Exception) -> None:
        """Note that something may be untold, and say so once."""
        self.failures += 1
        if self.failures == 1:
            log.warning(
                "Ended sessions cannot be told now, and will be: %s.", stream.describe(error)
            )


def hindrances() -> tuple[type[Exception], ...]:
    """Return what stands in the way while Redis or the database is away."""
    return (Error, *stream.faults())


def publisher() -> Publisher:
    """Return that of this process, by the site's settings."""
    return opened(Masked(conf.REVOCATIONS), conf.ISSUER or "")


@lru_cache(maxsize=4)
def opened(url: str, issuer: str) -> Publisher:
    """Return the same for the same settings."""
    return Publisher(Secret(url), issuer)
