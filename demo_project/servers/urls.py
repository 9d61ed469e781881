"""The demo's addresses, and the page that shows which token went where."""

from django.urls import path

from demo_project import urls
from demo_project.servers import views

urlpatterns = [
    path("servers/", views.servers, name="servers"),
    path("servers/arrived/", views.arrived, name="arrived"),
    # Where the browser sends its refresh token.
    path("auth/demo/arrived/", views.arrived, name="arrived_there"),
    *urls.urlpatterns,
]
