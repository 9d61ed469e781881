"""The site of docs/how-to/google.md: allauth's, with that page's settings; Google is elsewhere.

For ``test_the_google_page_works``, whose processes say where.
"""

import os
import re
import sys
from pathlib import Path
from types import ModuleType

from tests import settings_allauth as base

PAGE = Path(__file__).parents[1] / "docs/how-to/google.md"
SETTINGS, BUTTON, ADAPTER = re.findall(
    r"^```(?:python|html)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
)

globals().update({name: value for name, value in vars(base).items() if name.isupper()})
exec(compile(SETTINGS, str(PAGE), "exec"), globals())  # noqa: S102  # our own page
INSTALLED_APPS = base.with_own(base.INSTALLED_APPS, globals()["INSTALLED_APPS"])
INSTALLED_APPS.remove("allauth.socialaccount.providers.dummy")
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}

# allauth's own settings for whoever has Google's servers at another address.
GOOGLE = os.environ["DEMO_EXAMPLE_ID"]
globals()["SOCIALACCOUNT_PROVIDERS"]["google"] |= {
    "AUTHORIZE_URL": f"{GOOGLE}/oauth2/authorize",
    "ACCESS_TOKEN_URL": f"{GOOGLE}/oauth2/token",
    "ID_TOKEN_ISSUER": GOOGLE,
}


class Accounts(ModuleType):
    """The page's ``accounts.py``, which can be read once there are apps."""

    def __getattr__(self, name: str) -> object:
        exec(compile(ADAPTER, str(PAGE), "exec"), self.__dict__)  # noqa: S102  # our own page
        return self.__dict__[name]


sys.modules["accounts"] = Accounts("accounts")
