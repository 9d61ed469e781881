"""A replica that lags behind for ever: nobody's session is looked up there.

A second database got the people once, and nothing since. The router sends all reads to it, so
whatever is asked there is answered with what was true before.
"""

import copy
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.contrib.auth.backends import ModelBackend
from django.core.management import call_command
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.urls import reverse
from django.utils import timezone

from tests.factories import SessionFactory, UserFactory
from tokenauth.models import AuthSession

pytestmark = [
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="makes a second database in PostgreSQL"
    ),
    pytest.mark.usefixtures("second_database"),
    pytest.mark.django_db(transaction=True, databases=["default", "replica"]),
]

EXPIRY, KEPT = timedelta(minutes=16), timedelta(minutes=2)
LIST = "/admin/tokenauth/authsession/"
OUR_TABLE = AuthSession._meta.db_table


class ReadFromTheReplica:
    """What Django's documentation shows, with one replica."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, one, other, **hints):
        return True


class OwnBackend(ModelBackend):
    """A backend that finds people by itself, as those for LDAP do."""

    def get_user(self, user_id):
        return super().get_user(user_id)


@pytest.fixture(scope="module")
def second_database(django_db_setup, django_db_blocker):
    """A database with the same tables, under the alias ``replica``."""
    name = f"{connection.settings_dict['NAME']}_replica"
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        connections.settings["replica"] = connection.settings_dict | {"NAME": name}
        call_command("migrate", database="replica", verbosity=0)
        yield
        connections["replica"].close()
        del connections["replica"], connections.settings["replica"]
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        connection.close()


@pytest.fixture
def asked(transactional_db, settings):
    """What the replica is asked from here on; it knows nobody yet."""
    settings.DATABASE_ROUTERS = [ReadFromTheReplica()]
    statements = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    def listen(connection, **kwargs):
        if connection.alias == "replica" and note not in connection.execute_wrappers:
            connection.execute_wrappers.append(note)

    connections["replica"].execute_wrappers.append(note)
    connection_created.connect(listen)
    yield statements
    connection_created.disconnect(listen)
    connections["replica"].execute_wrappers.remove(note)


@pytest.fixture
def replica(asked):
    """A function that copies people to the replica. In the end, it was asked for no session."""

    def receive(*people):
        for person in people:
            copy.copy(person).save(using="replica", force_insert=True)

    yield receive
    assert asked
    assert [sql for sql in asked if OUR_TABLE in sql] == []


@pytest.fixture
def clock():
    """The clock of server and browser."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def alice(replica, browser, user):
    """Somebody who has signed in, by password."""
    replica(user)
    assert browser.login(user).status_code == 200
    return browser


@pytest.fixture
def root(replica, new_browser, staff):
    """A member of staff, who has signed in."""
    replica(staff)
    browser = new_browser()
    browser.login(staff)
    return browser


def who(browser):
    """Whom a sync view, an async view, the API and the gateway see."""
    names = {browser.get(url).text for url in ("/whoami/", "/async/whoami/")}
    names.add(browser.fetch("GET", "/api/ping/").json().get("username", "anonymous"))
    is_known = browser.get("/auth/gateway/").status_code == 204
    assert is_known == (names != {"anonymous"})
    [name] = names
    return name


def test_a_session_is_never_read_from_the_replica(alice, user, clock):
    """From the sign-in to the sign-out, on the pages and in the API."""
    assert who(alice) == user.get_username()
    clock.shift(EXPIRY)
    assert who(alice) == user.get_username()
    clock.shift(KEPT)
    assert who(alice) == user.get_username()
    session = AuthSession.objects.get()
    assert (session.rotation, session.confirmed) == (1, True)
    other = SessionFactory(user=user)
    assert len(alice.fetch("GET", "/auth/api/sessions/").json()) == 2
    assert str(other.pk) in alice.get("/auth/sessions/").text
    alice.fetch("DELETE", f"/auth/api/sessions/{other.pk}/")
    assert AuthSession.objects.active().get() == session
    alice.logout()
    assert who(alice) == "anonymous"
    assert user.auth_sessions.get(pk=session.pk).revoke_reason == "logout"


def test_a_spent_token_ends_the_session_at_once(alice, new_browser, clock):
    """For both who hold one."""
    thief = new_browser()
    thief.paste_cookies(alice.copy_cookies())
    clock.shift(EXPIRY)
    who(alice)
    clock.shift(KEPT)
    who(alice)
    assert who(thief) == who(alice) == "anonymous"
    assert AuthSession.objects.get().revoke_reason == "reuse"


@pytest.mark.parametrize("backend", [ModelBackend, OwnBackend])
@pytest.mark.parametrize("change", ["deactivated", "new-password"])
def test_what_became_of_a_person_counts_at_once(replica, browser, user, settings, backend, change):
    """The replica still has the person as they were."""
    path = f"{backend.__module__}.{backend.__qualname__}"
    settings.AUTHENTICATION_BACKENDS = [path]
    replica(user)
    browser.login(user)
    assert who(browser) == user.get_username()
    if change == "deactivated":
        user.is_active = False
    else:
        user.set_password("another")
    user.save()
    assert who(browser) == "anonymous"


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_a_password_of_before_gets_nobody_in(replica, browser, user):
    """Django's ``authenticate()`` reads it from the replica; the session that it starts is none."""
    replica(user)
    user.set_password("another")
    user.save()
    browser.login(user)
    assert who(browser) == "anonymous"


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_staff_see_and_end_what_there_is_now(root, staff):
    """Somebody registered and signed in just now: found, named, listed and ended."""
    newcomer = UserFactory(username="newcomer")
    sessions = SessionFactory.create_batch(2, user=newcomer)
    pks = [str(session.pk) for session in sessions]
    for url in (
        LIST,
        f"{LIST}?q=newcomer",
        f"{LIST}?user__exact={newcomer.pk}",
        LIST + "?q=127.0.",
    ):
        page = root.get(url).text
        assert all(pk in page for pk in pks), url
    assert newcomer.get_username() in root.get(f"{LIST}{pks[0]}/change/").text
    chosen = {"action": "revoke", "_selected_action": pks, "confirmed": "yes"}
    token = {"csrfmiddlewaretoken": root.value("csrftoken")}
    asked = root.send_form(LIST, token | {"action": "revoke", "_selected_action": pks}).text
    assert asked.count("newcomer") >= 2
    root.send_form(LIST, token | chosen)
    assert newcomer.auth_sessions.active().count() == 0
    page = root.get(f"{LIST}?status=admin").text
    assert all(pk in page for pk in pks)
    theirs = reverse("admin:auth_user_change", args=[staff.pk])
    assert "tokenauth/authsession" in root.get(theirs).text
    root.send_form(f"{theirs.removesuffix('change/')}sign-out/", token | {"confirmed": "yes"})
    assert staff.auth_sessions.active().count() == 0


@pytest.mark.parametrize("whose", [["--user", "newcomer"], ["--all"]], ids=["one", "all"])
def test_a_command_ends_the_sessions_of_who_registered_just_now(asked, whose):
    """The replica has not heard of them."""
    newcomer = UserFactory(username="newcomer")
    SessionFactory(user=newcomer)
    said = StringIO()
    call_command("tokenauth_revoke", *whose, stdout=said)
    assert "1 session ended" in said.getvalue()
    assert newcomer.auth_sessions.active().count() == 0
    call_command("tokenauth_clear", stdout=said)
    assert [sql for sql in asked if OUR_TABLE in sql] == []
