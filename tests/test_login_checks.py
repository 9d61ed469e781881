"""Logins that ask for a password alone are named, on a site whose people have a second factor."""

from functools import partial

import pytest
from django.contrib.admin import AdminSite
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from tokenauth.checks import admin
from tokenauth.checks.admin import check_logins

OWN = AdminSite(name="own")
GUARDED = AdminSite(name="guarded")
GUARDED.login = partial(GUARDED.login)  # as allauth's secure_admin_login wraps it
OURS = path("auth/", include("tokenauth.urls"))
CLOSED = [
    path("auth/login/", RedirectView.as_view(url="/accounts/login/")),
    path("auth/api/login/", csrf_exempt(RedirectView.as_view())),
]


class Urls:
    """A site with these URLs."""

    def __init__(self, *patterns):
        self.urlpatterns = [*patterns]


@pytest.fixture
def installed(monkeypatch):
    """A function that says which apps are installed; their models are not needed."""

    def install(*names):
        monkeypatch.setattr(admin.apps, "is_installed", {*names}.__contains__)

    return install


@pytest.mark.parametrize(
    ("patterns", "named"),
    [
        ([OURS], ["/auth/login/", "/auth/api/login/"]),
        ([CLOSED[0], OURS], ["/auth/api/login/"]),
        ([*CLOSED, OURS], []),
        ([*CLOSED, OURS, path("admin/", OWN.urls)], ["AdminSite(name='own')"]),
        ([*CLOSED, OURS, path("admin/", GUARDED.urls)], []),
        ([], []),
    ],
    ids=["ours", "our-api", "closed", "an-admin", "a-guarded-admin", "nothing"],
)
def test_each_way_in_by_a_password_alone_is_named(settings, installed, patterns, named):
    """And those that are closed are not."""
    installed("allauth.mfa", "django.contrib.admin")
    settings.ROOT_URLCONF = Urls(*patterns)
    messages = check_logins()
    assert [message.id for message in messages] == ["tokenauth.W019"] * bool(named)
    for message in messages:
        assert f"signs in at {', '.join(named)}, though" in message.msg


def test_without_a_second_factor_there_is_nothing_to_say(settings, installed):
    """A password is all that there is."""
    installed("django.contrib.admin")
    settings.ROOT_URLCONF = Urls(OURS, path("admin/", OWN.urls))
    assert check_logins() == []


def test_without_the_admin_its_login_is_not_looked_for(settings, installed):
    """The app may be absent."""
    installed("allauth.mfa")
    settings.ROOT_URLCONF = Urls(*CLOSED, OURS)
    assert check_logins() == []
