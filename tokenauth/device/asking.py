"""Ask a browser to prove the device key of its session, and say to scripts that it did not.

An authorization server and its resource servers do so by the same lines. Nothing here touches the
database.
"""

import time
from html import escape

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from tokenauth.exceptions import DeviceProofRequired
from tokenauth.request import cookies, loops

#: In the query: that the browser was asked, and when.
MARKER = "_dt"
#: In seconds: when a script that got a 401 may ask once more.
RETRY_AFTER = 2
#: Where nobody needs a device token, below the include: a browser whose key is lost must get to the
#: login page.
UNBOUND = ("device/", "login/", "logout/", "api/login/", "api/logout/")


def was_asked(request: HttpRequest) -> bool:
    """Tell whether the browser was sent back here a moment ago, to prove its key.

    Takes the word that says so out of the query. Who heeds it sends nobody round for ever.
    """
    return loops.take_time(request, MARKER)


def reload_page(request: HttpRequest, *, is_worth_it: bool) -> HttpResponse | None:
    """Return a page that loads itself again, for a person whose browser may then prove its key.

    Once: see ``was_asked``. A redirect would not do: its second hop is of the other site, too.
    """
    # Browsers that have keys say where a person goes; a client that says nothing has none.
    is_page = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if not is_page or not is_worth_it or is_unbound(request.path):
        return None
    url = request.get_full_path()
    if not comes_from_elsewhere(request):
        url = loops.add(url, {MARKER: str(int(time.time()))})
    return page_that_leads_to(url)


def may_prove(request: HttpRequest) -> bool:
    """Tell whether a browser that has the key may prove it yet: it could not, on the way here."""
    return comes_from_elsewhere(request) or has_failed(request)


def comes_from_elsewhere(request: HttpRequest) -> bool:
    """Tell whether another site leads here: then browsers prove no key on the way."""
    return request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")


def has_failed(request: HttpRequest) -> bool:
    """Tell whether the browser says that it could not prove its key: our server was away, say.

    Anybody can say so, and it is worth one more try of their own.
    """
    return "Secure-Session-Skipped" in request.headers


def is_unbound(path: str) -> bool:
    """Tell whether a browser needs no device token for a path of the auth URLs."""
    here = cookies.include_path()
    return any(cookies.is_under(path, here + folder) for folder in UNBOUND)


def page_that_leads_to(url: str) -> HttpResponse:
    """Return a page without scripts or styles that goes on to ``url`` by itself."""
    target, go_on = escape(url), escape(_("Continue"))
    response = HttpResponse(
        f'<!doctype html><html lang="{escape(get_language() or "en")}"><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="0;url={target}">'
        f'<title>{go_on}</title><a href="{target}">{go_on}</a>'
    )
    cookies.forbid_caching(response)
    return response


def tell_script(response: HttpResponseBase, scheme: str) -> None:
    """Say in a 401 that the session lives, and only the proof is missing."""
    response.headers["WWW-Authenticate"] = (
        f'{scheme} realm="api", error="{DeviceProofRequired.code}"'
    )
    response.headers["Retry-After"] = str(RETRY_AFTER)
