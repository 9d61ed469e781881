"""Look at MIDDLEWARE, the URLconf and the databases.

An id is never given to another message, nor renumbered.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error
from django.db import router
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from tokenauth.conf import conf
from tokenauth.middleware import TokenAuthMiddleware
from tokenauth.models import AuthSession
from tokenauth.request import cookies

OURS = "tokenauth.middleware.TokenAuthMiddleware"


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
