"""Put into an access token what a site wants resource servers to know (RFC 9068 §2.2.2, §2.2.3).

What does not fit is said at once, when somebody signs in, by the claims' names alone: a browser
would drop the cookie in silence.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from tokenauth.conf import conf
from tokenauth.secret import Secret

from .access_claims import RESERVED
from .form import MAX_COOKIE


def claims_of_site(session: Any) -> dict[str, Any]:
    """Return the claims that the site's function gives for a session.

    It is asked once for each request that issues tokens: a slow answer makes its token anew where
    nothing may wait for the database.

    Raises ImproperlyConfigured, and whatever the function raises.
    """
    if conf.ACCESS_CLAIMS is None:
        return {}
    if session.site_claims is None:
        session.site_claims = check_claims(import_string(conf.ACCESS_CLAIMS)(session))
    return session.site_claims  # type: ignore[no-any-return]  # a session is any here


def check_claims(given: Any) -> dict[str, Any]:
    """Return what a site's function gave, if it can be put into a token."""
    if not isinstance(given, dict):
        raise refusal(f"returned a {type(given).__name__}, and must return a dict")
    taken = [name for name in given if name in RESERVED or not isinstance(name, str)]
    if taken:
        raise refusal(f"gave claims whose names are not for a site: {listed(taken)}")
    unfit = [name for name, value in given.items() if not is_json(value)]
    if unfit:
        raise refusal(f"gave claims that are no JSON: {listed(unfit)}")
    return given


def check_size(raw: Secret[str], payload: Mapping[str, Any]) -> None:
    """Raise ImproperlyConfigured if a browser would not keep the cookie (RFC 6265bis §5.7)."""
    size = len("__Secure-") + len(conf.ACCESS_COOKIE_NAME) + len(raw.reveal())
    if size > MAX_COOKIE:
        longest = sorted(payload, key=lambda name: -len(json.dumps(payload[name])))[:3]
        raise ImproperlyConfigured(
            f"The access cookie would be {size} bytes, and browsers keep {MAX_COOKIE}. Its longest "
            f"claims are {listed(longest)}: edit what TOKENAUTH_ACCESS_CLAIMS, or "
            "TOKENAUTH_AUDIENCE, puts in."
        )


def is_json(value: Any) -> bool:
    """Tell whether a value can stand in a token."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def listed(names: Iterable[Any]) -> str:
    """Return the names of claims, as in a sentence."""
    return ", ".join(map(repr, names))


def refusal(flaw: str) -> ImproperlyConfigured:
    """Return the error of a function that must be edited."""
    return ImproperlyConfigured(f"The function of TOKENAUTH_ACCESS_CLAIMS {flaw}.")
