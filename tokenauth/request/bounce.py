"""Send a request with an expired access token to the refresh URL and back.

The refresh cookie is sent to the auth URLs only, so the refresh has to happen there. A 307 keeps
method and body (302 would turn a form post into a GET): forms, uploads, ``fetch`` with any
method, images and EventSources survive it in Chromium, Firefox and WebKit.
"""

import math
import time
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, UnreadablePostError

from . import cookies
from .origins import from_this_site, is_navigation

#: The loop marker in the query of a return URL: "a refresh has just been tried".
MARKER = "_rt"
#: Seconds for which a marker stops the next bounce.
MARKER_LIFETIME = 15
#: Bytes of a URL that is returned to: it stands in a header beside both cookies (1,350 bytes), and
#: nginx reads 4,096 bytes of headers. Django takes no ``next`` whose path is longer, either.
MAX_URL = 2048
#: Bytes of the request that goes there, the URL in it quoted; its answer (400 bytes and the URL)
#: sets no cookie. Gunicorn's limit is 4,094.
MAX_REQUEST_LINE = 3500
CHUNK = 64 * 1024
#: Bytes of a body that are read for an answer which is no bounce: what a script of the site's may
#: have sent along. Whoever sends more may find the connection reset instead of the answer.
MAX_UNUSED_BODY = CHUNK


def take_marker(request: HttpRequest) -> bool:
    """Take the loop marker out of the query before the view sees it; return whether it is fresh.

    The rest of the query stays byte for byte.
    """
    query = request.META.get("QUERY_STRING", "")
    if MARKER not in query:
        return False
    parts = query.split("&")
    marks = [part for part in parts if part.partition("=")[0] == MARKER]
    request.META["QUERY_STRING"] = "&".join(part for part in parts if part not in marks)
    request.__dict__.pop("GET", None)
    return any(is_fresh(mark.partition("=")[2]) for mark in marks)


def is_fresh(mark: str) -> bool:
    """Tell whether a marker was set in the last seconds, by a clock that may differ from ours."""
    return (
        mark.isascii()
        and mark.isdigit()
        and len(mark) < 15
        and (abs(time.time() - int(mark)) < MARKER_LIFETIME)
    )


def add_marker(url: str) -> str:
    """Return the path with a loop marker of now."""
    url = url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}{MARKER}={int(time.time())}"


def refresh_url(request: HttpRequest) -> str:
    """Return the refresh URL that leads back to this request."""
    return f"{cookies.include_path()}refresh/?next={quote(request.get_full_path())}"


def can_bounce(request: HttpRequest) -> bool:
    """Tell whether this request survives a bounce, and a bounce can do it any good."""
    return not (
        is_unrepeatable(request)
        or brings_refresh_cookie(request.path)
        or is_public_file(request.path)
        or is_embedded_elsewhere(request)
        or not (from_this_site(request) or is_navigation(request))
        or len(request.get_full_path()) > MAX_URL
        or len(f"{request.method} {refresh_url(request)} HTTP/1.1") > MAX_REQUEST_LINE
    )


def is_unrepeatable(request: HttpRequest) -> bool:
    """Tell whether a browser would not send this request a second time."""
    headers = request.headers
    is_websocket = headers.get("Upgrade", "").lower() == "websocket"
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in headers
    has_body = request.method in ("POST", "PUT", "PATCH")
    is_streamed = "Transfer-Encoding" in headers or (has_body and not headers.get("Content-Length"))
    return is_websocket or is_preflight or is_streamed


def brings_refresh_cookie(path: str) -> bool:
    """Tell whether a browser would have sent the refresh cookie along, if it had one."""
    return any(cookies.is_under(path, p) for p in (cookies.include_path(), cookies.refresh_path()))


def is_public_file(path: str) -> bool:
    """Tell whether the path is a static file of this host, or the icon browsers ask for.

    A ``STATIC_URL`` of "/" says nothing about a path.
    """
    static = urlsplit(settings.STATIC_URL or "")
    is_static = not static.netloc and len(static.path) > 1 and path.startswith(static.path)
    return is_static or path == "/favicon.ico"


def is_embedded_elsewhere(request: HttpRequest) -> bool:
    """Tell whether another site embeds this: WebKit sends such cookies but never stores one."""
    headers = request.headers
    return (
        headers.get("Sec-Fetch-Site") == "cross-site"
        and headers.get("Sec-Fetch-Dest") != "document"
    )


def drain(request: HttpRequest, most: float = math.inf) -> None:
    """Read the body to its end, or until ``most`` bytes were read.

    Gunicorn resets the connection of an upload that is left unread.
    """
    read = 0
    try:
        while read < most and (chunk := request.read(CHUNK)):
            read += len(chunk)
    except UnreadablePostError:
        # The browser went away; so does the answer.
        return


def redirect(url: str) -> HttpResponse:
    """Return a 307 that no cache keeps."""
    response = HttpResponseRedirect(url, preserve_request=True)
    cookies.forbid_caching(response)
    return response


def bounce(request: HttpRequest) -> HttpResponse:
    """Send the request to the refresh URL."""
    target = refresh_url(request)
    drain(request)
    return redirect(target)
