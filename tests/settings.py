"""The test site: Django's defaults, with tokenauth in the place of its AuthenticationMiddleware.

``TOKENAUTH_TEST_DATABASE`` chooses the database (sqlite, postgresql, mariadb),
``TOKENAUTH_TEST_USER_MODEL=tests.Member`` the user model.
"""

import os
import tempfile
from pathlib import Path

SECRET_KEY = "tests: not a secret, and long enough for a site's own simplejwt"
ALLOWED_HOSTS = [".site.test", "localhost", "127.0.0.1", "testserver"]
# tests.live.Browser speaks https as browsers behind a TLS proxy do.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

ROOT_URLCONF = "tests.urls"
USE_TZ = True
STATIC_URL = "static/"

AUTH_USER_MODEL = os.environ.get("TOKENAUTH_TEST_USER_MODEL", "auth.User")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast
LOGIN_URL = "tokenauth:login"
LOGIN_REDIRECT_URL = "/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "tokenauth",
]
if AUTH_USER_MODEL.startswith("tests."):  # else its reverse names would clash with auth.User's
    INSTALLED_APPS.append("tests")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "tokenauth.middleware.TokenAuthMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tokenauth.authentication.CookieTokenAuthentication"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}


def sqlite(name: str) -> dict[str, object]:
    # A file, because every server thread opens a connection of its own.
    path = str(Path(tempfile.gettempdir(), f"{name}.sqlite3"))
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 20,  # a busy machine is not a locked database
            "init_command": "PRAGMA synchronous=OFF",  # nor need tests survive a power cut
        },
        "TEST": {"NAME": path},
    }


def postgresql(name: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "TEST": {"NAME": name},
    }


def mariadb(name: str) -> dict[str, object]:
    import pymysql  # noqa: PLC0415  # only here, so that nobody else needs it

    pymysql.install_as_MySQLdb()
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": name,
        "HOST": os.environ.get("MARIADB_HOST", "127.0.0.1"),
        "PORT": os.environ.get("MARIADB_PORT", "3306"),
        "USER": os.environ.get("MARIADB_USER", "root"),
        "PASSWORD": os.environ.get("MARIADB_PASSWORD", ""),
        # With TLS, PyMySQL reads all the certificates of the machine for each connection.
        "OPTIONS": {"charset": "utf8mb4", "ssl_disabled": True},
        "TEST": {"NAME": name, "CHARSET": "utf8mb4"},
    }


def database() -> dict[str, object]:
    """Return the chosen database, under a name of this run's and this xdist worker's own.

    Both parts are in the environment: a server process that a test starts shares its database.
    """
    choices = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb}
    name = os.environ.setdefault("TOKENAUTH_TEST_DATABASE_NAME", f"test_tokenauth_{os.getpid()}")
    name += os.environ.get("PYTEST_XDIST_WORKER", "")
    return choices[os.environ.get("TOKENAUTH_TEST_DATABASE", "sqlite")](name)


DATABASES = {"default": database()}
