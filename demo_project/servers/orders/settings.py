"""A second Django site, which asks no database: a resource server. See docs/how-to.

Who it is, and whom it believes, the environment says.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ROOT_URLCONF = "demo_project.servers.orders.urls"
WSGI_APPLICATION = "demo_project.servers.orders.wsgi.application"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "tokenauth.resource",
]

MIDDLEWARE = [
    "demo_project.servers.worker.name_worker",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "tokenauth.resource.middleware.ResourceServerMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    },
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tokenauth.resource.authentication.ResourceServerAuthentication",
    ],
}

TOKENAUTH_ISSUER = os.environ["TOKENAUTH_ISSUER"]
TOKENAUTH_AUDIENCE = os.environ["TOKENAUTH_AUDIENCE"]
TOKENAUTH_REVOCATIONS = os.environ["TOKENAUTH_REVOCATIONS"]
TOKENAUTH_AUTHORIZATION_SERVER = f"{TOKENAUTH_ISSUER}/auth/"
TOKENAUTH_COOKIE_SECURE = False  # this machine, over plain http

LOGIN_URL = f"{TOKENAUTH_ISSUER}/auth/login/"
ALLOWED_HOSTS = [urlsplit(TOKENAUTH_ISSUER).hostname]
USE_TZ = True
