"""Set and delete the two cookies, and name what others need to know of them.

Nothing here touches a request or the database.
"""

from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from tokenauth.secret import Masked, Secret

from .jar.places import (
    ACCESS,
    REFRESH,
    Place,
    access_name,
    access_place,
    find_include,
    former_refresh_paths,
    former_until,
    include_path,
    is_under,
    plantable_former_names,
    refresh_name,
    refresh_path,
    refresh_place,
    refresh_url_after,
    refresh_urls,
)
from .jar.presentation import Presentation, Presented, parse

#: What others know of the jar, they know from here.
__all__ = [
    "ACCESS",
    "REFRESH",
    "Presentation",
    "Presented",
    "access_name",
    "access_place",
    "clear_others",
    "delete",
    "find_include",
    "forbid_caching",
    "former_refresh_paths",
    "former_until",
    "include_path",
    "is_under",
    "parse",
    "plantable_former_names",
    "put",
    "put_access",
    "put_django_session",
    "put_refresh",
    "refresh_name",
    "refresh_path",
    "refresh_place",
    "refresh_url_after",
    "refresh_urls",
]

#: Headers by which a view or a cache decorator tells some cache to keep a response.
CACHE_HEADERS = ("Expires", "Surrogate-Control", "Edge-Control", "X-Accel-Expires")

#: The date that Django's own ``delete_cookie`` sets, for a client that knows no Max-Age.
LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


def put(
    response: HttpResponseBase, place: Place, raw: Secret[str] | None, max_age: int | None
) -> None:
    """Set one cookie; ``max_age`` is in seconds, ``None`` until the browser closes."""
    response.set_cookie(
        place.name,
        Masked(raw.reveal() if raw else ""),
        max_age=max_age,
        expires=LONG_AGO if max_age == 0 else None,
        path=place.path,
        domain=place.domain,
        secure=place.secure,
        httponly=True,
        samesite=place.samesite,
    )


def delete(response: HttpResponseBase, place: Place) -> None:
    """Delete a cookie beside what the response does to others of its name.

    Django keeps one for each key, and sends the name that is in the morsel.
    """
    alone = HttpResponse()
    put(alone, place, None, 0)
    response.cookies[" ".join(map(str, place.key))] = alone.cookies[place.name]


def clear_others(
    response: HttpResponseBase,
    presented: Presentation,
    host: Callable[[], str],
    access: set[UUID],
    refresh: set[UUID],
) -> None:
    """Delete what former settings left behind of these sessions' access and refresh tokens."""
    for kind, sids in ((ACCESS, access), (REFRESH, refresh)):
        for place in presented.left_behind(kind, sids, host):
            delete(response, place)


def put_access(response: HttpResponseBase, raw: Secret[str] | None, max_age: int | None) -> None:
    """Set the access cookie. It outlives its token: an expired one asks for a refresh."""
    put(response, access_place(), raw, max_age)


def put_refresh(response: HttpResponseBase, raw: Secret[str] | None, max_age: int | None) -> None:
    """Set the refresh cookie, on the auth URLs' path alone."""
    put(response, refresh_place(), raw, max_age)


def put_django_session(response: HttpResponseBase, key: str, max_age: int) -> None:
    """Set Django's session cookie anew, with the attributes that SessionMiddleware gives it."""
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        key,
        max_age=max_age,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=settings.SESSION_COOKIE_HTTPONLY,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def forbid_caching(response: HttpResponseBase) -> None:
    """Keep a response out of every cache: a stored Set-Cookie signs a stranger in."""
    for name in [*response.headers]:
        if name.lower().endswith("-cache-control") or name.title() in CACHE_HEADERS:
            del response.headers[name]
    response.headers["Cache-Control"] = "private, no-store"
    patch_vary_headers(response, ("Cookie",))
