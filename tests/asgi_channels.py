"""The test site with a WebSocket that says who is there."""

from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

site = get_asgi_application()  # first: it sets Django up

from tests.processes import PATIENCE  # noqa: E402  # it imports models
from tokenauth.channels import TokenAuthMiddlewareStack  # noqa: E402  # the same
from tokenauth.sockets import telling  # noqa: E402  # the same

telling.TIMEOUT = PATIENCE  # a busy machine is not a layer that is away


async def greeter(scope: Any, receive: Any, send: Any) -> None:
    """Say who it is, and wait for the end."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": scope["user"].get_username()})
    while (await receive())["type"] != "websocket.disconnect":
        pass


application = ProtocolTypeRouter({"http": site, "websocket": TokenAuthMiddlewareStack(greeter)})
