"""Say what is wrong with an entry of TOKENAUTH_FORMER_COOKIES, for the system check."""

import re
from datetime import datetime
from typing import Any

from .conf import Conf, Setting

#: What a site may say of its former cookies.
FORMER = (
    *("ACCESS_COOKIE_NAME", "REFRESH_COOKIE_NAME", "REFRESH_COOKIE_PATH"),
    *("COOKIE_DOMAIN", "COOKIE_SECURE", "COOKIE_SAMESITE"),
)
SAMESITE = ("Lax", "Strict", "None")
#: What a cookie's name may be made of (RFC 6265 §4.1.1).
COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def is_kind_of(setting: Setting[Any], value: Any) -> bool:
    """Tell whether a value is of a type that the setting takes; a flag is no number."""
    return isinstance(value, setting.fits) and isinstance(value, bool) == (bool in setting.fits)


def flaw_of(entry: Any) -> str:
    """Say what is wrong with former cookie settings; empty if nothing is."""
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__}"
    settings = {name: vars(Conf)[name] for name in FORMER}
    changed = entry.get("changed")
    if not isinstance(changed, datetime) or changed.utcoffset() is None:
        return "has no aware datetime for 'changed'"
    for name, value in entry.items():
        if name != "changed" and name not in settings:
            return f"has an unknown key {name!r}"
        if name != "changed" and not is_kind_of(settings[name], value):
            return f"has a {type(value).__name__} for {name!r}"
        if name in settings and not is_possible(name, value):
            return f"has an impossible {name!r}"
    return ""


def is_possible(name: str, value: Any) -> bool:
    """Tell whether a browser can have kept a cookie under a former setting."""
    if name.endswith("_NAME"):
        prefixed = value.startswith(("__Host-", "__Secure-"))
        return not prefixed and COOKIE_NAME.fullmatch(value) is not None
    if name == "REFRESH_COOKIE_PATH":
        return value is None or value.startswith("/")
    return name != "COOKIE_SAMESITE" or value in SAMESITE
