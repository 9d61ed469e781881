"""A transaction that somebody opened above our middleware, and rolls back on an error.

Django's old TransactionMiddleware did, django-reversion's RevisionMiddleware does.
"""

import logging
from datetime import timedelta
from threading import Event

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.conf import settings as site_settings
from django.db import OperationalError, connection, connections, transaction
from django.http import HttpResponseBadRequest
from django.test import AsyncClient, Client
from django.urls import path
from django.utils import timezone

from tests import urls
from tests.factories import PASSWORD
from tokenauth.models import AuthSession
from tokenauth.request.cookies import access_name, refresh_name
from tokenauth.session.database import contention

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
on_sqlite = pytest.mark.skipif(
    "sqlite" not in site_settings.DATABASES["default"]["ENGINE"], reason="SQLite locks its file"
)


def bad(request):
    """Refuse whatever the person sent."""
    return HttpResponseBadRequest(request.user.get_username())


urlpatterns = [*urls.urlpatterns, path("bad/", bad)]


def whole_request(get_response):
    """Wrap a request in a transaction, as RevisionMiddleware does."""

    def middleware(request):
        with transaction.atomic():
            response = get_response(request)
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response

    return middleware


def writes_first(get_response):
    """Write before anybody else may."""

    def middleware(request):
        with transaction.atomic():
            AuthSession.objects.update(user_agent="written by another middleware")
            return get_response(request)

    return middleware


@pytest.fixture(autouse=True)
def outer(settings):
    """The site has such a middleware, and nobody was told so yet."""
    contention.warn.cache_clear()
    settings.MIDDLEWARE = [f"{__name__}.whole_request", *settings.MIDDLEWARE]


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def alice(user, clock):
    client = Client(raise_request_exception=False)
    data = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    assert client.post("/auth/login/", data, secure=True).status_code == 302
    clock.shift(timedelta(minutes=20))
    return client


def copy_of(client):
    other = Client(raise_request_exception=False)
    other.cookies.load(client.cookies.output(header="", sep=";"))
    return other


def test_a_refusal_takes_no_rotation_back(alice, user, clock):
    """The browser has the new token, and so has the database."""
    for rotation in (1, 2, 3):
        answer = alice.get("/bad/", secure=True)
        assert (answer.status_code, answer.content.decode()) == (400, user.get_username())
        assert AuthSession.objects.get().rotation == rotation
        clock.shift(timedelta(minutes=20))
    assert AuthSession.objects.get().revoked_at is None


def test_a_refusal_takes_no_rotation_back_under_asgi(alice, user, clock):
    """There the middleware above runs in the same thread as what touches the database."""
    client = AsyncClient()
    client.cookies.load(alice.cookies.output(header="", sep=";"))
    answer = async_to_sync(client.get)("/bad/", secure=True)
    assert (answer.status_code, answer.content.decode()) == (400, user.get_username())
    assert AuthSession.objects.get().rotation == 1


def test_a_theft_that_is_answered_with_an_error_ends_the_session(alice, clock):
    """The 401 rolls nothing back that was found out."""
    thief = copy_of(alice)
    alice.post("/auth/refresh/", secure=True)
    clock.shift(timedelta(minutes=2))
    alice.get("/whoami/", secure=True)
    assert AuthSession.objects.get().confirmed
    assert thief.post("/auth/refresh/", secure=True).status_code == 401
    assert AuthSession.objects.get().revoke_reason == "reuse"


def test_it_is_said_once_what_to_edit(alice, clock, caplog):
    """In a process, and not where the transaction is a TestCase's own."""
    for _ in range(2):
        alice.get("/whoami/", secure=True)
        clock.shift(timedelta(minutes=20))
    said = [r for r in caplog.records if "Edit MIDDLEWARE" in r.getMessage()]
    assert [(r.name, r.levelno) for r in said] == [("tokenauth.security", logging.WARNING)]


def test_no_connection_is_left_behind(alice, monkeypatch):
    """The thread closes what it opened."""
    opened = []
    close_all = type(connections).close_all

    def closing(handler):
        opened.extend(handler.all(initialized_only=True))
        close_all(handler)

    monkeypatch.setattr(type(connections), "close_all", closing)
    alice.get("/whoami/", secure=True)
    assert [c.connection for c in opened] == [None]
    assert connection not in opened


@on_sqlite
def test_a_transaction_that_has_locked_the_database_costs_nobody_the_session(
    alice, settings, monkeypatch
):
    """It fails as a database that is down does: an error, and no cookie is touched."""
    settings.MIDDLEWARE = [f"{__name__}.writes_first", *settings.MIDDLEWARE]
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.01)
    answer = copy_of(alice).get("/whoami/", secure=True)
    assert answer.status_code == 500
    assert not {access_name(), refresh_name()} & {*answer.cookies}
    assert (AuthSession.objects.get().rotation, AuthSession.objects.get().revoked_at) == (0, None)


def test_a_row_that_stays_locked_is_not_waited_for_for_ever(alice, monkeypatch):
    """Where the database itself would wait for as long as the transaction lasts."""
    monkeypatch.setattr(contention, "PATIENCE", 0.01)
    let_go = Event()
    with transaction.atomic(), pytest.raises(OperationalError) as caught:
        contention.run_apart("default", let_go.wait)
    let_go.set()
    assert not contention.lost(caught.value)


@pytest.mark.parametrize("atomic_requests", [False, True])
def test_our_apis_404_is_one(alice, clock, monkeypatch, atomic_requests):
    """After a refresh in place: REST framework would end the transaction before we are done."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic_requests)
    alice.get("/auth/api/session/", secure=True)
    csrf = alice.cookies["csrftoken"].value
    clock.shift(timedelta(minutes=20))
    url = "/auth/api/sessions/0b9e2f6e-2f0b-4b1e-9d3e-7a5a4c1f3a10/"
    answer = alice.delete(
        url, headers={"X-CSRFToken": csrf, "Referer": "https://testserver/"}, secure=True
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_token_that_is_just_the_next_one_is_no_sign_of_a_leaked_key(alice, caplog):
    """A rotation that was undone explains it."""
    alice.post("/auth/refresh/", secure=True)
    before = AuthSession.objects.get()
    AuthSession.objects.update(rotation=before.rotation - 1, token_hash="0" * 64)
    alice.post("/auth/refresh/", secure=True)
    assert AuthSession.objects.get().revoke_reason == "mismatch"
    (said,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "rolled back" in said
    assert "leaked" not in said
