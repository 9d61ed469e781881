"""Settings of the demo site.

Environment: DEMO_DATABASE (path of the SQLite file), DEMO_PRODUCTION=1 (the settings a live site
would have; then SECRET_KEY is required, DEMO_HOSTS is a comma-separated list, and DEMO_CACHE is the
URL of a Redis server), DEMO_EXAMPLE_ID (the URL of a running Example ID; ``manage.py demo`` starts
one), DEMO_HTTPS=1 (``manage.py demo`` serves over https, and sessions are bound to the device).
"""

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

PRODUCTION = os.environ.get("DEMO_PRODUCTION") == "1"

DEBUG = not PRODUCTION

if PRODUCTION:
    SECRET_KEY = os.environ["SECRET_KEY"]
    ALLOWED_HOSTS = os.environ.get("DEMO_HOSTS", "localhost").split(",")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # All processes count failed logins here together. Needs `pip install redis`, and a server.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ.get("DEMO_CACHE", "redis://127.0.0.1:6379"),
        }
    }
else:
    # Fixed, so that a restart of the demo signs nobody out.
    SECRET_KEY = "django-insecure-for-the-demo-on-this-machine-and-nothing-else"
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "demo_project",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "tokenauth",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    # In place of django.contrib.auth.middleware.AuthenticationMiddleware.
    "tokenauth.middleware.TokenAuthMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

if DEBUG:
    # Loses an answer when it is told to. A real site has no such thing.
    MIDDLEWARE.insert(0, "demo_project.promise.lose_answer")

# "Sign in with Example ID", by allauth: where `pip install --group demo` has put both packages.
EXAMPLE_ID = DEBUG and all(map(find_spec, ("allauth", "oidc_provider_mock")))

if EXAMPLE_ID:
    INSTALLED_APPS += [
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.openid_connect",
    ]
    MIDDLEWARE += [
        "allauth.account.middleware.AccountMiddleware",
        "demo_project.example_id.middleware.ExampleIDMiddleware",
    ]
    ACCOUNT_ADAPTER = "demo_project.example_id.adapter.AccountAdapter"
    ACCOUNT_EMAIL_VERIFICATION = "none"  # the demo sends no e-mail
    SOCIALACCOUNT_ADAPTER = "demo_project.example_id.adapter.SocialAccountAdapter"
    SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "provider_class": "demo_project.example_id.provider.ExampleID",
        }
    }

# So short that a person can watch tokens expire; a real site keeps the defaults.
TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=30)
TOKENAUTH_GRACE_PERIOD = timedelta(seconds=5)

# Browsers bind sessions over https alone: `make demo HTTPS=1`.
HTTPS = DEBUG and os.environ.get("DEMO_HTTPS") == "1"

if HTTPS:
    TOKENAUTH_COOKIE_SECURE = True
    TOKENAUTH_DEVICE_BINDING = True
    # As short: a copy of the cookies is good for as long. The default is ten minutes.
    TOKENAUTH_DEVICE_TOKEN_LIFETIME = timedelta(seconds=20)

# The page "An app" starts one.
TOKENAUTH_APP_CLIENTS = True

# Nobody signed in here before tokenauth; a site that moves to it sets TOKENAUTH_ADOPT_UNTIL.
TOKENAUTH_ADOPT_DJANGO_SESSIONS = False

LOGIN_URL = "tokenauth:login"
LOGIN_REDIRECT_URL = "private"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tokenauth.authentication.CookieTokenAuthentication"],
}

ROOT_URLCONF = "demo_project.urls"
WSGI_APPLICATION = "demo_project.wsgi.application"
ASGI_APPLICATION = "demo_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "demo_project.views.admin_elsewhere",
                "demo_project.views.example_id",
            ],
        },
    },
]

# A file of its own for production: the demo's well-known passwords must not open it.
DATABASE_FILE = BASE_DIR / ("production.sqlite3" if PRODUCTION else "demo.sqlite3")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE", DATABASE_FILE),
        "OPTIONS": {
            # Readers do not wait for the writer, and writers queue instead of failing.
            "init_command": "PRAGMA journal_mode=WAL",
            "transaction_mode": "IMMEDIATE",
        },
    },
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "UTC"
