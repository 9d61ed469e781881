"""Say before the first request what is wrong with a site's settings, and what to edit.

An id is never given to another message, nor renumbered.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import router
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from .conf import Conf, Duration, Setting, conf
from .former_cookies import COOKIE_NAME, SAMESITE, flaw_of, is_kind_of
from .middleware import TokenAuthMiddleware
from .models import AuthSession
from .request import cookies, throttling
from .request.django_sessions.adoption import is_replayable
from .session.django_sessions import engine

OURS = "tokenauth.middleware.TokenAuthMiddleware"
#: In seconds: longer than anybody stays, and short enough to be added to a date.
CENTURY = 100 * 365 * 24 * 3600


def check_site(**kwargs: Any) -> list[CheckMessage]:
    """Look at MIDDLEWARE, the URLconf and the databases."""
    return [*middleware_errors(), *url_errors(), *database_errors()]


def middleware_errors() -> Iterator[CheckMessage]:
    """Find a middleware that is missing, doubled or in the wrong place."""
    installed = [import_string(path) for path in settings.MIDDLEWARE]
    ours = [i for i, c in enumerate(installed) if is_kind(c, TokenAuthMiddleware)]
    if not ours:
        yield Error(
            "The middleware of tokenauth is not installed.",
            hint="Edit MIDDLEWARE: replace 'django.contrib.auth.middleware."
            f"AuthenticationMiddleware' with '{OURS}'.",
            id="tokenauth.E001",
        )
        return
    rivals = [i for i, c in enumerate(installed) if is_kind(c, AuthenticationMiddleware)]
    if len(rivals) > 1:
        yield Error(
            "Two middlewares set request.user.",
            hint=f"Edit MIDDLEWARE: keep '{OURS}' alone, once.",
            id="tokenauth.E002",
        )
    if any(is_kind(c, SessionMiddleware) for c in installed[ours[0] :]):
        yield Error(
            "SessionMiddleware comes after the middleware of tokenauth.",
            hint=f"Edit MIDDLEWARE: move SessionMiddleware above '{OURS}'.",
            id="tokenauth.E003",
        )


def is_kind(found: Any, kind: type) -> bool:
    """Tell whether an installed middleware is of a class; it may be a function."""
    return isinstance(found, type) and issubclass(found, kind)


def url_errors() -> Iterator[CheckMessage]:
    """Find an include that is missing, or whose path is not one path."""
    try:
        path = cookies.find_include()
    except NoReverseMatch:
        yield Error(
            "The URLs of tokenauth are not included.",
            hint="Edit ROOT_URLCONF: add path('auth/', include('tokenauth.urls')).",
            id="tokenauth.E004",
        )
        return
    if is_under_locale_prefix(get_resolver().url_patterns):
        yield Error(
            "The URLs of tokenauth are included under i18n_patterns, or a translated path.",
            hint="Move the include out of it: the path of the refresh cookie must not change with "
            "the language.",
            id="tokenauth.E005",
        )
    chosen = conf.REFRESH_COOKIE_PATH
    if isinstance(chosen, str) and not cookies.is_under(unquote(f"{path}refresh/"), chosen or path):
        yield Error(
            "The refresh cookie does not reach the refresh URL.",
            hint=f"Edit TOKENAUTH_REFRESH_COOKIE_PATH: remove it, or set it to {path!r} or '/'.",
            id="tokenauth.E006",
        )


def is_under_locale_prefix(
    patterns: list[URLPattern | URLResolver], prefixed: bool = False
) -> bool:
    """Tell whether our namespace stands below a language prefix, or a translated path."""
    for resolver in patterns:
        if isinstance(resolver, URLResolver):
            here = prefixed or changes_with_language(resolver.pattern)
            ours = here and resolver.app_name == "tokenauth"
            if ours or is_under_locale_prefix(resolver.url_patterns, here):
                return True
    return False


def changes_with_language(pattern: Any) -> bool:
    """Tell whether a path begins with the language, or is translated."""
    text = getattr(pattern, "_route", getattr(pattern, "_regex", ""))
    return isinstance(pattern, LocalePrefixPattern) or isinstance(text, Promise)


def database_errors() -> Iterator[CheckMessage]:
    """Find sessions that are kept apart from their users: one query joins the two."""
    ours, theirs = (router.db_for_write(model) for model in (AuthSession, get_user_model()))
    if ours != theirs:
        yield Error(
            f"Sessions are in the database {ours!r}, their users in {theirs!r}.",
            hint="Edit DATABASE_ROUTERS: route the app label 'tokenauth' to the database of the "
            "user model.",
            id="tokenauth.E017",
        )


def known_settings() -> dict[str, Setting[Any]]:
    """Return every setting by its full name."""
    found = [setting for setting in vars(Conf).values() if isinstance(setting, Setting)]
    return {setting.name: setting for setting in found}


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Look at the ``TOKENAUTH_*`` settings, each by itself and then together."""
    impossible = list(value_errors())
    if impossible:
        return [*unknown_names(), *impossible]
    together = (lifetime_errors(), cookie_errors(), former_warnings(), adoption_warnings())
    return [*unknown_names(), *chain.from_iterable(together)]


def unknown_names() -> Iterator[CheckMessage]:
    """Find names that no setting has: a misspelt one would be ignored in silence."""
    for name in dir(settings):
        if name.startswith("TOKENAUTH_") and name not in known_settings():
            yield CheckWarning(
                f"There is no setting {name}.",
                hint="Known are " + ", ".join(sorted(known_settings())) + ".",
                id="tokenauth.W001",
            )


def value_errors() -> Iterator[CheckMessage]:
    """Find values of a wrong type, and durations and counts out of range."""
    for name, setting in known_settings().items():
        value = setting.given()
        kinds = " or ".join(kind.__name__ for kind in setting.fits)
        if not is_kind_of(setting, value):
            yield Error(
                f"{name} is a {type(value).__name__}.",
                hint=f"Edit {name}: it takes {kinds}.",
                id="tokenauth.E007",
            )
        elif isinstance(setting, Duration) and not 0 < seconds(value) < CENTURY:
            yield Error(
                f"{name} is not a length of time.",
                hint=f"Edit {name}: a timedelta, or seconds, above zero and below a century.",
                id="tokenauth.E008",
            )
    yield from choice_errors()
    yield from rate_errors()
    yield from former_errors()


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


def seconds(value: Any) -> float:
    """Return a duration, or a number of seconds, as the latter."""
    return float(value.total_seconds() if isinstance(value, timedelta) else value)


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
