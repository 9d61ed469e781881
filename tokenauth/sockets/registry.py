"""Know the open sockets of an event loop, and end those whose session no longer counts.

Other processes name sessions in the channel layer, to be looked at again: the database alone says
what has become of them. A layer may lose messages, and a site may have none. So each socket is
looked at again once in the life of an access token anyway.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from tokenauth.conf import conf

from .connection import Socket
from .looking import usable_among
from .telling import GROUP, TIMEOUT

log = logging.getLogger("tokenauth.security")

#: Seconds after a failure, of the layer or the database.
RETRY = 1
#: How often the tasks are told to end.
ATTEMPTS = 5
#: Seconds after which to join the group anew: a Redis that has lost its memory doesn't say so.
RENEWAL = 30

_registries: dict[asyncio.AbstractEventLoop, "Registry"] = {}


class Registry:
    """The sockets of one event loop by session, and the tasks that watch over them."""

    #: Under which name the layer knows us, if there is one.
    channel: str | None = None

    def __init__(self) -> None:
        self.sockets: dict[str, set[Socket]] = defaultdict(set)
        self.due: set[str] = set()
        self.woken = asyncio.Event()
        self.looked_at = asyncio.get_running_loop().time()
        #: What is away, and the log knows.
        self.faults: set[str] = set()
        self.layer = get_channel_layer()
        steps = [self.watch()] + ([self.listen()] if self.layer else [])
        # They are nobody's: what the first socket has in its context is not for them.
        self.tasks = [asyncio.create_task(step, context=Context()) for step in steps]

    async def stop(self) -> None:
        """End the tasks, also where a layer takes a cancellation for a fault of its own."""
        left, attempts = {*self.tasks}, 0
        while left and attempts < ATTEMPTS:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=RETRY)
            attempts += 1

    def remove(self, sid: str, socket: Socket) -> None:
        """Forget a socket."""
        self.sockets[sid].discard(socket)
        if not self.sockets[sid]:
            del self.sockets[sid]

    def look_at(self, sids: Iterable[str]) -> None:
        """Look again at those sessions that have a socket here."""
        self.due |= self.sockets.keys() & set(sids)
        if self.due:
            self.woken.set()

    # The tasks

    async def listen(self) -> None:
        """Hear from the layer which sessions to look at again."""
        while self.sockets:
            try:
                async with joined(self.layer) as self.channel:
                    self.mend("The channel layer")
                    self.look_at([*self.sockets])  # what was told before, nobody here has heard
                    while True:
                        message = await self.layer.receive(self.channel)
                        self.look_at(message.get("sids", ()))
            except Exception as error:  # noqa: BLE001  # each layer has errors of its own
                self.fail("The channel layer", error)
            self.channel = None
            await asyncio.sleep(RETRY if self.sockets else 0)

    async def watch(self) -> None:
        """Look again at what is due, and at all sockets now and then."""
        while self.sockets:
            await self.pause()
            if asyncio.get_running_loop().time() - self.looked_at >= lifetime():
                self.look_at([*self.sockets])
            await self.look()
            await self.renew()

    async def pause(self) -> None:
        """Wait until something is due, but not for ever."""
        seconds = RETRY if self.due else min(RENEWAL, lifetime())
        alarm = asyncio.get_running_loop().call_later(seconds, self.woken.set)
        try:
            await self.woken.wait()
        finally:
            alarm.cancel()
        self.woken.clear()

    async def look(self) -> None:
        """End the sockets of those that are due and no longer count."""
        due, self.due = self.due, set()  # one that is named while it is looked at is due again
        if not due:
            return
        now, is_all = asyncio.get_running_loop().time(), self.sockets.keys() <= due
        try:
            usable = await database_sync_to_async(usable_among)(due)
        except Exception as error:  # noqa: BLE001  # whatever it is: nobody else would look
            self.fail("The database", error)
            self.due |= due
            return
        self.mend("The database")
        if is_all:
            self.looked_at = now
        for socket in [each for sid in due - usable for each in self.sockets.get(sid, ())]:
            socket.end()

    def fail(self, what: str, error: Exception) -> None:
        """Say once that something is away; not in its words, which may hold an address."""
        if self.sockets and what not in self.faults:
            log.warning("%s is away, so sockets end late: %s.", what, type(error).__name__)
        self.faults.add(what)

    def mend(self, what: str) -> None:
        """Say that it is back."""
        if what in self.faults:
            log.warning("%s is back.", what)
        self.faults.discard(what)

    async def renew(self) -> None:
        """Be in the group still: a layer forgets that after a day, or with its memory."""
        if self.channel is not None:
            with suppress(Exception):  # listen() says so
                async with asyncio.timeout(TIMEOUT):
                    await self.layer.group_add(GROUP, self.channel)


def lifetime() -> float:
    """Return an access token's, in seconds."""
    return conf.ACCESS_TOKEN_LIFETIME.total_seconds()


@asynccontextmanager
async def joined(layer: Any) -> AsyncIterator[str]:
    """Be in the group, under a new name, inside."""
    channel: str = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    try:
        yield channel
    finally:
        with suppress(Exception):  # it forgets by itself
            async with asyncio.timeout(TIMEOUT):
                await layer.group_discard(GROUP, channel)


@asynccontextmanager
async def watched(sid: str, socket: Socket) -> AsyncIterator[None]:
    """Have a socket ended, inside, when its session no longer counts.

    The last one of an event loop leaves nothing behind in it.
    """
    loop = asyncio.get_running_loop()
    registry = _registries.get(loop) or _registries.setdefault(loop, Registry())
    registry.sockets[sid].add(socket)
    try:
        yield
    finally:
        registry.remove(sid, socket)
        if not registry.sockets:
            del _registries[loop]
            await registry.stop()
