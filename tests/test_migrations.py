"""Migrations: what a site already has is still there, and says as much as what comes new."""

from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from tests.factories import UserFactory
from tests.pages.test_devices_page import AGENTS
from tokenauth.session.devices import kind_of

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE, AFTER = "0002_django_session", "0003_device_and_reuse"


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
