"""Settings of the demo as authorization server: its own, PostgreSQL, a private key, and Redis.

Where all that is, the environment says. As on a live site DEBUG is off, so the two plays are not
here: they keep what they know in one process, and two workers serve.
"""

import os
from datetime import timedelta
from typing import Any

from demo_project.settings import *  # noqa: F403  # this site is the demo, in another place
from demo_project.settings import MIDDLEWARE

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ROOT_URLCONF = "demo_project.servers.urls"
STATIC_ROOT = os.environ["DEMO_STATIC_ROOT"]

MIDDLEWARE = [
    "demo_project.servers.worker.name_worker",
    "demo_project.servers.views.count_queries",
    *(name for name in MIDDLEWARE if not name.startswith("demo_project.promise.")),
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["DEMO_DATABASE_NAME"],
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    },
}

# Both workers count failed logins together.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["TOKENAUTH_REVOCATIONS"],
        "KEY_PREFIX": os.environ["DEMO_CACHE_PREFIX"],
    }
}

TOKENAUTH_SIGNING_KEYS = [os.environ["TOKENAUTH_SIGNING_KEY"]]
TOKENAUTH_ISSUER = os.environ["TOKENAUTH_ISSUER"]
TOKENAUTH_AUDIENCE = os.environ["TOKENAUTH_AUDIENCE"].split()
TOKENAUTH_REVOCATIONS = os.environ["TOKENAUTH_REVOCATIONS"]
TOKENAUTH_ACCESS_CLAIMS = "demo_project.servers.authorization.name_person"
TOKENAUTH_TRUSTED_PROXY_COUNT = 1
TOKENAUTH_COOKIE_SECURE = False  # this machine, over plain http

# As on the demo that is served alone, the network has a sixth of the lifetime.
TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=int(os.environ["DEMO_LIFETIME"]))
TOKENAUTH_GRACE_PERIOD = TOKENAUTH_ACCESS_TOKEN_LIFETIME / 6


def name_person(session: Any) -> dict[str, str]:
    """Let resource servers know what a person is called, beside their number."""
    return {"username": session.user.get_username()}
