"""A site that includes the auth URLs far below its root."""

from django.urls import include, path

from tests import views

urlpatterns = [
    path("private/", views.private),
    path("whoami/", views.whoami),
    path("people/of/ours/", include("tokenauth.urls")),
]
