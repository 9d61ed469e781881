"""The test site, which binds sessions to devices for seconds: for processes of their own."""

from tests.settings import *  # noqa: F403  # the same site

ALLOWED_HOSTS = ["*"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
TOKENAUTH_DEVICE_BINDING = True
TOKENAUTH_GRACE_PERIOD = 1
TOKENAUTH_DEVICE_TOKEN_LIFETIME = 6
TOKENAUTH_ACCESS_TOKEN_LIFETIME = 15
