"""Say what is wrong with an entry of ``TOKENAUTH_TRUSTED_ISSUERS``, before anything is fetched.

Nothing here needs a library: the system check asks, too.
"""

import re
from collections.abc import Mapping
from typing import Any

#: Where nobody on the way can answer in another's place: https, or this very machine.
SAFE = r"(?:https://[^/?#@\s\\]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?)"
#: An issuer has neither query nor fragment (OpenID Connect Discovery §3).
ISSUER = re.compile(SAFE + r"(?:/[^?#\s\\]*)?")
ADDRESS = re.compile(SAFE + r"(?:/[^#\s\\]*)?")
#: Those that sites trust most, as they write themselves: a token has no slash, so none may be here.
WITHOUT_SLASH = {"https://token.actions.githubusercontent.com", "https://gitlab.com"}
REQUIRED, OPTIONAL = ("audience", "user"), ("name", "jwks_url")


def is_address(text: Any) -> bool:
    """Tell whether keys may be fetched from there."""
    return isinstance(text, str) and ADDRESS.fullmatch(text) is not None


def flaw_of(issuer: Any, entry: Any) -> str:
    """Say what is wrong with an entry; empty if nothing is. Its functions are not looked for."""
    return flaw_of_issuer(issuer) or flaw_of_words(entry)


def flaw_of_issuer(issuer: Any) -> str:
    """Say why no token could be of this issuer, or anybody's could."""
    if not isinstance(issuer, str) or not ISSUER.fullmatch(issuer):
        return "is no https URL"
    if issuer.removesuffix("/") in WITHOUT_SLASH - {issuer}:
        return "has a slash at its end, and its tokens have none"
    return ""


def flaw_of_words(entry: Any) -> str:
    """Say which word of an entry is missing, unknown, or no text."""
    if not isinstance(entry, Mapping):
        return f"is given a {type(entry).__name__}"
    missing = [name for name in REQUIRED if name not in entry]
    if missing:
        return f"has no {missing[0]!r}"
    for name, value in entry.items():
        if name not in REQUIRED + OPTIONAL:
            return f"has an unknown key {name!r}"
        if not isinstance(value, str) or not value:
            return f"has no text for {name!r}"
    if "jwks_url" in entry and not is_address(entry["jwks_url"]):
        return "has no https URL for 'jwks_url'"
    return ""
