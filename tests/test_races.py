"""Threads that want the same session at the same instant, on the real database."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier

import pytest
import time_machine
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.urls import reverse
from django.utils import timezone

from tests.factories import PASSWORD, SessionFactory
from tokenauth.exceptions import SessionEnded, SessionSuspended, TokenAuthError
from tokenauth.models import AuthSession
from tokenauth.session.rotation import Step
from tokenauth.session.tokens import remake_refresh_token
from tokenauth.signals import session_revoked, session_rotated

ROUNDS = 5

ENGINE = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
#: How a site may set the isolation of its transactions.
ISOLATION_LEVELS = {"default": {}} | {
    "postgresql": {"repeatable read": {"isolation_level": 3}},
    "mysql": {"repeatable read": {"isolation_level": "repeatable read"}},
}.get(ENGINE, {})
#: PostgreSQL's own default counts for single statements too (and breaks Django's own login()).
SERVERS_LEVELS = {
    "postgresql": {
        "by the server": {"options": r"-c default_transaction_isolation=repeatable\ read"}
    }
}.get(ENGINE, {})

pytestmark = pytest.mark.usefixtures("isolation")

threaded_logins = pytest.mark.parametrize(
    ("isolation", "server"), [(level, "wsgi") for level in ISOLATION_LEVELS], indirect=True
)
threaded = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@pytest.fixture(params=ISOLATION_LEVELS | SERVERS_LEVELS)
def isolation(request, transactional_db, monkeypatch):
    """Connect with each isolation level that a site may have set."""
    options = connections.settings["default"].setdefault("OPTIONS", {})
    for name, value in (ISOLATION_LEVELS | SERVERS_LEVELS)[request.param].items():
        monkeypatch.setitem(options, name, value)
    connection.close()
    yield
    connection.close()


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def session(clock, isolation):
    """A session whose token is due for rotation."""
    session = SessionFactory()
    clock.shift(timedelta(minutes=5))
    return session


def at_once(*calls):
    """Make the calls at the same instant, each in a thread and on a connection of its own."""
    start = Barrier(len(calls))

    def run(call):
        try:
            connection.ensure_connection()
            start.wait(30)
            return call()
        except TokenAuthError as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [thread.result() for thread in [threads.submit(run, call) for call in calls]]


def rotator(session):
    """Return a call that presents the session's refresh token of now."""
    return partial(AuthSession.objects.rotate, remake_refresh_token(session).reveal())


def handed_out(results):
    """Return the tokens of those that got one."""
    return {
        remake_refresh_token(result).reveal()
        for result in results
        if isinstance(result, AuthSession) and result.step is not Step.DEBOUNCE
    }


def assert_nothing_authenticates(session, tokens, error):
    """No token that was ever handed out is good for anything now."""
    with pytest.raises(error):
        AuthSession.objects.look_up(session.pk)
    for token in tokens:
        with pytest.raises(error):
            AuthSession.objects.rotate(token)


@pytest.fixture
def heard():
    """Count the signals, by reason or by None."""
    counted = Counter()

    def hear(reason=None, **kwargs):
        counted[reason] += 1

    session_rotated.connect(hear)
    session_revoked.connect(hear)
    yield counted
    session_rotated.disconnect(hear)
    session_revoked.disconnect(hear)


# One token, many hands


def test_twenty_who_present_one_token_get_one_successor(session, clock, heard):
    """One of them rotates, and all get the same token."""
    for number in range(1, ROUNDS + 1):
        results = at_once(*[rotator(session)] * 20)
        steps = Counter(result.step for result in results)
        assert steps[Step.ROTATE] == 1
        assert steps[Step.ROTATE] + steps[Step.REISSUE] + steps[Step.DEBOUNCE] == 20
        assert len(handed_out(results)) == 1
        session.refresh_from_db()
        assert (session.rotation, session.active) == (number, True)
        assert handed_out(results) == {remake_refresh_token(session).reveal()}
        clock.shift(timedelta(minutes=5))
        session.confirm()
    assert heard == {None: ROUNDS}


def test_old_and_new_tokens_at_once_end_nothing(session, clock):
    """Before the successor is confirmed both are the browser's own."""
    old = rotator(session)
    new = rotator(old())
    at_once(*[old, new] * 5)
    session.refresh_from_db()
    assert (session.active, session.rotation) == (True, 1)


def test_confirming_beside_a_rotation_ends_nothing(session):
    """What is confirmed is the rotation that was seen, never the one that has just been made."""
    results = at_once(*[rotator(session), session.confirm] * 8)
    assert len(handed_out(results)) == 1
    session.refresh_from_db()
    assert (session.active, session.rotation, session.confirmed) == (True, 1, False)


# Ended meanwhile


def test_after_a_revoke_nothing_authenticates(clock, isolation, heard):
    """Whoever was faster, the session is over when the revoke returns."""
    for _ in range(ROUNDS):
        session = SessionFactory()
        clock.shift(timedelta(minutes=5))
        tokens = {remake_refresh_token(session).reveal()}
        revoke = partial(AuthSession.objects.filter(pk=session.pk).revoke, "admin")
        *results, revoked = at_once(*[rotator(session)] * 8, revoke)
        assert revoked == 1
        session.refresh_from_db()
        assert session.revoke_reason == "admin"
        assert_nothing_authenticates(session, tokens | handed_out(results), SessionEnded)
    assert heard["admin"] == ROUNDS


def test_of_many_revokes_one_counts(isolation, heard):
    """A session has one reason and one signal."""
    for _ in range(ROUNDS):
        heard.clear()
        session = SessionFactory()
        mine = AuthSession.objects.filter(pk=session.pk)
        results = at_once(*[partial(mine.all().revoke, reason) for reason in ("admin", "user")] * 6)
        assert sum(results) == 1
        session.refresh_from_db()
        assert heard == {session.revoke_reason: 1}


def test_after_a_new_password_nothing_authenticates(session):
    """No rotation that runs beside it writes the old hash back."""
    user = session.user
    user.set_password("another-1")
    old_hash = session.auth_hash
    tokens = {remake_refresh_token(session).reveal()}
    *results, _ = at_once(*[rotator(session)] * 8, user.save)
    session.refresh_from_db()
    assert session.auth_hash == old_hash
    assert session.revoked_at is None
    assert_nothing_authenticates(session, tokens | handed_out(results), SessionSuspended)


def test_the_new_hash_survives_a_rotation(session):
    """The one who changed the password keeps the session, with any token of it."""
    user = session.user
    user.set_password("another-1")
    user.save()
    changed = partial(session.set_auth_hash, user.get_session_auth_hash())
    results = at_once(*[rotator(session)] * 8, changed)
    assert AuthSession.objects.look_up(session.pk).user == user
    for token in handed_out(results):
        AuthSession.objects.rotate(token)


def test_clearing_takes_only_what_is_over(session, clock, capsys):
    """Sessions in use live through ``tokenauth_clear``; the old ones go, once."""
    clock.move_to(timezone.now() - timedelta(days=400), tick=True)
    SessionFactory.create_batch(5)
    clock.move_to(timezone.now() + timedelta(days=400), tick=True)
    clear = partial(call_command, "tokenauth_clear", batch_size=2)
    results = at_once(*[rotator(session)] * 8, clear, clear)
    assert len(handed_out(results)) == 1
    assert AuthSession.objects.get().pk == session.pk


def test_a_session_that_is_cleared_while_it_is_presented_is_over(session, clock, settings, capsys):
    """Its token signs nobody in, whether its row was still there or not."""
    settings.TOKENAUTH_HISTORY_LIFETIME = 0
    present = rotator(session)
    AuthSession.objects.all().revoke("admin")
    clear = partial(call_command, "tokenauth_clear")
    *results, _ = at_once(*[present] * 8, clear)
    assert {type(result) for result in results} == {SessionEnded}
    assert not AuthSession.objects.exists()


# Through the views


@threaded
def test_after_a_logout_nothing_authenticates(server, browser, new_browser, user, clock):
    """A refresh on its way beside the logout doesn't bring the person back."""
    browser.login(user)
    clock.shift(timedelta(minutes=5))
    tab = new_browser()
    tab.paste_cookies(browser.copy_cookies())
    refresh = partial(tab.fetch, "POST", reverse("tokenauth:refresh"))
    answers = browser.parallel(*[refresh] * 5, browser.logout, *[refresh] * 5)
    assert {answer.status_code for answer in answers} <= {200, 401}
    assert AuthSession.objects.get().revoke_reason == "logout"
    for somebody in (browser, tab):
        assert somebody.get("/whoami/").text == "anonymous"


@threaded
def test_a_password_change_beside_refreshes_keeps_the_changer(
    server, browser, new_browser, user, clock
):
    """Polls and refreshes of the other tabs do no harm; the other devices are out."""
    phone = new_browser()
    phone.login(user)
    browser.login(user)
    clock.shift(timedelta(minutes=5))
    passwords = {
        "old_password": PASSWORD,
        "new_password1": "battery-staple-9",
        "new_password2": "battery-staple-9",
    }
    browser.get("/password/")
    poll = partial(browser.get, "/whoami/")
    refresh = partial(browser.fetch, "POST", reverse("tokenauth:refresh"))
    change = partial(browser.post_form, "/password/", passwords)
    answers = browser.parallel(*[poll, refresh] * 4, change)
    assert {answer.status_code for answer in answers} <= {200, 401}
    assert browser.get("/whoami/").text == user.get_username()
    assert browser.fetch("POST", reverse("tokenauth:refresh")).status_code == 200
    assert phone.get("/whoami/").text == "anonymous"


@threaded_logins
@pytest.mark.parametrize("url", ["/django-login/", "/auth/api/login/"])
def test_a_login_button_pressed_five_times_signs_in(server, browser, user, url):
    """The person ends up signed in, by one session."""
    fields = {"username": user.get_username(), "password": PASSWORD}
    answers = browser.parallel(*[partial(browser.fetch, "POST", url, data=fields)] * 5)
    assert {answer.status_code for answer in answers} == {200}
    assert browser.get("/whoami/").text == user.get_username()


@threaded_logins
def test_parallel_logins_beside_a_refresh_keep_the_session(server, browser, user, clock):
    """However often the same person signs in again at once, nothing looks like theft.

    An answer of the session before may cross a login's: then the browser has one cookie of each,
    and its person signs in once more.
    """
    browser.login(user)
    fields = {"username": user.get_username(), "password": PASSWORD}
    for _ in range(ROUNDS):
        clock.shift(timedelta(minutes=5))
        login = partial(browser.fetch, "POST", "/django-login/", data=fields)
        refresh = partial(browser.fetch, "POST", reverse("tokenauth:refresh"))
        browser.parallel(*[login, refresh] * 4)
        if browser.get("/whoami/").text == "anonymous":
            assert login().status_code == 200
        assert browser.get("/whoami/").text == user.get_username()
    assert not AuthSession.objects.filter(revoke_reason__in=["reuse", "mismatch"]).exists()
