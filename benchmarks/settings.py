"""The project of one column. The environment says which, and where its database is.

A module, as sites have one: ``settings.configure()`` would make every setting that is left out
slower to read.
"""

import os
from typing import Any

from benchmarks.columns import ACCESS, COLUMNS, KEY, REST

COLUMN = COLUMNS[os.environ["BENCH_COLUMN"]]

SECRET_KEY = KEY
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "benchmarks.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_REDIRECT_URL = "/silent/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", *COLUMN.apps]
#: Django's own list, without what signs people in and without messages.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    *COLUMN.middleware,
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


def database(engine: str, name: str) -> dict[str, Any]:
    """Return the settings; under ASGI each request has a thread: connections are not kept."""
    chosen = {"NAME": name, "CONN_MAX_AGE": 0 if COLUMN.is_async else None}
    if engine == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3"} | chosen
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    } | chosen


class NoMigrations(dict[str, None]):
    """Says of every app that it has none: its tables are made from its models."""

    def __contains__(self, app: object) -> bool:
        return True

    def __missing__(self, app: str) -> None:
        return None


DATABASES = {"default": database(os.environ["BENCH_ENGINE"], os.environ["BENCH_DATABASE"])}
MIGRATION_MODULES = NoMigrations()

TOKENAUTH_ACCESS_TOKEN_LIFETIME = ACCESS
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]
} | COLUMN.settings.get(REST, {})
globals().update({name: value for name, value in COLUMN.settings.items() if name != REST})
