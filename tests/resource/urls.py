"""The pages of the resource server of the tests."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response

from tokenauth.decorators import never_bounced
from tokenauth.resource.authentication import ResourceServerAuthentication


def silent(request):
    """Everybody's page: asks nothing."""
    return HttpResponse("Silent")


def whoami(request):
    return HttpResponse(request.user.get_username() or "anonymous", content_type="text/plain")


async def async_whoami(request):
    user = await request.auser()
    return HttpResponse(user.get_username() or "anonymous", content_type="text/plain")


def told(request):
    return JsonResponse(dict(request.claims))


def changed(request):
    """Takes liberties with what it is given."""
    request.claims["roles"].append("admin")
    request.claims["plan"]["seats"].append(6)
    return told(request)


@login_required
def private(request):
    return HttpResponse(f"Private: {request.user}")


@require_POST
def write(request):
    who = request.user.get_username() or "anonymous"
    return HttpResponse(f"{who} wrote {request.POST.get('note')}")


def bare_401(request):
    return HttpResponse(status=401)


def echo(request):
    return JsonResponse({"query": request.META["QUERY_STRING"], "sub": request.claims.get("sub")})


@never_bounced
def gateway(request):
    return whoami(request)


@api_view(["GET", "POST"])
@authentication_classes([ResourceServerAuthentication])
@permission_classes([IsAuthenticated])
def api(request):
    return Response({"pk": request.user.pk, "sid": request.auth["sid"]})


@api_view(["GET", "POST"])
@authentication_classes([ResourceServerAuthentication])
@permission_classes([AllowAny])
def open_api(request):
    return Response({"pk": request.user.pk, "auth": request.auth})


urlpatterns = [
    path("silent/", silent),
    path("whoami/", whoami),
    path("async-whoami/", async_whoami),
    path("told/", told),
    path("changed/", changed),
    path("private/", private),
    path("write/", write),
    path("bare-401/", bare_401),
    path("echo/", echo),
    path("gateway/", gateway),
    path("api/", api),
    path("open-api/", open_api),
]
