from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.urls import include, path

from tests import views

urlpatterns = [
    path("", views.home),
    path("private/", views.private),
    path("form/", views.form),
    path("whoami/", views.whoami),
    path("async/whoami/", views.async_whoami),
    path("api/ping/", views.Ping.as_view()),
    path("api/open/", views.Open.as_view()),
    path("api/for-apps/", views.ForApps.as_view()),
    path("matters/", views.matters),
    path("own-401/", views.own_401),
    path("app-tokens/", views.app_tokens),
    path("api/matters/", views.Matters.as_view()),
    path("upload/", views.upload),
    path("echo/", views.echo),
    path("events/", views.events),
    path("image/", views.image),
    path("boom/", views.boom),
    path("django-login/", views.django_login),
    path("own-login/", views.own_login),
    path("django-logout/", views.django_logout),
    path("password/", PasswordChangeView.as_view(success_url="/private/")),
    path("session-data/", views.session_data),
    path("overtaken/", views.overtaken),
    path("asks-late/", views.asks_late),
    path("async/asks-late/", views.async_asks_late),
    path("auth/", include("tokenauth.urls")),
    path("admin/", admin.site.urls),
]
