"""The pages of the test site: one for each thing that a site does with a signed-in person."""

import base64
import hashlib

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.utils.html import format_html
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tokenauth.authentication import BearerTokenAuthentication
from tokenauth.decorators import recent_login_required
from tokenauth.pages.views import sign_in
from tokenauth.permissions import RecentLogin
from tokenauth.shortcuts import sign_in_app

PAGE = "<!doctype html><title>{0}</title><link rel=icon href=data:,><h1>{0}</h1>{1}"
FORM = (
    '<form method="post" enctype="{}"><input type="hidden" name="csrfmiddlewaretoken" value="{}">'
    '<input name="{}" type="{}"><button type="submit">Send</button></form>'
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def page(title: str, body: str = "") -> HttpResponse:
    return HttpResponse(format_html(PAGE, title, body))


def text(content: str) -> HttpResponse:
    return HttpResponse(content, content_type="text/plain")


def name(user) -> str:
    return user.get_username() or "anonymous"


def home(request: HttpRequest) -> HttpResponse:
    """Everybody's page: never asks who is there."""
    return page("Home")


@login_required
def private(request: HttpRequest) -> HttpResponse:
    return page("Private", format_html("<p>Hello {}</p>", name(request.user)))


@login_required
def form(request: HttpRequest) -> HttpResponse:
    """A form, and what was written into it."""
    if request.method == "POST":
        answer = format_html("<p>{} wrote: {}</p>", name(request.user), request.POST["note"])
        return page("Sent", answer)
    fields = ("application/x-www-form-urlencoded", get_token(request), "note", "text")
    return page("Form", format_html(FORM, *fields))


@login_required
def upload(request: HttpRequest) -> HttpResponse:
    """A file upload: answers how much arrived, and its SHA-256."""
    if request.method == "POST":
        content = request.FILES["file"].read()
        return JsonResponse({"size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return page(
        "Upload", format_html(FORM, "multipart/form-data", get_token(request), "file", "file")
    )


def echo(request: HttpRequest) -> JsonResponse:
    """Everything that a bounce has to keep, as the view sees it."""
    arrived = {
        "username": name(request.user),
        "method": request.method,
        "query": request.META["QUERY_STRING"],
        "content_type": request.headers.get("Content-Type", ""),
        "body": request.body.decode("latin-1"),
    }
    return JsonResponse(arrived)


def whoami(request: HttpRequest) -> HttpResponse:
    return text(name(request.user))


async def async_whoami(request: HttpRequest) -> HttpResponse:
    return text(name(await request.auser()))


class Ping(APIView):
    """An endpoint for the signed-in: says back what it was told."""

    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response(
            {"method": request.method, "data": request.data, "username": name(request.user)}
        )

    post = put = patch = delete = get


class Open(APIView):
    """An endpoint without authenticators."""

    authentication_classes = []

    def get(self, request: Request) -> Response:
        return Response({"username": name(request.user)})

    post = get


class ForApps(APIView):
    """An endpoint that no cookie opens."""

    authentication_classes = [BearerTokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({"username": name(request.user), "client": request.auth.client})

    post = get


@recent_login_required
def matters(request: HttpRequest) -> HttpResponse:
    """Something for people who have just proved who they are."""
    return text(name(request.user))


class Matters(Ping):
    """The same, for scripts."""

    permission_classes = [RecentLogin]


def own_401(request: HttpRequest) -> HttpResponse:
    """A page that lets in nobody by the name of whoever asks."""
    return HttpResponse(f"not for {name(request.user)}", status=401)


def app_tokens(request: HttpRequest) -> JsonResponse:
    """Let a page of the person's start an app: what the browser keeps is its own affair."""
    request.session["before"] = "kept"
    tokens = sign_in_app(request, request.user)
    request.session["after"] = "kept"
    return JsonResponse(tokens)


def events(request: HttpRequest) -> HttpResponse:
    """An EventSource of one event."""
    return HttpResponse(f"data: {name(request.user)}\n\n", content_type="text/event-stream")


def image(request: HttpRequest) -> HttpResponse:
    """A picture for the signed-in."""
    if request.user.is_authenticated:
        return HttpResponse(PIXEL, content_type="image/png")
    return HttpResponse(status=401)


def boom(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"boom, {name(request.user)}")


@csrf_exempt
@require_POST
def django_login(request: HttpRequest) -> HttpResponse:
    """A site's own sign-in, which knows nothing of tokenauth."""
    login(request, authenticate(request, **request.POST.dict()))
    return text(name(request.user))


@csrf_exempt
@require_POST
def own_login(request: HttpRequest) -> HttpResponse:
    """A sign-in by something else than a password, say."""
    sign_in(request, authenticate(request, **request.POST.dict()))
    return text(name(request.user))


@csrf_exempt
@require_POST
def django_logout(request: HttpRequest) -> HttpResponse:
    """A site's own sign-out."""
    logout(request)
    return text(name(request.user))


def session_data(request: HttpRequest) -> HttpResponse:
    """Something that a site keeps in Django's session."""
    if request.method == "POST":
        request.session["data"] = request.POST["data"]
    return text(request.session.get("data", ""))


def overtaken(request: HttpRequest) -> HttpResponse:
    """A page that takes long: what happens meanwhile is in ``TEST_MEANWHILE``."""
    username = name(request.user)
    settings.TEST_MEANWHILE()
    return text(username)


def asks_late(request: HttpRequest) -> HttpResponse:
    """A page that takes long before it asks who is there: it reads an upload, say."""
    settings.TEST_MEANWHILE()
    return text(name(request.user))


async def async_asks_late(request: HttpRequest) -> HttpResponse:
    settings.TEST_MEANWHILE()
    return await async_whoami(request)
