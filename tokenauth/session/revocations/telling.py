"""Tell an issuer's stream which sessions have ended, and notice when Redis lost its memory."""

import time
from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

from tokenauth.conf import conf
from tokenauth.secret import Secret

from . import stream
from .stream import Entry

#: Seconds that a token may live longer than it should, by servers whose clocks differ and requests
#: that were under way.
SLACK = 60
#: Seconds after a moment in which a token may still be issued that should not be, for the same
#: reasons. Who gets in again within them is refused until the refresh after.
MARGIN = 5
#: Entries that are told at once.
BATCH = 500


def entries_of(sids: Collection[str], before: int | None = None) -> list[Entry]:
    """Return what is to be told of sessions that end now."""
    until = int(time.time() + conf.ACCESS_TOKEN_LIFETIME.total_seconds()) + SLACK
    return [Entry(sid, before, until) for sid in sids]


def before_now() -> int:
    """Return up to which ``iat`` tokens are of before now."""
    return int(time.time()) + MARGIN


class Teller:
    """The stream of one issuer, to write. Every method raises ``stream.faults()``."""

    def __init__(self, url: Secret[str], issuer: str) -> None:
        self.client = stream.connect(url, stream.TELLING_TIMEOUT)
        self.stream, self.epoch_key = stream.stream_of(issuer), stream.epoch_of(issuer)

    def tell(self, entries: Sequence[Entry]) -> None:
        """Add entries, and let go of those that are over."""
        kept = time.time() - conf.ACCESS_TOKEN_LIFETIME.total_seconds() - 2 * SLACK
        for start in range(0, len(entries), BATCH):
            pipeline = self.client.pipeline(transaction=False)
            for entry in entries[start : start + BATCH]:
                pipeline.xadd(self.stream, entry.fields, minid=str(max(0, int(kept * 1000))))
            pipeline.execute()

    def told(self) -> dict[str, int | None]:
        """Return what the stream says: sessions, and up to which ``iat`` (None: altogether)."""
        told: dict[str, int | None] = {}
        last = stream.BEGINNING
        while page := self.client.xrange(self.stream, min=f"({last}", count=stream.PAGE):
            last = page[-1][0]
            for entry in filter(None, (Entry.read(fields) for _, fields in page)):
                told[entry.sid] = entry.before
        return told

    def run(self) -> tuple[str, bool]:
        """Return the id of Redis' run, and whether it knows all that it was told.

        Not after a restart, though it may have found an older copy on its disk; nor is a replica
        sure to, that has taken its place: both are other runs.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.get(self.epoch_key)
        pipeline.exists(self.stream)
        pipeline.info("server")
        epoch, exists, server = pipeline.execute()
        run = str(server.get("run_id", ""))
        return run, bool(exists and epoch and epoch.startswith(run))

    def take_back(self) -> None:
        """Let readers know that the stream is not complete."""
        self.client.delete(self.epoch_key)

    def declare_complete(self, run: str) -> None:
        """Let readers know that it is again. ``run``: of the Redis that was told all."""
        epoch = f"{run}:{uuid4().hex}"
        # About no session: it makes the stream, which stays when it is empty.
        self.client.xadd(self.stream, {"epoch": epoch})
        self.client.set(self.epoch_key, epoch)

    def takes_turn(self, task: str, seconds: int) -> bool:
        """Tell whether no other process has begun a task in the last seconds, nor will."""
        return bool(self.client.set(f"{self.stream}:{task}", "1", nx=True, ex=seconds))

    def ends_turn(self, task: str) -> None:
        """Let others take it."""
        self.client.delete(f"{self.stream}:{task}")


def lacking(told: Mapping[str, int | None], sid: str, since: int | None) -> bool:
    """Tell whether a stream does not say that a session ended, or at ``since`` was suspended."""
    if sid not in told:
        return True
    before = told[sid]
    return before is not None and (since is None or before < since)
