"""Where a request comes from, and where one may be sent to."""

import re

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from tokenauth.conf import conf

#: Browsers drop tabs and newlines from a URL and take a backslash for a slash: "/\t/evil.test".
UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f]")
ORIGIN = re.compile(r"(https?)://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::([1-9][0-9]{0,4}))?", re.ASCII)
USUAL_PORTS = {"http": "80", "https": "443"}
#: What a script of a resource server may send along, besides what needs no leave, and for how many
#: seconds a browser remembers that it may.
CORS_HEADERS, CORS_MAX_AGE = "Content-Type, X-CSRFToken, X-Requested-With", 600


def from_this_site(request: HttpRequest) -> bool:
    """Tell whether a request was sent by a page of this site, or by no browser at all.

    For the URLs that need no CSRF token, so that a stale cookie locks nobody out. A cross-site
    request that signs somebody in, out or on is refused here.

    ``none`` is no word to rely on: of another site's form, after two redirects without a referrer,
    Firefox 153 says it too, with ``Origin: null``. Of an address that was typed there is no Origin.
    """
    fetch_site = request.headers.get("Sec-Fetch-Site", "none")
    if fetch_site != "none":
        return fetch_site == "same-origin"
    return "Origin" not in request.headers or origin_is_trusted(request)


def origin_is_trusted(request: HttpRequest) -> bool:
    """Compare ``Origin`` with this host and ``CSRF_TRUSTED_ORIGINS``, as Django does."""
    trusted: bool = CsrfViewMiddleware(no_response)._origin_verified(request)  # type: ignore[attr-defined]  # the rule is Django's, though private
    return trusted


def no_response(request: HttpRequest) -> HttpResponseBase:
    """Stand in for the view that a middleware wants."""
    raise NotImplementedError


def is_navigation(request: HttpRequest) -> bool:
    """Tell whether a person goes to a page here, by a link or a form, from wherever.

    A payment provider posts back like that. Browsers that say nothing about it, as old ones and,
    over http, all do, are believed: all that a navigation can do is refresh.
    """
    mode = request.headers.get("Sec-Fetch-Mode")
    return mode == "navigate" or (mode is None and "Sec-Fetch-Site" not in request.headers)


def is_path_here(url: str) -> bool:
    """Tell whether ``url`` is a path on this host and nothing else.

    The query can name no host, and only the path has to fit Django's limit of 2,048 characters.
    """
    path = url.partition("?")[0]
    return (
        path.startswith("/")
        and path[1:2] not in ("/", "\\")
        and not UNSAFE_IN_URL.search(url)
        and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    )


# Resource servers on other hosts of the site


def is_origin(text: str) -> bool:
    """Tell whether a text is an origin as browsers write it (RFC 6454 §6.2).

    All lower-case ASCII, without a port that the scheme implies, and no slash at the end.
    """
    found = ORIGIN.fullmatch(text)
    return found is not None and found[2] != USUAL_PORTS[found[1]]


def is_at_resource_server(url: str) -> bool:
    """Tell whether ``url`` is a page of one of ``TOKENAUTH_RESOURCE_SERVERS``.

    Compared as text: an origin of the list, then a slash. So there is no port, no user, no last dot
    that a browser might read otherwise than we do.
    """
    listed = any(url.startswith(f"{origin}/") for origin in conf.RESOURCE_SERVERS)
    return listed and not UNSAFE_IN_URL.search(url)


def origin_of_resource_server(request: HttpRequest) -> str | None:
    """Return the origin of the resource server whose page sent this, None if none did.

    Another site's page could not bring the cookies, which are Lax, and has no business here.
    """
    origin = request.headers.get("Origin")
    is_near = is_preflight(request) or request.headers.get("Sec-Fetch-Site") == "same-site"
    return origin if is_near and origin in [*conf.RESOURCE_SERVERS] else None


def is_preflight(request: HttpRequest) -> bool:
    """Tell whether a browser asks for leave (Fetch standard, "CORS-preflight fetch")."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def answer_preflight() -> HttpResponse:
    """Return the leave to POST."""
    response = HttpResponse(status=204)
    response["Access-Control-Allow-Methods"] = "POST"
    response["Access-Control-Allow-Headers"] = CORS_HEADERS
    response["Access-Control-Max-Age"] = str(CORS_MAX_AGE)
    return response


def allow_origin(response: HttpResponseBase, origin: str) -> None:
    """Let scripts of one origin, and of no other, read an answer to a request with cookies."""
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Allow-Credentials"] = "true"
    patch_vary_headers(response, ("Origin",))
