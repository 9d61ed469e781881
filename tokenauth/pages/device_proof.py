"""Ask a browser to prove its device key at this moment, for a view that wants that."""

import time
from datetime import timedelta

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _

from tokenauth.device import asking
from tokenauth.exceptions import DeviceProofRequired
from tokenauth.lazy import credentials_of
from tokenauth.models import AuthSession
from tokenauth.request import bounce, loops

from .reauthentication import demand_recent_login, is_read_by_a_person


def demand_device_proof(
    request: HttpRequest, max_age: timedelta, otherwise: timedelta | None
) -> HttpResponse | None:
    """Return what asks for a proof; None for a browser that made one at most ``max_age`` ago.

    ``otherwise`` is how recent a login must be whose session is bound to no device; None refuses.

    Raises PermissionDenied.
    """
    credentials = credentials_of(request)
    session = credentials.get_session()
    if session is not None and session.device_thumbprint:
        return demand_from(request, session, max_age)
    if credentials.needs_proof and (credentials.asked_before or asking.has_failed(request)):
        return refuse(request, _("This device could not prove itself. Try again in some minutes."))
    if otherwise is not None:
        return demand_recent_login(request, otherwise)
    if not credentials.get_user().is_authenticated:
        return redirect_to_login(request.get_full_path())
    return refuse(request, _("This needs a browser that can prove which device it is on."))


def demand_from(
    request: HttpRequest, session: AuthSession, max_age: timedelta
) -> HttpResponse | None:
    """See demand_device_proof(); for a session that is bound."""
    from tokenauth.device import demands  # noqa: PLC0415  # few sites bind any

    credentials = credentials_of(request)
    if demands.is_proved(credentials, session, max_age):
        return None
    if credentials.asked_before or not bounce.survives(request, request.get_full_path()):
        return refuse(request, _("This device could not prove itself. Try again in some minutes."))
    bounce.drain(request)
    url = loops.add(request.get_full_path(), {asking.MARKER: str(int(time.time()))})
    return demands.demand(request, session, url)


def refuse(request: HttpRequest, why: str) -> HttpResponse:
    """Return the answer to a script; raise PermissionDenied for a person, as Django does."""
    if is_read_by_a_person(request):
        raise PermissionDenied(why)
    response = JsonResponse({"detail": why, "code": DeviceProofRequired.code}, status=403)
    response["Cache-Control"] = "no-store"
    return response
