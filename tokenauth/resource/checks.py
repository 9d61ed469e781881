"""Say before the first request what is wrong with a resource server's settings, and what to edit.

An id is never given to another message, nor renumbered.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.http.request import validate_host
from django.utils.module_loading import import_string

from tokenauth.checks.names import flaw_of_function
from tokenauth.checks.settings import cookie_name_errors, type_errors, unknown_names
from tokenauth.conf import conf

RESOURCE_MIDDLEWARE = "tokenauth.resource.middleware.ResourceServerMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
#: What ``sessionid`` is called where nobody has said otherwise.
SESSION_COOKIE = "sessionid"
#: A whole address that ends in a slash; the host of a site, with its port if it has one.
INCLUDE = re.compile(r"https?://[^/?#@\s\\]+/(?:[^?#\s\\]*/)?")
ADDRESS = re.compile(r"https?://[^/?#@\s\\]+/[^#\s\\]*")


def check_resource_server(**kwargs: Any) -> list[CheckMessage]:
    """Look at what is installed, then at the settings, each by itself and together."""
    missing = list(missing_apps())
    if missing:
        return missing  # nothing else could be imported
    impossible = [*type_errors()]
    if impossible:
        return [*unknown_names(), *middleware_errors(), *impossible]
    return [
        *unknown_names(),
        *middleware_errors(),
        *cookie_name_errors(),
        *address_errors(),
        *name_errors(),
        *key_errors(),
        *user_errors(),
        *session_warnings(),
    ]


def missing_apps() -> Iterator[CheckMessage]:
    """Find an app that must be there, or must not be."""
    if apps.is_installed("tokenauth"):
        yield Error(
            "This is an authorization server and a resource server at once.",
            hint="Edit INSTALLED_APPS: keep 'tokenauth' where the sessions are, and "
            "'tokenauth.resource' on servers without them. Settings like TOKENAUTH_AUDIENCE mean "
            "another thing on each.",
            id="tokenauth.E030",
        )
    for name in ("django.contrib.auth", "django.contrib.contenttypes"):
        if not apps.is_installed(name):
            yield Error(
                f"The app {name!r} is not installed.",
                hint=f"Edit INSTALLED_APPS: add {name!r}. Django's middleware and REST framework "
                "import it; no table of it is used.",
                id="tokenauth.E031",
            )
    if find_spec("joserfc") is None:
        yield Error(
            "The library that verifies tokens is not installed.",
            hint="Run pip install 'django-tokenauth[keys]'.",
            id="tokenauth.E032",
        )


def middleware_errors() -> Iterator[CheckMessage]:
    """Find a middleware that is missing, or doubled."""
    from django.contrib.auth.middleware import AuthenticationMiddleware  # noqa: PLC0415  # after missing_apps()

    from .middleware import ResourceServerMiddleware  # noqa: PLC0415  # the same

    kinds = [kind for kind in map(import_string, settings.MIDDLEWARE) if isinstance(kind, type)]
    if not any(issubclass(kind, ResourceServerMiddleware) for kind in kinds):
        yield Error(
            "The middleware of tokenauth.resource is not installed.",
            hint=f"Edit MIDDLEWARE: replace '{DJANGOS}' with '{RESOURCE_MIDDLEWARE}'.",
            id="tokenauth.E033",
        )
    elif len([kind for kind in kinds if issubclass(kind, AuthenticationMiddleware)]) > 1:
        yield Error(
            "Two middlewares set request.user.",
            hint=f"Edit MIDDLEWARE: keep '{RESOURCE_MIDDLEWARE}' alone, once.",
            id="tokenauth.E034",
        )


def address_errors() -> Iterator[CheckMessage]:
    """Find addresses of the authorization server that lead nowhere."""
    server = conf.AUTHORIZATION_SERVER
    if server is not None and not INCLUDE.fullmatch(server):
        yield Error(
            "TOKENAUTH_AUTHORIZATION_SERVER is no address of an include.",
            hint="Edit TOKENAUTH_AUTHORIZATION_SERVER: the whole address under which the "
            "authorization server includes 'tokenauth.urls', with a slash at its end, like "
            "'https://example.com/auth/'.",
            id="tokenauth.E035",
        )
    if conf.JWKS_URL is not None and not ADDRESS.fullmatch(conf.JWKS_URL):
        yield Error(
            "TOKENAUTH_JWKS_URL is no address.",
            hint="Edit TOKENAUTH_JWKS_URL: a whole address like 'http://auth:8000/auth/jwks.json', "
            "or remove it.",
            id="tokenauth.E036",
        )


def name_errors() -> Iterator[CheckMessage]:
    """Find tokens of anybody, or for anybody, that would be accepted."""
    if not conf.ISSUER:
        yield Error(
            "TOKENAUTH_ISSUER is not set.",
            hint="Edit TOKENAUTH_ISSUER: the same text as on the authorization server.",
            id="tokenauth.E037",
        )
    if not isinstance(conf.AUDIENCE, str) or not conf.AUDIENCE:
        yield Error(
            "TOKENAUTH_AUDIENCE does not say who this server is.",
            hint="Edit TOKENAUTH_AUDIENCE: one name, which is in the list of that setting on the "
            "authorization server.",
            id="tokenauth.E038",
        )


def key_errors() -> Iterator[CheckMessage]:
    """Find keys that come from nowhere, or can't be read. Nothing is fetched."""
    if conf.PUBLIC_KEYS is None:
        if not (conf.JWKS_URL or conf.AUTHORIZATION_SERVER):
            yield Error(
                "There are no keys to verify tokens with.",
                hint="Edit TOKENAUTH_AUTHORIZATION_SERVER: its address. Where nothing may be "
                "fetched, set TOKENAUTH_PUBLIC_KEYS to its key set.",
                id="tokenauth.E039",
            )
        return
    from .keys.published import source  # noqa: PLC0415  # after missing_apps()

    try:
        source()
    except ValueError as flaw:
        yield Error(
            f"TOKENAUTH_PUBLIC_KEYS can't be used. {flaw}",
            hint="Edit TOKENAUTH_PUBLIC_KEYS: it takes what the authorization server answers at "
            "jwks.json, as a dict or as the path of a file.",
            id="tokenauth.E040",
        )


def user_errors() -> Iterator[CheckMessage]:
    """Find a function for people that can't be called."""
    flaw = flaw_of_function(conf.RESOURCE_USER) if conf.RESOURCE_USER else ""
    if flaw:
        yield Error(
            f"TOKENAUTH_RESOURCE_USER {flaw}.",
            hint="Edit TOKENAUTH_RESOURCE_USER: it takes the dotted path of a function, which is "
            "given a token's claims and returns a user, or None.",
            id="tokenauth.E041",
        )


def session_warnings() -> Iterator[CheckMessage]:
    """Find a ``sessionid`` that two servers of one host would take from each other."""
    host = urlsplit(conf.AUTHORIZATION_SERVER or "").hostname
    is_shared = bool(host) and validate_host(str(host), settings.ALLOWED_HOSTS)
    has_sessions = SESSIONS in settings.MIDDLEWARE
    if is_shared and has_sessions and settings.SESSION_COOKIE_NAME == SESSION_COOKIE:
        yield CheckWarning(
            "On a host that both share, the authorization server and this one would overwrite "
            "each other's session cookie.",
            hint="Edit SESSION_COOKIE_NAME: give this server a name of its own, or remove its "
            "SessionMiddleware.",
            id="tokenauth.W030",
        )


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Look at what is wrong in production only."""
    if any(missing_apps()) or any(type_errors()):
        return []  # said by ``check_resource_server``
    return [*cookie_warnings(), *fetch_warnings()]


def cookie_warnings() -> Iterator[CheckMessage]:
    """Find a token cookie of another name than the authorization server gives it."""
    if not conf.COOKIE_SECURE:
        yield CheckWarning(
            "The access cookie is looked for under its name of plain http.",
            hint="Set DEBUG = False, or TOKENAUTH_COOKIE_SECURE = True.",
            id="tokenauth.W031",
        )


def fetch_warnings() -> Iterator[CheckMessage]:
    """Find keys that somebody on the way could replace."""
    server = conf.AUTHORIZATION_SERVER or ""
    is_fetched = conf.PUBLIC_KEYS is None and conf.JWKS_URL is None
    if is_fetched and server.startswith("http:"):
        yield CheckWarning(
            "The keys are fetched over plain http: whoever is on the way can sign anybody in.",
            hint="Edit TOKENAUTH_AUTHORIZATION_SERVER: use https. For a network that you trust, "
            "set TOKENAUTH_JWKS_URL to the address in it.",
            id="tokenauth.W032",
        )
