"""Of allauth's addresses those that one provider needs: no password page, no sign-up by hand."""

from allauth.socialaccount.providers.openid_connect.urls import urlpatterns as provider
from django.urls import include, path
from django.views.generic import RedirectView

from demo_project.example_id import views

login = RedirectView.as_view(pattern_name="tokenauth:login", query_string=True)

urlpatterns = [
    path("example-id/", views.picture, name="example_id_hops"),
    path("accounts/login/", login, name="account_login"),
    path("accounts/connected/", include("allauth.socialaccount.urls")),
    path("accounts/", include(provider)),
]
