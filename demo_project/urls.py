"""The demo's addresses."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from demo_project import promise, views
from demo_project.app_client import views as app_client

# Where the browser sends its refresh token, and on no real site.
plays = [
    path("auth/demo/thief/", promise.thief, name="thief"),
    path("auth/demo/lost-answer/", promise.lost_answer, name="lost_answer"),
]

# Hands tokens to a process, as no real site does.
app = [
    path("app/", app_client.app, name="app"),
    path("app/start/", app_client.start, name="app_start"),
    path("app/stop/", app_client.stop, name="app_stop"),
]

if settings.HTTPS:
    from demo_project.device.copied_jar import copied_jar

    plays.append(path("auth/demo/copied-jar/", copied_jar, name="copied_jar"))

example_id = [path("", include("demo_project.example_id.urls"))] if settings.EXAMPLE_ID else []

urlpatterns = [
    path("", TemplateView.as_view(template_name="demo/home.html"), name="home"),
    path("private/", views.private, name="private"),
    path("note/", views.note, name="note"),
    path("delete-account/", views.delete_account, name="delete_account"),
    path("api/notes/", views.NoteList.as_view(), name="api_notes"),
    *([*plays, *app] if settings.DEBUG else []),
    *example_id,
    path("auth/", include("tokenauth.urls")),
    path("admin/", admin.site.urls),
]
