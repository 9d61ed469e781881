"""Django's own login() and logout(), wherever a site calls them, and what its sessions hold."""

from datetime import timedelta

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.conf import settings as site_settings
from django.contrib.auth import (
    aauthenticate,
    alogin,
    alogout,
    authenticate,
    login,
    logout,
)
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response
from rest_framework.views import APIView

from tests import urls, views
from tests.factories import PASSWORD, StaffFactory
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"


class RestLogin(APIView):
    """A sign-in that hands REST framework's Request to Django."""

    def post(self, request):
        login(request, authenticate(request, **request.data.dict()))
        return Response(views.name(request.user))


class RestLogout(APIView):
    def post(self, request):
        logout(request)
        return Response(views.name(request.user))


@csrf_exempt
async def async_login(request):
    await alogin(request, await aauthenticate(request, **request.POST.dict()))
    return views.text(views.name(await request.auser()))


@csrf_exempt
async def async_logout(request):
    await alogout(request)
    return views.text(views.name(await request.auser()))


@csrf_exempt
def failing_login(request):
    login(request, authenticate(request, **request.POST.dict()))
    return HttpResponse(status=503)


@csrf_exempt
def failing_logout(request):
    logout(request)
    return HttpResponse(status=503)


@csrf_exempt
def timed_login(request):
    """Sign in for as many seconds as the query says."""
    login(request, authenticate(request, **request.POST.dict()))
    request.session.set_expiry(int(request.GET["expiry"]))
    return views.text("")


@csrf_exempt
def bearer_login(request):
    """Do as knox does: tell of a sign-in that is none of a browser's."""
    user = authenticate(request, **request.POST.dict())
    user_logged_in.send(sender=type(user), request=request, user=user)
    return views.text("")


urlpatterns = [
    *urls.urlpatterns,
    path("rest-login/", RestLogin.as_view()),
    path("rest-logout/", RestLogout.as_view()),
    path("async-login/", async_login),
    path("async-logout/", async_logout),
    path("failing-login/", failing_login),
    path("failing-logout/", failing_logout),
    path("timed-login/", timed_login),
    path("bearer-login/", bearer_login),
]

pytestmark = pytest.mark.urls(__name__)

every_login = pytest.mark.parametrize(
    "url", ["/admin/login/", "/django-login/", "/rest-login/", "/async-login/", "/auth/login/"]
)
every_logout = pytest.mark.parametrize(
    "url", ["/admin/logout/", "/django-logout/", "/rest-logout/", "/async-logout/"]
)


@pytest.fixture
def alice(transactional_db):
    return StaffFactory(username="alice")


@pytest.fixture
def bob(transactional_db):
    return StaffFactory(username="bob")


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


def sign_in(browser, user, url="/django-login/"):
    """Sign in at one of the site's doors."""
    fields = {"username": user.get_username(), "password": PASSWORD}
    if url in {"/admin/login/", "/auth/login/"}:
        return browser.post_form(url, fields | {"next": "/", "remember": "on"})
    return browser.fetch("POST", url, data=fields)


def who(browser):
    return browser.get("/whoami/").text


def tokens(browser):
    """Return which token cookies the browser has."""
    return {name for name, _ in browser.cookies} & {ACCESS, REFRESH}


def keep(browser, data):
    """Leave something in Django's session."""
    assert browser.fetch("POST", "/session-data/", data={"data": data}).text == data


def kept(browser):
    return browser.get("/session-data/").text


def django_session(browser):
    return SessionStore(browser.value("sessionid"))


# Sign in, sign out


@every_login
def test_every_login_starts_a_session(browser, alice, url):
    """Whichever door somebody takes, the browser gets both tokens."""
    sign_in(browser, alice, url)
    session = AuthSession.objects.get()
    assert (session.user, session.active) == (alice, True)
    assert tokens(browser) == {ACCESS, REFRESH}
    assert who(browser) == "alice"


@every_login
def test_a_login_is_remembered_by_the_tokens_alone(browser, alice, url):
    """Who has signed in stays so without Django's session."""
    sign_in(browser, alice, url)
    browser.drop_cookie("sessionid")
    assert who(browser) == "alice"


@every_logout
def test_every_logout_ends_the_session(browser, new_browser, alice, url):
    """A copy of the cookies made before is worth nothing."""
    sign_in(browser, alice)
    copy = new_browser()
    copy.paste_cookies(browser.copy_cookies())
    browser.fetch("POST", url)
    assert AuthSession.objects.get().revoke_reason == "logout"
    assert (who(browser), who(copy)) == ("anonymous", "anonymous")


@every_logout
def test_after_a_logout_each_cookie_goes_when_it_is_next_seen(browser, alice, url):
    """The refresh token doesn't travel to the site's own logout, so it goes a little later."""
    sign_in(browser, alice)
    browser.fetch("POST", url)
    assert tokens(browser) == {REFRESH}
    browser.get(reverse("tokenauth:session_list"))
    assert tokens(browser) == set()


@pytest.mark.parametrize("url", ["/django-login/", "/rest-login/", "/async-login/"])
def test_the_view_sees_who_has_just_signed_in(browser, alice, bob, url):
    """After login() the request is the new person's, whoever it was before."""
    sign_in(browser, alice)
    assert sign_in(browser, bob, url).text.strip('"') == "bob"


@pytest.mark.parametrize("url", ["/django-logout/", "/rest-logout/", "/async-logout/"])
def test_the_view_sees_that_nobody_is_signed_in_any_more(browser, alice, url):
    """After logout() the request is nobody's."""
    sign_in(browser, alice)
    assert browser.fetch("POST", url).text.strip('"') == "anonymous"


def test_a_login_on_a_page_that_fails_signs_nobody_in(browser, alice):
    """A 5xx takes the login back."""
    assert sign_in(browser, alice, "/failing-login/").status_code == 503
    assert not AuthSession.objects.exists()
    assert tokens(browser) == set()
    assert who(browser) == "anonymous"


def test_a_logout_counts_on_a_page_that_fails_too(browser, alice):
    """As Django's own: the person asked for it."""
    sign_in(browser, alice)
    assert browser.fetch("POST", "/failing-logout/").status_code == 503
    assert who(browser) == "anonymous"
    assert AuthSession.objects.get().revoke_reason == "logout"


def test_a_login_over_somebody_that_fails_leaves_nobody(browser, alice, bob):
    """As in Django, where the data of the one who was there is gone by then."""
    sign_in(browser, alice)
    sign_in(browser, bob, "/failing-login/")
    assert who(browser) == "anonymous"
    assert not AuthSession.objects.active().exists()


@every_login
def test_another_person_gets_a_session_of_their_own(browser, alice, bob, url):
    """The one who was there is signed out."""
    sign_in(browser, alice)
    sign_in(browser, bob, url)
    assert who(browser) == "bob"
    assert [(s.user, s.revoke_reason) for s in AuthSession.objects.order_by("created_at")] == [
        (alice, "replaced"),
        (bob, ""),
    ]


@pytest.mark.parametrize(
    "url", ["/admin/login/", "/django-login/", "/rest-login/", "/async-login/", "/auth/login/"]
)
def test_the_same_person_gets_a_new_session_too(browser, new_browser, alice, url):
    """A copy of the jar gains nothing by a proof that comes after it was taken."""
    sign_in(browser, alice)
    copy = new_browser()
    copy.paste_cookies(browser.copy_cookies())
    browser.fetch("POST", url, data={"username": "alice", "password": PASSWORD})
    assert (who(browser), who(copy)) == ("alice", "anonymous")
    reasons = AuthSession.objects.order_by("created_at").values_list("revoke_reason", flat=True)
    assert list(reasons) == ["replaced", ""]


def test_requests_in_flight_delete_nothing_of_a_sign_in(browser, new_browser, alice):
    """They set out before it, and their answers may be the last to arrive."""
    sign_in(browser, alice)
    in_flight = new_browser()
    in_flight.paste_cookies(browser.copy_cookies())
    sign_in(browser, alice)
    before = tokens(in_flight)
    assert in_flight.fetch("POST", "/auth/refresh/").status_code == 401
    assert who(in_flight) == "anonymous"
    assert tokens(in_flight) == before
    assert who(browser) == "alice"


@pytest.mark.parametrize("minutes", [2, 20], ids=["fresh", "expired"])
def test_who_is_replaced_from_elsewhere_is_told(browser, new_browser, alice, clock, minutes):
    """Somebody signed in with a copy of the jar: the browser lands on the login page."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    copy = new_browser()
    copy.paste_cookies(browser.copy_cookies())
    sign_in(copy, alice)
    clock.shift(timedelta(minutes=minutes))
    page = browser.get("/private/")
    assert page.url.path == "/auth/login/"
    assert "replaced by a new sign-in" in page.text
    assert tokens(browser) == set()
    assert kept(browser) == ""


def test_an_access_token_from_long_ago_ends_nobodys_session(browser, new_browser, alice, clock):
    """A copy that is older than the idle lifetime shows nothing of who holds it."""
    sign_in(browser, alice)
    thief = new_browser()
    thief.set_cookie(ACCESS, browser.value(ACCESS))
    for _ in range(4):
        clock.shift(timedelta(days=10))
        assert browser.fetch("POST", "/auth/refresh/").status_code == 200
    sign_in(thief, alice)
    assert who(browser) == "alice"


# Beside a rotation


@pytest.fixture
def due(settings, browser, alice, clock):
    """A browser whose next request rotates in place, wherever it goes."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    sign_in(browser, alice)
    clock.shift(timedelta(minutes=20))
    return browser


def test_a_login_wins_over_a_rotation(due, bob):
    """The cookies that come back are the new person's."""
    sign_in(due, bob)
    assert who(due) == "bob"
    assert [s.user for s in AuthSession.objects.active()] == [bob]


@every_logout
def test_a_logout_wins_over_a_rotation(due, url):
    """Nobody is signed in by a token that was made on the way out."""
    due.fetch("POST", url)
    assert not due.cookie(ACCESS)
    assert not due.cookie("__Host-refresh_token")
    assert who(due) == "anonymous"
    assert AuthSession.objects.get().revoke_reason == "logout"


def test_a_failing_login_beside_a_rotation_leaves_nobody(due, bob):
    """No token that was made on the way goes out."""
    sign_in(due, bob, "/failing-login/")
    assert who(due) == "anonymous"
    assert not AuthSession.objects.active().exists()


# How long


@pytest.mark.parametrize(
    ("expiry", "at_close", "persistent"),
    [(0, False, False), (3600, False, True), (3600, True, True), (None, True, False)],
    ids=["0", "an hour", "an hour, though the site says", "the site says"],
)
def test_set_expiry_decides_whether_the_cookies_outlive_the_browser(
    settings, browser, alice, *, expiry, at_close, persistent
):
    """So does SESSION_EXPIRE_AT_BROWSER_CLOSE."""
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = at_close
    sign_in(
        browser, alice, "/django-login/" if expiry is None else f"/timed-login/?expiry={expiry}"
    )
    assert AuthSession.objects.get().persistent is persistent
    assert {bool(browser.cookie(name).expires) for name in (ACCESS, REFRESH)} == {persistent}


def test_set_expiry_decides_how_long_a_login_lasts(browser, alice, clock):
    """An hour is an hour, through every refresh."""
    sign_in(browser, alice, "/timed-login/?expiry=3600")
    for _ in range(3):
        clock.shift(timedelta(minutes=19))
        assert who(browser) == "alice"
    clock.shift(timedelta(minutes=4))
    assert who(browser) == "anonymous"


def test_a_login_without_set_expiry_outlives_session_cookie_age(browser, alice, clock):
    """Otherwise the tokens decide."""
    sign_in(browser, alice)
    clock.shift(timedelta(seconds=site_settings.SESSION_COOKIE_AGE + 3600))
    assert who(browser) == "alice"


# What is no sign-in


def test_a_bearer_login_starts_nothing(browser, alice):
    """The signal alone is no login."""
    sign_in(browser, alice, "/bearer-login/")
    assert not AuthSession.objects.exists()
    assert tokens(browser) == set()


def test_a_bearer_login_of_somebody_else_changes_nothing(browser, alice, bob):
    """The browser's own person stays."""
    sign_in(browser, alice)
    before = browser.cookies
    sign_in(browser, bob, "/bearer-login/")
    assert browser.cookies == before
    assert who(browser) == "alice"
    assert AuthSession.objects.get().active


@every_login
def test_a_sessionid_alone_signs_nobody_in(browser, alice, url):
    """Django's session holds data; the tokens say whose."""
    sign_in(browser, alice, url)
    browser.drop_cookie(ACCESS)
    browser.drop_cookie(REFRESH)
    assert browser.value("sessionid")
    assert who(browser) == "anonymous"
    assert browser.get("/async/whoami/").text == "anonymous"
    assert browser.fetch("GET", "/api/ping/").status_code == 401
    assert tokens(browser) == set()


def test_a_sessionid_of_an_ended_session_is_not_adopted(browser, alice):
    """What our session ended stays ended, with whatever Django's held."""
    sign_in(browser, alice)
    before = Session.objects.get()
    AuthSession.objects.revoke("admin")
    browser.drop_cookie(ACCESS)
    browser.drop_cookie(REFRESH)
    before.save()  # a slow request writes it back
    assert who(browser) == "anonymous"
    assert kept(browser) == ""
    assert not Session.objects.exists()
    assert AuthSession.objects.count() == 1
    assert tokens(browser) == set()


def test_tokens_win_over_somebody_elses_sessionid(browser, new_browser, alice, bob):
    """A planted session cookie makes nobody somebody else."""
    mallory = new_browser()
    sign_in(mallory, bob)
    sign_in(browser, alice)
    browser.set_cookie("sessionid", mallory.value("sessionid"))
    assert who(browser) == "alice"


# What Django's session holds


def log_out(browser, clock):
    browser.logout()


def log_out_of_django(browser, clock):
    browser.fetch("POST", "/django-logout/")


def log_out_of_the_api(browser, clock):
    browser.fetch("POST", reverse("tokenauth:api_logout"))


def end_this_device(browser, clock):
    browser.fetch("DELETE", f"/auth/api/sessions/{AuthSession.objects.get().pk}/")


def be_revoked(browser, clock):
    AuthSession.objects.revoke("admin")


def be_deleted(browser, clock):
    AuthSession.objects.get().user.delete()


def be_away(browser, clock):
    clock.shift(timedelta(days=31))


def be_away_a_minute_too_long(browser, clock):
    """Be away so long that a wrong clock might be the reason: the tokens are kept, the data not."""
    clock.shift(timedelta(days=30, minutes=1))


def be_robbed(browser, clock):
    spent = browser.value(REFRESH)
    for _ in range(2):  # the second is confirmed by the page that follows
        clock.shift(timedelta(minutes=10))
        browser.fetch("POST", "/auth/refresh/")
    clock.shift(timedelta(minutes=5))
    theft = browser.fetch("POST", "/auth/refresh/", headers={"Cookie": f"{REFRESH}={spent}"})
    assert theft.json()["code"] == "session_ended"


every_ending = pytest.mark.parametrize(
    "end",
    [
        log_out,
        log_out_of_django,
        log_out_of_the_api,
        end_this_device,
        be_revoked,
        be_deleted,
        be_away,
        be_away_a_minute_too_long,
        be_robbed,
    ],
)


@pytest.fixture
def lasting_sessions(settings):
    """Django sessions that outlive every session of ours."""
    settings.SESSION_COOKIE_AGE = 400 * 24 * 3600
    settings.TOKENAUTH_REFRESH_TOKEN_LIFETIME = timedelta(days=30)


@every_ending
@pytest.mark.usefixtures("lasting_sessions")
def test_an_ended_session_takes_its_data_with_it(browser, alice, clock, end):
    """Whoever is asked for next finds nothing, signed in or not."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    end(browser, clock)
    assert who(browser) == "anonymous"
    assert kept(browser) == ""
    assert not Session.objects.exists()


@every_ending
@pytest.mark.usefixtures("lasting_sessions")
def test_the_next_person_inherits_no_data(browser, alice, bob, clock, end):
    """Also if they sign in before any page has asked who is there."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    end(browser, clock)
    sign_in(browser, bob)
    assert kept(browser) == ""


@every_ending
@pytest.mark.usefixtures("lasting_sessions")
def test_data_of_a_second_django_session_goes_too(browser, alice, bob, clock, end):
    """Django's session may expire and begin anew while the tokens live on."""
    sign_in(browser, alice)
    browser.drop_cookie("sessionid")
    keep(browser, "alice's")
    end(browser, clock)
    sign_in(browser, bob)
    assert kept(browser) == ""


@every_login
def test_who_signs_in_over_somebody_inherits_no_data(browser, alice, bob, url):
    """One person's data is not the next one's, without any sign-out between them."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    sign_in(browser, bob, url)
    assert kept(browser) == ""


@every_login
def test_who_signs_in_over_a_second_django_session_inherits_no_data(browser, alice, bob, url):
    """The same, with data that was left after Django's first session had expired."""
    sign_in(browser, alice)
    browser.drop_cookie("sessionid")
    keep(browser, "alice's")
    sign_in(browser, bob, url)
    assert kept(browser) == ""


@pytest.mark.parametrize("change", ["is_active", "password"])
def test_who_follows_a_suspended_person_inherits_no_data(browser, alice, bob, change):
    """A deactivated person's data is not the next one's either."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    type(alice).objects.filter(pk=alice.pk).update(**{change: 0})
    assert who(browser) == "anonymous"
    sign_in(browser, bob)
    assert kept(browser) == ""


def test_who_lost_the_tokens_leaves_nothing_behind(browser, alice, bob):
    """Cookies can get lost one by one."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    browser.drop_cookie(ACCESS)
    browser.drop_cookie(REFRESH)
    sign_in(browser, bob)
    assert kept(browser) == ""


@every_login
def test_a_cart_survives_the_login(browser, alice, url):
    """What somebody collected before they signed in is still there, as in plain Django."""
    browser.get("/form/")  # for the CSRF cookie
    browser.get("/admin/login/")
    keep(browser, "cart")
    sign_in(browser, alice, url)
    assert kept(browser) == "cart"


@every_login
def test_a_login_changes_the_key_of_djangos_session(browser, alice, url):
    """Nobody who planted a sessionid reads what is written into it later."""
    browser.get("/admin/login/")
    keep(browser, "cart")
    before = browser.value("sessionid")
    sign_in(browser, alice, url)
    assert browser.value("sessionid") != before


def test_the_same_person_keeps_their_data(browser, alice):
    """To sign in again loses nothing."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    sign_in(browser, alice)
    assert kept(browser) == "alice's"


@pytest.mark.parametrize("signed_in", [True, False], ids=["their own", "an anonymous one"])
def test_what_is_written_under_a_planted_sessionid_is_not_read_by_who_planted_it(
    browser, new_browser, alice, bob, signed_in
):
    """Not with the session of somebody who is signed in, and not with an anonymous one."""
    mallory = new_browser()
    mallory.get("/admin/login/")
    if signed_in:
        sign_in(mallory, bob)
    keep(mallory, "bait")
    sign_in(browser, alice)
    browser.set_cookie("sessionid", mallory.value("sessionid"))
    keep(browser, "alice's")
    assert kept(mallory) != "alice's"


def test_an_ended_session_leaves_somebody_elses_data_alone(browser, new_browser, alice, bob):
    """A revoked person with another's sessionid doesn't delete what is not theirs."""
    other = new_browser()
    sign_in(other, bob)
    keep(other, "bob's")
    sign_in(browser, alice)
    browser.set_cookie("sessionid", other.value("sessionid"))
    AuthSession.objects.filter(user=alice).revoke("admin")
    assert who(browser) == "anonymous"
    assert kept(other) == "bob's"


# What it costs


@pytest.mark.parametrize(
    ("url", "queries"),
    [("/", 0), ("/whoami/", 1), ("/async/whoami/", 1), ("/api/ping/", 1), ("/private/", 1)],
)
def test_a_signed_in_request_leaves_djangos_session_alone(server, browser, alice, url, queries):
    """Pages that don't use it never load it."""
    sign_in(browser, alice)
    keep(browser, "alice's")
    with server.count_queries() as log:
        assert browser.get(url).status_code == 200
    assert len(log) == queries
    assert '"django_session"."session_data"' not in " ".join(log)


# In a site's own tests


def test_force_login_needs_no_browser(client, alice):
    """A site's tests go on as before, request after request."""
    client.force_login(alice)
    for _ in range(3):
        assert client.get("/whoami/").content == b"alice"
    assert AuthSession.objects.get().user == alice
    client.logout()
    assert client.get("/whoami/").content == b"anonymous"


@async_to_sync  # whose database connection is the test's own
async def force_login_and_look(client, user):
    await client.aforce_login(user)
    return [(await client.get("/async/whoami/")).content for _ in range(3)]


def test_aforce_login_does_the_same(async_client, alice):
    """So do their asynchronous ones."""
    assert force_login_and_look(async_client, alice) == [b"alice"] * 3


def test_the_test_clients_login_takes_the_sites_backends(client, alice):
    """``client.login()`` as well."""
    assert client.login(username="alice", password=PASSWORD)
    for _ in range(2):
        assert client.get("/private/").status_code == 200


def test_data_that_was_hidden_is_there_once_it_is_known_whose_it_is(client, user):
    """Who reads before the refresh finds nothing, and after it what is theirs."""
    client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    client.post("/session-data/", {"data": "mine"})
    request = RequestFactory().get("/", headers={"cookie": client.cookies.output([], "", ";")})
    request.session = SessionStore(client.cookies["sessionid"].value)
    with time_machine.travel(timezone.now() + timedelta(minutes=20), tick=False):
        credentials = Credentials(request)
        credentials.attach()
        credentials.unknown = True  # as where it can't be refreshed
        assert request.session.get("data") is None
        credentials.refresh(credentials.presented.paired)
    assert request.session.get("data") == "mine"
