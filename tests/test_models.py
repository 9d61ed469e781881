"""The session: start, look up, rotate, revoke, confirm; each one statement, on any database."""

import logging
import pickle
import re
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.template.defaultfilters import pprint
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.views.debug import ExceptionReporter

from tests.factories import PASSWORD, SessionFactory, UserFactory
from tokenauth import signals
from tokenauth.exceptions import (
    InvalidToken,
    SessionEnded,
    SessionSuspended,
    TokenAuthError,
    TokenMismatched,
    TokenReused,
)
from tokenauth.models import AuthSession
from tokenauth.secret import Secret
from tokenauth.session import devices, tokens
from tokenauth.session.database.batches import BATCH
from tokenauth.session.database.contention import TRIES
from tokenauth.session.endings import RevokeReason
from tokenauth.session.rotation import Step
from tokenauth.session.transitions import AuthSessionManager, Brought

pytestmark = [pytest.mark.django_db, pytest.mark.users]

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SIGNALS = ["session_started", "session_rotated", "session_revoked", "refresh_token_reused"]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)


@pytest.fixture(autouse=True)
def clock():
    """Noon on a day in March, until a test shifts it."""
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture
def request_(rf: RequestFactory):
    return rf.get("/", HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="192.0.2.7")


@pytest.fixture
def session(user):
    return SessionFactory(user=user)


@pytest.fixture
def sent():
    """Every signal of ours that was sent: its name, and what it carried."""
    found, receivers = [], []
    for name in SIGNALS:

        def receive(sender, signal, name=name, **kwargs):
            found.append((name, kwargs))

        getattr(signals, name).connect(receive)
        receivers.append((getattr(signals, name), receive))
    yield found
    for signal, receiver in receivers:
        signal.disconnect(receiver)


@pytest.fixture
def broken_receivers():
    """A receiver that fails, on every signal."""

    def fail(**kwargs):
        raise RuntimeError("a receiver's own fault")

    for name in SIGNALS:
        getattr(signals, name).connect(fail)
    yield
    for name in SIGNALS:
        getattr(signals, name).disconnect(fail)


def token_of(session):
    return tokens.remake_refresh_token(session).reveal()


def hash_of(raw):
    return str(tokens.hash_token(Secret(raw)))


def rotate(raw, request=None):
    return AuthSession.objects.rotate(raw, request)


def fresh(session):
    return AuthSession.objects.get(pk=session.pk)


def columns(session):
    return AuthSession.objects.filter(pk=session.pk).values().get()


def names(sent):
    return [name for name, _ in sent]


# Start


def test_starting_stores_one_row_for_the_sign_in(user, request_):
    """A new session says who, from where, and until when."""
    started = AuthSession.objects.start(request_, user)
    assert columns(started) == {
        "id": started.pk,
        "user_id": user.pk,
        "backend": "django.contrib.auth.backends.ModelBackend",
        "auth_hash": user.get_session_auth_hash(),
        "token_hash": hash_of(token_of(started)),
        "rotation": 0,
        "rotated_at": NOW,
        "issued_at": NOW,
        "confirmed": False,
        "created_at": NOW,
        "authenticated_at": NOW,
        "last_seen_at": NOW,
        "expires_at": NOW + 30 * DAY,
        "absolute_expires_at": NOW + 180 * DAY,
        "persistent": True,
        "adopted_from": None,
        "django_session": None,
        "ip_address": "192.0.2.7",
        "user_agent": FIREFOX,
        "device": "Firefox on Linux",
        "device_kind": "desktop",
        "client": "browser",
        "client_name": "",
        "key_thumbprint": None,
        "revoked_at": None,
        "revoke_reason": "",
        "reuse_ip_address": None,
        "reuse_user_agent": "",
        "told": None,
        "device_key": "",
        "second_key_at": None,
    }
    assert started.active


@pytest.mark.parametrize(
    ("options", "idle", "absolute"),
    [
        ({}, 30 * DAY, 180 * DAY),
        ({"persistent": False}, 12 * HOUR, 180 * DAY),
        ({"ends_at": NOW + HOUR}, HOUR, HOUR),
        ({"ends_at": NOW + 365 * DAY}, 30 * DAY, 180 * DAY),
    ],
    ids=["persistent", "browser-session", "ends-sooner", "never-longer"],
)
def test_a_session_ends_when_it_was_agreed(user, options, idle, absolute):
    """Idle and absolute lifetime follow the settings and what the sign-in asked for."""
    started = AuthSession.objects.start(None, user, **options)
    assert (started.expires_at - NOW, started.absolute_expires_at - NOW) == (idle, absolute)


@pytest.mark.parametrize(
    "meta",
    [
        {"HTTP_USER_AGENT": "a\x00b", "REMOTE_ADDR": ""},
        {"HTTP_USER_AGENT": "x" * 10_000, "REMOTE_ADDR": "unix:"},
        {"HTTP_USER_AGENT": "\U0001f98a" * 512, "REMOTE_ADDR": "not an address"},
        {"HTTP_USER_AGENT": "caf\xc3\xa9", "REMOTE_ADDR": "fe80::1%eth0"},
    ],
    ids=["nul", "10-kB", "emoji", "latin-1"],
)
def test_no_header_keeps_anybody_from_signing_in(user, rf, meta):
    """Each database stores whatever a client says about itself."""
    started = AuthSession.objects.start(rf.get("/", **meta), user)
    assert len(fresh(started).user_agent) <= 512


def test_a_session_goes_by_its_person_and_in_a_shell_by_its_id(session, user):
    """Staff know it by the one; in a shell it can be told from others, and found."""
    assert str(session) == f"{user.get_username()}, Unknown device"
    assert repr(session) == f"<AuthSession {session.pk}>"


def test_a_session_outside_a_request_has_no_device(user):
    """A shell has neither address nor browser."""
    started = AuthSession.objects.start(None, user)
    assert (started.ip_address, started.user_agent, started.device) == (None, "", "")


def test_starting_tells_the_receivers(user, request_, sent):
    """``session_started`` carries the session and the request."""
    started = AuthSession.objects.start(request_, user)
    assert sent == [("session_started", {"session": started, "request": request_})]


def test_the_caller_says_which_backend_if_there_are_several(user, settings):
    """As Django's ``login()`` does."""
    settings.AUTHENTICATION_BACKENDS = ["a.B", "c.D"]
    with pytest.raises(ValueError, match="backend="):
        AuthSession.objects.start(None, user)
    assert AuthSession.objects.start(None, user, backend="c.D").backend == "c.D"


def test_the_backend_that_authenticated_is_noted(user, settings):
    """As ``authenticate()`` says it, on the user."""
    settings.AUTHENTICATION_BACKENDS = ["a.B", "c.D"]
    user.backend = "a.B"
    assert AuthSession.objects.start(None, user).backend == "a.B"


def test_behind_a_proxy_the_address_is_the_persons(user, rf, settings):
    """As far as the site trusts its proxies."""
    settings.TOKENAUTH_TRUSTED_PROXY_COUNT = 1
    request = rf.get("/", HTTP_X_FORWARDED_FOR="192.0.2.9", REMOTE_ADDR="10.0.0.1")
    assert AuthSession.objects.start(request, user).ip_address == "192.0.2.9"


def test_the_first_token_is_the_one_the_stored_row_gives(session):
    """What was made before the row was stored is made again from the database's copy."""
    assert token_of(fresh(session)) == token_of(session)


def test_a_session_that_has_just_begun_can_be_pickled(user, request_):
    """A receiver may queue it. Its token stays behind: whoever has the row and the key makes it."""
    session = AuthSession.objects.start(request_, user)
    raw = session.refresh_token.reveal()
    again = pickle.loads(pickle.dumps(session))  # noqa: S301  # our own bytes
    assert raw.encode() not in pickle.dumps(session)
    assert again == session
    assert again.refresh_token.reveal() == raw


def test_a_session_that_was_read_again_has_the_token_of_its_row(session, clock):
    """Not the one that it was given when it was made."""
    clock.shift(HOUR)
    rotated = rotate(token_of(session))
    clock.shift(HOUR)
    newest = rotate(rotated.refresh_token)
    rotated.refresh_from_db()
    assert rotated.refresh_token.reveal() == newest.refresh_token.reveal()


class OnlyTheWriter:
    """Sessions are to be read where they are written: a replica would lag behind a revoke."""

    def db_for_read(self, model, **hints):
        return "replica" if model is AuthSession else None

    def db_for_write(self, model, **hints):
        return "default" if model is AuthSession else "replica"


def test_a_replica_is_never_asked(session, settings, clock, django_assert_num_queries):
    """There is no database called "replica" here: who asked it would fail."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 2
    settings.DATABASE_ROUTERS = [OnlyTheWriter()]
    started = AuthSession.objects.start(None, session.user)
    clock.shift(HOUR)
    assert rotate(token_of(started)).rotation == 1
    assert AuthSession.objects.look_up(started.pk).user == session.user
    started.confirm()
    started.set_auth_hash("new")
    assert AuthSession.objects.filter(pk=started.pk).revoke("admin") == 1
    assert AuthSession.objects.filter(pk=session.pk).revoke("admin") == 1


def test_a_person_may_be_read_from_a_replica(user):
    """Django's ``login()`` does not ask routers whether it may."""
    user._state.db = "replica"
    session = AuthSession.objects.start(None, user)
    assert session.user is user


def test_a_backend_may_read_the_person_from_a_replica(session, user, monkeypatch):
    """Its ``get_user`` is asked in each request."""
    user._state.db = "replica"
    monkeypatch.setattr("tokenauth.session.users.vouch_for", lambda session: user)
    assert AuthSession.objects.look_up(session.pk).user is user


# The limit


def test_over_the_limit_the_longest_unseen_sessions_end(user, settings, clock, sent):
    """A new sign-in always succeeds; the oldest devices pay for it."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 2
    stranger = SessionFactory()
    started = []
    for _ in range(3):
        clock.shift(HOUR)
        started.append(SessionFactory(user=user))
    assert set(AuthSession.objects.active()) == {stranger, *started[1:]}
    assert fresh(started[0]).revoke_reason == RevokeReason.LIMIT
    [(_, ended)] = [entry for entry in sent if entry[0] == "session_revoked"]
    assert (ended["session"], ended["reason"]) == (started[0], RevokeReason.LIMIT)


def test_receivers_are_told_whose_sign_in_was_one_too_many(user, settings, request_, sent):
    """The request of the new sign-in, which ended the old one."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
    SessionFactory(user=user)
    AuthSession.objects.start(request_, user)
    [ended] = [kwargs for name, kwargs in sent if name == "session_revoked"]
    assert ended["request"] is request_


def test_signing_in_again_costs_no_other_device_its_place(user, settings, clock, request_):
    """The session that the new one replaces has ended by then."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 2
    phone, laptop = SessionFactory(user=user), SessionFactory(user=user)
    clock.shift(HOUR)
    again = AuthSession.objects.start(request_, user, replaces={laptop.pk})
    assert set(AuthSession.objects.active()) == {phone, again}


def test_who_takes_over_a_browser_is_limited_like_anybody_else(user, settings, clock):
    """What ended there was another person's, and made no room."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
    own, others = SessionFactory(user=user), SessionFactory()
    clock.shift(HOUR)
    started = AuthSession.objects.start(None, user, replaces={others.pk})
    assert list(AuthSession.objects.active()) == [started]
    assert (fresh(own).revoke_reason, fresh(others).revoke_reason) == ("limit", "replaced")


def test_a_sign_in_that_replaces_nothing_active_is_limited(user, settings, clock):
    """One that has ended made no room either."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
    own, over = SessionFactory(user=user), SessionFactory(user=user)
    assert fresh(own).revoke_reason == "limit"
    clock.shift(HOUR)
    started = AuthSession.objects.start(None, user, replaces={own.pk})
    assert list(AuthSession.objects.active()) == [started]
    assert fresh(over).revoke_reason == "limit"


def test_two_sign_ins_at_once_do_not_end_each_other(user, settings, clock, monkeypatch):
    """Under a limit of one the younger stays, whoever looks first."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
    looks = []
    enforce = AuthSessionManager._enforce_limit
    monkeypatch.setattr(AuthSessionManager, "_enforce_limit", lambda *args: looks.append(args))
    SessionFactory(user=user)
    clock.shift(timedelta(milliseconds=1))
    younger = SessionFactory(user=user)
    for look in looks:  # both rows are there before either looks
        enforce(*look)
    assert list(AuthSession.objects.active()) == [younger]


def test_a_limit_holds_although_another_servers_clock_is_ahead(user, settings, clock):
    """The earlier sign-in seems to be the later one."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
    clock.shift(timedelta(seconds=2))
    SessionFactory(user=user)
    clock.shift(timedelta(seconds=-1))
    newest = SessionFactory(user=user)
    assert list(AuthSession.objects.active()) == [newest]


def test_a_limit_of_one_leaves_the_newest(user, settings):
    """Even if nothing tells the others apart."""
    SessionFactory.create_batch(3, user=user)
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
    newest = SessionFactory(user=user)
    assert list(AuthSession.objects.active()) == [newest]


def test_a_limit_costs_the_same_however_many_are_over_it(user, settings):
    """Somebody who gathered sessions before there was a limit signs in like anybody else."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = None
    costs = []
    for surplus in (2, 20):
        SessionFactory.create_batch(surplus, user=user)
        settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 1
        with CaptureQueriesContext(connection) as queries:
            SessionFactory(user=user)
        costs.append(len(queries))
        settings.TOKENAUTH_MAX_SESSIONS_PER_USER = None
    assert costs[0] == costs[1]
    assert AuthSession.objects.active().count() == 1


def test_without_a_limit_nothing_ends(user, settings):
    """None means any number."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = None
    SessionFactory.create_batch(4, user=user)
    assert AuthSession.objects.active().count() == 4


# Active, and looked up


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, None),
        ({"revoked_at": NOW}, SessionEnded),
        ({"expires_at": NOW}, SessionSuspended),
        ({"expires_at": NOW + timedelta(microseconds=1)}, None),
        ({"expires_at": NOW - DAY}, SessionSuspended),
        ({"expires_at": NOW - DAY - timedelta(microseconds=1)}, SessionEnded),
        ({"absolute_expires_at": NOW}, SessionSuspended),
        ({"absolute_expires_at": NOW - 2 * DAY}, SessionEnded),
    ],
    ids=[
        "started",
        "revoked",
        "idle-over",
        "idle-not-over",
        "idle-over-for-a-day",
        "idle-long-over",
        "absolute-over",
        "absolute-long-over",
    ],
)
def test_an_active_session_is_neither_revoked_nor_expired(session, fields, error):
    """Queryset, property and look-up agree; only after a day is it no fault of the clock's."""
    AuthSession.objects.filter(pk=session.pk).update(**fields)
    assert AuthSession.objects.active().exists() is (error is None)
    assert fresh(session).active is (error is None)
    with pytest.raises(error) if error else nullcontext():
        AuthSession.objects.look_up(session.pk)


def test_looking_up_takes_one_query_with_the_user(session, user):
    """Session and user are joined."""
    with CaptureQueriesContext(connection) as queries:
        assert AuthSession.objects.look_up(session.pk).user == user
    assert len(queries) == 1


def test_an_ended_session_says_why(session):
    """The exception carries the id and the reason; a session that is gone has none."""
    AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    for sid, reason in [(session.pk, "admin"), (uuid4(), "")]:
        with pytest.raises(SessionEnded) as caught:
            AuthSession.objects.look_up(sid)
        assert (caught.value.sid, caught.value.reason) == (sid, reason)


def suspend_by_password(user):
    user.set_password("another")


def suspend_by_flag(user):
    user.is_active = False


SUSPENSIONS = pytest.mark.parametrize("suspend", [suspend_by_password, suspend_by_flag])


@SUSPENSIONS
def test_a_suspended_session_is_not_written_to(session, user, suspend):
    """Inactive people and changed passwords sign nobody in, and nothing is written down."""
    raw, before = token_of(session), columns(session)
    suspend(user)
    user.save()
    for attempt in (lambda: AuthSession.objects.look_up(session.pk), lambda: rotate(raw)):
        with pytest.raises(SessionSuspended):
            attempt()
    assert columns(session) == before


def test_a_deleted_user_has_no_sessions(session, user):
    """The token of a deleted person is a token of an ended session."""
    raw = token_of(session)
    user.delete()
    with pytest.raises(SessionEnded):
        rotate(raw)


# Rotate, with each outcome


def test_a_current_token_is_replaced_by_its_successor(session, request_, clock, sent):
    """Another token, in the same row; what was confirmed is not any more."""
    raw = token_of(session)
    session.confirm()
    clock.shift(DAY)
    rotated = rotate(raw, request_)
    assert rotated.step is Step.ROTATE
    assert token_of(rotated) == token_of(fresh(session)) != raw
    now = NOW + DAY
    expected = {"rotation": 1, "confirmed": False, "expires_at": now + 30 * DAY}
    expected |= dict.fromkeys(["rotated_at", "issued_at", "last_seen_at"], now)
    expected |= {"token_hash": hash_of(token_of(rotated))}
    expected |= {"ip_address": "192.0.2.7", "user_agent": FIREFOX}
    expected |= {"device": "Firefox on Linux", "device_kind": "desktop"}
    row = columns(session)
    assert {name: row[name] for name in expected} == expected
    assert AuthSession.objects.count() == 1
    assert sent == [("session_rotated", {"session": rotated, "request": request_})]


def test_rotating_takes_two_queries(session, clock):
    """One that looks, one that writes; no savepoint, no lock."""
    raw = token_of(session)
    clock.shift(HOUR)
    with CaptureQueriesContext(connection) as queries:
        rotate(raw)
    assert len(queries) == 2


def test_outside_a_request_the_device_stays_known(user, request_, clock):
    """A rotation without request doesn't forget where the session lives."""
    session = AuthSession.objects.start(request_, user)
    clock.shift(HOUR)
    rotate(token_of(session))
    assert (fresh(session).ip_address, fresh(session).user_agent) == ("192.0.2.7", FIREFOX)


def test_a_device_is_parsed_again_only_when_it_calls_itself_otherwise(
    user, rf, request_, clock, monkeypatch
):
    """Parsing is slow, and most rotations come from the browser that signed in."""
    session, parsed = AuthSession.objects.start(request_, user), []
    describe = devices.describe
    monkeypatch.setattr(devices, "describe", lambda agent: parsed.append(agent) or describe(agent))
    for agent in (FIREFOX, PHONE):
        clock.shift(HOUR)
        session = rotate(token_of(session), rf.get("/", HTTP_USER_AGENT=agent))
    assert parsed == [PHONE]
    assert (fresh(session).device, fresh(session).device_kind) == ("Safari on iPhone", "phone")


def test_a_token_that_was_only_just_handed_out_stays(session, clock, sent):
    """Inside the grace period nothing changes: parallel tabs share the token."""
    before = columns(session)
    clock.shift(59)
    found = rotate(token_of(session))
    assert (found.step, columns(session)) == (Step.DEBOUNCE, before)
    assert sent == []


@pytest.mark.parametrize("later", [timedelta(0), 20 * DAY], ids=["at-once", "weeks-later"])
def test_a_predecessor_gets_the_same_successor_again(session, clock, later):
    """A lost answer costs nothing, however late: the very same token is handed out again."""
    raw = token_of(session)
    clock.shift(HOUR)
    rotated = rotate(raw)
    clock.shift(later)
    again = rotate(raw)
    assert again.step is Step.REISSUE
    assert token_of(again) == token_of(rotated)
    row = columns(session)
    assert (row["rotation"], row["rotated_at"], row["issued_at"]) == (
        1,
        NOW + HOUR,
        NOW + HOUR + later,
    )


def rotated_twice(session, clock):
    """Spend a session's first two tokens, and return all three."""
    raws = [token_of(session)]
    for _ in range(2):
        clock.shift(HOUR)
        raws.append(token_of(rotate(raws[-1])))
    return raws


def confirmed(session, clock):
    """Spend a session's first token, confirm its successor, and return both."""
    raws = [token_of(session)]
    clock.shift(HOUR)
    rotated = rotate(raws[0])
    rotated.confirm()
    return [*raws, token_of(rotated)]


@pytest.mark.parametrize("past", [rotated_twice, confirmed], ids=["two-behind", "confirmed"])
def test_a_spent_token_that_comes_back_ends_the_session(session, request_, clock, past):
    """Reuse is theft: of the two who hold copies, neither is signed in any more."""
    raws = past(session, clock)
    with pytest.raises(TokenReused) as caught:
        rotate(raws[0], request_)
    assert (caught.value.sid, caught.value.reason) == (session.pk, "reuse")
    assert (fresh(session).revoked_at, fresh(session).revoke_reason) == (timezone.now(), "reuse")
    for raw in raws:
        with pytest.raises(SessionEnded):
            rotate(raw)


def test_receivers_and_the_log_are_told_of_reuse(session, request_, clock, sent, caplog):
    """``session_revoked``, ``refresh_token_reused``, and one WARNING."""
    raw = rotated_twice(session, clock)[0]
    sent.clear()
    with caplog.at_level(logging.WARNING, "tokenauth.security"), pytest.raises(TokenReused):
        rotate(raw, request_)
    carried = {"session": session, "request": request_}
    assert sent == [
        ("session_revoked", carried | {"reason": RevokeReason.REUSE}),
        ("refresh_token_reused", carried),
    ]
    [record] = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "tokenauth.security")
    assert record.getMessage().startswith(f"Session {session.pk} ended: ")


def evidence(session):
    """Who brought the token that ended a session, as its row says."""
    row = fresh(session)
    return row.reuse_ip_address, row.reuse_user_agent, row.reuse_device


def test_who_brought_the_spent_token_is_kept_beside_whose_it_was(
    user, rf, request_, clock, sent, caplog
):
    """In the row, in the signals and in the log: the person, both devices, both addresses."""
    session = AuthSession.objects.start(request_, user)
    raw = rotated_twice(session, clock)[0]
    with caplog.at_level(logging.WARNING, "tokenauth.security"), pytest.raises(TokenReused):
        rotate(raw, rf.get("/", HTTP_USER_AGENT=PHONE, REMOTE_ADDR="203.0.113.9"))
    brought = ("203.0.113.9", PHONE, "Safari on iPhone")
    assert evidence(session) == brought
    assert (fresh(session).ip_address, fresh(session).device) == ("192.0.2.7", "Firefox on Linux")
    told = [kwargs["session"] for _, kwargs in sent[-2:]]
    assert {(s.reuse_ip_address, s.reuse_user_agent, s.reuse_device) for s in told} == {brought}
    [message] = caplog.messages
    assert message == (
        f"Session {session.pk} ended: a spent refresh token came back. "
        f"User {user.pk} was on 'Firefox on Linux' at 192.0.2.7; "
        "the token came from 'Safari on iPhone' at 203.0.113.9."
    )


def test_who_brings_a_spent_token_second_does_not_cover_up_who_was_first(
    session, rf, request_, clock, monkeypatch
):
    """Both have seen the session alive; one of them ended it."""
    raw = rotated_twice(session, clock)[0]

    def first(seen):
        with pytest.raises(TokenReused):
            rotate(raw, rf.get("/", HTTP_USER_AGENT=PHONE, REMOTE_ADDR="203.0.113.9"))

    race(monkeypatch, first)
    with pytest.raises(TokenReused):
        rotate(raw, request_)
    assert evidence(session) == ("203.0.113.9", PHONE, "Safari on iPhone")


def test_outside_a_request_nobody_brought_it(session, clock):
    """As in a shell: there is neither address nor device to keep."""
    with pytest.raises(TokenReused):
        rotate(rotated_twice(session, clock)[0])
    assert evidence(session) == (None, "", "")


def restore_older_row(session, clock):
    """Take a token, then put the database back to before it was made."""
    row = columns(session)
    clock.shift(HOUR)
    raw = token_of(rotate(token_of(session)))
    AuthSession.objects.filter(pk=session.pk).update(**row)
    return raw


def forge_with_leaked_key(session, clock):
    """Make a token of the current count that was never handed out."""
    session.rotated_at -= timedelta(seconds=1)
    return tokens.make_refresh_token(session, tokens.secret_keys()[0]).reveal()


@pytest.mark.parametrize(
    ("make", "guess"),
    [
        (
            restore_older_row,
            "Was a rotation rolled back by a transaction around it, or a backup restored?",
        ),
        (forge_with_leaked_key, "Was a backup restored, or has a key leaked?"),
    ],
)
def test_a_token_that_the_database_never_knew_ends_the_session(
    session, request_, clock, sent, caplog, make, guess
):
    """A restored backup or a leaked key: an ERROR in the log, and no talk of reuse."""
    raw = make(session, clock)
    sent.clear()
    with caplog.at_level(logging.WARNING, "tokenauth.security"), pytest.raises(TokenMismatched):
        rotate(raw, request_)
    assert evidence(session) == ("192.0.2.7", FIREFOX, "Firefox on Linux")
    assert fresh(session).revoke_reason == RevokeReason.MISMATCH
    assert [(name, kwargs["reason"]) for name, kwargs in sent] == [("session_revoked", "mismatch")]
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == (
        f"Session {session.pk} ended: its refresh token is newer than the database. {guess} "
        f"User {session.user_id} was on '' at 127.0.0.1; "
        "the token came from 'Firefox on Linux' at 192.0.2.7."
    )


def test_reuse_is_told_once(session, clock, sent, caplog):
    """A thief who comes back again finds an ended session, and makes no second alarm."""
    raw = rotated_twice(session, clock)[0]
    with pytest.raises(TokenReused):
        rotate(raw)
    sent.clear()
    caplog.clear()
    with pytest.raises(SessionEnded) as caught:
        rotate(raw)
    assert type(caught.value) is SessionEnded
    assert (sent, caplog.records) == ([], [])


@pytest.mark.parametrize("raw", ["", "garbage", "a.b.c", "x" * 10_000])
def test_garbage_is_refused_without_a_query(session, raw):
    """Nobody can end a session, or make work, by guessing."""
    with CaptureQueriesContext(connection) as queries, pytest.raises(InvalidToken):
        rotate(raw)
    assert len(queries) == 0


def test_an_expired_refresh_token_is_refused_without_a_query(session, clock):
    """Nor by keeping one past its time; another look finds the session as it was."""
    raw = token_of(session)
    clock.shift(31 * DAY)
    with CaptureQueriesContext(connection) as queries, pytest.raises(InvalidToken):
        rotate(raw)
    assert len(queries) == 0
    assert fresh(session).revoked_at is None


def test_an_access_token_does_not_refresh(session):
    """The two tokens never stand for each other."""
    with pytest.raises(InvalidToken):
        rotate(tokens.issue_access_token(session)[0].reveal())


@pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "browser-session"])
def test_use_prolongs_a_session_up_to_its_absolute_end(user, clock, persistent):
    """The idle lifetime starts anew with each rotation; the absolute one never does."""
    session = SessionFactory(user=user, persistent=persistent, ends_at=NOW + 14 * HOUR)
    clock.shift(HOUR)
    rotated = rotate(token_of(session))
    ends = (14 if persistent else 13) * HOUR
    assert rotated.expires_at == NOW + ends
    clock.shift(6 * HOUR)
    assert rotate(token_of(rotated)).expires_at == NOW + 14 * HOUR
    clock.shift(8 * HOUR)
    with pytest.raises((SessionEnded, InvalidToken)):
        rotate(token_of(fresh(session)))


UPDATES = ("updated", "hot_updated")


def test_confirming_writes_to_no_index(session, rf, clock):
    """Nor does a rotation, but for the session's end."""
    indexed = {name for index in AuthSession._meta.indexes for name in index.fields}
    indexed |= {field.name for field in AuthSession._meta.fields if field.db_index or field.unique}
    before = AuthSession.objects.values(*indexed).get()
    clock.shift(DAY)
    rotated = rotate(token_of(session), rf.get("/", HTTP_USER_AGENT=PHONE))
    clock.shift(HOUR)
    rotated.confirm()
    assert fresh(session).confirmed
    after = AuthSession.objects.values(*indexed).get()
    assert after == before | {"expires_at": rotated.expires_at}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has HOT updates")
def test_postgresql_confirms_without_a_write_to_an_index(session, clock):
    """It says itself how many updates were heap-only. The row's page has room for one of them."""
    before = updates()
    clock.shift(HOUR)
    session.confirm()
    assert [now - then for now, then in zip(updates(), before, strict=True)] == [1, 1]


def updates():
    """How many updates there were in this transaction, and how many of them heap-only."""
    kinds = ", ".join(f"pg_stat_get_xact_tuples_{k}(%s::regclass)" for k in UPDATES)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {kinds}", [AuthSession._meta.db_table] * 2)
        return cursor.fetchone()


def test_writing_a_rotation_leaves_other_columns_alone(session, clock, monkeypatch):
    """A stale copy written back would undo a password change."""
    stale = AuthSession.objects.look_up(session.pk)
    AuthSession.objects.update(auth_hash="changed meanwhile", backend="b", confirmed=True)
    clock.shift(HOUR)
    AuthSession.objects._advance(stale, None)
    row = columns(session)
    assert (row["auth_hash"], row["backend"], row["rotation"]) == ("changed meanwhile", "b", 1)


def test_a_server_that_lacks_the_key_changes_nothing(session, clock, settings):
    """It cannot make the successor again, so it must not say that it handed it out."""
    raw = token_of(session)
    clock.shift(HOUR)
    known = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next key", [known]
    rotate(raw)
    before = columns(session)
    clock.shift(HOUR)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = known, []
    with pytest.raises(InvalidToken):
        rotate(raw)
    assert columns(session) == before


def test_a_token_that_is_handed_out_again_is_noted(session, clock):
    """On the row, and on the session that is given back."""
    clock.shift(HOUR)
    again = AuthSession.objects._reissue(session)
    row = columns(session)
    assert again.issued_at == row["issued_at"] == NOW + HOUR
    assert row["rotated_at"] == NOW


# Races: someone else was faster


def race(monkeypatch, rival, times=1):
    """Let ``rival`` go first, between a rotation's look and its write, so many times."""
    look_up, left = AuthSessionManager.look_up, [times]

    def outrun(self, sid):
        found = look_up(self, sid)
        if left[0]:
            left[0] -= 1
            rival(found)
        return found

    monkeypatch.setattr(AuthSessionManager, "look_up", outrun)


def test_of_two_rotations_one_wins_and_both_get_the_same_token(session, clock, monkeypatch):
    """The slower one is told what the faster one did."""
    raw = token_of(session)
    clock.shift(HOUR)
    winners = []
    race(monkeypatch, lambda seen: winners.append(AuthSession.objects._advance(seen, None)))
    late = rotate(raw)
    assert late.step is Step.REISSUE
    assert token_of(late) == token_of(winners[0])
    assert fresh(session).rotation == 1


def test_a_token_that_is_replaced_meanwhile_is_not_handed_out_again(session, clock):
    """Its successor may be with the browser already."""
    seen = fresh(session)
    clock.shift(HOUR)
    rotate(token_of(session))
    before = columns(session)
    assert AuthSession.objects._reissue(seen) is None
    assert columns(session) == before


@pytest.mark.parametrize("spent", [False, True], ids=["rotate", "reissue"])
def test_a_session_that_ends_meanwhile_is_not_revived(session, clock, monkeypatch, spent):
    """A revoke between the look and the write wins."""
    raw = token_of(session)
    clock.shift(HOUR)
    if spent:
        rotate(raw)
    race(monkeypatch, lambda seen: AuthSession.objects.all().revoke(RevokeReason.ADMIN))
    with pytest.raises(SessionEnded):
        rotate(raw)
    assert fresh(session).revoke_reason == RevokeReason.ADMIN


def test_reuse_that_another_process_saw_first_is_told_once(session, clock, monkeypatch, sent):
    """The later one adds neither an alarm nor another reason."""
    raw = rotated_twice(session, clock)[0]
    race(monkeypatch, lambda seen: AuthSession.objects.all().revoke(RevokeReason.LOGOUT))
    sent.clear()
    with pytest.raises(TokenReused):
        rotate(raw)
    assert names(sent) == ["session_revoked"]
    assert fresh(session).revoke_reason == RevokeReason.LOGOUT


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (lambda s: rotate("nonsense"), "not a JWT"),
        (lambda s: rotate("a.b.c"), "not signed by this site"),
        (lambda s: AuthSession.objects.look_up(uuid4()), "has ended (expired or deleted)"),
        (
            lambda s: AuthSession.objects.look_up(s.pk),
            "its time is over, unless the clock is wrong",
        ),
        (lambda s: rotate(token_of(s)), "expired"),
        (
            lambda s: tokens.remake_refresh_token(
                AuthSession(pk=s.pk, rotated_at=NOW, expires_at=NOW)
            ).reveal(),
            "no key of this site makes this session's refresh token",
        ),
    ],
    ids=["garbage", "foreign", "gone", "over", "expired", "unmakeable"],
)
def test_every_refusal_says_why(session, clock, fail, words):
    """In words for whoever reads the log, and without the token."""
    clock.shift(30 * DAY + HOUR)
    with pytest.raises(TokenAuthError) as refused:
        fail(session)
    assert str(refused.value).endswith(words)


@pytest.mark.parametrize("spent", [False, True], ids=["rotate", "reissue"])
def test_a_good_token_that_is_outrun_every_time_still_signs_in(session, clock, monkeypatch, spent):
    """It gets what those who were faster have written, and there is no guess about theft."""
    raw = token_of(session)
    clock.shift(HOUR)
    if spent:
        rotate(raw)
    before = columns(session)
    for door in ("_advance", "_reissue"):
        monkeypatch.setattr(AuthSessionManager, door, lambda *args: None)
    assert rotate(raw).step is (Step.REISSUE if spent else Step.DEBOUNCE)
    assert columns(session) == before


class ConflictError(Exception):
    """What a driver raises for a serialization failure; Django wraps it."""

    def __init__(self, **codes):
        self.__dict__ = codes


@contextmanager
def refusing(times, error, cause=None):
    """Let the database refuse that many UPDATEs; give those that were tried."""
    tried = []

    def refuse(execute, sql, *args):
        if sql.startswith("UPDATE"):
            tried.append(sql)
            if len(tried) <= times:
                raise error from cause
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        yield tried


LOST = {
    "psycopg": (OperationalError("could not serialize access"), ConflictError(sqlstate="40001")),
    "psycopg2-deadlock": (OperationalError("deadlock detected"), ConflictError(pgcode="40P01")),
    "mysql-deadlock": (OperationalError(1213, "Deadlock found"),),
    "mariadb": (OperationalError(1020, "Record has changed since last read"),),
}


@pytest.fixture
def spendable(transactional_db, clock):
    """The token of a session that is ready to rotate, outside any transaction."""
    raw = token_of(SessionFactory())
    clock.shift(HOUR)
    return raw


@pytest.mark.parametrize("error", LOST.values(), ids=LOST)
def test_a_write_that_lost_against_another_is_tried_again(spendable, error):
    """A serialization failure or a deadlock means that someone was faster."""
    with refusing(TRIES - 1, *error) as tried:
        assert rotate(spendable).step is Step.ROTATE
    assert (len(tried), AuthSession.objects.get().rotation) == (TRIES, 1)


@pytest.mark.parametrize(
    ("error", "tries"),
    [(LOST["psycopg"], TRIES), ([OperationalError("gone away")], 1), ([DatabaseError("no")], 1)],
    ids=["lost-each-time", "down", "other"],
)
def test_a_database_that_is_down_is_not_tried_for_ever(spendable, error, tries):
    """The error comes through, so that nobody is signed out by it."""
    with refusing(999, *error) as tried, pytest.raises(type(error[0])):
        rotate(spendable)
    assert (len(tried), AuthSession.objects.get().rotation) == (tries, 0)


def test_inside_a_transaction_nothing_is_tried_again(spendable):
    """A broken transaction can only be given up, by its owner."""
    raw, refused = Secret(spendable), refusing(999, *LOST["psycopg"])
    brought = Brought(tokens.RefreshToken.read(raw), tokens.hash_token(raw), None, "", None)
    with refused as tried, pytest.raises(OperationalError), transaction.atomic():
        AuthSession.objects._rotate(brought, None)
    assert len(tried) == 1


# Revoke


def test_revoking_ends_what_is_active_and_counts_it(user, sent, request_):
    """Each ended session is signalled once; what had ended keeps its reason and time."""
    gone, expired, *live = SessionFactory.create_batch(4, user=user)
    AuthSession.objects.filter(pk=gone.pk).revoke(RevokeReason.LOGOUT)
    AuthSession.objects.filter(pk=expired.pk).update(expires_at=NOW)
    sent.clear()
    before = [columns(gone), columns(expired)]
    assert AuthSession.objects.filter(user=user).revoke(RevokeReason.USER, request_) == 2
    assert [columns(gone), columns(expired)] == before
    assert {(fresh(s).revoked_at, fresh(s).revoke_reason) for s in live} == {(NOW, "user")}
    assert {kwargs.pop("session") for _, kwargs in sent} == set(live)
    assert sent == [("session_revoked", {"request": request_, "reason": RevokeReason.USER})] * 2
    assert AuthSession.objects.filter(user=user).revoke(RevokeReason.ADMIN) == 0


def test_only_the_selected_sessions_end(user):
    """Whatever the queryset left out goes on; ordering and slices do not matter."""
    first, second, stranger = SessionFactory(user=user), SessionFactory(user=user), SessionFactory()
    assert AuthSession.objects.filter(pk=first.pk).order_by("user__pk").revoke("user") == 1
    assert set(AuthSession.objects.active()) == {second, stranger}


@pytest.mark.parametrize("reason", RevokeReason.values)
def test_every_reason_fits_its_column_and_has_words(session, reason):
    """PostgreSQL refuses what is too long."""
    assert AuthSession.objects.all().revoke(reason) == 1
    ended = fresh(session)
    assert ended.revoke_reason == reason
    assert ended.get_revoke_reason_display() != reason


def test_more_sessions_than_fit_one_statement_all_end(user, session):
    """Old SQLites bind at most 999 values."""
    template = columns(session)
    del template["id"]
    assert BATCH < 999
    many = BATCH + 5
    AuthSession.objects.bulk_create(AuthSession(**template) for _ in range(many - 1))
    with CaptureQueriesContext(connection) as queries:
        assert AuthSession.objects.all().revoke(RevokeReason.ADMIN) == many
    assert not AuthSession.objects.active().exists()
    assert len(queries) == 1 + 2 * 2


@pytest.mark.parametrize(
    ("ago", "reason"),
    [(HOUR, "logout"), (HOUR, "admin"), (timedelta(0), "logout")],
    ids=["otherwise", "likewise", "at-that-instant"],
)
def test_a_session_that_another_process_ended_first_is_not_counted(
    session, monkeypatch, sent, ago, reason
):
    """Two staff who revoke one session make one signal."""
    queryset = type(AuthSession.objects.all())
    revoke_batch = queryset._revoke_batch

    def outrun(self, ids, *args):
        AuthSession.objects.update(revoked_at=NOW - ago, revoke_reason=reason)
        return revoke_batch(self, ids, *args)

    monkeypatch.setattr(queryset, "_revoke_batch", outrun)
    sent.clear()
    assert AuthSession.objects.all().revoke(RevokeReason.ADMIN) == 0
    assert (sent, fresh(session).revoke_reason) == ([], reason)


def test_sessions_that_are_known_by_id_end_by_themselves(user, session, request_, sent):
    """Those that were active are returned as they ended, and told of; the others are as before."""
    revoked, expired = SessionFactory(user=user), SessionFactory(user=user)
    AuthSession.objects.filter(pk=revoked.pk).revoke(RevokeReason.USER)
    AuthSession.objects.filter(pk=expired.pk).update(expires_at=NOW)
    before = columns(revoked), columns(expired)
    sent.clear()
    sids = [revoked.pk, session.pk, expired.pk, uuid4()]
    [ended] = AuthSession.objects.revoke_each(sids, RevokeReason.LOGOUT, request_)
    assert (ended, ended.revoke_reason, ended.revoked_at) == (session, "logout", NOW)
    assert (columns(revoked), columns(expired)) == before
    [(name, kwargs)] = sent
    assert (name, kwargs["session"], kwargs["request"]) == ("session_revoked", session, request_)


# Confirm, and the password's hash


def test_confirming_writes_two_columns_once(session, clock):
    """The successor is kept, and the person was seen; a second time nothing is written."""
    clock.shift(HOUR)
    before = columns(session)
    session.confirm()
    assert columns(session) == before | {"confirmed": True, "last_seen_at": NOW + HOUR}
    clock.shift(HOUR)
    session.confirm()
    assert columns(session)["last_seen_at"] == NOW + HOUR


def test_a_look_at_an_older_rotation_confirms_nothing(session, clock):
    """What was seen before the rotation says nothing about the successor."""
    clock.shift(HOUR)
    rotate(token_of(session))
    session.confirm()
    assert not fresh(session).confirmed


def test_an_ended_session_is_not_confirmed(session):
    """A slow request leaves no trace on a session that was revoked."""
    AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    session.confirm()
    assert not fresh(session).confirmed


def test_a_new_auth_hash_is_written_unless_another_was(session):
    """The first password change wins over a slow one's stale copy."""
    stale = fresh(session)
    session.set_auth_hash("new")
    stale.set_auth_hash("stale")
    assert fresh(session).auth_hash == "new"


def test_a_new_auth_hash_is_written_to_that_session_alone(session, user):
    """The user's other devices are signed out by a password change."""
    other = SessionFactory(user=user)
    session.set_auth_hash("new")
    assert fresh(other).auth_hash == other.auth_hash == user.get_session_auth_hash()


def test_a_new_auth_hash_replaces_one_that_was_upgraded_meanwhile(session, settings):
    """A poll may write today's key's hash while the password is being changed."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next key", [settings.SECRET_KEY]
    changer, poll = (AuthSession.objects.look_up(session.pk) for _ in range(2))
    poll.set_auth_hash(poll.upgraded_auth_hash)
    changer.set_auth_hash("new")
    assert fresh(session).auth_hash == "new"
    assert (changer.auth_hash, changer.upgraded_auth_hash) == ("new", "")


def test_a_new_auth_hash_replaces_one_that_was_upgraded_to_the_next_key(session, user, settings):
    """While the key is rotated, servers differ in which of two keys is today's."""
    old, new = settings.SECRET_KEY, "the next key"
    settings.SECRET_KEY_FALLBACKS = [new]
    changer = AuthSession.objects.look_up(session.pk)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = new, [old]
    poll = AuthSession.objects.look_up(session.pk)
    poll.set_auth_hash(poll.upgraded_auth_hash)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = old, [new]
    user.set_password("another")
    user.save()
    changer.set_auth_hash(user.get_session_auth_hash())
    assert AuthSession.objects.look_up(session.pk).active


def test_a_retired_keys_hash_is_noticed(session, settings):
    """The look-up says which hash to write, and writes nothing itself."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next key", [settings.SECRET_KEY]
    found = AuthSession.objects.look_up(session.pk)
    assert found.upgraded_auth_hash == found.user.get_session_auth_hash() != found.auth_hash
    assert fresh(session).auth_hash == session.auth_hash


# The asynchronous twins


@pytest.fixture
async def close_threads(transactional_db):
    """Close the connection of the thread that asgiref runs the database in."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
async def test_the_twins_do_the_same(clock, request_, close_threads):
    """``astart``, ``arotate`` and ``arevoke`` are their namesakes off the event loop."""
    person = await sync_to_async(UserFactory)()
    session = await AuthSession.objects.astart(request_, person, persistent=False)
    assert session.expires_at == NOW + 12 * HOUR
    clock.shift(HOUR)
    rotated = await AuthSession.objects.arotate(token_of(session), request_)
    assert (rotated.step, rotated.rotation) == (Step.ROTATE, 1)
    assert await AuthSession.objects.filter(user=person).arevoke(RevokeReason.USER) == 1
    assert await AuthSession.objects.active().acount() == 0


@pytest.mark.django_db(transaction=True)
async def test_the_twins_pass_everything_on(clock, request_, sent, close_threads):
    """Every signal carries the request, and a sign-in lasts unless asked otherwise."""
    session = await AuthSession.objects.astart(request_, await sync_to_async(UserFactory)())
    assert session.persistent
    clock.shift(HOUR)
    await AuthSession.objects.arotate(token_of(session), request_)
    await AuthSession.objects.filter(pk=session.pk).arevoke(RevokeReason.USER, request_)
    assert [kwargs["request"] for _, kwargs in sent] == [request_] * 3


# Receivers


def test_every_signal_comes_from_the_model(user, clock):
    """A receiver may connect for ``sender=AuthSession``, as for Django's own model signals."""
    heard = []

    def receive(signal, **kwargs):
        heard.append(next(name for name in SIGNALS if getattr(signals, name) is signal))

    for name in SIGNALS:
        getattr(signals, name).connect(receive, sender=AuthSession)
    with pytest.raises(TokenReused):
        rotate(rotated_twice(AuthSession.objects.start(None, user), clock)[0])
    rotated = "session_rotated"
    assert heard == ["session_started", rotated, rotated, "session_revoked", "refresh_token_reused"]


@pytest.mark.usefixtures("broken_receivers")
@pytest.mark.filterwarnings("ignore")
def test_a_receiver_that_fails_undoes_nothing(user, clock):
    """Sign-in, rotation and revoke go on; a theft still ends the session."""
    session = AuthSession.objects.start(None, user)
    raw = rotated_twice(session, clock)[0]
    with pytest.raises(TokenReused):
        rotate(raw)
    assert fresh(session).revoke_reason == RevokeReason.REUSE


# No secret anywhere


def secrets_of(session):
    return [token_of(session), session.token_hash, session.auth_hash]


def test_the_database_holds_no_token(session, clock):
    """Dumped, no column of any table gives a token away."""
    raws = rotated_twice(session, clock)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {AuthSession._meta.db_table}")  # noqa: S608
        dump = repr(cursor.fetchall())
    for raw in raws:
        assert raw not in dump
        assert raw.rpartition(".")[2] not in dump


def test_nothing_that_is_printed_or_logged_tells_a_secret(session, clock, sent, caplog):
    """Neither repr, str, signal, exception nor log."""
    raws = rotated_twice(session, clock)
    words = [repr(session), str(session), f"{session!r:>50}", repr(AuthSession.objects.all())]
    secrets = [*raws, *secrets_of(fresh(session)), session.token_hash]
    with caplog.at_level(0), pytest.raises(TokenReused) as caught:
        rotate(raws[0])
    words += [str(caught.value), repr(caught.value), caplog.text, repr(sent)]
    for raw in ("garbage.to.see", raws[0] + "x"):
        with pytest.raises(InvalidToken) as invalid:
            rotate(raw)
        words += [str(invalid.value), repr(invalid.value)]
        secrets.append(raw)
    assert [secret for secret in secrets if any(secret in word for word in words)] == []


@contextmanager
def fail_at(call):
    """Let the database fail at the so-many-eth statement about sessions, in whichever thread."""
    execute, calls = CursorWrapper.execute, []

    def fail(self, sql, params=None):
        calls.append("tokenauth_authsession" in sql)
        if calls[-1] and sum(calls) == call:
            raise DatabaseError("gone away")
        return execute(self, sql, params)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(CursorWrapper, "execute", fail)
        yield


def debug_report(error):
    """What production's debug report tells of the variables on the way to an error.

    Those of the test, which knows the secrets, are left out.
    """
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    frames = reporter.get_traceback_frames()
    own = [frame for frame in frames if not re.search(r"/(tests|django/test)/", frame["filename"])]
    assert any("/tokenauth/" in frame["filename"] for frame in own)
    return " ".join(pprint(value) for frame in own for _, value in frame["vars"])


def assert_kept(session, raws, error):
    report = debug_report(error)
    secrets = [*raws, *map(hash_of, raws), session.auth_hash]
    assert [secret for secret in secrets if secret in report] == []


@pytest.mark.parametrize(
    ("raw", "confirm", "call"),
    [(1, False, 1), (1, False, 2), (0, False, 2), (0, True, 2)],
    ids=["looking", "rotating", "re-issuing", "ending"],
)
def test_no_debug_report_tells_a_secret(session, clock, raw, confirm, call):
    """When the database fails, whoever reads the report can't sign in as anybody."""
    raws = confirmed(session, clock)
    clock.shift(HOUR)
    AuthSession.objects.update(confirmed=confirm)
    with fail_at(call), pytest.raises(DatabaseError) as caught:
        rotate(raws[raw])
    assert_kept(session, raws, caught.value)


WRITES = {
    "rotate": lambda session: rotate(token_of(session)),
    "advance": lambda session: AuthSession.objects._advance(session, None),
    "reissue": AuthSession.objects._reissue,
    "set_auth_hash": lambda session: session.set_auth_hash("f" * 64),
    "confirm": lambda session: session.confirm(),
    "revoke": lambda session: AuthSession.objects.all().revoke(RevokeReason.ADMIN),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_no_debug_report_of_a_refused_write_tells_a_hash(session, clock, write):
    """Nor when the very UPDATE fails, in our frames and in those that we call."""
    clock.shift(HOUR)
    with refusing(1, DatabaseError("gone away")), pytest.raises(DatabaseError) as caught:
        write(session)
    assert not re.search(r"[0-9a-f]{64}", debug_report(caught.value))


def give_cookies(client, session):
    """Sign a client in; unlike a browser it sends the refresh cookie everywhere."""
    client.cookies["__Host-access_token"] = tokens.issue_access_token(session)[0].reveal()
    client.cookies["__Secure-refresh_token"] = token_of(session)


def test_no_debug_report_of_a_refresh_in_place_tells_a_secret(client, session, clock):
    """The same on the way through the middleware."""
    give_cookies(client, session)
    clock.shift(HOUR)
    with fail_at(1), pytest.raises(DatabaseError) as caught:
        client.get("/private/")
    assert_kept(session, [token_of(session)], caught.value)


@pytest.mark.django_db(transaction=True)
async def test_no_debug_report_of_an_async_refresh_tells_a_secret(
    async_client, clock, close_threads
):
    """The same under ASGI."""
    session = await sync_to_async(SessionFactory)()
    give_cookies(async_client, session)
    clock.shift(HOUR)
    with fail_at(1), pytest.raises(DatabaseError) as caught:
        await async_client.get("/async/whoami/")
    assert_kept(session, [token_of(session)], caught.value)


def test_a_password_is_nowhere_in_the_table(session):
    """Nor is its hash: only what Django's sessions keep as well."""
    assert PASSWORD not in repr(columns(session))
    assert session.user.password not in repr(columns(session))


@pytest.mark.parametrize(("seconds", "max_age"), [(90, 90), (90.1, 91), (0.1, 1), (-5, 1)])
def test_a_cookie_that_is_set_lives_whole_seconds_and_at_least_one(seconds, max_age):
    """Max-Age=0 would be a deletion, and 30 days are no second less."""
    with time_machine.travel(timezone.now(), tick=False):
        moment = timezone.now() + timedelta(seconds=seconds)
        assert AuthSession(expires_at=moment).seconds_left == max_age
