"""Have the keys of a server that signs tokens at hand, whatever becomes of it.

They are fetched in a thread of their own. A request waits for it only where it can't be answered
otherwise (there are no keys yet, or its token names one that is not known here), all at the same
time, and never for longer than one fetch may take. While the server is away, the keys that we have
go on counting, for a day.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from json import JSONDecodeError, loads
from os import PathLike
from pathlib import Path
from threading import Lock, Semaphore, Thread, current_thread
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from tokenauth.conf import conf

from .fetching import TIMEOUT, UNCHANGED, Answer, FetchError, fetch
from .verifying import Verifier

#: What verifies tokens.
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

log = logging.getLogger("tokenauth.resource")

#: Seconds for which keys are fresh where the server does not say, and the bounds of what it says.
FRESH, LEAST_FRESH, MOST_FRESH = 300, 30, 3600
#: Seconds for which keys count while no others can be had.
STALE_LIMIT = 24 * 60 * 60
#: Seconds between two fetches for the sake of unknown keys: anybody can name one.
UNKNOWN_INTERVAL = 10
#: Seconds until the next fetch after one that failed: doubled each time, up to the last.
FIRST_PAUSE, LAST_PAUSE = 1, 60
#: How many requests wait for a fetch at once: each may cost a thread, and anybody can make one.
MAX_WAITING = 100
#: Seconds after which a fetch that has not ended is given up.
GIVEN_UP = 10 * TIMEOUT


class Flight:
    """One fetch under way."""

    def __init__(self, fetch_keys: Any) -> None:
        self.started = time.monotonic()
        self.seats = Semaphore(MAX_WAITING)
        # A daemon: a server that hangs keeps no process from ending.
        self.thread = Thread(target=fetch_keys, name="tokenauth keys", daemon=True)
        self.thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, hangs, or was lost in a fork."""
        return not self.thread.is_alive() or time.monotonic() - self.started > GIVEN_UP

    def wait(self) -> None:
        """Wait until it ends, at most until ``TIMEOUT`` after its beginning; give the seat back."""
        self.thread.join(max(0, self.started + TIMEOUT - time.monotonic()))
        self.seats.release()


class Source(Protocol[V_co]):
    """Where keys come from."""

    def verifier(self) -> V_co | None:
        """Return what verifies tokens now; None if there are no keys."""

    def flight(self) -> Flight | None:
        """Return what to wait for where the keys at hand won't do; None if that is in vain."""


class GivenKeys:
    """Keys that stand in the settings, or in a file: nothing is fetched.

    Raises ValueError, which says what is wrong with them.
    """

    def __init__(self, given: Any, issuer: str, audience: str) -> None:
        document = given if isinstance(given, dict) else read_file(given)
        self._verifier = Verifier.from_jwks(document, issuer, audience)

    def verifier(self) -> Verifier:
        return self._verifier

    def flight(self) -> None:
        return None


class PublishedKeys(Generic[V]):
    """The keys that a server publishes, as they were when last fetched.

    ``read`` makes what verifies of a key set, and raises ValueError if it is none.
    """

    def __init__(self, url: str, read: Callable[[Any], V]) -> None:
        self.url, self._read = url, read
        self._lock = Lock()
        self._flight: Flight | None = None
        self._verifier: V | None = None
        self._document: Any = None
        self._etag = ""
        #: All by the monotonic clock: when the keys were good last, and until when they are fresh;
        #: when the last fetch began, and how many have failed since one did not; when to try again.
        self._good_at = self._fresh_until = self._retry_at = float("-inf")
        self._began_at = float("-inf")
        self._failures = 0

    def verifier(self) -> V | None:
        """Return what verifies tokens now, and see to it that it stays fresh."""
        now = time.monotonic()
        if now < self._fresh_until:
            return self._verifier
        if now >= self._good_at + STALE_LIMIT:
            return None
        self._start(self._retry_at)
        return self._verifier

    def flight(self) -> Flight | None:
        """Return a fetch that may bring what is not known here, and a seat in it."""
        has_keys = time.monotonic() < self._good_at + STALE_LIMIT
        earliest = self._began_at + UNKNOWN_INTERVAL if has_keys else self._retry_at
        flight = self._start(max(earliest, self._retry_at))
        return flight if flight and flight.seats.acquire(blocking=False) else None

    def _start(self, earliest: float) -> Flight | None:
        """Return the fetch that is under way, or one that begins now, but not before its time."""
        with self._lock:
            if self._flight and not self._flight.is_over:
                return self._flight
            if time.monotonic() < earliest:
                return None
            self._began_at = time.monotonic()
            self._flight = Flight(self._fetch)
            return self._flight

    def ask(self, etag: str) -> Answer:
        """Return the key set, unless it is the one of this ``etag``. Raises FetchError."""
        return fetch(self.url, etag)

    def _fetch(self) -> None:
        flaw = ""
        try:
            answer = self.ask(self._etag)
            document = self._document if answer.document is UNCHANGED else answer.document
            verifier = self._verifier_of(document)
        except (FetchError, ValueError) as error:
            flaw = str(error)
        except Exception as error:  # whatever it is, the keys that we have still count
            log.exception("The keys of %s could not be fetched.", self.host)
            flaw = type(error).__name__
        with self._lock:
            if self._flight is None or self._flight.thread is not current_thread():
                return  # given up, and overtaken
            if flaw:
                self._keep(flaw)
            else:
                self._verifier, self._document = verifier, document
                self._renew(answer)

    def _verifier_of(self, document: Any) -> V:
        """Return what verifies by a key set: the one that we have if it says nothing new.

        Raises ValueError if it is no key set.
        """
        if self._verifier is not None and document == self._document:
            return self._verifier
        return self._read(document)

    def _renew(self, answer: Answer) -> None:
        """Remember how long an answer is good."""
        fresh = FRESH if answer.max_age is None else answer.max_age
        now = time.monotonic()
        self._etag, self._failures, self._good_at = answer.etag, 0, now
        self._fresh_until = now + min(max(fresh, LEAST_FRESH), MOST_FRESH)

    def _keep(self, flaw: str) -> None:
        """Go on with the keys that we have, and try again later."""
        self._failures += 1
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LAST_PAUSE)
        self._retry_at = time.monotonic() + pause
        log.warning(
            "The keys of %s could not be fetched (%.300s). %s; next try in %s s.",
            self.host,
            flaw,
            "The old ones stay" if self._verifier else "There are none",
            pause,
        )

    @property
    def host(self) -> str | None:
        """Whose keys they are, for the log: the rest of an address may be nobody's business."""
        return urlsplit(self.url).hostname


def read_file(path: str | PathLike[str]) -> Any:
    """Return what a file says; raise ValueError with why it can't be read."""
    try:
        return loads(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"The file cannot be read: {error.strerror}.") from None
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("The file is not JSON.") from None


def source() -> Source[Verifier]:
    """Return where the settings say that the keys come from.

    Raises ValueError, which says what is wrong with those that are given.
    """
    audience: Any = conf.AUDIENCE
    names = {"issuer": conf.ISSUER or "", "audience": audience or ""}
    if conf.PUBLIC_KEYS is not None:
        return GivenKeys(conf.PUBLIC_KEYS, **names)
    url = conf.JWKS_URL or f"{conf.AUTHORIZATION_SERVER}jwks.json"
    return PublishedKeys(url, partial(Verifier.from_jwks, **names))
