"""Answer the refresh URL: rotate, for a script that POSTs or a request that was bounced here."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View
from rest_framework.exceptions import MethodNotAllowed

from tokenauth.session.rotation import Step

from . import bounce
from .credentials import Credentials, credentials_of
from .origins import from_this_site, is_navigation, is_path_here

#: An access token this close to its end (seconds) is refreshed rather than called valid: the
#: server that will see it next may have a clock that is a little ahead.
CLOCK_SKEW = 5


@method_decorator([csrf_exempt, never_cache], name="dispatch")
class RefreshView(View):
    """Rotate: for a script that POSTs here, or for a request that the middleware bounced here."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer any method that comes with ``next``, and POST without."""
        target = request.GET.get("next")
        refused = self.refuse(request, target)
        if refused is None and target is not None:
            bounce.drain(request)
            return self.send_back(credentials_of(request), target)
        bounce.drain(request, bounce.MAX_UNUSED_BODY)
        return refused or self.answer(credentials_of(request))

    def refuse(self, request: HttpRequest, target: str | None) -> HttpResponse | None:
        """Return what to say to a request that must not rotate."""
        if target is None and request.method != "POST":
            error = MethodNotAllowed(str(request.method))
            response = refusal(error.status_code, str(error), error.default_code)
            response["Allow"] = "POST"
            return response
        if target is not None and not is_path_here(target):
            return refusal(400, _("“next” must be a path on this host."), "unsafe_next")
        if not (from_this_site(request) or (target and is_navigation(request))):
            return refusal(403, _("This must come from a page of this site."), "cross_site")
        return None

    def answer(self, credentials: Credentials) -> HttpResponse:
        """Rotate and say until when the person is signed in."""
        token = credentials.presented.refresh
        if token is None or credentials.refresh(token) is None:
            code = "session_ended" if credentials.ended else "not_authenticated"
            response = refusal(401, _("Nobody is signed in here."), code)
            response["WWW-Authenticate"] = 'Cookie realm="api"'
            return response
        return JsonResponse(expiry(credentials))

    def send_back(self, credentials: Credentials, target: str) -> HttpResponse:
        """Rotate and send the browser back to where it was bounced from.

        Only a pair counts: a browser that was bounced had an access token, and any site may lead
        here. Anything but a clean rotation marks the URL, so that cookies which do not stick (or
        are gone) end in the view's own answer and not in a loop.
        """
        presented = credentials.presented
        if presented.access is not None and presented.access.valid_for(CLOCK_SKEW):
            return bounce.redirect(target)
        token = presented.paired
        step = credentials.refresh(token) if token is not None else None
        return bounce.redirect(target if step is Step.ROTATE else bounce.add_marker(target))


def refusal(status: int, detail: str, code: str) -> JsonResponse:
    """Return an error in the API's form."""
    return JsonResponse({"detail": detail, "code": code}, status=status)


def expiry(credentials: Credentials) -> dict[str, str | None]:
    """Say when the access token and the session expire."""
    access, session = credentials.access, credentials.session
    return {
        "access_expires_at": in_utc(datetime.fromtimestamp(access.exp, UTC)) if access else None,
        "session_expires_at": in_utc(session.expires_at) if session else None,
    }


def in_utc(moment: datetime) -> str:
    """Return a moment in ISO 8601, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
