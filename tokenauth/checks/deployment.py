"""Say before a site goes live what is good enough for development only, and what to edit.

``check --deploy`` alone runs these; the others stand beside it. The rule for ids is in ``site``.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.views.debug import get_exception_reporter_filter

from tokenauth.conf import conf
from tokenauth.request import cookies, throttling

from .policy import value_errors

#: Longer access tokens are refreshed so rarely that reuse shows late.
LONG = timedelta(hours=1)


def check_deployment(**kwargs: object) -> list[CheckMessage]:
    """Look at what is wrong in production only."""
    if any(value_errors()):
        return []  # said by ``check_settings``, and nothing can be concluded from them
    return [
        *cookie_warnings(),
        *former_warnings(),
        *cache_warnings(),
        *proxy_warnings(),
        *report_warnings(),
        *lifetime_warnings(),
        *adoption_warnings(),
    ]


def cookie_warnings() -> Iterator[CheckMessage]:
    """Find cookies that others on the way, or next door, can read."""
    if not conf.COOKIE_SECURE:
        yield CheckWarning(
            "The token cookies are sent over plain http.",
            hint="Edit TOKENAUTH_COOKIE_SECURE: remove it."
            if hasattr(settings, "TOKENAUTH_COOKIE_SECURE")
            else "Set DEBUG = False, or TOKENAUTH_COOKIE_SECURE = True.",
            id="tokenauth.W004",
        )
    if settings.SESSION_COOKIE_DOMAIN:
        yield CheckWarning(
            "The Django session is shared with sibling domains, which can read and plant it.",
            hint="Edit SESSION_COOKIE_DOMAIN: remove it. Every host under the domain gets the "
            "cookie, and with it what the site keeps in request.session.",
            id="tokenauth.W013",
        )


def former_warnings() -> Iterator[CheckMessage]:
    """Name the former cookies that may be somebody else's."""
    for name in cookies.plantable_former_names():
        yield CheckWarning(
            f"The former cookie {name!r} can be planted, with an attacker's own older session.",
            hint="Edit TOKENAUTH_FORMER_COOKIES: remove its entry as soon as most people have come "
            "back. Until then whoever controls a sibling domain, or the network where it is plain "
            "http, can sign people into an account of theirs, if nobody is signed in there.",
            id="tokenauth.W016",
        )


def cache_warnings() -> Iterator[CheckMessage]:
    """Find a cache that loses count of failed logins, or forgets what was used."""
    kind = default_cache()
    if kind is None:
        return
    weakness = weakness_of(kind)
    if weakness and any(map(throttling.rate_of, throttling.SCOPES)):
        yield CheckWarning(
            f"The default cache {weakness}, so failed logins are hardly limited.",
            hint="Edit CACHES: use Redis or Memcached, which all processes share and which add in "
            "one step. Where something else limits logins, set TOKENAUTH_LOGIN_RATES = None.",
            id="tokenauth.W010",
        )
    weakness = forgetfulness_of(kind)
    if weakness and conf.APP_CLIENTS:
        yield CheckWarning(
            f"The default cache {weakness}, so a copied DPoP proof can be used again.",
            hint="Edit CACHES: use Redis or Memcached, which all processes share and which add in "
            "one step, as TOKENAUTH_APP_CLIENTS needs.",
            id="tokenauth.W035",
        )


def default_cache() -> type[BaseCache] | None:
    """Return the class of the default cache; None where Django says what is wrong with it.

    Its class tells: an instance may want a library that is not on the machine that checks.
    """
    try:
        kind: type[BaseCache] = import_string(settings.CACHES.get("default", {}).get("BACKEND", ""))
    except ImportError:
        return None
    return kind


def weakness_of(kind: type[BaseCache]) -> str:
    """Say why a cache is no place for counters; empty if it may be one."""
    if issubclass(kind, DummyCache | LocMemCache):
        return forgetfulness_of(kind)
    if kind.incr is BaseCache.incr:  # in a database, in files
        return "reads a number and writes it back, which loses counts under load"
    return ""


def forgetfulness_of(kind: type[BaseCache]) -> str:
    """Say why a cache is no place for what may be used once; empty if it may be one."""
    if issubclass(kind, DummyCache):
        return "keeps nothing"
    if issubclass(kind, LocMemCache):
        return "is one for each process, and keeps 300 entries unless told otherwise"
    if issubclass(kind, FileBasedCache):
        return "looks for an entry and then writes it, which lets two through that come at once"
    return ""


def proxy_warnings() -> Iterator[CheckMessage]:
    """Find a proxy that everybody's address is taken from."""
    proxied = settings.SECURE_PROXY_SSL_HEADER or settings.USE_X_FORWARDED_HOST
    if proxied and conf.TRUSTED_PROXY_COUNT == 0:
        yield CheckWarning(
            "The site stands behind a proxy, whose address is taken for everybody's.",
            hint="Edit TOKENAUTH_TRUSTED_PROXY_COUNT: say how many proxies of yours append to "
            "X-Forwarded-For (nginx alone: 1). Silence this if the server already sets "
            "REMOTE_ADDR from it.",
            id="tokenauth.W011",
        )


def report_warnings() -> Iterator[CheckMessage]:
    """Find token cookies that Django's error reports would show, in mails to ADMINS."""
    names = (cookies.access_name(), cookies.refresh_name())
    request = HttpRequest()
    request.COOKIES = dict.fromkeys(names, "token")
    shown = get_exception_reporter_filter(None).get_safe_cookies(request)
    for name in names:
        if shown.get(name) == "token":
            yield CheckWarning(
                f"Error reports show the token in the cookie {name!r}.",
                hint="Edit TOKENAUTH_ACCESS_COOKIE_NAME and TOKENAUTH_REFRESH_COOKIE_NAME: use "
                "names with 'token' in them, which Django takes for secret, or add them to "
                "hidden_settings of your DEFAULT_EXCEPTION_REPORTER_FILTER.",
                id="tokenauth.W012",
            )


def lifetime_warnings() -> Iterator[CheckMessage]:
    """Find access tokens that are hardly ever refreshed."""
    if conf.ACCESS_TOKEN_LIFETIME > LONG:
        yield CheckWarning(
            "Access tokens are good for more than an hour.",
            hint="Edit TOKENAUTH_ACCESS_TOKEN_LIFETIME (if unset, it is that of SIMPLE_JWT): the "
            "longer it is, the longer a stolen access token works, and the later a theft is "
            "noticed. People stay signed in for TOKENAUTH_REFRESH_TOKEN_LIFETIME.",
            id="tokenauth.W014",
        )


def adoption_warnings() -> Iterator[CheckMessage]:
    """Ask until when Django sessions are adopted."""
    if conf.ADOPT_DJANGO_SESSIONS and conf.ADOPT_UNTIL is None:
        yield CheckWarning(
            "Django sessions are adopted for ever, also those that somebody planted.",
            hint="Set TOKENAUTH_ADOPT_UNTIL to a date: about SESSION_COOKIE_AGE after the switch "
            "to tokenauth. Where nobody signed in before it, set "
            "TOKENAUTH_ADOPT_DJANGO_SESSIONS = False.",
            id="tokenauth.W007",
        )
