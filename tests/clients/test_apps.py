"""Apps get tokens in bodies and send them in headers; browsers do neither."""

import json
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.signals import user_logged_in
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from tests.app import App
from tests.factories import PASSWORD, SessionFactory, StaffFactory, UserFactory
from tokenauth import urls as ours
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session import tokens
from tokenauth.session.devices import Client as Kind

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOGIN = "/auth/api/login/"
OWN_PAGE = {"sec-fetch-site": "same-origin"}


@pytest.fixture(autouse=True)
def clock():
    """Noon on a day in March, until a test shifts it."""
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture(autouse=True)
def site(settings):
    """A site that has apps, and no failed login yet."""
    cache.clear()
    settings.TOKENAUTH_APP_CLIENTS = True


@pytest.fixture
def user():
    """Whose app it is."""
    return UserFactory(username="alice")


@pytest.fixture
def app(user):
    """An app with alice signed in."""
    app = App()
    assert app.sign_in(user).status_code == 200
    return app


def browser_of(user, **kwargs):
    """A browser in which somebody is signed in."""
    browser = Client(**kwargs)
    session = SessionFactory(user=user)
    browser.cookies[cookies.access_name()] = tokens.issue_access_token(session)[0].reveal()
    browser.cookies[cookies.refresh_name()] = session.refresh_token.reveal()
    return browser


# Signing in


def test_an_app_gets_its_tokens_in_the_body_and_no_cookie(user):
    """As RFC 6749 §5.1 has them, in an answer that nobody may keep."""
    answer = App("Pocket").sign_in(user)
    body = answer.json()
    assert body["user"]["username"] == user.get_username()
    assert {**body["tokens"], "access_token": "", "refresh_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": "",
    }
    assert not answer.cookies
    assert "no-store" in answer["Cache-Control"]
    session = AuthSession.objects.get()
    assert (session.client, session.client_name, session.device) == ("app", "Pocket", "Pocket")


def test_who_signs_in_by_an_app_is_told_of_like_anybody(user):
    """Django's signal goes out once, with the request."""
    heard = []

    def hear(sender, request, user, **kwargs):
        heard.append((user, request.path))

    user_logged_in.connect(hear)
    App().sign_in(user)
    user_logged_in.disconnect(hear)
    assert heard == [(user, LOGIN)]


def test_a_name_is_one_line_that_can_be_read(user):
    """It is anybody's word, shown to staff: no line breaks, nothing that turns text round."""
    App("Po\u202ecket\n\tHD").sign_in(user)
    assert AuthSession.objects.get().client_name == "PocketHD"


def test_without_a_name_it_goes_by_its_user_agent(user):
    """As a browser does."""
    app = App("")
    app.http.defaults["HTTP_USER_AGENT"] = "okhttp/5.1.0 (Linux; Android 15)"
    app.sign_in(user)
    assert AuthSession.objects.get().device == "okhttp on Android"


@pytest.mark.parametrize(
    "header", [{"sec-fetch-site": "same-origin"}, {"origin": "http://testserver"}], ids=list
)
@pytest.mark.parametrize("where", ["login", "token/", "token/revoke/"])
def test_a_browser_gets_no_tokens(app, user, header, where):
    """What a script can read, an injected one can steal (ASVS 3.3.4)."""
    person = {"username": user.get_username(), "password": PASSWORD, "client": "app"}
    if where == "login":
        answer = Client().post(LOGIN, person, "application/json", headers=header)
        code = answer.json()["code"]
    else:
        answer = app.send(f"/auth/{where}", headers=header, token=app.tokens["refresh_token"])
        code = answer.json()["error"]
    assert (answer.status_code, code) == (403, "tokens_in_browser")
    assert app.get().content == b"alice"


def test_no_app_signs_in_where_the_site_has_none(user, settings):
    """It is off by default, and the answer says what to set."""
    del settings.TOKENAUTH_APP_CLIENTS
    answer = App().sign_in(user)
    assert (answer.status_code, answer.json()["code"]) == (403, "app_clients_off")
    assert "TOKENAUTH_APP_CLIENTS" in answer.json()["detail"]
    assert not AuthSession.objects.exists()


@pytest.mark.parametrize("where", ["/auth/token/", "/auth/token/revoke/"])
def test_where_the_site_has_no_apps_there_is_no_endpoint(app, settings, where):
    """And a header of ours is nobody's."""
    del settings.TOKENAUTH_APP_CLIENTS
    answer = app.send(where, token=app.tokens["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert app.get().content == b"anonymous"


def test_failed_logins_of_apps_are_counted_as_all_are(user):
    """Else an app's endpoint would be the way to guess."""
    app = App()
    statuses = [app.sign_in(user, password="wrong").status_code for _ in range(12)]
    assert statuses[:10] == [401] * 10
    assert statuses[10:] == [429] * 2


def test_an_app_that_signs_in_again_has_one_session(app, user):
    """By its header; the old one is over."""
    fields = {"username": user.get_username(), "password": PASSWORD, "client": "app"}
    answer = app.post(LOGIN, json.dumps(fields), content_type="application/json")
    assert answer.status_code == 200
    assert app.get().content == b"anonymous"
    assert AuthSession.objects.active().count() == 1


def test_an_app_that_has_a_jar_ends_nobodys_session_by_it(user):
    """A library may have kept a browser's cookies."""
    app = App()
    app.http = browser_of(user)
    assert app.sign_in(user).status_code == 200
    assert AuthSession.objects.active().count() == 2


def test_a_page_that_starts_an_app_leaves_its_browser_alone(user):
    """Also where the view writes Django's session: both are signed in, each by its own tokens."""
    browser, app = Client(), App()
    browser.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    before = {name: morsel.value for name, morsel in browser.cookies.items()}
    app.tokens = browser.get("/app-tokens/").json()
    after = {name: morsel.value for name, morsel in browser.cookies.items()}
    assert after == before
    assert app.get().content == b"alice"
    assert browser.get("/whoami/").content == b"alice"
    assert dict(browser.session.items()).items() >= {"before": "kept", "after": "kept"}.items()
    assert AuthSession.objects.active().count() == 2


# Using it


@pytest.mark.parametrize("where", ["/whoami/", "/async/whoami/"])
def test_a_view_sees_whose_token_it_is(app, where):
    """request.user, in sync and async code."""
    assert app.get(where).content == b"alice"


@pytest.mark.parametrize("where", ["/api/ping/", "/api/for-apps/"])
def test_an_api_lets_the_app_in_without_csrf(app, where):
    """One API serves browsers and apps; another is for apps alone."""
    assert app.get(where).json()["username"] == "alice"
    assert app.post(where, "{}", content_type="application/json").status_code == 200


def test_a_form_of_an_app_needs_no_csrf_token(app):
    """No other site can make a browser send its header."""
    assert app.post("/form/", {"note": "hello"}).status_code == 200


def test_an_endpoint_for_apps_alone_takes_no_cookie(user):
    """It says which header it wants."""
    answer = browser_of(user).get("/api/for-apps/")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')


def test_a_token_that_does_not_count_is_refused_with_a_reason(app, clock):
    """Not bounced: an app refreshes by itself (RFC 6750 §3.1)."""
    clock.shift(timedelta(minutes=16))
    answer = app.get("/api/for-apps/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'
    assert app.get("/api/ping/").status_code == 401
    assert app.get("/whoami/").content == b"anonymous"


def test_a_401_of_the_views_own_says_nothing_of_a_good_token(app, clock):
    """The client would refresh in vain; of one that is over it says so, in a plain view too."""
    assert "WWW-Authenticate" not in app.get("/own-401/").headers
    clock.shift(timedelta(minutes=16))
    assert app.get("/own-401/")["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a.b.c", "bearer {}"])
@pytest.mark.parametrize("asked", ["/whoami/", "/api/ping/", "/form/"])
def test_a_header_decides_alone(app, header, asked):
    """Of bob's cookies beside it none counts, be it good or not: not even for CSRF."""
    bob = browser_of(UserFactory(username="bob"), enforce_csrf_checks=True)
    bob.cookies["csrftoken"] = "c" * 32
    header = {"authorization": header.format(app.tokens["access_token"])}
    is_good = header["authorization"].startswith("bearer")
    answer = bob.get(asked, headers=header)
    found = b"alice" if is_good else b"anonymous"
    assert {"/whoami/": found in answer.content, "/api/ping/": True, "/form/": True}[asked]
    assert (
        answer.status_code
        == {
            "/whoami/": 200,
            "/api/ping/": 200 if is_good else 401,
            "/form/": 200 if is_good else 302,
        }[asked]
    )
    assert b"bob" not in answer.content
    written = bob.post("/form/", {"note": "x"}, headers=header)
    assert written.status_code == (200 if is_good else 403)
    assert not AuthSession.objects.filter(user__username="bob", rotation__gt=0).exists()


def test_another_scheme_is_not_ours():
    """A browser that sends a Basic header, for the proxy in front, is signed in by its cookies."""
    bob = browser_of(UserFactory(username="bob"), enforce_csrf_checks=True)
    header = {"authorization": "Basic Ym9iOnRlc3Q="}
    assert bob.get("/whoami/", headers=header).content == b"bob"
    assert bob.post("/form/", {"note": "x"}, headers=header).status_code == 403


def test_answers_differ_by_the_header(app):
    """A cache in between has to know."""
    assert {"Authorization", "Cookie"} <= set(app.get("/whoami/")["Vary"].split(", "))


def test_an_old_django_session_beside_a_header_signs_nobody_in(app):
    """It is a cookie, and would be adopted."""
    jar = Client()
    jar.force_login(UserFactory(username="bob"))
    header = {"authorization": "Bearer a.b.c"}
    assert jar.get("/whoami/", headers=header).content == b"anonymous"
    assert not AuthSession.objects.filter(user__username="bob").exists()
    assert jar.get("/whoami/", headers=app.header).content == b"alice"


def test_an_app_reads_no_data_of_the_person_in_the_jar(app):
    """request.session is of whoever is signed in, as ever."""
    jar = Client()
    jar.post("/session-data/", {"data": "of the jar"})
    assert jar.get("/session-data/").content == b"of the jar"
    assert jar.get("/session-data/", headers=app.header).content == b""


# Tokens of the two kinds


KEYS = [None, "ES256"]


@pytest.fixture(params=KEYS, ids=["HS256", "ES256"])
def signed(request, settings):
    """How access tokens are signed."""
    if request.param:
        from tokenauth.session.jose.keys import make_key  # noqa: PLC0415  # joserfc is optional

        settings.TOKENAUTH_SIGNING_KEYS = [make_key("ES256")[1].reveal()]
        settings.TOKENAUTH_ISSUER = "http://testserver/auth/"


@pytest.mark.usefixtures("signed")
def test_the_token_of_one_kind_of_client_does_not_pass_for_the_others(user):
    """A cookie's in a header, a header's in a cookie: nobody."""
    app, browser = App(), browser_of(user)
    app.sign_in(user)
    assert (app.get().content, browser.get("/whoami/").content) == (b"alice", b"alice")
    own = {name: morsel.value for name, morsel in browser.cookies.items()}
    for raw in own.values():
        header = {"authorization": f"Bearer {raw}"}
        assert Client().get("/whoami/", headers=header).content == b"anonymous"
        assert app.refresh(raw).json()["error"] == "invalid_grant"
    jar = Client()
    jar.cookies[cookies.access_name()] = app.tokens["access_token"]
    jar.cookies[cookies.refresh_name()] = app.tokens["refresh_token"]
    assert jar.get("/whoami/").content == b"anonymous"
    assert jar.post("/auth/refresh/").status_code == 401
    assert app.refresh(app.tokens["access_token"]).json()["error"] == "invalid_grant"
    header = {"authorization": f"Bearer {app.tokens['refresh_token']}"}
    assert Client().get("/whoami/", headers=header).content == b"anonymous"


@pytest.mark.usefixtures("signed")
def test_an_app_stays_signed_in_for_months(user, clock):
    """Refreshed whenever its access token is over."""
    app = App()
    app.sign_in(user)
    for _week in range(12):
        clock.shift(timedelta(days=7))
        assert app.get().content == b"anonymous"
        assert app.keep(app.refresh()).status_code == 200
        assert app.get().content == b"alice"
    assert AuthSession.objects.get().rotation == 12


def our_paths():
    """The path of each URL of ours."""
    for pattern in ours.urlpatterns:
        kwargs = {"pk": uuid4()} if "pk" in str(pattern.pattern) else {}
        yield reverse(f"tokenauth:{pattern.name}", kwargs=kwargs)


@pytest.mark.parametrize("method", ["get", "post"])
def test_no_browser_ever_gets_a_token_in_a_body(user, method):
    """Whatever it asks for, and however it asks."""
    places = list(our_paths())
    for place in places:
        browser = browser_of(user)
        fields = {"grant_type": "refresh_token", "client": "app"}
        fields |= {"username": user.get_username(), "password": PASSWORD}
        fields["refresh_token"] = browser.cookies[cookies.refresh_name()].value
        answer = getattr(browser, method)(place, fields, headers=OWN_PAGE)
        assert b"eyJ" not in answer.content, place
        assert b"access_token" not in answer.content, place
    assert {"/auth/token/", "/auth/api/login/", "/auth/refresh/"} <= set(places)


# The token endpoint


def test_a_refresh_spends_the_token_and_gives_a_new_pair(app, clock):
    """The same rotation as a browser's."""
    clock.shift(timedelta(minutes=16))
    answer = app.refresh()
    assert sorted(answer.json()) == ["access_token", "expires_in", "refresh_token", "token_type"]
    assert ("no-store" in answer["Cache-Control"], answer["Pragma"]) == (True, "no-cache")
    assert not answer.cookies
    assert answer.json()["refresh_token"] != app.tokens["refresh_token"]


def test_an_answer_that_is_lost_comes_again(app, clock):
    """However late: the same refresh token, until it was seen in use."""
    clock.shift(timedelta(minutes=16))
    lost = app.refresh().json()["refresh_token"]
    clock.shift(timedelta(days=20))
    assert app.keep(app.refresh()).json()["refresh_token"] == lost
    assert app.get().content == b"alice"


def test_one_that_was_only_just_handed_out_is_not_given_again(app):
    """The answer has an access token alone, and the client goes on with the one that it has."""
    answer = app.refresh()
    assert sorted(answer.json()) == ["access_token", "expires_in", "token_type"]
    app.keep(answer)
    assert app.get().content == b"alice"


def test_a_spent_token_that_comes_back_ends_the_session(app, clock):
    """Once the successor was seen in use: somebody else has it."""
    stolen = app.tokens["refresh_token"]
    clock.shift(timedelta(minutes=16))
    app.keep(app.refresh())
    clock.shift(timedelta(seconds=70))
    assert app.get().content == b"alice"
    assert AuthSession.objects.get().confirmed
    assert app.refresh(stolen).json()["error"] == "invalid_grant"
    assert app.get().content == b"anonymous"
    assert AuthSession.objects.get().revoke_reason == "reuse"


BAD = {
    "nothing": ({}, "invalid_request", "grant_type is missing"),
    "no token": ({"grant_type": "refresh_token"}, "invalid_request", "refresh_token is missing"),
    "an empty one": (
        {"grant_type": "refresh_token", "refresh_token": ""},
        "invalid_request",
        "refresh_token is missing",
    ),
    "a password": (
        {"grant_type": "password", "username": "alice", "password": PASSWORD},
        "unsupported_grant_type",
        "refresh_token",
    ),
    "two tokens": (
        {"grant_type": "refresh_token", "refresh_token": ["a", "b"]},
        "invalid_request",
        "once: refresh_token",
    ),
    "two of another name": (
        {"grant_type": "refresh_token", "refresh_token": "a", "evil": ["x", "y"]},
        "invalid_request",
        "once",
    ),
    "garbage": (
        {"grant_type": "refresh_token", "refresh_token": "garbage"},
        "invalid_grant",
        "sign in again",
    ),
    "a long one": (
        {"grant_type": "refresh_token", "refresh_token": "x" * 60_000},
        "invalid_grant",
        "sign in again",
    ),
    "too many fields": (
        {"grant_type": "refresh_token"} | {f"f{n}": "x" for n in range(1001)},
        "invalid_request",
        "that are needed",
    ),
}


@pytest.mark.parametrize(("parameters", "error", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_answered_in_oauths_words(parameters, error, says):
    """RFC 6749 §5.2, with what to change, and nothing of what was sent."""
    answer = App().send(**parameters)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert says in answer.json()["error_description"]
    assert "evil" not in answer.content.decode()


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("where", ["/auth/token/", "/auth/token/revoke/"])
def test_what_is_no_form_is_told_to_be_one(where, content_type):
    """JSON is the usual mistake."""
    answer = Client().post(where, '{"grant_type": "refresh_token"}', content_type)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "application/x-www-form-urlencoded" in answer.json()["error_description"]


@pytest.mark.parametrize("length", ["70000", "x"])
def test_a_long_form_is_not_read(length):
    """Nor one whose length is no number."""
    answer = App().http.post(
        "/auth/token/", "a=b", "application/x-www-form-urlencoded", CONTENT_LENGTH=length
    )
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_another_method_is_refused(method):
    """With the one that there is."""
    answer = getattr(Client(), method)("/auth/token/")
    assert (answer.status_code, answer["Allow"]) == (405, "POST, OPTIONS")
    assert answer.json()["error"] == "invalid_request"


def test_an_error_of_the_sites_own_is_no_clients_fault(app):
    """It goes the way of all errors."""
    down = mock.patch.object(AuthSession.objects, "rotate", side_effect=OperationalError)
    with down, pytest.raises(OperationalError):
        app.refresh()


# Signing out, and being signed out


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
def test_either_token_given_back_ends_the_session(app, which):
    """RFC 7009 §2.1."""
    answer = app.send("/auth/token/revoke/", token=app.tokens[which], token_type_hint="x")
    assert (answer.status_code, answer.content) == (200, b"")
    assert app.get().content == b"anonymous"
    assert app.refresh().json()["error"] == "invalid_grant"
    assert AuthSession.objects.get().revoke_reason == "logout"


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "x" * 5000])
def test_a_token_that_nobody_knows_is_worth_nothing_already(app, token):
    """RFC 7009 §2.2: that is what was asked for."""
    assert app.send("/auth/token/revoke/", token=token).status_code == 200
    assert app.get().content == b"alice"


def test_a_browsers_token_is_not_given_back_here(user):
    """It has a page for that, and CSRF rules."""
    browser = browser_of(user)
    for morsel in browser.cookies.values():
        App().send("/auth/token/revoke/", token=morsel.value)
    assert browser.get("/whoami/").content == b"alice"


def test_giving_back_nothing_is_a_mistake():
    """RFC 7009 §2.2.1."""
    answer = App().send("/auth/token/revoke/")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def revoke_in_admin(app, user):
    """Staff end the session on its page."""
    staff = browser_of(StaffFactory(username="staff"))
    session = AuthSession.objects.get(client="app")
    page = f"/admin/tokenauth/authsession/{session.pk}/change/"
    assert b"Pocket" in staff.get(page).content
    AuthSession.objects.filter(pk=session.pk).revoke("admin")


def change_password(app, user):
    """By another device, or in a shell."""
    user.set_password("another-pass-2")
    user.save()


def reuse(app, user):
    """Somebody brings a spent token."""
    session = AuthSession.objects.get(client="app")
    stolen = app.tokens["refresh_token"]
    AuthSession.objects.filter(pk=session.pk).update(issued_at=NOW - timedelta(hours=1))
    app.keep(app.refresh())
    AuthSession.objects.filter(pk=session.pk).update(confirmed=True)
    app.refresh(stolen)


WAYS = {
    "token/revoke/": lambda app, user: app.sign_out(),
    "api/logout/": lambda app, user: app.post("/auth/api/logout/"),
    "Django's logout": lambda app, user: app.post("/django-logout/"),
    "admin": revoke_in_admin,
    "password": change_password,
    "reuse": reuse,
    "deactivated": lambda app, user: type(user).objects.update(is_active=False),
}


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
def test_whoever_ends_it_the_next_request_is_refused(app, user, end):
    """By header and by refresh token alike."""
    end(app, user)
    assert app.get().content == b"anonymous"
    assert app.get("/api/for-apps/").status_code == 401
    assert app.refresh().json()["error"] == "invalid_grant"


def test_a_person_ends_an_apps_session_from_their_devices(app, user):
    """It stands there by its name, with what it is."""
    browser = browser_of(user)
    page = browser.get("/auth/sessions/").content.decode()
    assert "Pocket" in page
    session = AuthSession.objects.get(client="app")
    browser.post(f"/auth/sessions/{session.pk}/revoke/")
    assert app.get().content == b"anonymous"


def test_an_app_lists_and_ends_sessions_too(app, user):
    """The API for "Your devices" is for it as well."""
    other = SessionFactory(user=user)
    listed = app.get("/auth/api/sessions/").json()
    assert {(one["client"], one["client_name"], one["current"]) for one in listed} == {
        ("app", "Pocket", True),
        ("browser", "", False),
    }
    gone = app.http.delete(f"/auth/api/sessions/{other.pk}/", headers=app.header)
    assert gone.status_code == 204
    assert app.get().content == b"alice"


# What a site's own views do


@pytest.mark.parametrize("where", ["/matters/", "/api/matters/"])
def test_an_app_is_told_when_a_proof_is_too_old(app, user, clock, where):
    """By RFC 9470, in its own scheme; it signs in again, and that is a new session."""
    assert app.get(where).status_code == 200
    clock.shift(timedelta(minutes=6))
    answer = app.get(where, HTTP_ACCEPT="text/html")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_user_authentication", max_age="300"'
    )
    app.keep(app.refresh())
    assert app.get(where).status_code == 401
    app.sign_in(user)
    assert app.get(where).status_code == 200


def test_a_new_password_set_by_an_app_signs_it_out(app, user):
    """It gets no cookies in the place of tokens: it signs in again."""
    fields = {"old_password": PASSWORD, "new_password1": "Xy7-long-enough"}
    fields["new_password2"] = fields["new_password1"]
    answer = app.post("/password/", fields)
    assert answer.status_code == 302
    assert cookies.access_name() not in answer.cookies
    assert app.get().content == b"anonymous"


def test_a_login_by_an_apps_request_gives_it_no_tokens_of_a_browser(app):
    """Django's login() is followed for browsers alone."""
    bob = UserFactory(username="bob")
    answer = app.post("/django-login/", {"username": "bob", "password": PASSWORD})
    assert answer.content == b"bob"
    assert cookies.access_name() not in answer.cookies
    assert not bob.auth_sessions.exists()


def test_a_session_that_is_bound_to_a_key_needs_its_proof(user):
    """A stolen token alone is worth nothing."""
    session = AuthSession.objects.start(
        None, user, client=Kind("app", "Pocket", "thumbprint-of-a-key")
    )
    app = App()
    app.tokens = {"access_token": tokens.issue_access_token(session)[0].reveal()}
    assert app.get().content == b"anonymous"
    answer = app.refresh(session.refresh_token.reveal())
    assert answer.json()["error"] == "invalid_dpop_proof"
    session.refresh_from_db()
    assert (session.rotation, session.revoked_at) == (0, None)
