"""Where a request comes from, and where one may be sent to."""

import re

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.http import url_has_allowed_host_and_scheme

#: Browsers drop tabs and newlines from a URL and take a backslash for a slash: "/\t/evil.test".
UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f]")


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
