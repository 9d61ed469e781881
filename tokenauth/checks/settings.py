"""Look at each ``TOKENAUTH_*`` setting by itself, on a site and on its resource servers.

What is wrong with several together, or with one alone that only a site has, is in ``policy``.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from tokenauth.conf import Conf, Duration, OptionalDuration, Setting

#: In seconds: longer than anybody stays, and short enough to be added to a date.
CENTURY = 100 * 365 * 24 * 3600
#: What a site may say of its former cookies.
FORMER = (
    *("ACCESS_COOKIE_NAME", "REFRESH_COOKIE_NAME", "REFRESH_COOKIE_PATH"),
    *("COOKIE_DOMAIN", "COOKIE_SECURE", "COOKIE_SAMESITE"),
)
SAMESITE = ("Lax", "Strict", "None")
#: What a cookie's name may be made of (RFC 6265 §4.1.1).
COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def known_settings() -> dict[str, Setting[Any]]:
    """Return every setting by its full name."""
    found = [setting for setting in vars(Conf).values() if isinstance(setting, Setting)]
    return {setting.name: setting for setting in found}


def unknown_names() -> Iterator[CheckMessage]:
    """Find names that no setting has: a misspelt one would be ignored in silence."""
    for name in dir(settings):
        if name.startswith("TOKENAUTH_") and name not in known_settings():
            yield CheckWarning(
                f"There is no setting {name}.",
                hint="Known are " + ", ".join(sorted(known_settings())) + ".",
                id="tokenauth.W001",
            )


def type_errors() -> Iterator[CheckMessage]:
    """Find values of a wrong type, and durations and counts out of range."""
    for name, setting in known_settings().items():
        value = setting.given()
        kinds = " or ".join(
            "None" if kind is type(None) else kind.__name__ for kind in setting.fits
        )
        if not is_kind_of(setting, value):
            yield Error(
                f"{name} is a {type(value).__name__}.",
                hint=f"Edit {name}: it takes {kinds}.",
                id="tokenauth.E007",
            )
        elif is_duration(setting, value) and not 0 < seconds(value) < CENTURY:
            yield Error(
                f"{name} is not a length of time.",
                hint=f"Edit {name}: a timedelta, or seconds, above zero and below a century.",
                id="tokenauth.E008",
            )


def is_duration(setting: Setting[Any], value: Any) -> bool:
    """Tell whether a value stands for a length of time."""
    optional = isinstance(setting, OptionalDuration) and value is not None
    return optional or isinstance(setting, Duration)


def seconds(value: Any) -> float:
    """Return a duration, or a number of seconds, as the latter."""
    return float(value.total_seconds() if isinstance(value, timedelta) else value)


def cookie_name_errors() -> Iterator[CheckMessage]:
    """Find names that no browser takes for a cookie, or that promise what is ours to promise."""
    for setting, name in known_settings().items():
        value = name.given()
        if setting.endswith("_COOKIE_NAME") and value.startswith(("__Host-", "__Secure-")):
            yield Error(
                f"{setting} has a prefix.",
                hint=f"Edit {setting}: remove the prefix; tokenauth adds the one that fits.",
                id="tokenauth.E014",
            )
        if setting.endswith("_COOKIE_NAME") and not COOKIE_NAME.fullmatch(value):
            yield Error(
                f"{setting} is no name for a cookie.",
                hint=f"Edit {setting}: use letters, digits, dashes and underscores.",
                id="tokenauth.E015",
            )


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
