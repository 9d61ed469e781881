"""The demo's addresses."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from demo_project import views

urlpatterns = [
    path("", TemplateView.as_view(template_name="demo/home.html"), name="home"),
    path("private/", views.private, name="private"),
    path("note/", views.note, name="note"),
    path("api/notes/", views.NoteList.as_view(), name="api_notes"),
    path("auth/", include("tokenauth.urls")),
    path("admin/", admin.site.urls),
]
