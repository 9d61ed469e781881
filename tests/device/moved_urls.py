"""The auth URLs where no setting says that they are."""

from django.urls import include, path

urlpatterns = [path("moved/", include("tokenauth.urls"))]
