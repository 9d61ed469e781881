"""The test site with Channels, and a layer in Redis."""

import os

from tests.settings import *  # noqa: F403  # the same site

INSTALLED_APPS = [*INSTALLED_APPS, "channels"]  # noqa: F405  # the same
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["TEST_CHANNEL_LAYER"]]},
    }
}
