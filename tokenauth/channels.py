"""Sign in WebSockets that come through Django Channels, and close them when the session ends.

Import this where the site's ``asgi.py`` makes its application. It needs Channels 4.
"""

import logging
from collections.abc import Awaitable, Callable

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from .sockets.connection import Message, Receive, Send, Socket
from .sockets.handshake import Handshake
from .sockets.registry import watched

log = logging.getLogger("tokenauth.security")

Application = Callable[[Message, Receive, Send], Awaitable[None]]


class TokenAuthMiddlewareStack:
    """Take the place of ``channels.auth.AuthMiddlewareStack``: ``TokenAuthMiddlewareStack(inner)``.

    ``scope["user"]``, ``scope["auth_session"]`` and ``scope["session"]`` are what ``request`` has
    of the same cookies. Who could be signed in after a refresh is closed with 4401.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner
        if get_channel_layer() is None:
            log.warning(
                "Sockets will end long after their sessions, for there is no channel layer. "
                "Edit CHANNEL_LAYERS: set 'default', for example to channels_redis."
            )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a socket in, as whoever it is. Raises ValueError for anything but a WebSocket."""
        if scope["type"] != "websocket":
            raise ValueError(
                "TokenAuthMiddlewareStack takes WebSockets alone. Edit your ASGI application: put "
                "it around what ProtocolTypeRouter has under 'websocket', not under 'http'."
            )
        socket = Socket(scope, receive, send)
        try:
            await self.admit(Handshake(scope), scope, socket)
        finally:
            await socket.wait_closed()

    async def admit(self, handshake: Handshake, scope: Message, socket: Socket) -> None:
        """Run the site's application, unless the handshake is refused."""
        if handshake.is_hijacked:
            await socket.send({"type": "websocket.close"})  # 403, for it was not accepted
            return
        if handshake.presented.rivals:
            await database_sync_to_async(handshake.part_rivals)()
        access = handshake.presented.access
        if handshake.can_refresh:
            socket.end()
        elif access is not None:
            # Known before it is looked up: the session may end in between.
            async with watched(str(access.sid), socket):
                await self.run(handshake, scope, socket)
        else:
            await self.inner(handshake.populate(scope), socket.receive, socket.send)

    async def run(self, handshake: Handshake, scope: Message, socket: Socket) -> None:
        """Run it as somebody, if the session counts."""
        await database_sync_to_async(handshake.resolve)()
        if handshake.session is None:
            socket.end()
        if not socket.is_over:
            await self.inner(handshake.populate(scope), socket.receive, socket.send)
