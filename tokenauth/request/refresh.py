"""Answer the refresh URL: rotate, for a script that POSTs or a request that was bounced here.

The middleware does so itself: nothing below it (maintenance mode, a site's own demand for a login)
may stand between a person and their refresh.
"""

import time
from datetime import UTC, datetime
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed

from tokenauth.conf import conf
from tokenauth.exceptions import DeviceProofRequired
from tokenauth.lazy import credentials_of
from tokenauth.models import AuthSession
from tokenauth.session import tokens
from tokenauth.session.rotation import Step
from tokenauth.session.tokens import Claims

from . import bounce, cookies, loops
from .credentials import Credentials
from .origins import (
    allow_origin,
    answer_preflight,
    from_this_site,
    is_at_resource_server,
    is_navigation,
    is_path_here,
    is_preflight,
    origin_of_resource_server,
)

#: An access token this close to its end (seconds) is refreshed rather than called valid: the
#: server that will see it next may have a clock that is a little ahead.
CLOCK_SKEW = 5


def is_refresh(path: str) -> bool:
    """Tell whether a request's path is that of the refresh URL, or was under former settings."""
    return path.endswith("refresh/") and path in map(unquote, cookies.refresh_urls())


@csrf_exempt
def refresh(request: HttpRequest) -> HttpResponse:
    """Answer where another URLconf than ROOT_URLCONF leads here."""
    return answer(credentials_of(request), loops.take(request))


def answer(credentials: Credentials, trace: loops.Trace) -> HttpResponse:
    """Answer any method that comes with ``next``, and POST without."""
    request = credentials.request
    target = request.GET.get("next")
    origin = None if target is not None else origin_of_resource_server(request)
    response = refuse(request, target, origin) or send_on(credentials, trace)
    if response is None and target is not None:
        bounce.drain(request)
        return send_back(credentials, target, trace)
    bounce.drain(request, bounce.MAX_UNUSED_BODY)
    response = response or tell(credentials, origin)
    add_never_cache_headers(response)
    if origin is not None:
        allow_origin(response, origin)
    return response


def refuse(request: HttpRequest, target: str | None, origin: str | None) -> HttpResponse | None:
    """Return what to say to a request that must not rotate.

    ``origin`` is that of the resource server whose script sent it.
    """
    if origin is not None and is_preflight(request):
        return answer_preflight()
    if target is None and request.method != "POST":
        error = MethodNotAllowed(str(request.method))
        response = refusal(error.status_code, str(error), error.default_code)
        response["Allow"] = "POST"
        return response
    if target is not None and not (is_path_here(target) or leads_on(request, target)):
        return refusal(400, _("“next” must be a path on this host."), "unsafe_next")
    if not (origin or from_this_site(request) or (target and is_navigation(request))):
        return refusal(403, _("This must come from a page of this site."), "cross_site")
    return None


def leads_on(request: HttpRequest, target: str) -> bool:
    """Tell whether a person goes to a page of a resource server, by way of this."""
    is_visit = request.method == "GET" and is_navigation(request)
    return is_visit and is_at_resource_server(target)


def send_on(credentials: Credentials, trace: loops.Trace) -> HttpResponse | None:
    """Send a request without its refresh token on to where that was under former settings.

    To each such URL once, in their order: no loop.
    """
    request, presented = credentials.request, credentials.presented
    url = cookies.refresh_url_after(request.path)
    if url is None or presented.access is None or presented.paired is not None:
        return None
    bounce.drain(request)
    words = {loops.MARKER: trace.marker()} | ({loops.NOTE: trace.note} if trace.note else {})
    return bounce.redirect(loops.add(f"{url}?{request.META.get('QUERY_STRING', '')}", words))


def tell(credentials: Credentials, origin: str | None) -> HttpResponse:
    """Rotate and say until when the person is signed in.

    For a script of another origin by a pair alone: a lone refresh token may be planted.
    """
    presented = credentials.presented
    token = presented.refresh if origin is None else presented.paired
    if token is None or credentials.refresh(token) is None:
        response = refusal(401, _("Nobody is signed in here."), why_nobody(credentials))
        response["WWW-Authenticate"] = 'Cookie realm="api"'
        return response
    return JsonResponse(expiry(credentials.access, credentials.session))


def why_nobody(credentials: Credentials) -> str:
    """Return why nobody is signed in, in a word for scripts."""
    if credentials.ended:
        return "session_ended"
    return DeviceProofRequired.code if credentials.needs_proof else "not_authenticated"


def send_away(credentials: Credentials, url: str) -> HttpResponse:
    """Send a request that brings an expired access token to the refresh URL.

    A long body may take so long that other tabs have spent the refresh token that it sets out with.
    So a note says what was current by then: that one coming late is no theft.
    """
    request, access = credentials.request, credentials.presented.access
    bounce.drain(request)
    if access is not None and loops.length_of(request) > loops.LONG:
        rotation = AuthSession.objects.rotation_of(access.sid)
        if rotation is not None:
            note = loops.write_departure(request, access.sid, rotation)
            url = loops.add(url, {loops.NOTE: note})
    return bounce.redirect(url)


def send_back(credentials: Credentials, target: str, trace: loops.Trace) -> HttpResponse:
    """Rotate and send the browser back to where it was bounced from.

    Only a pair counts: a browser that was bounced had an access token, and any site may lead
    here. Anything but a clean rotation marks the URL, so that cookies which do not stick (or
    are gone) end in the view's own answer and not in a loop.
    """
    request, access = credentials.request, credentials.presented.access
    expired, length = expired_there(request), loops.length_of(request)
    is_slow = length > loops.LONG or (length > 0 and trace.took_long)
    marked = {loops.MARKER: trace.marker()}
    if access is not None and is_good(access, expired) and not (expired and is_slow):
        return bounce.redirect(loops.add(target, marked if expired else {}))
    token = credentials.presented.paired
    since = loops.read_departure(request, target, trace.note, access) if is_slow else None
    step = credentials.refresh(token, since) if token is not None else None
    is_clean = step is Step.ROTATE and will_stick(access, token) and not is_apart(access, expired)
    words = {} if is_clean else marked
    if access is not None and (is_slow or (length > 0 and not is_clean)):
        words[loops.NOTE] = loops.write_note(request, target, access, given_by(credentials, step))
    return bounce.redirect(loops.add(target, words))


def given_by(credentials: Credentials, step: Step | None) -> Claims | None:
    """Return the access token that the browser has after a step; None: no new one.

    Who came late has that of the last rotation, or a newer one.
    """
    session = credentials.session
    if step is Step.LATE and session is not None:
        return tokens.access_claims(session, tokens.epoch(session.rotated_at))
    return credentials.access if step else None


def expired_there(request: HttpRequest) -> int | None:
    """Return the end of the access token that the bouncing server called expired."""
    text = request.GET.get(bounce.EXPIRED, "")
    return int(text) if loops.is_number(text) else None


def is_good(access: Claims, expired: int | None) -> bool:
    """Tell whether the browser has a good access token by now.

    Of the very one that was called expired elsewhere, this server's clock has no say.
    """
    if expired is None:
        return access.valid_for(CLOCK_SKEW)
    return access.exp != expired and not access.expired


def will_stick(access: Claims | None, token: cookies.Presented | None) -> bool:
    """Tell whether the browser seems to keep both cookies: they came out of one answer."""
    return access is not None and token is not None and access.rot == token.claims.rot


def is_apart(access: Claims | None, expired: int | None) -> bool:
    """Tell whether a new token will be called expired as well, by a clock far ahead of ours."""
    lifetime = conf.ACCESS_TOKEN_LIFETIME.total_seconds()
    return access is not None and access.exp == expired and access.valid_for(lifetime / 2)


def refusal(status: int, detail: str, code: str) -> JsonResponse:
    """Return an error in the API's form."""
    return JsonResponse({"detail": detail, "code": code}, status=status)


def expiry(access: Claims | None, session: AuthSession | None) -> dict[str, str | int | None]:
    """Say when the access token and the session expire, and in how many seconds from now.

    The seconds are for clients whose clock is wrong.
    """
    access_end = datetime.fromtimestamp(access.exp, UTC) if access else None
    session_end = session.expires_at if session else None
    return {
        "access_expires_at": in_utc(access_end) if access_end else None,
        "session_expires_at": in_utc(session_end) if session_end else None,
        "access_expires_in": seconds_to(access_end) if access_end else None,
        "session_expires_in": seconds_to(session_end) if session_end else None,
    }


def seconds_to(moment: datetime) -> int:
    """Return the whole seconds until a moment; none if it is past."""
    return max(0, int(moment.timestamp() - time.time()))


def in_utc(moment: datetime) -> str:
    """Return a moment in ISO 8601, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
