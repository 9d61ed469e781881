"""The life of a session, from login to logout, in a browser that follows every rule.

Everything runs over both places for the refresh cookie (``/auth/``: the middleware sends an
expired access token on a bounce; ``/``: it refreshes in place) and over WSGI and ASGI.
"""

import hashlib
import json
import logging
from datetime import timedelta
from http.cookies import Morsel, SimpleCookie

import httpx
import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from tests.browser import BrowserPolicy
from tests.factories import PASSWORD, SessionFactory
from tokenauth import signals
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session import tokens

LOGIN = "/auth/login/"
REFRESH = "/auth/refresh/"

#: Over the 15 minutes of an access token.
EXPIRY = timedelta(minutes=16)
#: Over the grace period, within the life of an access token: the next request confirms.
KEPT = timedelta(minutes=2)
DAY = timedelta(days=1)

one_server = pytest.mark.parametrize("server", ["wsgi"], indirect=True)
by_bounce = pytest.mark.parametrize("refresh_path", ["/auth/"], indirect=True)


@pytest.fixture(params=["/auth/", "/"], ids=["bounce", "in-place"], autouse=True)
def refresh_path(request, settings):
    """Where the refresh cookie lives."""
    if request.param != "/auth/":
        settings.TOKENAUTH_REFRESH_COOKIE_PATH = request.param
    return request.param


@pytest.fixture
def detour(refresh_path):
    """The answers that a request gets after expiry, before its own."""
    return [307, 307] if refresh_path == "/auth/" else []


@pytest.fixture(autouse=True)
def clock():
    """The clock of server and browser."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def alice(browser, user):
    """Alice's browser, in which she has signed in."""
    browser.login(user)
    return browser


@pytest.fixture
def heard():
    """What the signals said: (signal, session, reason, whether a request came along)."""
    said = []
    names = ["session_started", "session_rotated", "session_revoked", "refresh_token_reused"]

    def listen(signal, session, request, reason=None, **kwargs):
        said.append((sent_by[id(signal)], session.pk, reason, request is not None))

    sent_by = {id(getattr(signals, name)): name for name in names}
    for name in names:
        getattr(signals, name).connect(listen)
    yield said
    for name in names:
        getattr(signals, name).disconnect(listen)


def hops(answer):
    """Return the status of every answer that led to this one."""
    return [hop.status_code for hop in [*answer.history, answer]]


def look(browser, url="/whoami/"):
    """Return who the site says it is, and what the browser went through to ask."""
    answer = browser.get(url)
    return answer.text, hops(answer)


def row(**lookup):
    """Return the one session there is."""
    return AuthSession.objects.get(**lookup)


def has_tokens(browser):
    """Tell whether a token cookie is left in the jar."""
    names = {cookies.access_name(), cookies.refresh_name()}
    return any(name in names for name, _ in browser.cookies)


def refresh_token(browser):
    return browser.value(cookies.refresh_name(), cookies.refresh_path())


def given(browser) -> list[Morsel]:
    """Return every token cookie that the browser was ever given or told to delete."""
    headers = [h for answer in browser.history for h in answer.headers.get_list("Set-Cookie")]
    morsels = [morsel for header in headers for morsel in SimpleCookie(header).values()]
    return [m for m in morsels if m.key in {cookies.access_name(), cookies.refresh_name()}]


def pin_cookies(browser):
    """Keep the cookies after their time, as a thief would, or a browser left open."""
    for cookie in browser.jar:
        cookie.expires, cookie.discard = None, True


def expire_access_token(browser, clock):
    clock.shift(EXPIRY)
    return browser


# The whole life


@pytest.mark.users
def test_a_session_lives_from_login_to_logout(new_browser, user, clock, detour):
    """Login, expire, refresh, lost answer, confirm, reuse, revoke, logout."""
    browser, thief, name = new_browser(), new_browser(), user.get_username()

    page = browser.login(user)
    assert (page.url.path, hops(page)) == ("/", [302, 200])
    assert "Home" in page.text
    assert look(browser) == (name, [200])

    clock.shift(EXPIRY)
    assert look(browser) == (name, [*detour, 200])
    assert look(browser) == (name, [200])
    assert (row().rotation, row().confirmed) == (1, False)

    clock.shift(EXPIRY)
    stolen = browser.copy_cookies()
    with browser.losing_answers(), pytest.raises(httpx.ReadError):
        browser.get(f"{REFRESH}?next=/whoami/")
    lost = row()
    clock.shift(DAY)
    assert look(browser, "/async/whoami/") == (name, [*detour, 200])
    assert (row().rotation, row().token_hash) == (2, lost.token_hash)
    assert hashlib.sha256(refresh_token(browser).encode()).hexdigest() == lost.token_hash

    clock.shift(KEPT)
    assert look(browser) == (name, [200])
    assert (row().rotation, row().confirmed) == (2, True)

    thief.paste_cookies(stolen)
    assert look(thief) == ("anonymous", [*detour, 200])
    assert row().revoke_reason == "reuse"
    assert browser.get("/private/").url.path == LOGIN

    browser.login(user)
    assert look(browser) == (name, [200])
    assert AuthSession.objects.revoke("admin") == 1
    assert browser.get("/private/").url.path == LOGIN

    browser.login(user)
    assert look(browser) == (name, [200])
    page = browser.logout()
    assert (page.url.path, hops(page)) == (LOGIN, [302, 200])
    assert look(browser) == ("anonymous", [200])
    assert not has_tokens(browser)
    ended = AuthSession.objects.order_by("created_at").values_list("revoke_reason", flat=True)
    assert list(ended) == ["reuse", "admin", "logout"]


def test_a_session_keeps_one_row_and_no_token_is_in_the_database(alice, user, clock):
    """However often it rotates: one row, whose hash is all that is left of a token."""
    for _ in range(5):
        clock.shift(EXPIRY)
        alice.post_form("/session-data/", {"data": "x"}, page="/form/")  # for Django's session
    assert (row().rotation, row().user) == (5, user)

    database = dump()
    secrets = {morsel.value.rpartition(".")[2] for morsel in given(alice)}  # the signatures
    assert len(secrets) == 2 * 6
    assert not any(secret in value for secret in secrets for value in database)
    assert hashlib.sha256(refresh_token(alice).encode()).hexdigest() in database
    bodies = [f"{answer.url} {answer.text}" for answer in alice.history]
    assert not any(secret in body for secret in secrets for body in bodies)


def dump():
    """Return every value in every table, and what Django's sessions hold."""
    values = [str(session.get_decoded()) for session in Session.objects.all()]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  # its own
            values += [str(value) for found in cursor.fetchall() for value in found]
    return values


def test_no_answer_with_a_token_may_be_stored(alice, clock):
    """Login, bounce, refresh and logout: a cache that kept one would sign a stranger in."""
    clock.shift(EXPIRY)
    alice.get("/private/")
    alice.logout()
    setting = [a for a in alice.history if "_token=" in a.headers.get("Set-Cookie", "")]
    assert len(setting) >= 3
    assert {answer.headers["Cache-Control"] for answer in setting} == {"private, no-store"}
    assert all("Cookie" in answer.headers["Vary"] for answer in setting)


# Cookies


@by_bounce
@one_server
@pytest.mark.parametrize(
    ("overrides", "access", "refresh"),
    [
        pytest.param({}, "__Host-access_token /", "__Secure-refresh_token /auth/", id="default"),
        pytest.param(
            {"REFRESH_COOKIE_PATH": "/"},
            "__Host-access_token /",
            "__Host-refresh_token /",
            id="everywhere",
        ),
        pytest.param(
            {"COOKIE_DOMAIN": "site.test", "REFRESH_COOKIE_PATH": "/"},
            "__Secure-access_token / site.test",
            "__Secure-refresh_token / site.test",
            id="domain",
        ),
        pytest.param(
            {"COOKIE_SECURE": False, "ACCESS_COOKIE_NAME": "at", "REFRESH_COOKIE_NAME": "rt"},
            "at /",
            "rt /auth/",
            id="http",
        ),
        pytest.param(
            {"COOKIE_SAMESITE": "Strict"},
            "__Host-access_token /",
            "__Secure-refresh_token /auth/",
            id="strict",
        ),
    ],
)
def test_cookies_are_set_and_deleted_with_the_same_attributes(
    settings, browser, user, overrides, access, refresh
):
    """Names, paths and flags are what was promised, and a deletion repeats them."""
    for name, value in overrides.items():
        setattr(settings, f"TOKENAUTH_{name}", value)
    browser.login(user)
    assert has_tokens(browser)
    browser.logout()
    assert not has_tokens(browser)
    morsels = given(browser)
    assert len(morsels) == 4
    for morsel in morsels:
        assert f"{morsel.key} {morsel['path']} {morsel['domain']}".strip() in {access, refresh}
        assert morsel["httponly"] is True
        assert bool(morsel["secure"]) == overrides.get("COOKIE_SECURE", True)
        assert morsel["samesite"] == overrides.get("COOKIE_SAMESITE", "Lax")
    ages = sorted(int(morsel["max-age"]) for morsel in morsels)
    month = pytest.approx(30 * 86400, abs=60)
    assert ages == [0, 0, month, month]


@one_server
def test_without_keep_me_signed_in_the_cookies_end_with_the_browser(browser, user, clock):
    """Nothing is written to disk, also not when the token rotates."""
    browser.login(user, remember=False)
    clock.shift(EXPIRY)
    assert look(browser)[0] == "alice"
    assert (row().rotation, row().persistent) == (1, False)
    morsels = given(browser)
    assert len(morsels) == 4
    assert {(morsel["max-age"], morsel["expires"]) for morsel in morsels} == {("", "")}


@one_server
@pytest.mark.parametrize(
    ("remember", "pauses", "alive"),
    [
        pytest.param(True, [29 * DAY], True, id="kept-and-used"),
        pytest.param(True, [31 * DAY], False, id="kept-and-idle"),
        pytest.param(False, [DAY * 0.49] * 5, True, id="not-kept-and-used"),
        pytest.param(False, [DAY * 0.51], False, id="not-kept-and-idle"),
        pytest.param(True, [29 * DAY] * 6, True, id="174-days"),
        pytest.param(True, [29 * DAY] * 6 + [7 * DAY], False, id="181-days"),
    ],
)
def test_a_session_ends_without_use_and_in_any_case(browser, user, clock, remember, pauses, alive):
    """30 days idle, 12 hours if not kept, 180 days altogether, whatever the client keeps."""
    browser.login(user, remember=remember)
    for pause in pauses:
        pin_cookies(browser)
        clock.shift(pause)
        page = browser.get("/private/")
    assert row().rotation == len(pauses) - (not alive)
    assert row().expires_at <= row().absolute_expires_at
    assert (page.url.path, "Hello alice" in page.text) == ("/private/" if alive else LOGIN, alive)


@pytest.mark.parametrize("url", ["/private/", "/whoami/"])
def test_an_expired_session_is_swept_out_of_the_jar(browser, user, clock, url):
    """A browser left open for days does not go on a detour with every click."""
    browser.login(user, remember=False)
    clock.shift(DAY)
    assert "alice" not in browser.get(url).text
    assert has_tokens(browser)  # it may be the clock that is wrong
    clock.shift(DAY)
    browser.get(url)
    assert look(browser, "/")[1] == [200]
    browser.get(LOGIN)
    assert not has_tokens(browser)


# What a refresh keeps


def test_a_refresh_keeps_the_address(alice, clock, detour):
    """The query is as it was, for the view and in the address bar."""
    url = "/echo/?a=1&b=%C3%A9+%26&a=2&next=/x/&empty=&"
    clock.shift(EXPIRY)
    answer = alice.get(url)
    assert hops(answer) == [*detour, 200]
    assert str(answer.url) == f"https://app.site.test{url}"
    assert answer.json()["query"] == url.removeprefix("/echo/?")
    assert (answer.json()["username"], row().rotation) == ("alice", 1)


def test_a_form_that_was_open_while_the_token_expired_arrives(alice, clock, detour):
    """The body is the same, byte for byte, and CSRF protection is content."""
    page = alice.get("/form/")
    assert "csrfmiddlewaretoken" in page.text
    clock.shift(EXPIRY)
    note = "Größe = 1 & 2\r\n+ %20 ☃"
    data = {"csrfmiddlewaretoken": alice.value("csrftoken"), "note": note, "empty": ""}
    answer = alice.send_form("/echo/", data)
    assert hops(answer) == [*detour, 200]
    echo = answer.json()
    assert (echo["username"], echo["method"]) == ("alice", "POST")
    assert echo["content_type"] == "application/x-www-form-urlencoded"
    assert echo["body"].encode() == [*answer.history, answer][0].request.content
    assert row().rotation == 1


def test_an_upload_of_5_mb_arrives(alice, clock, detour):
    """A file survives the detour."""
    content = hashlib.shake_256(b"upload").digest(5_000_000)
    alice.get("/upload/")
    clock.shift(EXPIRY)
    token = {"csrfmiddlewaretoken": alice.value("csrftoken")}
    answer = alice.send_form("/upload/", token, files={"file": ("big.bin", content)})
    assert hops(answer) == [*detour, 200]
    sha256 = hashlib.sha256(content).hexdigest()
    assert answer.json() == {"size": 5_000_000, "sha256": sha256}
    assert row().rotation == 1


@pytest.mark.parametrize(
    ("method", "url"),
    [
        *[(method, "/echo/") for method in ("POST", "PUT", "PATCH", "DELETE")],
        *[(method, "/api/ping/") for method in ("POST", "PUT", "DELETE")],
    ],
)
def test_a_fetch_of_any_method_arrives(alice, clock, detour, method, url):
    """Method, body and CSRF header are kept; without that header nothing gets through."""
    clock.shift(EXPIRY)
    refused = alice.fetch(method, url, json={"a": "é"}, headers={"X-CSRFToken": ""})
    assert hops(refused) == [*detour, 403]
    clock.shift(EXPIRY)
    answer = alice.fetch(method, url, json={"a": "é"})
    assert hops(answer) == [*detour, 200]
    arrived = answer.json()
    assert (arrived["username"], arrived["method"]) == ("alice", method)
    assert arrived.get("data") or json.loads(arrived["body"].encode("latin-1")) == {"a": "é"}
    assert row().rotation == 2


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_requests_without_a_body_to_speak_of_are_refreshed(alice, clock, detour, method):
    """HEAD and OPTIONS keep their method."""
    clock.shift(EXPIRY)
    answer = alice.fetch(method, "/echo/")
    assert hops(answer) == [*detour, 200]
    assert (answer.request.method, row().rotation) == (method, 1)
    assert method in answer.text or (method, answer.text) == ("HEAD", "")


def test_a_login_during_the_refresh_goes_where_the_person_wanted(alice, user, clock):
    """The loop marker is not in the address that the login page leads to."""
    AuthSession.objects.revoke("admin")
    clock.shift(EXPIRY)
    page = alice.get("/private/?tab=2")
    assert (page.url.path, page.url.params["next"]) == (LOGIN, "/private/?tab=2")
    person = {"username": user.get_username(), "password": PASSWORD}
    page = alice.post_form(str(page.url), person)
    assert str(page.url) == "https://app.site.test/private/?tab=2"


# Many at once


@pytest.mark.parametrize("count", [2, 20], ids=["two-tabs", "twenty-requests"])
def test_requests_at_once_after_expiry_cost_one_rotation(alice, clock, heard, count):
    """Everybody is answered as the same person, from one rotation."""
    clock.shift(EXPIRY)
    urls = ["/whoami/", "/async/whoami/"] * (count // 2)
    answers = alice.parallel(*[lambda url=url: look(alice, url) for url in urls])
    assert [text for text, _ in answers] == ["alice"] * count
    assert [signal for signal, *_ in heard].count("session_rotated") == 1
    assert (row().rotation, row().revoke_reason) == (1, "")
    clock.shift(KEPT)
    assert look(alice) == ("alice", [200])
    clock.shift(EXPIRY)
    assert look(alice)[0] == "alice"
    assert row().rotation == 2


@one_server
@pytest.mark.parametrize("away", [timedelta(), 20 * DAY], ids=["at-once", "20-days-later"])
@pytest.mark.parametrize("losses", [1, 3])
def test_a_lost_answer_signs_nobody_out(alice, clock, losses, away):
    """The same token is made again, whenever and however often it is asked for."""
    clock.shift(EXPIRY)
    before = refresh_token(alice)
    hashes = set()
    for _ in range(losses):
        with alice.losing_answers(), pytest.raises(httpx.ReadError):
            alice.fetch("POST", REFRESH)
        hashes.add(row().token_hash)
    clock.shift(away)
    assert refresh_token(alice) == before
    assert look(alice)[0] == "alice"
    assert hashes == {hashlib.sha256(refresh_token(alice).encode()).hexdigest()}
    assert row().rotation == 1


def test_two_servers_with_different_clocks_sign_nobody_out(alice, clock, monkeypatch):
    """Each request is answered by a server whose clock is a second off the last one's."""
    answer, skew = alice.network.handle_request, [timedelta(seconds=-1), timedelta(seconds=1)]

    def answer_by_another_server(request):
        clock.shift(skew[0])
        skew.reverse()
        return answer(request)

    for offset in [-1.5, -0.5, 0, 0.5, 1.5]:
        assert alice.fetch("POST", REFRESH).status_code == 200
        monkeypatch.setattr(alice.network, "handle_request", answer_by_another_server)
        assert [look(alice)[0] for _ in range(2)] == ["alice"] * 2
        clock.shift(timedelta(minutes=15, seconds=offset))
        assert [look(alice)[0] for _ in range(4)] == ["alice"] * 4
        monkeypatch.setattr(alice.network, "handle_request", answer)
        clock.shift(KEPT)
    assert row().revoke_reason == ""


# Theft and revocation


@one_server
@pytest.mark.parametrize("spent_by", ["alice", "thief"])
@pytest.mark.parametrize("rotations", [1, 3], ids=["confirmed", "long-spent"])
def test_a_spent_token_that_comes_back_ends_the_session(
    alice, new_browser, clock, heard, caplog, spent_by, rotations
):
    """Whoever of the two comes late: both jars end, and everybody is told why."""
    thief, sid = new_browser(), row().pk
    thief.paste_cookies(alice.copy_cookies())
    first, late = (alice, thief) if spent_by == "alice" else (thief, alice)
    for _ in range(rotations):
        clock.shift(EXPIRY)
        assert look(first)[0] == "alice"
    if rotations == 1:
        clock.shift(KEPT)
        assert look(first)[0] == "alice"
    assert not caplog.records
    del heard[:]

    assert look(late)[0] == "anonymous"
    assert row().revoke_reason == "reuse"
    assert sorted(heard) == [
        ("refresh_token_reused", sid, None, True),
        ("session_revoked", sid, "reuse", True),
    ]
    assert [(r.name, r.levelno) for r in caplog.records] == [
        ("tokenauth.security", logging.WARNING)
    ]
    assert str(sid) in caplog.text
    for browser in (late, first):
        assert browser.get("/private/").url.path == LOGIN
        assert browser.value(cookies.access_name()) is None


@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
def test_the_click_after_a_revocation_lands_on_the_login_page(
    alice, user, staff, new_browser, clock, pause
):
    """Staff end a session in the admin, and the browser that had it holds nothing any more."""
    admin = new_browser()
    admin.login(staff)
    sid = row(user=user).pk
    page = admin.post_form(
        "/admin/tokenauth/authsession/", {"action": "revoke", "_selected_action": str(sid)}
    )
    assert "1 session was revoked." in page.text
    clock.shift(pause)
    page = alice.get("/private/")
    assert (page.url.path, page.status_code) == (LOGIN, 200)
    assert "Keep me signed in" in page.text
    assert alice.value(cookies.access_name()) is None
    assert row(pk=sid).revoke_reason == "admin"
    assert look(admin)[0] == "root"


@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
@by_bounce
def test_the_login_page_leaves_no_cookie_of_an_ended_session(alice, clock, pause):
    """The refresh cookie goes too, though it does not come with the click itself."""
    AuthSession.objects.revoke("admin")
    clock.shift(pause)
    assert alice.get("/private/").url.path == LOGIN
    assert not has_tokens(alice)


def test_browsers_do_not_disturb_each_other(alice, user, staff, new_browser, clock):
    """Signing in and out in one leaves the others alone, whoever's they are."""
    phone, other = new_browser(), new_browser()
    phone.login(user)
    other.login(staff)
    clock.shift(EXPIRY)
    assert [look(b)[0] for b in (alice, phone, other)] == ["alice", "alice", "root"]
    phone.logout()
    clock.shift(EXPIRY)
    assert [look(b)[0] for b in (alice, phone, other)] == ["alice", "anonymous", "root"]
    assert AuthSession.objects.active().count() == 2


def test_a_login_ends_the_session_it_replaces(alice, staff, clock):
    """One browser holds one session."""
    clock.shift(EXPIRY)
    alice.login(staff)
    assert look(alice) == ("root", [200])
    assert row(user=staff).active
    assert row(user__is_staff=False).revoke_reason == "replaced"


# Bad cookies


def empty(browser, clock):
    browser.jar.clear()


def garbage(browser, clock):
    for cookie in browser.jar:
        cookie.value = "garbage"


def access_expired(browser, clock):
    clock.shift(EXPIRY)


def all_expired(browser, clock):
    pin_cookies(browser)
    clock.shift(31 * DAY)


def garbage_beside(browser, clock):
    for name in (cookies.access_name(), cookies.refresh_name()):
        browser.set_cookie(name, "garbage", domain=".site.test")
        browser.set_cookie(name, "garbage", domain=".site.test", path="/auth/logout/")


def strangers_beside(browser, clock):
    plant(browser, SessionFactory())


def plant(browser, session, path="/auth/"):
    """Put a refresh token of somebody else's into the jar, as a sibling host can."""
    raw = tokens.remake_refresh_token(session).reveal()
    browser.set_cookie(cookies.refresh_name(), raw, domain=".site.test", path=path)


@one_server
@pytest.mark.parametrize("api", [False, True], ids=["html", "api"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (empty, ""),
        (garbage, ""),
        (access_expired, "logout"),
        (all_expired, ""),
        (garbage_beside, "logout"),
        (strangers_beside, "logout"),
    ],
)
def test_logout_and_login_work_with_any_cookie(alice, user, clock, spoil, reason, api):
    """Logout ends the browser's own session if it can be told, and nobody else's."""
    sid = row().pk
    spoil(alice, clock)
    alice.set_cookie("csrftoken", "c" * 32)
    answer = alice.fetch("POST", "/auth/api/logout/") if api else alice.logout()
    assert answer.status_code == (204 if api else 200)
    assert row(pk=sid).revoke_reason == reason
    assert not AuthSession.objects.exclude(pk=sid).exclude(revoke_reason="").exists()
    assert look(alice)[0] == "anonymous"
    assert alice.login(user).url.path == "/"
    assert look(alice)[0] == "alice"


@one_server
@pytest.mark.parametrize("path", ["/", "/auth/", "/auth/refresh/"])
def test_a_planted_refresh_token_is_ignored(alice, clock, path):
    """Only that of the access token's session counts; no other is used, spent or deleted."""
    sid, strangers = row().pk, SessionFactory()
    plant(alice, strangers, path)
    clock.shift(EXPIRY)
    assert look(alice)[0] == "alice"
    assert alice.fetch("GET", "/auth/api/session/").json()["session"]["id"] == str(sid)
    assert row(pk=sid).rotation == 1
    assert (row(pk=strangers.pk).rotation, row(pk=strangers.pk).revoke_reason) == (0, "")
    assert alice.value(cookies.refresh_name(), path)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/auth/", "/auth/sessions/"),
        ("/auth/", "/auth/api/session/"),
        ("/auth/", "/whoami/"),
        ("/", "/auth/api/session/"),
        ("/", "/whoami/"),
    ],
)
@by_bounce
@one_server
def test_a_planted_refresh_token_signs_nobody_in(browser, path, url):
    """A person who is signed out is not put into somebody else's account."""
    plant(browser, SessionFactory(user__username="mallory"), path)
    answer = browser.get(url)
    assert "mallory" not in answer.text
    assert not browser.value(cookies.access_name())
    assert row().rotation == 0


class Refusing(BrowserPolicy):
    """A browser that takes no cookies of these names any more."""

    def __init__(self, *names):
        super().__init__()
        self.names = names

    def set_ok(self, cookie, request):
        return cookie.name not in self.names and super().set_ok(cookie, request)


@one_server
@pytest.mark.parametrize(
    "refused", [("access", "refresh"), ("access",), ("refresh",)], ids="+".join
)
def test_cookies_that_do_not_stick_cause_no_loop(alice, clock, detour, refused):
    """The browser comes to an answer, and is signed in again as soon as cookies stick."""
    names = {"access": cookies.access_name(), "refresh": cookies.refresh_name()}
    alice.jar.set_policy(Refusing(*[names[kind] for kind in refused]))
    for _ in range(3):
        clock.shift(EXPIRY)
        text, path = look(alice, "/whoami/?a=1")
        assert len(path) <= 5
        assert text == ("anonymous" if detour and "access" in refused else "alice")
    assert row().revoke_reason == ""
    alice.jar.set_policy(BrowserPolicy())
    clock.shift(EXPIRY)
    assert look(alice) == ("alice", [*detour, 200])


# What is not sent on a bounce


def body():
    yield b"a=1"


@by_bounce
@pytest.mark.parametrize("server", ["asgi"], indirect=True)  # wsgiref knows no chunks
@pytest.mark.parametrize(
    ("method", "url", "options"),
    [
        pytest.param(
            "GET",
            "/whoami/",
            {"headers": {"Upgrade": "websocket", "Connection": "Upgrade"}},
            id="websocket",
        ),
        pytest.param(
            "OPTIONS",
            "/whoami/",
            {"headers": {"Access-Control-Request-Method": "PUT"}},
            id="preflight",
        ),
        pytest.param("POST", "/whoami/", {"content": body()}, id="streamed"),
        pytest.param(
            "GET",
            "/whoami/",
            {
                "headers": {
                    "Sec-Fetch-Site": "cross-site",
                    "Sec-Fetch-Dest": "iframe",
                    "Sec-Fetch-Mode": "navigate",
                }
            },
            id="embedded-elsewhere",
        ),
        pytest.param("GET", f"/whoami/?a={'x' * 4000}", {}, id="too-long"),
        pytest.param("GET", "/favicon.ico", {}, id="favicon"),
        pytest.param("GET", "/static/site.css", {}, id="static"),
    ],
)
def test_what_would_not_survive_a_bounce_is_anonymous(alice, clock, method, url, options):
    """It gets the view's own answer at once, and the session is none the worse for it."""
    clock.shift(EXPIRY)
    answer = alice.fetch(method, url, **options)
    assert hops(answer) in ([200], [404])
    assert answer.status_code == 404 or answer.text == "anonymous"
    assert (row().rotation, has_tokens(alice)) == (0, True)
    assert look(alice) == ("alice", [307, 307, 200])


# The refresh URL by itself


def test_a_script_refreshes_by_post(alice, clock):
    """The answer says until when; the tokens are in cookies only."""
    clock.shift(EXPIRY)
    answer = alice.fetch("POST", REFRESH)
    assert hops(answer) == [200]
    now = timezone.now()
    assert answer.json() == {
        "access_expires_at": near(now + timedelta(minutes=15)),
        "session_expires_at": near(now + 30 * DAY),
        "access_expires_in": pytest.approx(15 * 60, abs=10),
        "session_expires_in": pytest.approx(30 * DAY.total_seconds(), abs=10),
    }
    assert (row().rotation, look(alice)) == (1, ("alice", [200]))


class near:  # noqa: N801  # reads like pytest.approx
    """Equal to a moment in JSON that is less than ten seconds away."""

    def __init__(self, moment):
        self.moment = moment

    def __eq__(self, other):
        return abs(timezone.datetime.fromisoformat(other) - self.moment).total_seconds() < 10

    __hash__ = None


@one_server
@pytest.mark.parametrize(
    ("method", "query", "headers", "status", "code"),
    [
        ("GET", "", {}, 405, None),
        ("PUT", "", {}, 405, None),
        ("POST", "?next=https://evil.test/", {}, 400, "unsafe_next"),
        ("GET", "?next=//evil.test/", {}, 400, "unsafe_next"),
        ("GET", "?next=", {}, 400, "unsafe_next"),
        ("POST", "", {"Sec-Fetch-Site": "cross-site"}, 403, "cross_site"),
        ("POST", "", {"Sec-Fetch-Site": "same-site"}, 403, "cross_site"),
        ("POST", "?next=/", {"Sec-Fetch-Site": "cross-site"}, 403, "cross_site"),
        (
            "GET",
            "?next=/",
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
            403,
            "cross_site",
        ),
    ],
)
def test_the_refresh_url_refuses(alice, clock, method, query, headers, status, code):
    """Other methods, other hosts and other sites change nothing."""
    clock.shift(EXPIRY)
    answer = alice.fetch(method, REFRESH + query, headers=headers)
    assert hops(answer) == [status]
    assert code is None or answer.json()["code"] == code
    assert (row().rotation, look(alice)[0]) == (0, "alice")


def test_a_refresh_for_nobody_is_a_401(browser):
    """With the challenge that HTTP asks for."""
    answer = browser.fetch("POST", REFRESH)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == 'Cookie realm="api"'
