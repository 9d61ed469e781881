"""The views of every column, and the URLs of what is installed."""

from django.apps import apps
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt


def asks(request: HttpRequest) -> HttpResponse:
    """Say who is there."""
    return HttpResponse(request.user.get_username())


async def asks_async(request: HttpRequest) -> HttpResponse:
    """Say who is there."""
    user = await request.auser()
    return HttpResponse(user.get_username())


@csrf_exempt
def silent(request: HttpRequest) -> HttpResponse:
    """Ask nobody."""
    return HttpResponse("alice")


async def silent_async(request: HttpRequest) -> HttpResponse:
    """Ask nobody."""
    return HttpResponse("alice")


urlpatterns = [
    path("asks/", asks),
    path("asks/async/", asks_async),
    path("silent/", silent),
    path("silent/async/", silent_async),
    path("login/", LoginView.as_view()),
    path("logout/", LogoutView.as_view(next_page="/silent/")),
]

if apps.is_installed("rest_framework"):
    urlpatterns += [
        path("api/asks/", import_string("benchmarks.api.Asks").as_view()),
        path("api/silent/", import_string("benchmarks.api.Silent").as_view()),
    ]
if apps.is_installed("rest_framework_simplejwt"):
    views = "rest_framework_simplejwt.views"
    urlpatterns += [
        path("token/", import_string(f"{views}.TokenObtainPairView").as_view()),
        path("token/refresh/", import_string(f"{views}.TokenRefreshView").as_view()),
    ]
if apps.is_installed("allauth"):
    urlpatterns += [
        path("accounts/", include("allauth.account.urls")),
        path("_allauth/", include("allauth.headless.urls")),
    ]
if apps.is_installed("oauth2_provider"):
    urlpatterns += [path("o/", include("oauth2_provider.urls"))]
if apps.is_installed("tokenauth"):
    # The first is where the refresh token comes with a page: a refresh in place.
    urlpatterns += [path("auth/asks/", asks), path("auth/", include("tokenauth.urls"))]
