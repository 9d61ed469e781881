"""The test site with allauth: what docs/how-to/allauth.md says, and the apps that it speaks of.

For ``tests/test_allauth.py``, which runs in a process of its own.
"""

import re
from pathlib import Path

from tests import settings as base

PAGE = Path(__file__).parents[1] / "docs/how-to/allauth.md"


def blocks(language: str) -> list[str]:
    """Return the page's code in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def with_own(own: list[str], page: list[str]) -> list[str]:
    """Return a list of the page's where "..." stands for what the test site has."""
    return [*own, *(name for name in page if name is not ... and name not in own)]


globals().update({name: value for name, value in vars(base).items() if name.isupper()})
# The settings, not the urls: the lists before they are replaced are the site's.
exec(compile(blocks("python")[0], str(PAGE), "exec"), globals())  # noqa: S102  # our own page

INSTALLED_APPS = [
    *with_own(base.INSTALLED_APPS, globals()["INSTALLED_APPS"]),
    "django.contrib.humanize",  # for usersessions
    "allauth.headless",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.dummy",
    "allauth.usersessions",
]
MIDDLEWARE = with_own(base.MIDDLEWARE, globals()["MIDDLEWARE"])
ROOT_URLCONF = "tests.test_allauth"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]

# A folder of TEMPLATES["DIRS"], with the page's template.
LOADERS = [
    ("django.template.loaders.locmem.Loader", {"account/login.html": blocks("html")[0]}),
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": base.TEMPLATES[0]["OPTIONS"] | {"loaders": LOADERS},
    }
]
# Django 6.1 wants it said; the tests' own takes its place.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}}
