"""Migrations: what a site already has is still there, and says as much as what comes new."""

from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from tests.factories import UserFactory
from tests.pages.test_devices_page import AGENTS
from tokenauth.models import AuthSession
from tokenauth.session.devices import kind_of

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE, AFTER = "0002_django_session", "0003_device_and_reuse"
UNDATED, BEFORE_CLIENTS, NEWEST = "0005_told", "0006_authenticated_at", "0008_device_key"


def migrate(name):
    """Go to a migration of ours, and return the model as it was then."""
    executor = MigrationExecutor(connection)
    state = executor.migrate([("tokenauth", name)])
    return state.apps.get_model("tokenauth", "AuthSession")


@pytest.fixture
def old(db):
    """The model before the migration; the newest is restored."""
    yield migrate(BEFORE)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes("tokenauth"))


def session_of(person, agent):
    """The columns of a session as they were."""
    now = timezone.now()
    times = ("rotated_at", "issued_at", "created_at", "last_seen_at")
    return {
        "id": uuid4(),
        "user_id": person.pk,
        "backend": "django.contrib.auth.backends.ModelBackend",
        "token_hash": "",
        "user_agent": agent,
        **dict.fromkeys([*times, "expires_at", "absolute_expires_at"], now),
    }


def test_sessions_that_are_there_say_which_device_they_are_on(old, monkeypatch):
    """Each gets its words, in batches, and nothing else of it changes."""
    monkeypatch.setattr(f"tokenauth.migrations.{AFTER}.BATCH", 3)
    person = UserFactory()
    agents = [*AGENTS.values(), "", "; Karbonn ; Build"] * 2
    rows = [old(**session_of(person, agent)) for agent in agents]
    old.objects.bulk_create(rows)
    before = {row["id"]: row for row in old.objects.values()}
    new = migrate(AFTER)
    words = {agent: name for name, agent in AGENTS.items() if name != "Unknown device"}
    for session in new.objects.all():
        agent = session.user_agent
        assert (session.device, session.device_kind) == (words.get(agent, ""), kind_of(agent))
        assert before[session.pk].items() <= vars(session).items()
    assert new.objects.count() == len(agents)


def test_the_migration_can_be_taken_back(old):
    """With sessions in the table, which stay."""
    new = migrate(AFTER)
    new.objects.create(**session_of(UserFactory(), AGENTS["Firefox on Linux"]))
    assert migrate(BEFORE).objects.count() == 1
    assert get_user_model().objects.count() == 1


def test_nobody_has_proved_anything_to_a_session_of_before(old):
    """They are asked once more: a million rows are not written for that."""
    session = migrate(UNDATED).objects.create(**session_of(UserFactory(), ""))
    assert migrate(NEWEST).objects.get(pk=session.pk).authenticated_at is None


def test_a_server_that_does_not_know_the_newest_columns_goes_on_signing_people_in(old):
    """The database is migrated first, then one server after the other is restarted."""
    of_before = migrate(BEFORE_CLIENTS)
    migrate(NEWEST)
    session = of_before.objects.create(**session_of(UserFactory(), ""))
    now = AuthSession.objects.get(pk=session.pk)
    assert (now.client, now.client_name, now.key_thumbprint) == ("browser", "", None)
    assert (now.device_key, now.second_key_at) == ("", None)


def indexes(model):
    """The columns of each index, and how PostgreSQL compares them where that is not as ever."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
        if connection.vendor == "postgresql":
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE %s", ["%_ops)"])
            return columns_of(found), [row for row in cursor.fetchall() if "tokenauth" in row[0]]
    return columns_of(found), []


def columns_of(constraints):
    """Without the primary key, which SQLite calls no index."""
    return sorted(
        c["columns"]
        for c in constraints.values()
        if (c["index"] or c["unique"]) and not c["primary_key"]
    )


def fillfactor(model):
    """How full PostgreSQL makes a page."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [model._meta.db_table])
        return cursor.fetchone()[0]


def test_no_index_has_what_every_rotation_writes(old):
    """There are those of the model and no others, with rows in the table; and back."""
    before = migrate(AFTER)
    before.objects.create(**session_of(UserFactory(), AGENTS["Firefox on Linux"]))
    had = indexes(before)
    now = migrate(NEWEST)
    columns, others = indexes(now)
    assert others == []
    assert [column for column in columns if {"last_seen_at", "rotated_at"} & set(column)] == []
    declared = [list(index.fields) for index in AuthSession._meta.indexes]
    declared = [["user_id" if c == "user" else c for c in fields] for fields in declared]
    assert columns == sorted([["adopted_from"], *declared])
    assert indexes(migrate(AFTER)) == had
    assert now.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has HOT updates")
def test_a_page_has_room_for_the_next_version_of_a_row(old):
    """A rotation that changes no index is told to none of them."""
    assert fillfactor(migrate(NEWEST)) == ["fillfactor=85"]
    assert fillfactor(migrate(AFTER)) is None
