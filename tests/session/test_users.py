"""Whether a session's user may be signed in: backend, is_active, password."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from tests.factories import SessionFactory, UserFactory
from tokenauth.exceptions import SessionSuspended
from tokenauth.models import AuthSession
from tokenauth.session import users

pytestmark = [pytest.mark.django_db, pytest.mark.users]

STOCK = "django.contrib.auth.backends.ModelBackend"
OWN = f"{__name__}.{{}}".format


class Inherited(ModelBackend):
    """A site's own way in, with the stock way to load a user."""


class Strict(ModelBackend):
    """Lets nobody in whose name starts with "banned"."""

    def get_user(self, user_id):
        user = super().get_user(user_id)
        return None if user.get_username().startswith("banned") else user


class Permissive(ModelBackend):
    """Lets inactive people in, as Django's AllowAllUsersModelBackend does."""

    def user_can_authenticate(self, user):
        return True


class Foreign:
    """A backend that is no ModelBackend, like a single-sign-on's."""

    def get_user(self, user_id):
        return get_user_model()._base_manager.filter(pk=user_id).first()


class Visible(models.Manager):
    """A manager that hides people whose name starts with "hidden"."""

    def get_queryset(self):
        name = get_user_model().USERNAME_FIELD
        return super().get_queryset().exclude(**{f"{name}__startswith": "hidden"})


@pytest.fixture
def hiding_manager(monkeypatch):
    """Let the user model's default manager hide somebody."""
    manager = Visible()
    manager.model = get_user_model()
    monkeypatch.setattr(get_user_model()._meta, "default_manager", manager)


def session_of(backend=STOCK, **fields):
    """A session as the middleware looks it up: with the user joined."""
    session = SessionFactory(user=UserFactory(**fields), backend=backend)
    return AuthSession.objects.select_related("user").get(pk=session.pk)


def vouch(settings, backend, **fields):
    """The user who is vouched for, or None, and how many queries that took."""
    session = session_of(backend, **fields)
    settings.AUTHENTICATION_BACKENDS = [backend]
    with CaptureQueriesContext(connection) as queries:
        try:
            return users.vouch_for(session), len(queries)
        except SessionSuspended:
            return None, len(queries)


@pytest.mark.parametrize(
    ("backend", "fields", "vouched", "queries"),
    [
        (STOCK, {}, True, 0),
        (STOCK, {"is_active": False}, False, 0),
        (OWN("Inherited"), {}, True, 0),
        (OWN("Inherited"), {"is_active": False}, False, 0),
        (OWN("Permissive"), {"is_active": False}, True, 0),
        (OWN("Strict"), {"username": "alice"}, True, 1),
        (OWN("Strict"), {"username": "banned-bob"}, False, 1),
        (OWN("Foreign"), {"is_active": False}, True, 1),
    ],
    ids=[
        "stock",
        "stock-inactive",
        "inherited",
        "inherited-inactive",
        "permissive-inactive",
        "strict",
        "strict-banned",
        "foreign",
    ],
)
def test_the_sessions_own_backend_vouches_for_the_user(settings, backend, fields, vouched, queries):
    """The joined user stands in for the stock get_user; any other backend is asked itself."""
    user, count = vouch(settings, backend, **fields)
    assert (user is not None, count) == (vouched, queries)


@pytest.mark.parametrize(
    ("backend", "changes", "vouched"),
    [
        (OWN("Strict"), {"is_active": False}, False),
        (OWN("Strict"), {"password": "another"}, True),
        (OWN("Foreign"), {"password": "another"}, True),
    ],
)
def test_whom_a_backend_read_from_a_replica_is_taken_as_written(
    settings, monkeypatch, backend, changes, vouched
):
    """It may lag behind a deactivation, or a new password."""
    session, model = session_of(backend), get_user_model()
    settings.AUTHENTICATION_BACKENDS = [backend]
    model.objects.filter(pk=session.user_id).update(**changes)
    session.user.refresh_from_db()
    stale, name = UserFactory(), session.user.get_username()
    stale.pk, stale._state.db = session.user_id, "replica"
    monkeypatch.setattr(Foreign, "get_user", lambda self, user_id: stale)
    monkeypatch.setattr(ModelBackend, "get_user", lambda self, user_id: stale)
    if vouched:
        user = users.vouch_for(session)
        assert (user is stale, user.password, user.get_username()) == (True, "another", name)
    else:
        with pytest.raises(SessionSuspended):
            users.vouch_for(session)


def test_whom_a_backend_made_of_something_else_stays_as_they_are(settings, monkeypatch):
    """Of a directory, say: no database has them as they are."""
    session, made = session_of(OWN("Foreign")), get_user_model()(password="of the directory")
    settings.AUTHENTICATION_BACKENDS = [OWN("Foreign")]
    monkeypatch.setattr(Foreign, "get_user", lambda self, user_id: made)
    assert users.vouch_for(session).password == "of the directory"


@pytest.mark.usefixtures("hiding_manager")
@pytest.mark.parametrize(("name", "vouched"), [("hidden-eve", False), ("alice", True)])
def test_a_user_whom_the_default_manager_hides_is_not_signed_in(settings, name, vouched):
    """A filtered default manager counts as it does in Django."""
    user, queries = vouch(settings, STOCK, username=name)
    assert (user is not None, queries) == (vouched, 1)


def test_a_backend_that_is_no_longer_installed_vouches_for_nobody(settings):
    """Uninstalling a way in signs out whoever came by it."""
    session = session_of(OWN("Inherited"))
    settings.AUTHENTICATION_BACKENDS = [STOCK]
    with pytest.raises(SessionSuspended, match="no longer installed"):
        users.vouch_for(session)


# The password


def test_the_password_of_now_passes(user):
    """Nothing changed: nothing to upgrade."""
    assert users.check_auth_hash(user, users.auth_hash_of(user)) == [users.auth_hash_of(user)]


@pytest.mark.parametrize("old", ["", "x", "z" * 64])
def test_another_hash_is_suspended(user, old):
    """Neither an empty nor a foreign hash passes."""
    with pytest.raises(SessionSuspended):
        users.check_auth_hash(user, old)


def test_a_changed_password_suspends(user):
    """The hash of the old password is of no use."""
    before = users.auth_hash_of(user)
    user.set_password("another")
    with pytest.raises(SessionSuspended):
        users.check_auth_hash(user, before)


def test_a_hash_under_a_retired_key_is_upgraded(user, settings):
    """Rotating SECRET_KEY signs nobody out, and says which hash to keep from now on."""
    before = users.auth_hash_of(user)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next key", [settings.SECRET_KEY]
    assert users.check_auth_hash(user, before) == [users.auth_hash_of(user), before]
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(SessionSuspended):
        users.check_auth_hash(user, before)


class Plain:
    """A user class that knows no session auth hash, as Django allows."""


def test_a_user_class_without_auth_hash_passes():
    """Then there is nothing to compare."""
    assert users.auth_hash_of(Plain()) == ""
    assert users.check_auth_hash(Plain(), "") == [""]


# Which backend


def test_the_backend_is_the_one_that_authenticate_noted(user, settings):
    """Else the only one there is; with several, the caller has to say."""
    settings.AUTHENTICATION_BACKENDS = [STOCK]
    assert users.backend_of(user) == STOCK
    settings.AUTHENTICATION_BACKENDS = [OWN("Inherited"), STOCK]
    with pytest.raises(ValueError, match="pass backend="):
        users.backend_of(user)
    user.backend = STOCK
    assert users.backend_of(user) == STOCK
