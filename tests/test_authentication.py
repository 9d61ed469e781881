"""REST framework's views see the person that the middleware found."""

import pytest
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from tests.factories import SessionFactory, UserFactory
from tests.views import Ping
from tokenauth.api.views import SessionView
from tokenauth.authentication import CookieTokenAuthentication
from tokenauth.models import AuthSession
from tokenauth.session import tokens

pytestmark = [pytest.mark.django_db, pytest.mark.users]

PERMISSIVE = "django.contrib.auth.backends.AllowAllUsersModelBackend"
PING = "/api/ping/"


def browser_with(session, **kwargs):
    """A client that holds a session's access token; it sends CSRF tokens only if told to."""
    client = Client(enforce_csrf_checks=True, **kwargs)
    client.cookies["__Host-access_token"] = tokens.issue_access_token(session)[0].reveal()
    return client


@pytest.fixture
def session(user):
    return SessionFactory(user=user)


@pytest.fixture
def browser(session):
    return browser_with(session)


def csrf(browser):
    """The header that a page of the site would send."""
    browser.get("/auth/api/session/")
    return {"X-CSRFToken": browser.cookies["csrftoken"].value}


def test_the_person_and_the_session_are_on_the_request(rf, browser, session, user, monkeypatch):
    """``request.user`` is the user, ``request.auth`` the AuthSession."""
    seen = []
    monkeypatch.setattr(Ping, "get", lambda self, r: seen.append((r.user, r.auth)) or Response())
    browser.get(PING)
    assert seen == [(user, session)]
    assert isinstance(seen[0][1], AuthSession)


def test_a_request_takes_one_query(browser, django_assert_num_queries):
    """As for a Django view."""
    with django_assert_num_queries(1):
        assert browser.get(PING).status_code == 200


def test_nobody_is_a_401_with_a_challenge(client):
    """Not Django's 403, and not a redirect."""
    answer = client.get(PING)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Cookie realm="api"')


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_unsafe_requests_need_the_csrf_token(browser, user, method):
    """A browser sends the cookies whoever made it."""
    send = getattr(browser, method)
    assert send(PING).status_code == 403
    answer = send(PING, headers=csrf(browser))
    assert (answer.status_code, answer.json()["username"]) == (200, user.get_username())


def test_whoever_is_not_signed_in_needs_no_csrf_token():
    """There is nothing to ride on: the answer is 401, not a riddle about CSRF."""
    assert Client(enforce_csrf_checks=True).post(PING).status_code == 401


def test_an_inactive_person_is_nobody(settings):
    """Even by a backend that signs them in, as with DRF's own authentications."""
    settings.AUTHENTICATION_BACKENDS = [PERMISSIVE]
    person = UserFactory(is_active=False)
    browser = browser_with(SessionFactory(user=person, backend=PERMISSIVE))
    assert browser.get("/whoami/").text == person.get_username()
    assert browser.get(PING).status_code == 401


def test_a_session_that_ends_ends_here_too(browser):
    """On the very next request."""
    AuthSession.objects.all().revoke("admin")
    assert browser.get(PING).status_code == 401


def impersonate(get_response):
    def middleware(request):
        if request.user.is_authenticated:
            request.user = get_user_model().objects.get(is_staff=False)
        return get_response(request)

    return middleware


def test_whom_a_middleware_impersonates_is_who_acts(settings, staff, user):
    """As in a Django view, and with REST framework's SessionAuthentication."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.impersonate"]
    browser = browser_with(SessionFactory(user=staff))
    assert browser.get("/whoami/").text == user.get_username()
    assert browser.get(PING).json()["username"] == user.get_username()


def second_factor(get_response):
    def middleware(request):
        if "verified" not in request.session:
            request.user = AnonymousUser()
        return get_response(request)

    return middleware


def test_whom_a_middleware_takes_off_the_request_is_nobody(settings, browser):
    """Who has not passed a second factor passes REST framework's views no more than others."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.second_factor"]
    assert browser.get("/whoami/").text == "anonymous"
    assert browser.get(PING).status_code == 401


def by_bearer(get_response):
    def middleware(request):
        if "Authorization" in request.headers:
            request.user = get_user_model().objects.get()
        return get_response(request)

    return middleware


class Bearer(BaseAuthentication):
    def authenticate(self, request):
        return (get_user_model().objects.get(), "bearer")


def test_whom_a_middleware_found_by_a_bearer_token_needs_no_csrf_token(settings, user, monkeypatch):
    """Only our cookies come unasked; the other authenticator has its say."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.by_bearer"]
    monkeypatch.setattr(Ping, "authentication_classes", [CookieTokenAuthentication, Bearer])
    client = Client(enforce_csrf_checks=True, headers={"Authorization": "Bearer good"})
    assert client.post(PING).json()["username"] == user.get_username()


def test_what_rest_framework_overwrites_changes_nothing(browser, session, user, monkeypatch):
    """It leaves nobody on the request when another authenticator has refused."""

    def ask_again(self, request):
        request._request.user = None
        person, auth = CookieTokenAuthentication().authenticate(request)
        return Response([person.get_username(), str(auth.pk)])

    monkeypatch.setattr(Ping, "get", ask_again)
    assert browser.get(PING).json() == [user.get_username(), str(session.pk)]


def test_without_the_middleware_the_developer_is_told_what_to_edit():
    """Not an AttributeError, where a view needs to know the session."""
    with pytest.raises(ImproperlyConfigured, match="Edit your MIDDLEWARE setting"):
        SessionView.as_view()(APIRequestFactory().get("/auth/api/session/"))


@pytest.fixture(params=[SessionAuthentication, CookieTokenAuthentication])
def answer(request, monkeypatch):
    """A function that calls a view without any middleware, by DRF's authentication and by ours."""
    monkeypatch.setattr(Ping, "authentication_classes", [request.param])

    def send(user=None, *, method="get", **kwargs):
        ping = getattr(APIRequestFactory(**kwargs), method)(PING)
        if user is not None:
            ping.user = user
        return Ping.as_view()(ping)

    return send


def test_a_user_set_by_hand_counts_without_the_middleware(answer, user):
    """A unit test of a view puts them there, as with DRF's SessionAuthentication."""
    assert answer(user).data["username"] == user.get_username()


def test_nobody_set_by_hand_is_nobody_without_the_middleware(answer):
    """Nor an error of ours: a view open to all can be called like that."""
    for nobody in (None, AnonymousUser(), UserFactory(is_active=False)):
        assert answer(nobody).status_code in {401, 403}


def test_a_user_set_by_hand_needs_the_csrf_token_where_the_factory_asks(answer, user):
    """``enforce_csrf_checks`` does what it says."""
    assert answer(user, method="post").status_code == 200
    assert answer(user, method="post", enforce_csrf_checks=True).status_code == 403


def test_force_authenticate_needs_no_middleware(user):
    """DRF's own tool for that."""
    request = APIRequestFactory().post(PING)
    force_authenticate(request, user)
    assert Ping.as_view()(request).data["username"] == user.get_username()


def test_a_person_of_djangos_session_counts_before_it_is_adopted(user):
    """Whoever was signed in before the site had tokenauth still is; there is no session yet."""
    client = Client()
    client.force_login(user)
    assert client.get(PING).json()["username"] == user.get_username()
    assert AuthSession.objects.get().user == user


def test_djangos_login_and_logout_work_where_there_is_no_middleware(rf, user):
    """Tests and scripts call them with requests of their own; no session of ours starts."""
    request = rf.get("/")
    request.session = SessionStore()
    login(request, user)
    logout(request)
    assert not AuthSession.objects.exists()
