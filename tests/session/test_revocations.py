"""What the authorization server tells of sessions that ended, and that nothing stays untold."""

import io
import logging
import threading
import time
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model, user_logged_in
from django.core.management import call_command
from django.core.signals import request_started
from django.db import OperationalError, connection, transaction
from django.db.backends.base.features import BaseDatabaseFeatures
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps
from django.utils import timezone

from tests.factories import PASSWORD, SessionFactory, UserFactory
from tests.processes import PATIENCE, run_django
from tests.redis_server import give_rights
from tokenauth.models import AuthSession
from tokenauth.resource.revocations import Revocations
from tokenauth.session.endings import RevokeReason
from tokenauth.session.revocations import doors, publishing, rows, stream
from tokenauth.session.revocations.publishing import publisher
from tokenauth.session.revocations.stream import Entry
from tokenauth.session.revocations.telling import MARGIN, lacking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.users]

ISSUER = "https://example.com"
STREAM, EPOCH = stream.stream_of(ISSUER), stream.epoch_of(ISSUER)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def site(redis, settings):
    """The authorization server, and its Redis; nothing looks after the stream yet."""
    settings.TOKENAUTH_REVOCATIONS = redis.url
    settings.TOKENAUTH_ISSUER = ISSUER
    publishing.opened.cache_clear()
    doors.connect()
    request_started.disconnect(dispatch_uid="tokenauth.revocations")  # no thread unless asked for
    yield redis
    doors.disconnect()
    publisher().stop()
    publishing.opened.cache_clear()


def entries(redis):
    """All that the stream says, in order."""
    with redis.client as client:
        return [entry for _, fields in client.xrange(STREAM) if (entry := Entry.read(fields))]


def told(redis):
    """Of which sessions the stream says something."""
    return {entry.sid for entry in entries(redis)}


def ids(*sessions):
    return {str(session.pk) for session in sessions}


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def reader(redis):
    return Revocations(redis.url, ISSUER, 0.01)


def sign_in(person):
    client = Client()
    data = {"username": person.get_username(), "password": PASSWORD}
    assert client.post("/auth/api/login/", data, secure=True).status_code == 200
    return client, AuthSession.objects.filter(user=person).latest("created_at")


# Every door


def log_out(client, session):
    client.post("/auth/api/logout/", secure=True)


def django_logs_out(client, session):
    client.post("/django-logout/", secure=True)


def sign_in_again(client, session):
    data = {"username": session.user.get_username(), "password": PASSWORD}
    client.post("/auth/api/login/", data, secure=True)


def end_from_another_device(client, session):
    other, _ = sign_in(session.user)
    csrf = {
        "HTTP_X_CSRFTOKEN": other.get("/auth/api/session/", secure=True).cookies["csrftoken"].value
    }
    path = f"/auth/api/sessions/{session.pk}/"
    assert (
        other.delete(
            path, secure=True, headers={"referer": "https://testserver/"}, **csrf
        ).status_code
        == 204
    )


def exceed_the_limit(client, session):
    AuthSession.objects.start(RequestFactory().get("/"), session.user)


def end_everybodys(client, session):
    call_command("tokenauth_revoke", "--all", stdout=io.StringIO())


DOORS = [log_out, django_logs_out, sign_in_again, end_from_another_device, exceed_the_limit]


@pytest.mark.parametrize("door", [*DOORS, end_everybodys])
def test_every_door_through_which_a_session_ends_is_told(site, user, settings, door):
    """All of its tokens, at once, until the last would have expired."""
    client, session = sign_in(user)
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1 if door is exceed_the_limit else 100
    assert not reader(site).refuses(str(session.pk), 1)
    door(client, session)
    (entry,) = [entry for entry in entries(site) if entry.sid == str(session.pk)]
    assert entry.before is None
    lifetime = 15 * 60
    assert lifetime <= entry.until - time.time() <= lifetime + 61
    assert reader(site).refuses(str(session.pk), int(time.time()) + 600)


def test_twenty_in_a_burst_are_all_told(site, user):
    """And none beside them."""
    ended, others = SessionFactory.create_batch(20, user=user), SessionFactory.create_batch(3)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    assert told(site) == ids(*ended)
    assert not told(site) & ids(*others)


def test_a_session_is_told_when_its_end_is_committed(site):
    """Not before: the end may be rolled back."""
    kept, ended = SessionFactory.create_batch(2)
    with transaction.atomic():
        AuthSession.objects.filter(pk=kept.pk).revoke(RevokeReason.ADMIN)
        transaction.set_rollback(True)
    with transaction.atomic():
        AuthSession.objects.filter(pk=ended.pk).revoke(RevokeReason.ADMIN)
        assert told(site) == set()
    assert told(site) == ids(ended)


def test_who_has_no_token_any_more_is_not_told(site, user):
    """Of a million sessions that end few were used of late; the rest need no memory anywhere."""
    old, new = SessionFactory.create_batch(2, user=user)
    AuthSession.objects.filter(pk=old.pk).update(issued_at=timezone.now() - 76 * MINUTE)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    assert told(site) == ids(new)
    with site.client as client:
        client.flushall()
    assert publisher().make_good()
    assert told(site) == ids(new)
    AuthSession.objects.filter(pk=old.pk).update(revoked_at=None, revoke_reason="")
    AuthSession.objects.filter(pk=old.pk).revoke(RevokeReason.ADMIN)
    assert told(site) == ids(new)


def test_what_is_over_goes_out_of_the_stream(site, user):
    """It holds as much as one access token's life, and a little."""
    with site.client as client:
        long_ago = int((time.time() - 3600) * 1000)
        for n in range(500):  # Redis lets go of whole nodes
            client.xadd(STREAM, Entry(f"old {n}", None, 1).fields, id=f"{long_ago}-{n + 1}")
    session = SessionFactory(user=user)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    assert str(session.pk) in told(site)
    assert len(told(site)) < 200


# New passwords, deactivation, deletion


def change_password(person):
    person.set_password("another-pass-2")
    person.save()


def deactivate(person):
    person.is_active = False
    person.save(update_fields=["is_active"])


@pytest.mark.parametrize("change", [change_password, deactivate])
def test_a_person_who_may_no_longer_use_their_sessions_is_told(site, user, change):
    """Tokens of before and of the moment itself, not of those who get in again."""
    session, stranger = SessionFactory(user=user), SessionFactory()
    change(user)
    (entry,) = entries(site)
    assert entry.sid == str(session.pk)
    assert entry.before == pytest.approx(time.time() + MARGIN, abs=2)
    assert told(site) & ids(stranger) == set()
    assert AuthSession.objects.get(pk=session.pk).revoked_at is None


@pytest.mark.usefixtures("site")
def test_a_fault_in_the_telling_is_logged_and_undoes_nothing(user, monkeypatch, caplog):
    """Django names what failed after a commit; a partial has no name, and would end in a 500."""
    session = AuthSession.objects.start(None, user)

    def fail(*args, **kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(publisher(), "tell", fail)
    with transaction.atomic():
        AuthSession.objects.filter(pk=session.pk).revoke("admin")
        user.set_password("another")
        user.save()
    assert "a fault of ours" in caplog.text
    assert not AuthSession.objects.get().active


def test_who_is_reactivated_and_refreshes_gets_in_again(site, user):
    """The session lives; only its older tokens are refused."""
    client, session = sign_in(user)
    deactivate(user)
    user.is_active = True
    user.save()
    before = int(time.time())
    with time_machine.travel(timezone.now() + 2 * MINUTE):
        assert client.post("/auth/refresh/", secure=True).status_code == 200
        known = reader(site)
        assert known.refuses(str(session.pk), before)
        assert not known.refuses(str(session.pk), int(time.time()))


def log_in(person):
    user_logged_in.send(type(person), request=None, user=person)


def rename(person):
    person.first_name = "Alice"
    person.save()


def load(person):
    person.is_active = False
    person.save_base(raw=True)


@pytest.mark.parametrize("change", [log_in, rename, load])
def test_other_changes_of_a_person_are_not_told(site, user, change):
    """Nor what a fixture loads, when there may be no tables yet."""
    SessionFactory(user=user)
    change(user)
    assert entries(site) == []


@pytest.mark.usefixtures("site")
def test_who_logs_in_or_is_new_costs_no_statement(user, django_assert_num_queries):
    """Django saves ``last_login`` at each login; who is new has no session."""
    with django_assert_num_queries(1):
        user.save(update_fields=["last_login"])
    person = UserFactory.build()
    with django_assert_num_queries(1):
        person.save(force_insert=True)


def test_a_new_password_that_is_rolled_back_is_not_told(site, user):
    """The rows forget it too."""
    session = SessionFactory(user=user)
    with transaction.atomic():
        change_password(user)
        assert AuthSession.objects.get(pk=session.pk).told
        transaction.set_rollback(True)
    assert AuthSession.objects.get(pk=session.pk).told is None
    assert entries(site) == []


def test_a_proxy_of_the_user_model_is_seen_too(site, user, monkeypatch):
    """It sends signals of its own."""
    session = SessionFactory(user=user)
    with isolate_apps("tokenauth") as isolated:

        class Customer(get_user_model()):
            class Meta:
                app_label = "tokenauth"
                proxy = True

    with monkeypatch.context() as patch:  # what the site's own models are is needed to disconnect
        patch.setattr(doors, "apps", isolated)
        doors.connect()
        request_started.disconnect(dispatch_uid="tokenauth.revocations")
        deactivate(Customer.objects.get(pk=user.pk))
        doors.disconnect()
    assert told(site) == ids(session)


def test_the_sessions_of_a_deleted_person_are_told(site, user):
    """Before, in case this process dies; and for good, when it is committed."""
    session, _stranger = SessionFactory(user=user), SessionFactory()
    with transaction.atomic():
        user.delete()
        (entry,) = entries(site)
        assert entry.before == pytest.approx(time.time() + MARGIN, abs=2)
    assert [entry.before for entry in entries(site)][1:] == [None]
    assert told(site) == ids(session)


def test_nobody_is_told_of_who_had_no_session(site, user):
    """Deleted or not."""
    change_password(user)
    user.delete()
    assert entries(site) == []


# Redis is away


def test_what_ends_meanwhile_is_told_when_redis_is_back(site, user, caplog):
    """The request is answered; one line in the log, and one when all is told."""
    SessionFactory(user=user)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    site.stop()
    ended = SessionFactory.create_batch(3, user=user)
    for session in ended:
        assert AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.ADMIN) == 1
    suspended = SessionFactory(user=user)
    change_password(user)
    site.start()
    wait_for(lambda: not publisher().failures)
    publisher().stop()
    assert told(site) >= ids(*ended, suspended)
    assert not reader_is_down(site)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("token")]
    assert logged == [
        "Ended sessions cannot be told now, and will be: ConnectionError.",
        "Ended sessions can be told again.",
    ]


def broken():
    raise OperationalError("with what no log may have")


def reader_is_down(redis):
    known = reader(redis)
    known.refuses("any", 1)
    return known.is_down


def test_a_person_deleted_meanwhile_is_told_by_the_process_that_knows(site, user):
    """No row does."""
    session = SessionFactory(user=user)
    site.stop()
    user.delete()
    site.start()
    wait_for(lambda: told(site) == ids(session))
    wait_for(lambda: not publisher().untold)


def test_a_database_that_is_away_stops_nothing_but_the_telling(site, user, monkeypatch, caplog):
    """It is tried again."""
    session = SessionFactory(user=user)
    monkeypatch.setattr(publisher().teller, "tell", lambda entries: None)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    monkeypatch.undo()

    with monkeypatch.context() as patch:
        patch.setattr(rows, "ended_lately", broken)
        assert not publisher().tend()
    assert "OperationalError." in caplog.text
    assert "no log may have" not in caplog.text
    with site.client as client:
        assert not client.exists(EPOCH)
    assert publisher().tend()
    assert told(site) == ids(session)
    with site.client as client:
        client.xtrim(STREAM, maxlen=0)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "ended_lately", broken)
        assert not publisher().make_good()
    assert publisher().tend()
    assert told(site) == ids(session)


def test_a_hanging_redis_costs_one_request_the_time_out(site, user, settings, monkeypatch):
    """The next ones leave it to the thread."""
    settings.TOKENAUTH_REVOCATIONS = site.impatient_url
    sessions = SessionFactory.create_batch(5, user=user)
    assert publisher().make_good()
    tries, tell = [], publisher().teller.tell
    monkeypatch.setattr(publisher(), "start", lambda: None)
    monkeypatch.setattr(publisher().teller, "tell", lambda told: tries.append(told) or tell(told))
    with site.hanging():
        for session in sessions:
            AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.ADMIN)
        assert len(tries) == 1
    assert not publisher().doubts
    wait_for(publisher().tend)
    assert told(site) == ids(*sessions)
    assert publisher().untold == []


def test_a_long_outage_fills_no_memory(site, user, monkeypatch):
    """The rows know what a process does not keep, but for the people who were deleted."""
    monkeypatch.setattr(publishing, "MOST", 3)
    monkeypatch.setattr(publisher(), "start", lambda: None)
    assert publisher().make_good()
    site.stop()
    sessions = SessionFactory.create_batch(6, user=user)
    for session in sessions:
        AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.ADMIN)
    last = SessionFactory()
    last.user.delete()
    assert len(publisher().untold) == 4 + 2
    site.start()
    assert publisher().tend()
    assert publisher().untold == []
    assert told(site) == ids(*sessions, last)


# Redis has lost its memory


def test_a_redis_that_was_emptied_is_told_again(site, user):
    """All that ended within an access token's life, and only then that it is complete."""
    ended, before = SessionFactory.create_batch(2, user=user), SessionFactory()
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    AuthSession.objects.filter(pk=before.pk).update(revoked_at=timezone.now() - 17 * MINUTE)
    suspended = SessionFactory(user=user)
    change_password(user)
    site.restart()
    assert reader_is_down(site)
    assert publisher().tend()
    assert told(site) == ids(*ended, suspended)
    assert not reader_is_down(site)


def test_who_is_back_is_not_told_again(site, user):
    """Their tokens are better by now; and of two moments the one that the stream has is enough."""
    SessionFactory(user=user)
    deactivate(user)
    publisher().tend()
    assert len(entries(site)) == 1
    user.is_active = True
    user.save()
    site.restart()
    assert publisher().tend()
    assert entries(site) == []


def test_a_redis_that_found_an_older_copy_is_told_the_rest(site, user, monkeypatch):
    """Its epoch is there, and so is the stream, but not to the end: nobody may believe it."""
    first, second = SessionFactory.create_batch(2, user=user)
    assert publisher().tend()
    AuthSession.objects.filter(pk=first.pk).revoke(RevokeReason.ADMIN)
    with site.client as client:
        client.save()
    AuthSession.objects.filter(pk=second.pk).revoke(RevokeReason.ADMIN)
    site.restart()
    assert told(site) == ids(first)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "ended_lately", broken)
        assert not publisher().tend()
        assert reader_is_down(site)  # here, where the publisher's thread cannot make it good
    assert publisher().tend()
    assert told(site) == ids(first, second)
    assert not reader_is_down(site)


def test_a_stream_that_was_evicted_is_told_again(site, user):
    """The epoch alone proves nothing."""
    session = SessionFactory(user=user)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    assert publisher().tend()
    with site.client as client:
        client.delete(STREAM)
    assert publisher().tend()
    assert told(site) == ids(session)


def test_none_is_missed_when_redis_restarts_between_revocations(site, user):
    """Whatever was told to which of the two."""
    ended = SessionFactory.create_batch(60, user=user)
    known = reader(site)
    publisher().start()
    wait_for(lambda: not known.refuses("any", 1) and not known.is_down)
    for n, session in enumerate(ended):
        AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.ADMIN)
        if n == 30:
            site.restart()
    wait_for(lambda: all(known.refuses(sid, 1) for sid in ids(*ended)) and not known.is_down)
    fresh = reader(site)
    assert all(fresh.refuses(sid, 1) for sid in ids(*ended))


def test_only_one_process_fills_a_redis(site, user):
    """The others would tell ten thousand sessions once more each."""
    SessionFactory(user=user)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    site.restart()
    with site.client as client:
        client.set(f"{STREAM}:filling", "1", ex=10)
        assert publisher().tend()
        assert entries(site) == []
        client.delete(f"{STREAM}:filling")
    assert publisher().tend()
    assert len(entries(site)) == 1


# A process dies


KILLED = (
    "import os;"
    "from tokenauth.models import AuthSession;"
    "from tokenauth.session.revocations import publishing;"
    "publishing.Publisher.tell = lambda *args, **kwargs: os._exit(0);"
)


@pytest.mark.parametrize(
    "change",
    [
        "AuthSession.objects.all().revoke('admin')",
        "person = AuthSession.objects.get().user; person.set_password('x'); person.save()",
    ],
    ids=["revoked", "new password"],
)
@pytest.mark.parametrize("who", ["another process", "tokenauth_clear"])
def test_what_a_process_left_untold_that_died_after_the_commit_is_told(site, user, change, who):
    """By whichever process looks next."""
    session = SessionFactory(user=user)
    run_django(
        f"{KILLED} {change}; raise SystemExit('nothing was told')",
        {"DJANGO_SETTINGS_MODULE": "tests.settings_revocations", "TEST_REVOCATIONS": site.url},
    )
    assert entries(site) == []
    assert AuthSession.objects.filter(pk=session.pk, revoked_at=None, told=None).count() == 0
    if who == "tokenauth_clear":
        call_command("tokenauth_clear", stdout=io.StringIO())
    else:
        publisher().start()
    wait_for(lambda: told(site) == ids(session))


def test_one_of_all_processes_looks_every_minute(site, user, monkeypatch):
    """For what was left by one that was not started again."""
    assert publisher().tend()
    assert publisher().tend()
    SessionFactory(user=user)
    doors.disconnect()
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    assert publisher().tend()
    assert entries(site) == []
    publisher().looks_at = 0
    with site.client as client:
        client.set(f"{STREAM}:turn", "1")
        assert publisher().tend()
        assert entries(site) == []
        client.delete(f"{STREAM}:turn")
    assert publisher().tend()
    assert entries(site) == []  # its own next turn is in a minute
    publisher().looks_at = 0
    assert publisher().tend()
    assert len(entries(site)) == 1


def test_the_first_request_has_the_stream_looked_after(site):
    """One thread in each process, which a fork does not take with it."""
    doors.begin()
    doors.begin()
    with publisher().lock:
        publisher().start()
    threads = [t for t in threading.enumerate() if t.name == "tokenauth-revocations"]
    assert len(threads) == 1
    wait_for(lambda: not reader_is_down(site))
    publisher().stop()
    with publisher().lock:
        publisher().start()
    assert not publisher().thread.is_alive()


# Commands


def test_clearing_says_when_redis_is_away(site):
    """The exit code is that of the clearing."""
    site.stop()
    call_command("tokenauth_clear", stdout=io.StringIO(), stderr=(err := io.StringIO()))
    assert "is Redis away?" in err.getvalue()


def test_a_dry_run_tells_nothing(site):
    """It only counts."""
    call_command("tokenauth_clear", "--dry-run", stdout=io.StringIO())
    with site.client as client:
        assert not client.exists(EPOCH)


# Rights and secrets


def test_the_issuer_needs_no_other_rights_than_the_page_gives_it(site, user, settings):
    """Telling, filling, taking turns: the lines are those of the how-to."""
    give_rights(site)
    settings.TOKENAUTH_REVOCATIONS = site.url_of("issuer", "its-password")
    session = SessionFactory(user=user)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    publisher().looks_at = 0
    assert publisher().tend()
    assert publisher().tend()
    assert told(site) == ids(session)
    assert not reader_is_down(site)


def test_the_password_of_redis_is_in_no_log(site, user, caplog):
    """Nor in a repr, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    SessionFactory(user=user)
    AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN)
    site.stop()
    assert not publisher().tend()
    publisher().teller.client.connection_pool.reset()
    site.password = "another"
    site.start()
    assert not publisher().tend()
    shown = caplog.text + repr(vars(publisher())) + repr(vars(publisher().teller))
    assert "Pass" not in shown
    assert "word:1" not in shown


# The words of the stream


@pytest.mark.parametrize(
    ("before", "since", "lacks"),
    [(None, None, False), (None, 5, False), (4, 5, True), (5, 5, False), (5, None, True)],
)
def test_what_a_stream_lacks(before, since, lacks):
    """A later or a wider word covers an earlier or a narrower one."""
    assert lacking({"sid": before}, "sid", since) is lacks
    assert lacking({}, "sid", since)


# Where it is off


def test_a_site_without_it_imports_and_asks_nothing():
    """Beyond the column."""
    run_django(
        "import sys; from django.db.models.signals import post_save, pre_delete;"
        "from django.contrib.auth import get_user_model;"
        "assert not {'redis', 'tokenauth.session.revocations'} & {*sys.modules};"
        "assert not post_save.has_listeners(get_user_model());"
        "assert not pre_delete.has_listeners(get_user_model())",
        {},
    )


def test_a_site_with_it_watches_from_the_start(site):
    """Its doors are connected when Django is."""
    run_django(
        "from django.db.models.signals import post_save, pre_delete;"
        "from django.contrib.auth import get_user_model;"
        "assert post_save.has_listeners(get_user_model());"
        "assert pre_delete.has_listeners(get_user_model())",
        {"DJANGO_SETTINGS_MODULE": "tests.settings_revocations", "TEST_REVOCATIONS": site.url},
    )


def test_a_database_without_partial_indexes_is_no_reason_to_warn(monkeypatch):
    """MariaDB makes it an index of all rows."""
    monkeypatch.setattr(BaseDatabaseFeatures, "supports_partial_indexes", False)
    monkeypatch.setattr(type(connection.features), "supports_partial_indexes", False)
    assert AuthSession.check(databases=["default"]) == []
