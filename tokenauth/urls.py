"""The auth URLs: ``path("auth/", include("tokenauth.urls"))``."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.urls import path

from .api import jwks
from .api import views as api
from .api.device import device
from .api.gateway import GatewayView
from .api.tokens import RevokeTokenView, TokenView
from .pages import views
from .pages.reauthentication import ReauthenticateView
from .request.refresh import refresh

app_name = "tokenauth"


def open_to_all(view: Callable[..., Any]) -> Callable[..., Any]:
    """Free a view from LoginRequiredMiddleware and from ATOMIC_REQUESTS.

    A view that needs a person says so itself. A revocation must outlive an error response, and a
    transaction at REPEATABLE READ would not see who was faster.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return login_not_required(view)


urlpatterns = [
    path("login/", open_to_all(views.LoginView.as_view()), name="login"),
    path("logout/", open_to_all(views.LogoutView.as_view()), name="logout"),
    path("reauthenticate/", open_to_all(ReauthenticateView.as_view()), name="reauthenticate"),
    path("refresh/", open_to_all(refresh), name="refresh"),
    path("device/register/", open_to_all(device), name="device_register"),
    path("device/refresh/", open_to_all(device), name="device_refresh"),
    path("gateway/", open_to_all(GatewayView.as_view()), name="gateway"),
    path("jwks.json", open_to_all(jwks.jwks), name="jwks"),
    path("token/", open_to_all(TokenView.as_view()), name="token"),
    path("token/revoke/", open_to_all(RevokeTokenView.as_view()), name="token_revoke"),
    path("sessions/", open_to_all(views.SessionListView.as_view()), name="session_list"),
    path(
        "sessions/<uuid:pk>/revoke/",
        open_to_all(views.SessionRevokeView.as_view()),
        name="session_revoke",
    ),
    path(
        "sessions/revoke-others/",
        open_to_all(views.SessionRevokeOthersView.as_view()),
        name="session_revoke_others",
    ),
    path("api/login/", open_to_all(api.LoginView.as_view()), name="api_login"),
    path("api/logout/", open_to_all(api.LogoutView.as_view()), name="api_logout"),
    path("api/session/", open_to_all(api.SessionView.as_view()), name="api_session"),
    path("api/sessions/", open_to_all(api.SessionListView.as_view()), name="api_session_list"),
    path(
        "api/sessions/<uuid:pk>/",
        open_to_all(api.SessionDetailView.as_view()),
        name="api_session_detail",
    ),
    path(
        "api/sessions/revoke-others/",
        open_to_all(api.SessionRevokeOthersView.as_view()),
        name="api_session_revoke_others",
    ),
]
