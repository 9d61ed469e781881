"""Registering a device key and proving it again: what the two URLs answer, and to whom."""

import sys
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import time_machine
from django.db import DatabaseError
from django.http import HttpResponseNotFound
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from tests.device.keys import ES256, prove
from tests.device.wire import open_browser
from tokenauth.device import endpoints
from tokenauth.device.challenges import make_challenge, to_prove, to_register
from tokenauth.device.tokens import issue_device_token
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials
from tokenauth.session.endings import RevokeReason
from tokenauth.session.jwt.jwk import canonical, thumbprint_of
from tokenauth.signals import second_device_key

pytestmark = pytest.mark.django_db

REGISTER, REFRESH = "/auth/device/register/", "/auth/device/refresh/"
KEY, OTHER = ES256(), ES256()


@pytest.fixture
def clock():
    with time_machine.travel(datetime(2026, 11, 20, 12, 1, tzinfo=UTC), tick=False) as clock:
        yield clock


@pytest.fixture
def browser(settings, user, clock):
    """One that has signed in, and makes no key by itself."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    browser = open_browser()
    browser.network.register = lambda *offer: None
    browser.login(user)
    yield browser
    browser.close()


@pytest.fixture
def session(browser):
    return AuthSession.objects.get()


def send(browser, path, *, method="POST", **headers):
    """What the browser sends by itself, with all cookies that it has for the path."""
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}
    headers = own | {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {name: value for name, value in headers.items() if value is not None}
    return browser.client.request(method, path, headers=headers)


def register(browser, session, *, key=KEY, **headers):
    """Register a key as Chromium does."""
    proof = prove(key, make_challenge(to_register(session.pk), time.time()), brings_key=True)
    return send(browser, REGISTER, **{"Secure_Session_Response": f'"{proof}"', **headers})


def challenge_of(session, key=KEY):
    return make_challenge(to_prove(session.pk, thumbprint_of(canonical(key.jwk))), time.time())


def refresh(browser, session, *, key=KEY, challenge=None, **headers):
    """Prove a key as Chromium does."""
    proof = prove(key, challenge or challenge_of(session))
    own = {"Sec_Secure_Session_Id": f'"{session.pk}"', "Secure_Session_Response": f'"{proof}"'}
    return send(browser, REFRESH, **(own | headers))


def bind(session, key=KEY):
    AuthSession.objects.filter(pk=session.pk).update(device_key=canonical(key.jwk))


# Registering


def test_who_registers_a_key_gets_a_device_token_and_what_it_is_for(browser, session, settings):
    """And nothing is written: a lost answer leaves nothing behind."""
    before = AuthSession.objects.values().get()
    answer = register(browser, session)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    told = answer.json()
    assert told["session_identifier"] == str(session.pk)
    assert told["refresh_url"] == REFRESH
    assert told["scope"]["origin"] == "https://app.site.test"
    assert told["scope"]["include_site"] is False
    unbound = {rule["path"] for rule in told["scope"]["scope_specification"]}
    own = {"device", "login", "logout", "api/login", "api/logout"}
    assert unbound == {f"/auth/{path}" for path in own} | {"/static", "/favicon.ico"}
    [credential] = told["credentials"]
    cookie = browser.cookie(credential["name"])
    assert credential["name"] == f"__Host-device_token_{session.pk.hex[:8]}"
    assert credential["attributes"] == "Path=/; Secure; HttpOnly; SameSite=Lax"
    assert cookie.expires == int(time.time()) + 540  # it goes a minute before the token does
    assert answer.headers["Secure-Session-Challenge"].endswith(f'";id="{session.pk}"')
    assert AuthSession.objects.values().get() == before


def test_files_of_another_host_are_in_no_scope(browser, session, settings):
    """Of this host, files need no device token; of a CDN's, nothing is said."""
    settings.STATIC_URL = "https://cdn.test/static/"
    rules = register(browser, session).json()["scope"]["scope_specification"]
    assert "/static" not in {rule["path"] for rule in rules}


NOBODYS = {
    "GET": {"method": "GET"},
    "by a script's fetch": {"Sec_Fetch_Mode": "cors"},
    "without a proof": {"Secure_Session_Response": None},
    "with nonsense": {"Secure_Session_Response": '"nonsense"'},
}


@pytest.mark.parametrize("changes", NOBODYS.values(), ids=NOBODYS)
def test_nothing_else_registers_a_key(browser, session, changes):
    """403, and no cookie: a registration that failed is offered again with the next rotation."""
    answer = register(browser, session, **changes)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_a_browser_that_says_nothing_of_modes_may_register(browser, session):
    """Only what is said is judged."""
    answer = register(browser, session, Sec_Fetch_Mode=None)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "subject",
    [lambda s: to_register(uuid4()), lambda s: to_prove(s.pk, thumbprint_of(canonical(KEY.jwk)))],
    ids=["of another session", "for a refresh"],
)
def test_a_challenge_for_something_else_registers_nothing(browser, session, subject):
    """It was handed out by us, and not for this."""
    proof = prove(KEY, make_challenge(subject(session), time.time()), brings_key=True)
    assert register(browser, session, Secure_Session_Response=proof).status_code == 403


def test_an_old_challenge_registers_nothing(browser, session, clock):
    """Nor one that was made long before."""
    proof = prove(KEY, make_challenge(to_register(session.pk), time.time()), brings_key=True)
    clock.shift(timedelta(minutes=16))
    answer = register(browser, session, Secure_Session_Response=proof)
    assert answer.status_code == 403


def test_without_the_refresh_token_of_the_session_nothing_is_registered(browser, session):
    """That is the session which a key is for."""
    browser.drop_cookie("__Secure-refresh_token")
    assert register(browser, session).status_code == 403


def test_a_spent_refresh_token_registers_nothing(browser, session, clock):
    """Its successor is in another jar."""
    old = browser.copy_cookies()
    clock.shift(timedelta(minutes=16))
    assert browser.fetch("POST", "/auth/refresh/").status_code == 200
    browser.paste_cookies(old)
    assert register(browser, session).status_code == 403
    assert AuthSession.objects.get().active


def test_a_session_that_has_ended_is_bound_to_nothing(browser, session):
    """Whoever ended it."""
    AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    assert register(browser, session).status_code == 403


def test_a_second_key_is_refused_noted_and_told_of_once(browser, session, caplog):
    """A thief's, or of a late answer: the two look the same, so the session lives."""
    told = []

    def listen(**kwargs):
        told.append((kwargs["session"].pk, kwargs["request"].path))

    bind(session)
    second_device_key.connect(listen)
    for _ in range(2):
        assert register(browser, session, key=OTHER).status_code == 403
    second_device_key.disconnect(listen)
    session.refresh_from_db()
    assert told == [(session.pk, REGISTER)]
    assert session.second_key_at is not None
    assert session.active
    assert session.device_key == canonical(KEY.jwk)
    [line] = [r.getMessage() for r in caplog.records if "second device key" in r.getMessage()]
    assert str(session.pk) in line
    assert thumbprint_of(canonical(OTHER.jwk)) not in line


def test_the_key_that_it_is_bound_to_is_no_second_one(browser, session):
    """Its browser may register it twice."""
    bind(session)
    assert register(browser, session).status_code == 403
    session.refresh_from_db()
    assert session.second_key_at is None


# Proving again


def test_who_proves_the_key_gets_the_next_device_token(browser, session):
    """By the identifier and the proof alone: another site's link makes it ask without cookies."""
    bind(session)
    browser.jar.clear()
    answer = refresh(browser, session)
    assert answer.status_code == 200
    assert answer.json()["session_identifier"] == str(session.pk)
    assert f'id="{session.pk}"' in answer.headers["Secure-Session-Challenge"]
    assert [name for name, _ in browser.cookies] == [f"__Host-device_token_{session.pk.hex[:8]}"]


BAD_PROOFS = {
    "none": {"Secure_Session_Response": None},
    "nonsense": {"Secure_Session_Response": '"nonsense"'},
    "of another key": {"key": OTHER},
    "of another challenge": {"challenge": "1.x"},
}


@pytest.mark.parametrize("changes", BAD_PROOFS.values(), ids=BAD_PROOFS)
def test_without_a_good_proof_there_is_a_challenge(browser, session, changes):
    """403, for the browser to sign and ask again; nobody is signed out."""
    bind(session)
    answer = refresh(browser, session, **changes)
    assert answer.status_code == 403
    assert (
        answer.headers["Secure-Session-Challenge"] == f'"{challenge_of(session)}";id="{session.pk}"'
    )
    assert "Set-Cookie" not in answer.headers
    assert AuthSession.objects.get().active


def test_another_sessions_proof_is_none(browser, session, user):
    """Though by the same key."""
    bind(session)
    other = AuthSession.objects.start(None, user)
    assert refresh(browser, session, challenge=challenge_of(other)).status_code == 403


def test_a_device_token_is_no_proof_nor_is_a_proof_a_device_token(browser, session):
    """Each is of its own kind."""
    bind(session)
    raw = issue_device_token(session.pk, canonical(KEY.jwk), proved=1).reveal()
    assert refresh(browser, session, Secure_Session_Response=raw).status_code == 403
    proof = prove(KEY, challenge_of(session))
    browser.set_cookie(f"__Host-device_token_{session.pk.hex[:8]}", proof)
    assert browser.get("/whoami/").text == "anonymous"


@pytest.mark.parametrize("identifier", [None, "", '"nonsense"', '"'])
def test_who_names_no_session_is_refused(browser, session, identifier):
    """Without a challenge: there is nothing to prove."""
    bind(session)
    answer = refresh(browser, session, Sec_Secure_Session_Id=identifier)
    assert answer.status_code == 403
    assert "Secure-Session-Challenge" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT"])
def test_another_method_is_refused(browser, session, method):
    """No page can be led here, and no script gets leave."""
    bind(session)
    answer = refresh(browser, session, method=method)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("how", ["revoked", "deleted", "expired long ago"])
def test_a_session_that_is_over_ends_in_the_browser_too(browser, session, clock, how):
    """With 200: it deletes the key and the cookie, and asks no more."""
    bind(session)
    browser.set_cookie(f"__Host-device_token_{session.pk.hex[:8]}", "x")
    if how == "revoked":
        AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    elif how == "deleted":
        AuthSession.objects.all().delete()
    else:
        clock.shift(timedelta(days=200))
    answer = refresh(browser, session)
    assert answer.status_code == 200
    assert answer.json() == {"session_identifier": str(session.pk), "continue": False}
    assert browser.cookie(f"__Host-device_token_{session.pk.hex[:8]}") is None


def test_one_whose_time_has_just_run_out_may_live_again(browser, session, clock):
    """By a clock that is right: until it is sure, the browser keeps the key."""
    bind(session)
    clock.shift(timedelta(days=30, hours=1))
    assert refresh(browser, session).status_code == 503


def test_an_unbound_session_is_not_ended(browser, session, caplog):
    """A parallel request may be bringing the first device token: its key would be lost.

    No log, and no e-mail to admins, speaks of it.
    """
    assert refresh(browser, session).status_code == 503
    bind(session)
    assert refresh(browser, session, key=OTHER).status_code == 403
    assert [
        record.getMessage() for record in caplog.records if record.name == "django.request"
    ] == []


def test_before_the_session_is_bound_its_first_device_token_can_be_refreshed(
    browser, session, clock
):
    """That counts anew: an answer on its way may offer to register another key."""
    register(browser, session)
    clock.shift(timedelta(seconds=30))
    assert refresh(browser, session, key=OTHER).status_code == 403
    assert refresh(browser, session).status_code == 200
    clock.shift(timedelta(seconds=60))
    browser.get("/whoami/")
    assert AuthSession.objects.get().device_key == ""
    clock.shift(timedelta(seconds=2))
    assert browser.get("/whoami/").text == session.user.get_username()
    assert AuthSession.objects.get().device_key == canonical(KEY.jwk)


def test_an_inactive_person_keeps_the_key(browser, session):
    """The token signs nobody in; and they may be let in again."""
    bind(session)
    session.user.is_active = False
    session.user.save()
    assert refresh(browser, session).status_code == 200
    assert browser.get("/whoami/").text == "anonymous"


def test_a_database_that_is_down_is_the_servers_fault(browser, session, monkeypatch):
    """5xx: the browser keeps the key and tries again."""
    bind(session)

    def fail(*args):
        raise DatabaseError

    monkeypatch.setattr(type(AuthSession.objects), "find", fail)
    browser.network.transport.site = httpx.WSGITransport(
        browser.network.transport.site.app, raise_app_exceptions=False
    )
    assert refresh(browser, session).status_code == 500


def test_a_host_that_is_not_allowed_any_more_deletes_no_key(browser, session, settings):
    """A 400 would; it may be a deploy that went wrong."""
    bind(session)
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "CommonMiddleware" not in name]
    settings.ALLOWED_HOSTS = ["elsewhere.test"]
    assert refresh(browser, session).status_code == 503


def test_no_report_of_an_error_shows_a_proof(browser, session, monkeypatch):
    """It counts for minutes, whoever sends it."""
    seen = []
    bind(session)
    proof = prove(KEY, challenge_of(session))
    request = RequestFactory().post(
        REFRESH,
        headers={"Secure-Session-Response": proof, "Sec-Secure-Session-Id": str(session.pk)},
    )
    monkeypatch.setattr("tokenauth.device.endpoints.moment_of", lambda *args: 1 / 0)
    try:
        endpoints.refresh(Credentials(request))
    except ZeroDivisionError:
        kind, error, frames = sys.exc_info()
        reporter = ExceptionReporter(request, kind, error, frames.tb_next, is_email=True)
        seen = [reporter.get_traceback_text(), reporter.get_traceback_html()]
    assert len(seen) == 2
    assert not [page for page in seen if proof in page or proof.split(".")[2] in page]


# Whatever a site has


def test_the_two_urls_are_answered_before_anything_of_the_site(browser, session, settings):
    """A middleware below ours that lets nobody in, or is being maintained, is not asked."""
    bind(session)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.nobody"]
    assert browser.get("/whoami/").status_code == 404
    assert refresh(browser, session).status_code == 200
    AuthSession.objects.all().update(device_key="")
    assert register(browser, session).status_code == 200


def nobody(get_response):
    """A middleware that answers 404 to everything."""
    return lambda request: HttpResponseNotFound()


def test_a_site_that_binds_none_has_no_such_urls(browser, session, settings):
    """Turned off, it takes nobody for bound, and knows nothing of the keys."""
    bind(session)
    settings.TOKENAUTH_DEVICE_BINDING = False
    assert refresh(browser, session).status_code == 404
    assert register(browser, session).status_code == 404
    assert browser.get("/whoami/").text == session.user.get_username()


def test_under_another_urlconf_the_view_answers(browser, session, settings):
    """Where a middleware has put one on the request."""
    bind(session)
    settings.ROOT_URLCONF = "tests.urls_plain"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.with_urls"]
    moved = {"Sec-Secure-Session-Id": f'"{session.pk}"', "Sec-Fetch-Mode": "no-cors"}
    moved["Secure-Session-Response"] = prove(KEY, challenge_of(session))
    assert browser.client.post("/moved/device/refresh/", headers=moved).status_code == 200
    AuthSession.objects.all().update(device_key="")
    assert browser.client.post("/moved/device/register/").status_code == 403


def with_urls(get_response):
    """A middleware that puts another URLconf on the request."""

    def middleware(request):
        request.urlconf = "tests.device.moved_urls"
        return get_response(request)

    return middleware
