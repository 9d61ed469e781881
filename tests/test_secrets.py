"""No token, hash or key in a body, a header, a URL or a log, whatever a browser and a thief do."""

import logging
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from tests.factories import PASSWORD
from tests.test_models import debug_report
from tokenauth.models import AuthSession
from tokenauth.session import tokens

ACCESS = "__Host-access_token"
PAGES = ("/whoami/", "/auth/sessions/", "/auth/api/session/", "/auth/api/sessions/")

pytestmark = pytest.mark.django_db


class Listener:
    """Notes what is told, and what must not be."""

    def __init__(self):
        self.told = []
        self.secrets = set()

    def visit(self, client, method, url, data=None):
        answer = getattr(client, method)(url, data, secure=True)
        morsels = answer.cookies.values()
        self.secrets |= {m.value for m in morsels if "token" in m.key and m.value.count(".") == 2}
        self.told.append(f"{answer.headers} {answer.content.decode()}")
        for row in AuthSession.objects.all():
            self.secrets |= {row.token_hash, row.auth_hash}


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def test_from_sign_in_to_sign_out_nothing_secret_is_told(user, clock, caplog):
    """Refreshed, bounced, robbed, restored from a backup; and every logger talks its most."""
    caplog.set_level(1)
    listener = Listener()
    visit = listener.visit
    client, thief, bounced = Client(), Client(), Client()
    login = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    for door in ("/auth/login/", "/auth/api/login/"):
        visit(client, "post", door, login)
    for _ in range(3):
        thief.cookies.load(client.cookies.output(header="", sep=";"))
        for url in PAGES:
            visit(client, "get", url)
        clock.shift(timedelta(minutes=16))
        visit(client, "post", "/auth/refresh/")
        clock.shift(timedelta(minutes=2))
    bounced.cookies[ACCESS] = client.cookies[ACCESS].value
    clock.shift(timedelta(minutes=16))
    visit(bounced, "get", "/whoami/?a=b")
    visit(client, "get", "/auth/refresh/?next=/whoami/")
    visit(thief, "post", "/auth/refresh/")
    visit(client, "post", "/auth/login/", login)
    clock.shift(timedelta(minutes=2))
    AuthSession.objects.active().update(rotation=0, token_hash="0" * 64)
    visit(client, "post", "/auth/refresh/")
    visit(client, "post", "/auth/login/", login)
    visit(client, "post", "/auth/logout/")
    reasons = set(AuthSession.objects.values_list("revoke_reason", flat=True))
    assert reasons == {"replaced", "reuse", "mismatch", "logout"}

    for kind in ("tokenauth_access", "tokenauth_refresh"):
        listener.secrets.add(tokens.derive_backend(kind, settings.SECRET_KEY).signing_key)
    secrets = (listener.secrets | {settings.SECRET_KEY, PASSWORD}) - {""}
    assert len(secrets) > 15
    assert caplog.records
    logged = [logging.Formatter().format(record) for record in caplog.records]
    assert [s for s in secrets for text in [*listener.told, *logged] if s in text] == []


def test_no_debug_report_of_a_login_tells_the_password(client, user, monkeypatch):
    """Not when the session can't be stored."""

    def fail(*args, **kwargs):
        raise DatabaseError("gone away")

    monkeypatch.setattr("tokenauth.api.views.sign_in", fail)
    data = {"username": user.get_username(), "password": PASSWORD}
    with pytest.raises(DatabaseError) as caught:
        client.post("/auth/api/login/", data, content_type="application/json", secure=True)
    assert PASSWORD not in debug_report(caught.value)
