"""Say whether open WebSockets can be told that their session has ended."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

IN_MEMORY = "channels.layers.InMemoryChannelLayer"


def check_channel_layer(**kwargs: Any) -> list[CheckMessage]:
    """Look for a layer, where Channels is installed."""
    return [*layer_warnings()] if apps.is_installed("channels") else []


def layer_warnings() -> Iterator[CheckMessage]:
    """Find none, or one that does not reach every process."""
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get("default", {}).get("BACKEND")
    if layer is None:
        yield CheckWarning(
            "There is no channel layer: open sockets are not told when their session ends.",
            hint="Edit CHANNEL_LAYERS: set 'default', for example to "
            "channels_redis.core.RedisChannelLayer. Until then a socket may outlive its session by "
            "TOKENAUTH_ACCESS_TOKEN_LIFETIME.",
            id="tokenauth.W033",
        )
    elif layer == IN_MEMORY and not settings.DEBUG:
        yield CheckWarning(
            "The channel layer is in memory: sockets of other processes are not told when their "
            "session ends.",
            hint="Edit CHANNEL_LAYERS: use a layer that all processes share, for example "
            "channels_redis.core.RedisChannelLayer.",
            id="tokenauth.W034",
        )
