"""The admin of a site whose cache is down: its pages open, and say so in the log alone."""

import logging

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from tests.factories import PASSWORD, SessionFactory
from tests.test_faults import BROKEN
from tokenauth.admin import activity
from tokenauth.models import AuthSession

pytestmark = pytest.mark.django_db

LIST = "admin:tokenauth_authsession_changelist"


@pytest.fixture
def admin(staff, settings):
    """A staff browser on a site whose cache raises on every call."""
    settings.CACHES = BROKEN
    client = Client()
    client.force_login(staff)
    return client


def warnings(caplog):
    """What was logged, at warning or above, of the cache."""
    return [(r.levelno, r.name) for r in caplog.records if "cache" in r.getMessage()]


@pytest.mark.parametrize("slow", [60, -1], ids=["quickly-counted", "slowly-counted"])
def test_the_picture_is_counted_when_the_cache_is_down(admin, monkeypatch, caplog, slow):
    """One warning for a request, whatever would have been kept."""
    monkeypatch.setattr(activity, "SLOW", slow)
    revoked = SessionFactory.create_batch(2)[0]
    AuthSession.objects.filter(pk=revoked.pk).revoke("reuse")
    page = admin.get(reverse(LIST))
    assert page.status_code == 200
    assert "Theft alerts: 1" in page.text
    assert warnings(caplog) == [(logging.WARNING, "tokenauth")]
    assert admin.get(reverse(LIST)).status_code == 200
    assert len(warnings(caplog)) == 2


def pages(session):
    """Every page of the admin that shows sessions."""
    yield reverse(LIST)
    for page in ("change", "history"):
        yield reverse(f"admin:tokenauth_authsession_{page}", args=[session.pk])
    for page in ("change", "sign_out"):
        yield reverse(f"admin:auth_user_{page}", args=[session.user.pk])


@pytest.mark.skipif(
    django_settings.AUTH_USER_MODEL != "auth.User", reason="asks for the page of Django's own user"
)
def test_every_page_opens_when_the_cache_is_down(admin, user):
    """And does its work."""
    session = SessionFactory(user=user)
    for url in pages(session):
        assert admin.get(url).status_code == 200, url
    revoke = reverse("admin:tokenauth_authsession_revoke", args=[session.pk])
    assert admin.post(revoke, follow=True).status_code == 200
    session.refresh_from_db()
    assert session.revoke_reason == "admin"


@pytest.mark.parametrize("login", ["tokenauth:login", "admin:login"])
def test_one_can_sign_in_when_the_cache_is_down(admin, user, login):
    """A wrong password is still a wrong one."""
    stranger = Client()
    assert stranger.get(reverse(login)).status_code == 200
    user.is_staff = True
    user.save()
    for password, sessions in [("wrong", 0), (PASSWORD, 1)]:
        data = {"username": user.get_username(), "password": password}
        assert stranger.post(reverse(login), data, secure=True).status_code in {200, 302, 401}
        assert AuthSession.objects.filter(user=user).count() == sessions
