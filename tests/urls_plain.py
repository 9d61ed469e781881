"""A site without the admin, which needs Django's sessions."""

from django.urls import include, path

from tests import views

urlpatterns = [
    path("private/", views.private),
    path("whoami/", views.whoami),
    path("own-login/", views.own_login),
    path("api/ping/", views.Ping.as_view()),
    path("auth/", include("tokenauth.urls")),
]
