"""Send a request with an expired access token to the refresh URL and back.

The refresh cookie is sent to the auth URLs only, so the refresh has to happen there. A 307 keeps
method and body (302 would turn a form post into a GET): forms, uploads, ``fetch`` with any
method, images and EventSources survive it in Chromium, Firefox and WebKit.

No request goes round for ever, whatever the cookies, the clocks and the network do: see ``loops``.
"""

import math
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, UnreadablePostError
from django.urls import Resolver404, resolve

from . import cookies, loops
from .origins import from_this_site, is_navigation, is_preflight

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
#: What a browser fetches with ``redirect: "error"`` (the Fetch, Service Workers, Reporting and
#: FedCM standards): the script of a service worker, reports, a provider's list of accounts.
UNREDIRECTED = ("serviceworker", "report", "webidentity")
REPORTS = ("application/csp-report", "application/reports+json")
#: What ``decorators.never_bounced`` writes on a view.
NEVER = "tokenauth_never_bounced"
#: The parameter that says, as its ``exp``, which access token had expired.
EXPIRED = "_exp"


def refresh_url(back: str, trace: loops.Trace, exp: int) -> str:
    """Return the refresh URL that leads ``back``.

    ``exp`` is the end of the access token that came, which the server there may call good.
    """
    query = f"next={quote(back)}&{EXPIRED}={exp}&{loops.MARKER}={trace.marker()}"
    return f"{cookies.include_path()}refresh/?{query}"


def can_bounce(request: HttpRequest, url: str) -> bool:
    """Tell whether this request survives a bounce to ``url``, and that can do it any good."""
    is_welcome = from_this_site(request) or is_navigation(request)
    return is_welcome and not brings_refresh_cookie(request.path) and survives(request, url)


def survives(request: HttpRequest, url: str) -> bool:
    """Tell whether a request can go to ``url`` and back, wherever that is."""
    return not (
        is_unrepeatable(request)
        or is_unredirected(request)
        or is_public_file(request.path)
        or is_embedded_elsewhere(request)
        or len(request.get_full_path()) > MAX_URL
        or len(f"{request.method} {url} HTTP/1.1") > MAX_REQUEST_LINE
        or is_never_bounced(request)
    )


def is_unrepeatable(request: HttpRequest) -> bool:
    """Tell whether a browser would not send this request a second time."""
    headers = request.headers
    is_websocket = headers.get("Upgrade", "").lower() == "websocket"
    has_body = request.method in ("POST", "PUT", "PATCH")
    is_streamed = "Transfer-Encoding" in headers or (has_body and not headers.get("Content-Length"))
    return is_websocket or is_preflight(request) or is_streamed


def is_unredirected(request: HttpRequest) -> bool:
    """Tell whether a browser would take a redirect for a failure.

    Those that send no ``Sec-Fetch-Dest`` say what they fetch in other headers.
    """
    headers = request.headers
    return (
        headers.get("Sec-Fetch-Dest") in UNREDIRECTED
        or headers.get("Service-Worker") == "script"
        or headers.get("Content-Type", "").partition(";")[0] in REPORTS
    )


def is_never_bounced(request: HttpRequest) -> bool:
    """Tell whether the view asks for it: see ``decorators.never_bounced``."""
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return False
    return getattr(match.func, NEVER, False)


def brings_refresh_cookie(path: str) -> bool:
    """Tell whether a browser would have sent the refresh cookie along, if it had one."""
    today = (cookies.include_path(), cookies.refresh_path())
    return any(cookies.is_under(path, p) for p in today) and all(
        cookies.is_under(path, p) for p in cookies.former_refresh_paths()
    )


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
