"""Look at the site's admin, and at its ways in.

Only the admin sites that the URLconf leads to count, whichever they are. What a site registers
elsewhere, nobody sees.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.urls import (
    NoReverseMatch,
    Resolver404,
    URLPattern,
    URLResolver,
    get_resolver,
    resolve,
    reverse,
)

from tokenauth.models import AuthSession

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite, ModelAdmin


def check_admin(**kwargs: Any) -> list[CheckMessage]:
    """Say that an admin site that is in use shows no sessions, and what to edit."""
    if not apps.is_installed("django.contrib.admin"):
        return []
    sites = sites_in_use()
    showing = [site for site in sites if site.is_registered(AuthSession)]
    return [*list_warnings(sites, showing), *person_warnings(showing or sites)]


def sites_in_use() -> list["AdminSite"]:
    """Return every admin site that the URLconf leads to, once."""
    from django.contrib.admin import AdminSite  # noqa: PLC0415  # not every site has the admin

    # Django leaves the site on the views that it wraps.
    found = (getattr(view, "admin_site", None) for view in views(get_resolver().url_patterns))
    return list(dict.fromkeys(site for site in found if isinstance(site, AdminSite)))


def views(patterns: list[URLPattern | URLResolver]) -> Iterator[Any]:
    """Return the views of a URLconf, with those of everything that it includes."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns)
        else:
            yield pattern.callback


def list_warnings(sites: list["AdminSite"], showing: list["AdminSite"]) -> Iterator[CheckMessage]:
    """Find a site whose staff see no sessions at all; one admin that shows them is enough."""
    names = ", ".join(map(repr, sites))
    if sites and not showing:
        yield CheckWarning(
            f"No admin that the URLconf uses shows sessions: {names}.",
            hint="Edit the module that registers your models on that site: import AuthSession from "
            "tokenauth.models and AuthSessionAdmin from tokenauth.admin, and add "
            "site.register(AuthSession, AuthSessionAdmin). If the site is Django's own admin.site, "
            "the import alone does it; a theme that replaces that one stands before "
            "django.contrib.admin in INSTALLED_APPS.",
            id="tokenauth.W017",
        )


def person_warnings(sites: list["AdminSite"]) -> Iterator[CheckMessage]:
    """Find people's pages that lack their sessions, and "Sign out everywhere"."""
    people = get_user_model()
    for site in sites:
        user_admin = site.get_model_admin(people) if site.is_registered(people) else None
        if user_admin and lacks_sessions(user_admin):
            dotted = f"{type(user_admin).__module__}.{type(user_admin).__qualname__}"
            yield CheckWarning(
                f"People's pages in {site!r} lack their sessions, and 'Sign out everywhere'.",
                hint=f"Edit the user admin {dotted}: add "
                "tokenauth.admin.AuthSessionsUserAdminMixin, first among its bases. If that class "
                "is not yours, register one of your own in its place, made from the mixin and from "
                "it.",
                id="tokenauth.W018",
            )


def lacks_sessions(user_admin: "ModelAdmin[Any]") -> bool:
    """Tell whether a user admin is made without our mixin.

    What is made with it has imported it. If nobody has, it is not imported here either: that would
    register what the site did not (``SimpleAdminConfig``).
    """
    ours = sys.modules.get("tokenauth.admin")
    return ours is None or not isinstance(user_admin, ours.AuthSessionsUserAdminMixin)


def check_logins(**kwargs: Any) -> list[CheckMessage]:
    """Say which logins ask for a password alone, where allauth asks for more."""
    if not apps.is_installed("allauth.mfa"):
        return []
    open_ways = ", ".join(one_step_logins())
    if not open_ways:
        return []
    warning = CheckWarning(
        f"A password alone signs in at {open_ways}, though allauth.mfa is installed.",
        hint="Edit ROOT_URLCONF: put a redirect to account_login before the include of "
        "tokenauth.urls, at each of those paths; and wrap the login of an admin site: "
        "site.login = secure_admin_login(site.login), from allauth.account.decorators.",
        id="tokenauth.W019",
    )
    return [warning]


def one_step_logins() -> Iterator[str]:
    """Give each login of ours, or of Django's admin, that the URLconf leads to."""
    for name in ("tokenauth:login", "tokenauth:api_login"):
        try:
            path = reverse(name, settings.ROOT_URLCONF)
            view: Any = resolve(path, settings.ROOT_URLCONF).func
        except (NoReverseMatch, Resolver404):
            continue
        kind = getattr(view, "view_class", getattr(view, "cls", view))
        if kind.__module__.startswith("tokenauth."):
            yield path
    if apps.is_installed("django.contrib.admin"):
        from django.contrib.admin import AdminSite  # noqa: PLC0415  # not every site has the admin

        for site in sites_in_use():
            if getattr(site.login, "__func__", None) is AdminSite.login:
                yield repr(site)
