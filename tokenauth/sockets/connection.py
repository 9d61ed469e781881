"""A socket that is signed in, between the server and the site's application."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: The close code that says: refresh, and connect again (RFC 6455 §7.4.2: private use).
UNAUTHORIZED = 4401


class Socket:
    """One that can be ended from outside, whatever its application does.

    The application is given ``receive`` and ``send`` in the place of the server's.
    """

    #: Whether the server was told to accept it.
    is_accepted = False
    #: Whether it is closed, by either side or by us.
    is_over = False
    #: Whether it was ended by us, and whether its application knows.
    is_ended = is_told = False
    #: What the application waits in for the next message.
    _waiting: asyncio.Timeout | None = None
    _closing: asyncio.Task[None] | None = None

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        #: A browser that asked for one, and is accepted without, sees no close code.
        self.subprotocol: str | None = next(iter(scope.get("subprotocols") or ()), None)

    async def receive(self) -> Message:
        """Return the next message; after ``end()`` that the socket is disconnected, nothing else.

        Raises what the server raises.
        """
        if not self.is_ended:
            came = await self._receive_unless_ended()
            if came is not None:
                return came
        if not self.is_told:
            self.is_told = True
            return {"type": "websocket.disconnect", "code": UNAUTHORIZED}
        # An application that goes on all the same: what came before the end is not for it.
        while (message := await self._receive())["type"] != "websocket.disconnect":
            pass
        return message

    async def _receive_unless_ended(self) -> Message | None:
        waiting = self._waiting = asyncio.timeout(None)
        try:
            async with waiting:
                message = await self._receive()
        except TimeoutError:
            if not waiting.expired():
                raise
            return None
        finally:
            self._waiting = None
        if self.is_ended:
            return None
        self.is_over = message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; after ``end()`` it goes nowhere."""
        if self.is_ended:
            return
        if message["type"] == "websocket.accept":
            self.is_accepted = True
        elif message["type"] != "websocket.send":
            self.is_over = True
        await self._send(message)

    def end(self) -> None:
        """Close it with 4401, if it is open, and let its application know."""
        if self.is_over:
            return
        self.is_over = self.is_ended = True
        self._closing = asyncio.create_task(self._close())
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def _close(self) -> None:
        with suppress(OSError, RuntimeError):  # of a connection that is gone
            if not self.is_accepted:
                # Of a handshake that is refused, a browser tells its page no code.
                await self._send({"type": "websocket.accept", "subprotocol": self.subprotocol})
            await self._send({"type": "websocket.close", "code": UNAUTHORIZED})

    async def wait_closed(self) -> None:
        """Wait until what ``end()`` has begun is done: servers cut off who returns earlier."""
        if self._closing is not None:
            await self._closing
