"""A project that is a resource server and nothing else: no database, no sessions, no ``tokenauth``.

Where the keys come from, and which hosts it shares, its process is told by the environment.
"""

import json
import os

SECRET_KEY = "a resource server's own, which has nothing to do with the tokens"
ALLOWED_HOSTS = [".site.test"]
ROOT_URLCONF = "tests.resource.urls"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "tokenauth.resource",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "tokenauth.resource.middleware.ResourceServerMiddleware",
]
LOGIN_URL = "https://app.site.test/auth/login/"

TOKENAUTH_AUTHORIZATION_SERVER = "https://app.site.test/auth/"
TOKENAUTH_ISSUER = "https://app.site.test/"
TOKENAUTH_AUDIENCE = "https://api.site.test/"
TOKENAUTH_COOKIE_DOMAIN = os.environ.get("RESOURCE_COOKIE_DOMAIN")
TOKENAUTH_JWKS_URL = os.environ.get("RESOURCE_JWKS_URL")
TOKENAUTH_PUBLIC_KEYS = json.loads(os.environ.get("RESOURCE_PUBLIC_KEYS", "null"))
