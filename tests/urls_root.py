"""A site that includes the auth URLs at its root."""

from django.urls import include, path

from tests import views

urlpatterns = [
    path("private/", views.private),
    path("whoami/", views.whoami),
    path("api/ping/", views.Ping.as_view()),
    path("", include("tokenauth.urls")),
]
