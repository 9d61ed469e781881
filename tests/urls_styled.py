"""The site with its style sheets, and with the names that the demo's layout links to."""

from django.contrib.staticfiles.views import serve
from django.urls import path, re_path

from tests import urls, views

urlpatterns = [
    *urls.urlpatterns,
    path("", views.home, name="home"),
    path("private/", views.private, name="private"),
    path("form/", views.form, name="note"),
    path("api/ping/", views.Ping.as_view(), name="api_notes"),
    re_path("^static/(?P<path>.+)$", serve, {"insecure": True}),
]
