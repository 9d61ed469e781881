"""Statements that are compiled once do what the ORM does, on each database."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import SessionFactory, UserFactory
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions
from tokenauth.session.database import prepared

#: A moment that stands for any other.
LONG_AGO = timezone.now() - timedelta(days=10_000)

pytestmark = [pytest.mark.django_db, pytest.mark.users]


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    prepared.forget()
    yield
    prepared.forget()


@pytest.fixture
def session(user):
    """A session with something in each column."""
    session = SessionFactory(user=user)
    AuthSession.objects.filter(pk=session.pk).update(
        adopted_from="a mark",
        django_session="a key",
        ip_address="2001:db8::7",
        user_agent="An agent",
        device="A device",
        device_kind="phone",
        reuse_ip_address="203.0.113.9",
        reuse_user_agent="Another",
        rotation=7,
    )
    return session


def by_the_orm(sid):
    rows = AuthSession.objects.select_related("user")
    return django_sessions.with_existence(rows).filter(pk=sid).first()


def by_prepared(sid):
    rows = partial(django_sessions.with_existence, AuthSession.objects.all())
    return prepared.look_up(rows, "default", django_sessions.joined_model("default"), sid)


def columns(instance):
    """Each value with its type."""
    names = [field.attname for field in instance._meta.concrete_fields]
    return {name: (type(getattr(instance, name)), getattr(instance, name)) for name in names}


@pytest.mark.parametrize("time", ["first", "again"])
def test_a_look_up_finds_what_the_orm_finds(session, time):
    """The session, its person, and whether its Django session is there, with the same types."""
    if time == "again":
        by_prepared(session.pk)
    theirs, ours = by_the_orm(session.pk), by_prepared(session.pk)
    assert columns(ours) == columns(theirs)
    with CaptureQueriesContext(connection) as made:
        assert columns(ours.user) == columns(theirs.user)
    assert made.captured_queries == []
    assert ours.has_django_session is theirs.has_django_session is False
    assert (ours._state.adding, ours._state.db) == (theirs._state.adding, theirs._state.db)
    assert repr(ours.token_hash) == repr(theirs.token_hash) == "<Masked>"


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file", "signed_cookies"])
def test_a_look_up_follows_the_engine(settings, session, engine):
    """Only rows of a database can be asked for; each engine has a statement of its own."""
    by_prepared(session.pk)
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    known = by_prepared(session.pk).has_django_session
    assert known is by_the_orm(session.pk).has_django_session
    assert known is (False if "db" in engine else None)


def test_who_is_not_there_is_not_found(session):
    """Nor is anybody else found in their place."""
    assert by_prepared(session.pk) is not None
    session.delete()
    assert by_prepared(session.pk) is None


def test_a_look_up_is_compiled_once(session, monkeypatch):
    """For as long as no setting changes."""
    compiled = []
    compile_ = prepared.compile_look_up
    monkeypatch.setattr(
        prepared, "compile_look_up", lambda *args: compiled.append(1) or compile_(*args)
    )
    for _ in range(3):
        by_prepared(session.pk)
    assert len(compiled) == 1


def test_a_changed_setting_is_followed(settings, session):
    """Moments are aware or not."""
    assert timezone.is_aware(by_prepared(session.pk).created_at) is django_settings.USE_TZ
    settings.USE_TZ = not django_settings.USE_TZ
    assert timezone.is_aware(by_prepared(session.pk).created_at) is settings.USE_TZ


CHANGES = {
    "of a rotation": {"rotation": 1, "confirmed": False, "token_hash": "new"},
    "of the next": {"rotation": 8, "confirmed": False, "token_hash": "newer"},
    "of a device": {"ip_address": "192.0.2.9", "user_agent": "", "device": "x", "device_kind": ""},
    "to nothing": {"ip_address": None, "django_session": None},
    "of moments": {"issued_at": 1, "rotated_at": 2, "last_seen_at": 3, "expires_at": 3},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_swap_writes_what_the_orm_writes(session, changes):
    """Each value in its column, twice with other values, and no other column."""
    now = timezone.now()
    for hours in (1, 2):
        columns_now = {
            name: now + timedelta(hours=hours * value) if name.endswith("_at") else value
            for name, value in changes.items()
        }
        before = AuthSession.objects.filter(pk=session.pk).values().get()
        where = {"pk": session.pk, "token_hash": before["token_hash"], "revoked_at__isnull": True}
        where |= {"expires_at__gt": now, "absolute_expires_at__gt": now}
        assert prepared.swap(AuthSession.objects.all, "default", where, columns_now) == 1
        after = AuthSession.objects.filter(pk=session.pk).values().get()
        assert after == before | columns_now


def test_a_swap_touches_no_row_that_is_not_as_it_says(session):
    """Not one that ended, nor one with another token, nor anybody else's."""
    other = SessionFactory()
    where = {"pk": session.pk, "token_hash": "another", "revoked_at__isnull": True}
    rows = AuthSession.objects.all
    assert prepared.swap(rows, "default", where, {"rotation": 9}) == 0
    where["token_hash"] = session.token_hash
    AuthSession.objects.filter(pk=session.pk).update(revoked_at=timezone.now())
    assert prepared.swap(rows, "default", where, {"rotation": 9}) == 0
    assert AuthSession.objects.get(pk=other.pk).rotation == 0


def test_parameters_that_look_alike_are_left_to_the_orm(session, monkeypatch):
    """Rather than to write one in the other's place."""
    monkeypatch.setattr(prepared, "stand_in", lambda field, n: LONG_AGO)
    moments = {"issued_at": timezone.now(), "rotated_at": timezone.now() + timedelta(hours=1)}
    assert (
        prepared.swap(AuthSession.objects.all, "default", {"revoked_at__isnull": True}, moments)
        == 1
    )
    after = AuthSession.objects.filter(pk=session.pk).values("issued_at", "rotated_at").get()
    assert after == moments


def test_a_swap_that_fails_spoils_its_transaction_as_djangos_does(session):
    """Whoever goes on in it is told."""
    AuthSession.objects.filter(pk=SessionFactory(user=UserFactory()).pk).update(adopted_from="x")
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            prepared.swap(
                AuthSession.objects.all,
                "default",
                {"pk": session.pk},
                {"adopted_from": "x"},
            )
        assert connection.needs_rollback
        connection.set_rollback(False)
        transaction.set_rollback(True)


def newest_first(given):
    """Keys of a person's sessions, but for one: each parameter is a value of ``given``."""
    rows = AuthSession.objects.filter(user=given["user"])
    rows = rows.filter(expires_at__gt=given["expires_at"]).exclude(pk=given["pk"])
    return rows.order_by("-last_seen_at").values_list("pk", flat=True)[1:]


def by_column(given):
    return prepared.column(newest_first, "default", "a test", given)


def test_a_column_has_what_the_orm_finds(user):
    """In its order and with its types, each time with other values."""
    now = timezone.now()
    sessions = [SessionFactory(user=user) for _ in range(4)]
    for n, session in enumerate(sessions):
        moments = {"last_seen_at": now - timedelta(hours=n), "expires_at": now + timedelta(days=n)}
        AuthSession.objects.filter(pk=session.pk).update(**moments)
    SessionFactory()
    seen = []
    for session, moment in [(sessions[0], now), (sessions[3], now), (sessions[2], LONG_AGO)]:
        given = {"pk": session.pk, "user": user.pk, "expires_at": moment}
        seen.append(by_column(given))
        assert seen[-1] == list(newest_first(given))
    assert seen == [
        [sessions[2].pk, sessions[3].pk],
        [sessions[2].pk],
        [sessions[1].pk, sessions[3].pk],
    ]


def test_a_column_is_compiled_once(user, monkeypatch):
    """For each kind."""
    compiled = []
    compile_ = prepared.compile_column
    monkeypatch.setattr(
        prepared, "compile_column", lambda *args: compiled.append(1) or compile_(*args)
    )
    given = {"pk": uuid4(), "user": user.pk, "expires_at": timezone.now()}
    for kind in ["one", "one", "other"]:
        prepared.column(newest_first, "default", kind, given)
    assert len(compiled) == 2


def untold(given):
    """A parameter that is no value of ``given``."""
    rows = AuthSession.objects.filter(user=given["user"], rotation=0)
    return rows.values_list("pk", flat=True)


def between(given):
    """Two that look alike, if all moments do."""
    rows = AuthSession.objects.filter(expires_at__gt=given["created_at"])
    return rows.filter(expires_at__lt=given["expires_at"]).values_list("pk", flat=True)


def test_a_column_with_other_parameters_is_left_to_the_orm(session, monkeypatch):
    """Rather than to ask with another value in their place."""
    AuthSession.objects.filter(pk=session.pk).update(rotation=0)
    assert prepared.column(untold, "default", "untold", {"user": session.user_id}) == [session.pk]
    AuthSession.objects.filter(pk=session.pk).update(rotation=1)
    assert prepared.column(untold, "default", "untold", {"user": session.user_id}) == []
    monkeypatch.setattr(prepared, "stand_in", lambda field, n: LONG_AGO)
    given = {"created_at": timezone.now(), "expires_at": session.expires_at + timedelta(days=1)}
    assert prepared.column(between, "default", "between", given) == [session.pk]


def unsaved(session, **values):
    """A session that is not stored yet, like another."""
    fields = AuthSession.objects.filter(pk=session.pk).values().get() | values
    return AuthSession(**fields | {"id": uuid4()})


ROWS = {"full": {"adopted_from": "another"}, "empty": {"adopted_from": None, "ip_address": None}}


@pytest.mark.parametrize("values", ROWS.values(), ids=ROWS)
def test_an_insert_stores_what_save_does(session, values):
    """Each value in its column, whether or not it is there; and the object is no new one."""
    prepared.insert(unsaved(session, adopted_from="a third"), "default")  # which compiles
    saved, inserted = unsaved(session, **values), unsaved(session, **values)
    saved.save()
    stored = AuthSession.objects.filter(pk=saved.pk).values().get()
    saved.delete()
    prepared.insert(inserted, "default")
    assert AuthSession.objects.filter(pk=inserted.pk).values().get() == stored | {"id": inserted.pk}
    assert (inserted._state.adding, inserted._state.db) == (False, "default")


def test_who_listens_to_rows_hears_of_an_insert(session):
    """An audit log, say."""
    heard = []

    def listen(instance, created, **kwargs):
        heard.append((instance, created))

    post_save.connect(listen, sender=AuthSession)
    new = unsaved(session, adopted_from=None)
    prepared.insert(new, "default")
    post_save.disconnect(listen, sender=AuthSession)
    assert heard == [(new, True)]
    assert AuthSession.objects.filter(pk=new.pk).exists()


def test_an_insert_that_fails_spoils_its_transaction_as_djangos_does(session):
    """Whoever goes on in it is told."""
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            prepared.insert(unsaved(session), "default")  # its mark is there already
        assert connection.needs_rollback
        connection.set_rollback(False)
        transaction.set_rollback(True)


def test_people_have_a_statement_of_their_own(session):
    """By the model that signs in."""
    assert isinstance(by_prepared(session.pk).user, get_user_model())
