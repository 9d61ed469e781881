"""The API: bodies and errors as they are promised, and never a token in one."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.test import Client
from django.urls import reverse
from rest_framework.exceptions import Throttled
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from tests.factories import PASSWORD, SessionFactory
from tokenauth.api import views as api
from tokenauth.models import AuthSession
from tokenauth.request.refresh import seconds_to
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.endings import RevokeReason

pytestmark = [pytest.mark.django_db, pytest.mark.users]

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
LOGIN, LOGOUT, SESSION, SESSIONS, OTHERS = (
    reverse(f"tokenauth:api_{name}")
    for name in ("login", "logout", "session", "session_list", "session_revoke_others")
)
ENDS = ["access_expires_at", "session_expires_at", "access_expires_in", "session_expires_in"]
NOBODY = dict.fromkeys(["user", "session", *ENDS])
CHALLENGE = 'Cookie realm="api"'
GARBAGE = {ACCESS: "a.b.c", REFRESH: "x" * 3000, "sessionid": "y", "csrftoken": "z"}


@pytest.fixture(autouse=True)
def clock():
    """Noon on a day in March, until a test shifts it."""
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture
def browser():
    """A script in a page of the site, which minds CSRF as Django does in production."""
    return Client(enforce_csrf_checks=True, raise_request_exception=True)


@pytest.fixture
def signed_in(browser, user):
    """The same, with its person signed in."""
    assert login(browser, user).status_code == 200
    return browser


def post(browser, url, body=None, **kwargs):
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return browser.post(url, content, content_type="application/json", **kwargs)


def login(browser, person, **fields):
    return post(browser, LOGIN, {"username": person.get_username(), "password": PASSWORD} | fields)


def csrf(browser):
    return {"X-CSRFToken": browser.cookies["csrftoken"].value}


def url_of(session):
    return reverse("tokenauth:api_session_detail", args=[session.pk])


def moment(when):
    return when.isoformat().replace("+00:00", "Z")


def described(session, *, current=True):
    """What the API says of a session that has just been started."""
    return {
        "id": str(session.pk),
        "created_at": moment(NOW),
        "last_seen_at": moment(NOW),
        "expires_at": moment(session.expires_at),
        "absolute_expires_at": moment(NOW + timedelta(days=180)),
        "persistent": session.persistent,
        "device": session.device,
        "device_kind": session.device_kind,
        "ip_address": session.ip_address,
        "address_label": "",
        "client": "browser",
        "client_name": "",
        "current": current,
    }


def answer_for(user, session):
    """What the API says to somebody who has just signed in."""
    return {
        "user": {"id": json.loads(json.dumps(user.pk, default=str)), "username": str(user)},
        "session": described(session),
        "access_expires_at": "2026-03-01T12:15:00Z",
        "session_expires_at": moment(session.expires_at),
        "access_expires_in": 899,
        "session_expires_in": int((session.expires_at - NOW).total_seconds()),
    }


def assert_refused(answer, status, code):
    """An error has a sentence and a code, and a 401 a challenge."""
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"detail", "code"}
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert answer.get("WWW-Authenticate") == (CHALLENGE if status == 401 else None)


# Login


def test_a_login_says_who_signed_in_and_until_when(browser, user):
    """200 with person and session; both cookies and the CSRF cookie are set."""
    answer = login(browser, user)
    session = AuthSession.objects.get()
    assert (answer.status_code, answer.json()) == (200, answer_for(user, session))
    assert {ACCESS, REFRESH, "csrftoken"} <= set(answer.cookies)
    assert answer["Cache-Control"] == "private, no-store"
    assert browser.get("/whoami/").text == user.get_username()


@pytest.mark.parametrize("field", ["username", "the model's own"])
@pytest.mark.parametrize("form", [True, False], ids=["form", "json"])
def test_the_name_may_be_given_under_either_field(browser, user, field, form):
    """``username`` always works, and so does the user model's USERNAME_FIELD."""
    field = field if field == "username" else get_user_model().USERNAME_FIELD
    body = {field: user.get_username(), "password": PASSWORD}
    answer = browser.post(LOGIN, body) if form else post(browser, LOGIN, body)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("remember", "persistent"),
    [({}, True), *[({"remember": v}, v) for v in (True, False)], ({"remember": None}, True)],
    ids=["left-out", "true", "false", "null"],
)
@pytest.mark.parametrize("form", [True, False], ids=["form", "json"])
def test_whether_to_stay_signed_in_is_asked_for(browser, user, remember, persistent, form):
    """True unless told otherwise; then both cookies end with the browser."""
    if form:
        body = {"username": user.get_username(), "password": PASSWORD}
        body |= {name: value for name, value in remember.items() if value is not None}
        answer = browser.post(LOGIN, body)
    else:
        answer = login(browser, user, **remember)
    assert answer.json()["session"]["persistent"] is persistent
    for name in (ACCESS, REFRESH):
        assert bool(answer.cookies[name]["max-age"]) is persistent


def test_a_name_is_normalised_as_on_djangos_login_page(browser, user):
    """A name typed with a full-width letter is the same name."""
    typed = "\uff41" + user.get_username().removeprefix("a")
    assert post(browser, LOGIN, {"username": typed, "password": PASSWORD}).status_code == 200


def test_letters_for_a_number_are_not_right(browser, user, monkeypatch):
    """A name that the username field cannot hold is nobody's, and no error of ours."""
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")  # a number, or a UUID
    answer = post(browser, LOGIN, {"username": "alice", "password": PASSWORD})
    assert_refused(answer, 401, "authentication_failed")
    answer = post(browser, LOGIN, {"username": str(user.pk), "password": PASSWORD})
    assert answer.status_code == 200


def test_an_error_of_a_backend_stays_one(browser, user, monkeypatch):
    """Only what the username field refuses is an answer to a wrong name."""
    monkeypatch.setattr(ModelBackend, "authenticate", fail)
    with pytest.raises(ValueError, match="a bug"):
        login(browser, user)


def fail(*args, **kwargs):
    raise ValueError("a bug")


def test_the_password_is_taken_as_it_is(browser, user):
    """Spaces at its ends belong to it."""
    user.set_password("  spaced  ")
    user.save()
    assert login(browser, user, password="  spaced  ").status_code == 200
    assert login(browser, user, password="spaced").status_code == 401


def test_djangos_signals_go_out_with_the_request(browser, user):
    """With the HttpRequest that other apps know, not REST framework's wrapper."""
    requests = []

    def receive(request, **kwargs):
        requests.append(request)

    for signal in (user_logged_in, user_login_failed):
        signal.connect(receive)
    login(browser, user)
    login(browser, user, password="wrong")
    for signal in (user_logged_in, user_login_failed):
        signal.disconnect(receive)
    assert [isinstance(request, HttpRequest) for request in requests] == [True, True]


def nobody(user):
    return {"username": "nobody@site.test", "password": PASSWORD}


def wrong_password(user):
    return {"username": user.get_username(), "password": "wrong"}


def inactive(user):
    user.is_active = False
    user.save()
    return {"username": user.get_username(), "password": PASSWORD}


@pytest.mark.parametrize("make", [nobody, wrong_password, inactive])
def test_bad_credentials_are_a_401_that_does_not_say_which(browser, user, make):
    """The same words for an unknown name and a wrong password; no session, no cookie."""
    answer = post(browser, LOGIN, make(user))
    assert_refused(answer, 401, "authentication_failed")
    field = type(user)._meta.get_field(type(user).USERNAME_FIELD)
    assert answer.json()["detail"].startswith(f"Please enter a correct {field.verbose_name} and")
    assert not AuthSession.objects.exists()
    assert not answer.cookies


BAD_BODIES = {
    "empty": b"",
    "no-json": b"{",
    "null": b"null",
    "number": b"7",
    "text": b'"alice"',
    "list": b'["alice"]',
    "no-fields": b"{}",
    "no-password": b'{"username": "alice"}',
    "blank": b'{"username": "", "password": ""}',
    "nulls": b'{"username": null, "password": null}',
    "wrong-types": b'{"username": ["alice"], "password": {"a": 1}}',
    "nested": b"[" * 100_000,
    "nested-object": b'{"a":' * 100_000,
    "huge-number": b"9" * 100_000,
    "surrogate": b'{"username": "\\ud800", "password": "\\udfff"}',
    "surrogate-key": b'{"\\ud800": "\\ud800"}',
    "nul": b'{"username": "a\\u0000", "password": "b\\u0000"}',
    "long-name": b'{"username": "' + b"x" * 255 + b'", "password": "x"}',
    "long-password": b'{"username": "x", "password": "' + b"x" * 4097 + b'"}',
    "remember-nonsense": b'{"username": "a", "password": "b", "remember": "\\ud800"}',
    "remember-list": b'{"username": "a", "password": "b", "remember": [1]}',
    "no-utf-8": b'{"username": "\xff"}',
    "nan": b'{"username": NaN, "password": Infinity}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_makes_no_sense_is_a_400(browser, body):
    """In the API's own form of an error, whatever was sent, and never a 500."""
    answer = post(browser, LOGIN, body)
    assert answer.json()["code"] in {"invalid", "parse_error"}
    assert_refused(answer, 400, answer.json()["code"])
    assert len(answer.content) < 500


def test_who_was_switched_off_is_not_signed_in_by_a_lenient_backend(browser, user, settings):
    """Nor on the login page: where Django leaves that to the form, we do not forget it."""
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    user.is_active = False
    user.save()
    assert login(browser, user).status_code == 401
    assert not AuthSession.objects.exists()


def test_a_username_that_is_no_text_is_told_as_text(browser, user, monkeypatch):
    """A phone number of django-phonenumber-field, say."""

    class Phone:
        def __str__(self):
            return "+49 1234"

    name = user.get_username()
    monkeypatch.setattr(type(user), "get_username", lambda self: Phone())
    answer = post(browser, LOGIN, {"username": name, "password": PASSWORD})
    assert answer.json()["user"]["username"] == "+49 1234"


def test_a_sites_own_throttles_are_for_its_own_views(browser, monkeypatch):
    """Nobody is known to the open ones, so a whole office would be one, and could not sign out."""

    class Never(BaseThrottle):
        def allow_request(self, request, view):
            return False

    monkeypatch.setattr(APIView, "throttle_classes", [Never])
    assert post(browser, LOGOUT).status_code == 204
    assert browser.get(SESSION).status_code == 200


def test_each_field_that_is_missing_is_named(browser):
    """One sentence for all of them."""
    detail = post(browser, LOGIN, {}).json()["detail"]
    assert detail == "username: This field is required. password: This field is required."


@pytest.mark.parametrize(
    ("send", "status", "code"),
    [
        (lambda b: b.get(LOGIN), 405, "method_not_allowed"),
        (lambda b: b.put(LOGIN), 405, "method_not_allowed"),
        (lambda b: b.post(LOGIN, "<a/>", content_type="text/xml"), 415, "unsupported_media_type"),
        (lambda b: b.get(LOGOUT), 405, "method_not_allowed"),
        (lambda b: b.get(reverse("tokenauth:refresh")), 405, "method_not_allowed"),
    ],
    ids=["get-login", "put-login", "xml", "get-logout", "get-refresh"],
)
def test_other_errors_have_the_same_form(browser, send, status, code):
    """Whatever REST framework refuses by itself."""
    assert_refused(send(browser), status, code)


@pytest.mark.parametrize("url", [SESSION, SESSIONS])
def test_what_concerns_a_person_is_kept_by_nobody(signed_in, url):
    """Addresses and devices don't belong on the disk of a shared computer."""
    assert "no-store" in signed_in.get(url)["Cache-Control"]


def test_the_refresh_url_says_which_method_it_takes(browser):
    """RFC 9110 §15.5.6."""
    assert browser.get(reverse("tokenauth:refresh"))["Allow"] == "POST"


def test_receivers_are_told_who_signed_out(signed_in, user):
    """An audit log wants to know."""
    left = []

    def note(user, **kwargs):
        left.append(user)

    user_logged_out.connect(note)
    try:
        post(signed_in, LOGOUT)
    finally:
        user_logged_out.disconnect(note)
    assert left == [user]


def test_the_seconds_that_are_left_count_down(signed_in, clock):
    """By the server's clock, for clients whose own is wrong."""
    left = signed_in.get(SESSION).json()
    clock.shift(60)
    later = signed_in.get(SESSION).json()
    for name in ("access_expires_in", "session_expires_in"):
        assert left[name] - later[name] == 60


@pytest.mark.parametrize(("seconds", "left"), [(90.9, 90), (0, 0), (-90, 0)])
def test_no_seconds_are_left_of_what_is_over(clock, seconds, left):
    """A client that counts down never meets a negative number."""
    assert seconds_to(datetime.now(UTC) + timedelta(seconds=seconds)) == left


def test_an_old_django_session_has_a_session_at_once(browser, user):
    """The first answer after a site has switched to tokenauth is whole."""
    browser.force_login(user)
    answer = browser.get(SESSION)
    session = AuthSession.objects.get()
    assert answer.json()["session"]["id"] == str(session.pk)
    assert answer.json()["access_expires_at"]
    assert {ACCESS, REFRESH} <= set(answer.cookies)
    assert [listed["current"] for listed in browser.get(SESSIONS).json()] == [True]


def test_the_session_that_asks_is_listed_first(signed_in, user, clock):
    """Then the others, the last seen first."""
    clock.shift(timedelta(minutes=1))
    others = [SessionFactory(user=user).pk for _ in range(2)]
    AuthSession.objects.filter(pk=others[0]).update(last_seen_at=NOW + timedelta(hours=1))
    listed = signed_in.get(SESSIONS).json()
    assert [session["current"] for session in listed] == [True, False, False]
    assert [session["id"] for session in listed[1:]] == [str(pk) for pk in others]


@pytest.mark.parametrize("accept", ["text/html", "image/png", "text/xml", "nonsense"])
def test_it_answers_in_json_whatever_is_accepted(signed_in, accept):
    """A logout with an odd Accept header signs out all the same."""
    answer = signed_in.get(SESSION, headers={"accept": accept})
    assert answer["Content-Type"] == "application/json"
    answer = signed_in.post(LOGOUT, headers={"accept": accept} | csrf(signed_in))
    assert answer.status_code == 204
    assert signed_in.get(SESSION).json() == NOBODY


def test_a_receiver_may_refuse_a_login(browser, user):
    """As django-axes does: its refusal is told as what it is."""

    def refuse(**kwargs):
        raise PermissionDenied("locked out")

    user_login_failed.connect(refuse)
    answer = login(browser, user, password="wrong")
    user_login_failed.disconnect(refuse)
    assert_refused(answer, 403, "permission_denied")


def test_an_error_of_the_site_stays_its_own(browser, user, monkeypatch, settings):
    """A failure inside is no API error: it is raised, whatever handler the site has for its own."""
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": f"{__name__}.swallow"}
    assert_refused(login(browser, user, password="wrong"), 401, "authentication_failed")
    monkeypatch.setattr(api, "sign_in", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        login(browser, user)


def swallow(error, context):
    raise NotImplementedError


# Stale cookies lock nobody out


@pytest.mark.parametrize("jar", [{}, GARBAGE], ids=["empty-jar", "garbage"])
def test_login_and_logout_work_with_any_cookie(browser, user, jar):
    """No CSRF token is needed either (dj-rest-auth #150)."""
    for name, value in jar.items():
        browser.cookies[name] = value
    assert login(browser, user).status_code == 200
    assert browser.get("/whoami/").text == user.get_username()
    assert post(browser, LOGOUT).status_code == 204
    assert browser.get("/whoami/").text == "anonymous"


def test_login_works_with_the_cookies_of_an_ended_session(signed_in, user):
    """A browser whose session was revoked signs in again, without detours."""
    AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    assert login(signed_in, user).status_code == 200
    assert signed_in.get(SESSION).json()["user"]["username"] == user.get_username()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://e.test"},
    ],
    ids=["cross-site", "sibling", "origin"],
)
@pytest.mark.parametrize("url", [LOGIN, LOGOUT])
def test_what_another_site_sends_is_refused(signed_in, user, url, headers):
    """Before anything is read: nobody is signed in or out from elsewhere."""
    assert_refused(post(signed_in, url, b"{", headers=headers), 403, "cross_site")
    assert AuthSession.objects.active().count() == 1
    assert signed_in.get(SESSION).json()["user"] is not None


# Logout


def test_a_logout_ends_the_session_and_clears_the_cookies(signed_in):
    """204, without a body."""
    answer = post(signed_in, LOGOUT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [answer.cookies[name]["max-age"] for name in (ACCESS, REFRESH)] == [0, 0]
    assert AuthSession.objects.get().revoke_reason == RevokeReason.LOGOUT
    assert signed_in.get(SESSION).json() == NOBODY


def test_a_logout_of_nobody_is_no_error(browser):
    """204 again, and no cookie is deleted that did not come."""
    answer = post(browser, LOGOUT)
    assert (answer.status_code, set(answer.cookies)) == (204, set())


# Who am I


def test_nobody_is_told_so_in_nulls(browser):
    """200, not an error, and the CSRF cookie comes with it."""
    answer = browser.get(SESSION)
    assert (answer.status_code, answer.json()) == (200, NOBODY)
    assert set(answer.cookies) == {"csrftoken"}
    assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "browser-session"])
def test_the_signed_in_are_told_who_they_are_and_until_when(browser, user, persistent):
    """The same answer as that to the login."""
    told = login(browser, user, remember=persistent).json()
    answer = browser.get(SESSION)
    assert answer.json() == told == answer_for(user, AuthSession.objects.get())
    assert told["session"]["persistent"] is persistent
    assert set(answer.cookies) == {"csrftoken"}


def test_the_csrf_token_of_the_session_url_is_good_for_the_next_request(signed_in):
    """What a script needs to do anything else."""
    del signed_in.cookies["csrftoken"]
    signed_in.get(SESSION)
    assert post(signed_in, OTHERS, headers=csrf(signed_in)).status_code == 204


# My sessions


def test_my_sessions_are_listed_the_last_seen_first(signed_in, user, clock):
    """Only mine, only active ones, and the one that asks is marked."""
    current = AuthSession.objects.get()
    ended, older = SessionFactory.create_batch(2, user=user)
    SessionFactory()
    AuthSession.objects.filter(pk=ended.pk).revoke(RevokeReason.USER)
    AuthSession.objects.filter(pk=older.pk).update(last_seen_at=NOW - timedelta(hours=1))
    answer = signed_in.get(SESSIONS).json()
    last_seen = {"last_seen_at": moment(NOW - timedelta(hours=1))}
    assert answer == [described(current), described(older, current=False) | last_seen]


def test_one_of_my_sessions_is_ended(signed_in, user):
    """204; the device is signed out, this one is not."""
    other = SessionFactory(user=user)
    answer = signed_in.delete(url_of(other), headers=csrf(signed_in))
    assert (answer.status_code, answer.content, len(answer.cookies)) == (204, b"", 0)
    assert AuthSession.objects.get(pk=other.pk).revoke_reason == RevokeReason.USER
    assert signed_in.get(SESSION).json()["user"] is not None


def test_ending_my_own_session_signs_me_out(signed_in):
    """The cookies go with it."""
    answer = signed_in.delete(url_of(AuthSession.objects.get()), headers=csrf(signed_in))
    assert answer.status_code == 204
    assert [answer.cookies[name]["max-age"] for name in (ACCESS, REFRESH)] == [0, 0]
    assert AuthSession.objects.get().revoke_reason == RevokeReason.USER


def strangers(user):
    return SessionFactory()


def ended_before(user):
    session = SessionFactory(user=user)
    AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.USER)
    return session


def imaginary(user):
    return AuthSession()


@pytest.mark.parametrize("make", [strangers, ended_before, imaginary])
def test_any_other_session_is_not_found(signed_in, user, make):
    """Nobody learns whether it exists, and it goes on."""
    session = make(user)
    before = AuthSession.objects.active().count()
    assert_refused(signed_in.delete(url_of(session), headers=csrf(signed_in)), 404, "not_found")
    assert AuthSession.objects.active().count() == before


def test_all_my_other_sessions_are_ended(signed_in, user):
    """The one that asks goes on, and so do other people's."""
    current, mine, stranger = AuthSession.objects.get(), SessionFactory(user=user), SessionFactory()
    answer = post(signed_in, OTHERS, headers=csrf(signed_in))
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(AuthSession.objects.active()) == {current, stranger}
    assert AuthSession.objects.get(pk=mine.pk).revoke_reason == RevokeReason.USER


def listed(browser, session):
    return browser.get(SESSIONS)


def one_ended(browser, session):
    return browser.delete(url_of(session))


def others_ended(browser, session):
    return post(browser, OTHERS)


@pytest.mark.parametrize("send", [listed, one_ended, others_ended])
@pytest.mark.parametrize("jar", [{}, GARBAGE], ids=["empty-jar", "garbage"])
def test_nobody_has_no_sessions(browser, user, send, jar):
    """401 with a challenge, and nothing happens."""
    for name, value in jar.items():
        browser.cookies[name] = value
    session = SessionFactory(user=user)
    assert_refused(send(browser, session), 401, "not_authenticated")
    assert AuthSession.objects.get() == session
    assert session.active


@pytest.mark.parametrize("send", [one_ended, others_ended])
def test_ending_sessions_needs_the_csrf_token(signed_in, user, send):
    """Another site's page can send the cookies, but not the token."""
    session = SessionFactory(user=user)
    assert_refused(send(signed_in, session), 403, "permission_denied")
    assert AuthSession.objects.active().count() == 2


# No token in a body


def test_no_body_ever_holds_a_token(browser, user, clock):
    """Neither token, neither hash, from any endpoint, not even in errors or after a refresh."""
    answers = [login(browser, user), login(browser, user, password="wrong")]
    for _ in range(2):
        answers += [browser.get(SESSION), browser.get(SESSIONS)]
        answers += [post(browser, reverse("tokenauth:refresh"))]
        clock.shift(timedelta(hours=1))
    session = AuthSession.objects.get()
    answers += [one_ended(browser, session), browser.delete(url_of(session), headers=csrf(browser))]
    secrets = {
        cookie.value
        for answer in answers
        for name, cookie in answer.cookies.items()
        if name in {ACCESS, REFRESH} and cookie.value
    }
    assert len(secrets) > 3
    hashes = [tokens.hash_token(Secret(secret)) for secret in secrets]
    secrets |= {session.token_hash, session.auth_hash, *hashes}
    for answer in answers:
        assert [secret for secret in secrets if secret in answer.text] == []


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (PermissionDenied("no"), (403, "no", "permission_denied")),
        (Http404("gone"), (404, "gone", "not_found")),
        (Throttled(30), (429, None, "throttled")),
        (ValueError("ours"), None),
    ],
    ids=["permission", "404", "throttled", "a bug"],
)
def test_errors_of_djangos_own_are_answered_in_the_apis_form(error, answer):
    """Anything else is a 500, with a traceback."""
    found = api.error_answer(error, {})
    if answer is None:
        assert found is None
        return
    status, detail, code = answer
    assert (found.status_code, found.data["code"]) == (status, code)
    assert found.data["detail"] == (detail or error.detail)
    assert found.headers.get("Retry-After") == ("30" if status == 429 else None)
