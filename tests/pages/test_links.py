"""Where the site's own pages for passwords are: found, or told by a setting."""

import pytest
from django.http import HttpResponse
from django.urls import path

from tests import urls
from tokenauth.pages import links


def page(request):
    """Any page."""
    return HttpResponse()


class Named:
    """A site with pages of these names."""

    def __init__(self, *names):
        self.urlpatterns = [*urls.urlpatterns, *(path(f"{n}/", page, name=n) for n in names)]


FOUND = {
    links.password_change: ("password_change", "account_change_password"),
    links.password_reset: ("password_reset", "account_reset_password"),
}
SETTINGS = {
    links.password_change: "TOKENAUTH_PASSWORD_CHANGE_URL",
    links.password_reset: "TOKENAUTH_PASSWORD_RESET_URL",
}
each_link = pytest.mark.parametrize("link", FOUND, ids=lambda link: link.__name__)


@each_link
def test_a_site_without_the_page_has_no_link(link):
    """The admin's page for staff is none for people."""
    assert link() == ""


@each_link
def test_djangos_page_and_allauths_are_found(settings, link):
    """Django's before allauth's, where a site has both."""
    djangos, allauths = FOUND[link]
    settings.ROOT_URLCONF = Named(allauths)
    assert link() == f"/{allauths}/"
    settings.ROOT_URLCONF = Named(allauths, djangos)
    assert link() == f"/{djangos}/"


@each_link
@pytest.mark.parametrize(
    ("chosen", "address"),
    [
        ("own_page", "/own_page/"),
        ("/elsewhere/", "/elsewhere/"),
        ("https://id.site.test/password/", "https://id.site.test/password/"),
    ],
    ids=["name", "path", "url"],
)
def test_a_setting_says_where_it_is(settings, link, chosen, address):
    """A view's name, a path, or a page of another host."""
    settings.ROOT_URLCONF = Named("own_page", *FOUND[link])
    setattr(settings, SETTINGS[link], chosen)
    assert link() == address
