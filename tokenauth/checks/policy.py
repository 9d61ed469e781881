"""Look at the ``TOKENAUTH_*`` settings of a site: those that it alone has, then all together."""

import time
from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from itertools import chain
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from tokenauth.clients.entries import flaw_of as flaw_of_trust
from tokenauth.conf import Conf, conf
from tokenauth.request import cookies, throttling
from tokenauth.request.django_sessions.adoption import is_replayable
from tokenauth.request.origins import is_origin
from tokenauth.session.django_sessions import engine

from .names import flaw_of_function, name_errors
from .settings import SAMESITE, cookie_name_errors, flaw_of, seconds, type_errors, unknown_names


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Look at the ``TOKENAUTH_*`` settings, each by itself and then together."""
    impossible = list(value_errors())
    if impossible:
        return [*unknown_names(), *impossible]
    together = (
        *(lifetime_errors(), cookie_errors(), former_warnings(), adoption_warnings()),
        trust_errors(),
    )
    return [*unknown_names(), *name_errors(), *chain.from_iterable(together)]


def value_errors() -> Iterator[CheckMessage]:
    """Find values of a wrong type, durations and counts out of range, and what can't be read."""
    yield from type_errors()
    yield from choice_errors()
    yield from rate_errors()
    yield from former_errors()
    yield from origin_errors()


def origin_errors() -> Iterator[CheckMessage]:
    """Find resource servers that no address could be compared with."""
    entries: Any = conf.RESOURCE_SERVERS
    for entry in entries if isinstance(entries, list | tuple) else []:
        if not (isinstance(entry, str) and is_origin(entry)):
            yield Error(
                f"TOKENAUTH_RESOURCE_SERVERS has an entry {entry!r}, which is no origin.",
                hint="Edit TOKENAUTH_RESOURCE_SERVERS: each entry is scheme, host, and port if it "
                "is another than the usual one, as browsers write them: 'https://api.example.com'.",
                id="tokenauth.E042",
            )


def former_errors() -> Iterator[CheckMessage]:
    """Find former cookie settings that can't be read."""
    entries: Any = conf.FORMER_COOKIES
    for entry in entries if isinstance(entries, list | tuple) else []:
        flaw = flaw_of(entry)
        if flaw:
            yield Error(
                f"An entry of TOKENAUTH_FORMER_COOKIES {flaw}.",
                hint="Edit TOKENAUTH_FORMER_COOKIES: each entry is a dict of 'changed', an aware "
                "datetime, and of those settings that were others until then, without "
                "'TOKENAUTH_': ACCESS_COOKIE_NAME, REFRESH_COOKIE_NAME, REFRESH_COOKIE_PATH, "
                "COOKIE_DOMAIN, COOKIE_SECURE, COOKIE_SAMESITE.",
                id="tokenauth.E018",
            )


def rate_errors() -> Iterator[CheckMessage]:
    """Find limits for logins that can't be read."""
    rates = conf.LOGIN_RATES if isinstance(conf.LOGIN_RATES, dict) else {}
    for scope, rate in rates.items():
        if scope not in throttling.SCOPES or not (rate is None or throttling.is_rate(rate)):
            yield Error(
                f"TOKENAUTH_LOGIN_RATES has an impossible entry {scope!r}.",
                hint="Edit TOKENAUTH_LOGIN_RATES: 'address' and 'account' take a rate like "
                "'60/m' or '10/15m' (s, m, h, d), or None for no limit.",
                id="tokenauth.E016",
            )


def choice_errors() -> Iterator[CheckMessage]:
    """Find values of the right type that mean nothing."""
    if conf.COOKIE_SAMESITE not in SAMESITE:
        yield Error(
            "TOKENAUTH_COOKIE_SAMESITE is unknown.",
            hint="Edit TOKENAUTH_COOKIE_SAMESITE: 'Lax', 'Strict' or 'None'.",
            id="tokenauth.E009",
        )
    for name, least in (("MAX_SESSIONS_PER_USER", 1), ("TRUSTED_PROXY_COUNT", 0)):
        value = getattr(conf, name)
        if isinstance(value, int) and value < least:
            yield Error(
                f"TOKENAUTH_{name} is below {least}.",
                hint=f"Edit TOKENAUTH_{name}: set it to {least} or above.",
                id="tokenauth.E010",
            )


def lifetime_errors() -> Iterator[CheckMessage]:
    """Find lifetimes that contradict each other, and say what holds where one is cut."""
    if conf.SESSION_LIFETIME <= conf.ACCESS_TOKEN_LIFETIME:
        yield Error(
            "The lifetimes are out of order.",
            hint="Edit TOKENAUTH_ACCESS_TOKEN_LIFETIME: it must be shorter than "
            "TOKENAUTH_SESSION_LIFETIME.",
            id="tokenauth.E011",
        )
    if conf.REFRESH_TOKEN_LIFETIME > conf.SESSION_LIFETIME:
        yield CheckWarning(
            "The idle lifetime is longer than the absolute one, which ends each session first.",
            hint="Edit TOKENAUTH_REFRESH_TOKEN_LIFETIME (if unset, it is that of SIMPLE_JWT, else "
            "SESSION_COOKIE_AGE) or TOKENAUTH_SESSION_LIFETIME.",
            id="tokenauth.W005",
        )
    access, grace = seconds(conf.ACCESS_TOKEN_LIFETIME), seconds(conf.GRACE_PERIOD)
    if is_cut("ACCESS_TOKEN_LIFETIME"):
        yield CheckWarning(
            f"Access tokens live {access:g} seconds only: a third of what a session may be idle.",
            hint="Edit TOKENAUTH_ACCESS_TOKEN_LIFETIME (if unset, it is that of SIMPLE_JWT): set "
            "it to that or less, for idle time is counted at rotations. Or raise the shorter of "
            "TOKENAUTH_REFRESH_TOKEN_LIFETIME (if unset, that of SIMPLE_JWT, else "
            "SESSION_COOKIE_AGE) and TOKENAUTH_BROWSER_SESSION_LIFETIME.",
            id="tokenauth.W006",
        )
    if is_cut("GRACE_PERIOD"):
        yield CheckWarning(
            f"The grace period is {grace:g} seconds only: half of an access token's life.",
            hint="Edit TOKENAUTH_GRACE_PERIOD or TOKENAUTH_ACCESS_TOKEN_LIFETIME: a token is "
            "confirmed only by use after the grace period, and unconfirmed no theft is noticed.",
            id="tokenauth.W002",
        )


def is_cut(name: str) -> bool:
    """Tell whether a duration is shorter than the site, or our default, would have it."""
    held: timedelta = getattr(conf, name)
    wanted: timedelta = vars(Conf)[name].wanted()
    return held < wanted


def cookie_errors() -> Iterator[CheckMessage]:
    """Find cookies that a browser would refuse or confuse."""
    if conf.ACCESS_COOKIE_NAME == conf.REFRESH_COOKIE_NAME:
        yield Error(
            "Both cookies have one name.",
            hint="Edit TOKENAUTH_ACCESS_COOKIE_NAME or TOKENAUTH_REFRESH_COOKIE_NAME.",
            id="tokenauth.E012",
        )
    if conf.COOKIE_SAMESITE == "None" and not conf.COOKIE_SECURE:
        yield Error(
            "Browsers refuse SameSite=None without Secure.",
            hint="Edit TOKENAUTH_COOKIE_SAMESITE ('Lax'), or set TOKENAUTH_COOKIE_SECURE = True.",
            id="tokenauth.E013",
        )
    yield from cookie_name_errors()


def former_warnings() -> Iterator[CheckMessage]:
    """Find former cookie settings that no browser has cookies of any more."""
    for entry in conf.FORMER_COOKIES:
        if time.time() >= cookies.former_until(entry):
            yield CheckWarning(
                f"The cookies of before {entry['changed']:%Y-%m-%d} are no longer read.",
                hint="Edit TOKENAUTH_FORMER_COOKIES: remove that entry. No browser keeps a cookie "
                "for longer than the idle lifetime.",
                id="tokenauth.W015",
            )


def adoption_warnings() -> Iterator[CheckMessage]:
    """Find Django sessions that can't be adopted."""
    if conf.ADOPT_DJANGO_SESSIONS and is_replayable(engine()):
        yield CheckWarning(
            "Sessions of the signed_cookies engine are not adopted: old values replay for ever.",
            hint="Set TOKENAUTH_ADOPT_DJANGO_SESSIONS = False; people sign in once more.",
            id="tokenauth.W003",
        )


def trust_errors() -> Iterator[CheckMessage]:
    """Find trusted issuers whose jobs could not sign in, or in whose place anybody could."""
    if conf.TRUSTED_ISSUERS and find_spec("joserfc") is None:
        yield Error(
            "TOKENAUTH_TRUSTED_ISSUERS needs joserfc, which is not installed.",
            hint="Run pip install 'django-tokenauth[keys]', or remove TOKENAUTH_TRUSTED_ISSUERS.",
            id="tokenauth.E045",
        )
    for issuer, entry in conf.TRUSTED_ISSUERS.items():
        flaw = flaw_of_trust(issuer, entry)
        if flaw:
            yield Error(
                f"TOKENAUTH_TRUSTED_ISSUERS: {issuer!r} {flaw}.",
                hint="Edit TOKENAUTH_TRUSTED_ISSUERS: it takes, by each issuer's https URL to the "
                "letter as its tokens have it in 'iss' (mostly without a slash at the end), a dict "
                "of texts: 'audience' and 'user', and if you like 'name' and 'jwks_url'.",
                id="tokenauth.E046",
            )
        else:
            yield from function_errors(issuer, entry)


def function_errors(issuer: str, entry: dict[str, Any]) -> Iterator[CheckMessage]:
    """Find functions for jobs that can't be called: none could sign in."""
    for name in ("user", "name"):
        flaw = flaw_of_function(entry[name]) if name in entry else ""
        if flaw:
            yield Error(
                f"TOKENAUTH_TRUSTED_ISSUERS: {name!r} of {issuer!r} {flaw}.",
                hint="Edit TOKENAUTH_TRUSTED_ISSUERS: 'user' takes the dotted path of a function, "
                "which is given a token's claims and returns a user, or None; 'name' that of one "
                "which returns a text.",
                id="tokenauth.E047",
            )
