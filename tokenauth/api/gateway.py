"""Tell a proxy who is there: nginx's ``auth_request``, ``forward_auth`` of others.

It asks before it passes a request on to a server that knows nothing of sessions.
"""

from urllib.parse import quote, urlencode

from django.http import HttpRequest
from django.shortcuts import resolve_url
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from tokenauth.lazy import credentials_of
from tokenauth.request import bounce, loops
from tokenauth.request.credentials import Credentials
from tokenauth.request.origins import is_path_here

from .views import TokenAuthView

#: The headers in which proxies say what they were asked for: nginx by its how-to, Traefik, Caddy.
ASKED_FOR = ("X-Original-URI", "X-Forwarded-Uri")


class GatewayView(TokenAuthView):
    """Answer 204 and whose session it is, or 401 and where the person can go to have one."""

    permission_classes = []  # DRF's own idiom; asked below, for a 401 with a header of its own
    schema = None  # for proxies: no part of the site's API
    http_method_names = ["get"]  # what proxies send, whatever they were sent

    def get(self, request: Request) -> Response:
        """Say who is there by the pair of cookies, or at least a good access token.

        A lone refresh token could be planted, and a Django session belongs to Django's own pages.
        """
        credentials = credentials_of(request)
        session = credentials.get_session()
        if session is not None and credentials.presented.access is not None:
            return Response(status=204, headers={"X-Auth-User": in_header(session.user.pk)})
        response = self.handle_exception(NotAuthenticated())
        url = way_out(request._request, credentials)
        if url:
            response.headers["X-Auth-Redirect"] = url
        return response


def in_header(pk: object) -> str:
    """Return a primary key that no header is broken by: what is not plain ASCII is quoted."""
    return quote(str(pk), safe="!#$&'()*+,/:;=?@[]~")


def way_out(request: HttpRequest, credentials: Credentials) -> str | None:
    """Return where a person is to be sent: to refresh, else to sign in.

    None if the proxy does not say, or says nonsense, what they wanted to see.
    """
    asked = next(filter(None, map(request.headers.get, ASKED_FOR)), "")
    path, _, query = asked.partition("?")
    trace, rest = loops.split(query)
    back = f"{path}?{rest}" if rest else path
    if not is_path_here(back) or len(back) > bounce.MAX_URL:
        return None
    access = credentials.presented.access
    if access is not None and access.expired and not trace.just_tried:
        return bounce.refresh_url(back, trace, access.exp)
    return f"{resolve_url('tokenauth:login')}?{urlencode({'next': back}, safe='/')}"
