"""Send a request whose access token has expired to the authorization server, and back.

On its own host this is the ordinary bounce (see ``request.bounce``): any method, with its body. On
another host of the site a redirect of a script's request would break at CORS, and one with a body
would carry it to another server: there a person who goes to a page is sent, and nobody else.
"""

from urllib.parse import urlsplit

from django.http import HttpRequest

from tokenauth.conf import conf
from tokenauth.request import bounce, loops
from tokenauth.request.origins import is_navigation

#: Bytes of a body that is sent on the round. Only the authorization server can note which refresh
#: token was current at the departure; without that note a body must arrive within the grace period,
#: or what another tab did meanwhile would make it look like a theft.
MAX_BODY = 5 * 1024 * 1024


def way_to_refresh(request: HttpRequest, trace: loops.Trace, exp: int) -> str | None:
    """Return where a request has to go to be refreshed; None if that would be in vain.

    ``exp`` is that of its access token. A note can be read by the authorization server alone. Where
    one came, this request was sent round before, and was long on its way.
    """
    server = conf.AUTHORIZATION_SERVER
    if not server or trace.just_tried or trace.note:
        return None
    parts = urlsplit(server)
    if is_host(request, parts.netloc):
        url = bounce.refresh_url(request.get_full_path(), trace, exp)
        goes = bounce.can_bounce(request, url) and loops.length_of(request) <= MAX_BODY
    else:
        url = bounce.refresh_url(request.build_absolute_uri(), trace, exp)
        url = f"{parts.scheme}://{parts.netloc}{url}"
        goes = request.method == "GET" and is_navigation(request) and bounce.survives(request, url)
    return url if goes else None


def is_host(request: HttpRequest, netloc: str) -> bool:
    """Tell whether a request came to this host and port."""
    return request.get_host().lower() == netloc.lower()
