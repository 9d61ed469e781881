"""Tell every process which sessions to look at again, through Channels' own layer."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from tokenauth.session.database.batches import batched

log = logging.getLogger("tokenauth.security")

#: Every event loop with open sockets is in it.
GROUP = "tokenauth.sockets"
#: Seconds that who ends a session waits for the layer.
TIMEOUT = 2


def tell(sids: Iterable[str]) -> None:
    """Name sessions, in messages of at most some hundred ids, to whoever has sockets of theirs.

    Nobody is kept from ending a session by a layer that is away: each socket is looked at again
    once in the life of an access token.
    """
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        for batch in batched(sids):
            async_to_sync(send)(layer, batch)
    except Exception as error:  # noqa: BLE001  # each layer has errors of its own
        log.warning("Open sockets will end late: the layer failed (%s).", type(error).__name__)


async def send(layer: Any, sids: list[str]) -> None:
    """Send one message."""
    async with asyncio.timeout(TIMEOUT):
        await layer.group_send(GROUP, {"type": "tokenauth.look", "sids": sids})
