"""Sessions that are older than tokenauth: nobody is signed out by the switch to it."""

from datetime import timedelta
from functools import partial
from importlib import import_module
from io import StringIO

import pytest
import time_machine
from django.conf import settings as site_settings
from django.contrib.auth import login
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.http import HttpRequest
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from tests import urls, views
from tests.factories import PASSWORD
from tokenauth.models import AuthSession
from tokenauth.request.django_sessions import adoption

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"

meanwhile = []


class SessionStore(SignedCookies):
    """An engine of the site's own."""


@csrf_exempt
def slow(request):
    """Write to Django's session, and let something else happen before the answer."""
    request.session["data"] = views.name(request.user)
    for happens in meanwhile:
        happens()
    return views.text(views.name(request.user))


@csrf_exempt
def clear(request):
    getattr(request.session, request.GET["how"])()
    return views.text("")


urlpatterns = [*urls.urlpatterns, path("slow-write/", slow), path("clear/", clear)]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.users]

threaded = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@pytest.fixture
def alice(transactional_db, user):
    return user


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def old(browser, alice):
    """A browser in which Alice has been signed in since before tokenauth."""
    return sign_in_long_ago(browser, alice)


def sign_in_long_ago(browser, user, expiry=None):
    """Sign in as a site without tokenauth does."""
    browser.set_cookie("sessionid", make_django_session(user, expiry))
    return browser


def make_django_session(user, expiry=None):
    """Return the value of its session cookie."""
    request = HttpRequest()
    request.session = import_module(site_settings.SESSION_ENGINE).SessionStore()
    login(request, user, site_settings.AUTHENTICATION_BACKENDS[0])
    request.session["data"] = "old data"
    if expiry is not None:
        request.session.set_expiry(expiry)
    request.session.save()
    return request.session.session_key


def who(browser):
    return browser.get("/whoami/").text


def keep_sessionid_only(browser):
    browser.drop_cookie(ACCESS)
    browser.drop_cookie(REFRESH)


def token_cookies(browser):
    return {name for name, _ in browser.cookies} & {ACCESS, REFRESH}


# Once


def test_a_page_that_does_not_ask_does_nothing(server, old):
    """Public pages stay without a query, whatever cookie comes."""
    with server.count_queries() as queries:
        old.get("/")
    assert queries == []
    assert token_cookies(old) == set()


@pytest.mark.parametrize("url", ["/whoami/", "/async/whoami/", "/private/", "/api/ping/"])
def test_the_first_page_that_asks_adopts(old, alice, url):
    """It knows who is there, and its answer carries the tokens."""
    assert alice.get_username() in old.get(url).text
    session = AuthSession.objects.get()
    assert (session.user, session.active, session.persistent) == (alice, True, True)
    assert token_cookies(old) == {ACCESS, REFRESH}


def test_an_adopted_session_is_one_like_any_other(old, alice, clock):
    """It is refreshed, long after Django's has expired."""
    who(old)
    for _ in range(4):
        clock.shift(timedelta(days=20))
        assert who(old) == alice.get_username()
    assert AuthSession.objects.get().rotation == 4


def test_the_data_is_kept(old):
    """What Django's session holds is still there after the adoption."""
    assert old.get("/session-data/").text == "old data"
    who(old)
    assert old.get("/session-data/").text == "old data"


def test_the_data_goes_with_the_adopted_session(old):
    """The next one at this browser inherits nothing."""
    who(old)
    AuthSession.objects.revoke("admin")
    assert who(old) == "anonymous"
    assert old.get("/session-data/").text == ""


@pytest.mark.parametrize(("expiry", "persistent"), [(0, False), (3600, True), (None, True)])
def test_set_expiry_is_adopted_too(browser, alice, clock, expiry, persistent):
    """A session that was to end with the browser, or in an hour, still does."""
    sign_in_long_ago(browser, alice, expiry)
    who(browser)
    session = AuthSession.objects.get()
    assert session.persistent is persistent
    assert (session.expires_at < timezone.now() + timedelta(hours=1)) is (expiry == 3600)


def test_a_page_that_fails_adopts_nothing(old, alice):
    """The next one does."""
    assert old.get("/boom/").status_code == 500
    assert not AuthSession.objects.exists()
    assert who(old) == alice.get_username()
    assert token_cookies(old) == {ACCESS, REFRESH}


def test_an_adoptable_session_needs_the_csrf_token_too(old):
    """REST framework asks for it as for any cookie."""
    refused = old.fetch("POST", "/api/ping/", headers={"X-CSRFToken": ""})
    assert refused.status_code == 403


def test_who_signs_out_first_is_never_adopted(old):
    """A logout on the very first page leaves a mark, which a slower page will meet."""
    assert old.fetch("POST", "/django-logout/").text == "anonymous"
    mark = AuthSession.objects.get()
    assert (mark.is_mark, mark.active) == (True, False)
    assert who(old) == "anonymous"


def test_who_signs_in_first_is_not_adopted_besides(old, alice):
    """A login on the very first page starts one session."""
    old.fetch(
        "POST", "/django-login/", data={"username": alice.get_username(), "password": PASSWORD}
    )
    assert AuthSession.objects.active().get().user == alice


# Parallel requests and lost answers


def test_parallel_adopters_share_one_session(old, alice):
    """Ten tabs, one session, one token."""
    answers = old.parallel(*[lambda: old.get("/whoami/")] * 10)
    assert {answer.text for answer in answers} == {alice.get_username()}
    assert AuthSession.objects.count() == 1
    given = {answer.cookies.get(REFRESH) for answer in answers} - {None}
    assert given == {old.value(REFRESH)}


@threaded
@pytest.mark.parametrize("ending", ["revoked", "signed out"])
def test_a_parallel_adopter_that_writes_leaves_no_data_behind(old, new_browser, alice, ending):
    """The slower of two adopters may write its data last: it goes with the session all the same."""
    tab = new_browser()
    tab.paste_cookies(old.copy_cookies())
    meanwhile[:] = [lambda: who(tab)]
    assert old.get("/slow-write/").text == alice.get_username()
    meanwhile.clear()
    if ending == "revoked":
        AuthSession.objects.get()
        AuthSession.objects.revoke("admin")
    else:
        old.fetch("POST", "/django-logout/")
    assert who(old) == "anonymous"
    assert old.get("/session-data/").text == ""


@pytest.mark.parametrize("url", ["api/session/", "api/sessions/", "sessions/"])
def test_our_pages_know_nobody_whose_session_a_parallel_adopter_lost(old, monkeypatch, url):
    """Adopted by another request, and ended before this one was answered."""
    adopt = adoption.adopt

    def lose(request, user):
        adopt(request, user)
        AuthSession.objects.revoke("admin")

    monkeypatch.setattr(adoption, "adopt", lose)
    answer = old.fetch("GET", f"/auth/{url}")
    assert answer.status_code == 200
    assert "alice" not in answer.text
    assert who(old) == "anonymous"
    assert AuthSession.objects.count() == 1


def test_a_lost_answer_is_harmless(old, alice):
    """The same token comes again, until it arrives."""
    with old.losing_answers(), pytest.raises(Exception, match="lost"):
        old.get("/whoami/")
    assert token_cookies(old) == set()
    assert who(old) == alice.get_username()
    assert token_cookies(old) == {ACCESS, REFRESH}
    first = old.value(REFRESH)
    keep_sessionid_only(old)
    assert who(old) == alice.get_username()
    assert old.value(REFRESH) == first
    assert AuthSession.objects.get().rotation == 0


@pytest.mark.parametrize("minutes", [2, 20], ids=["confirmed", "rotated"])
def test_a_sessionid_signs_nobody_in_once_the_tokens_have_arrived(old, alice, clock, minutes):
    """A stolen session cookie is worth something until then, and nothing afterwards."""
    who(old)
    clock.shift(timedelta(minutes=minutes))
    assert who(old) == alice.get_username()
    keep_sessionid_only(old)
    assert who(old) == "anonymous"
    assert AuthSession.objects.count() == 1
    assert token_cookies(old) == set()


# A slow request writes its old data back


@threaded
@pytest.mark.parametrize("minutes", [0, 2, 20], ids=["at once", "confirmed", "rotated"])
def test_a_slow_request_brings_no_revoked_session_to_life(old, new_browser, alice, clock, minutes):
    """A request that began before the adoption saves Django's session as it was then."""
    tab = new_browser()
    tab.paste_cookies(old.copy_cookies())

    def adopt_and_revoke():
        assert who(tab) == alice.get_username()
        clock.shift(timedelta(minutes=minutes))
        assert who(tab) == alice.get_username()
        assert AuthSession.objects.filter(user=alice).revoke("admin") == 1

    meanwhile[:] = [adopt_and_revoke]
    old.get("/slow-write/")
    meanwhile.clear()
    for browser in (old, tab):
        keep_sessionid_only(browser)
        assert who(browser) == "anonymous"
        assert token_cookies(browser) == set()
    assert not AuthSession.objects.active().exists()


@pytest.mark.parametrize("ending", ["revoked", "signed out", "still there"])
def test_old_data_that_is_written_back_signs_nobody_in(old, new_browser, clock, ending):
    """Not even word for word, under the same key."""
    before = Session.objects.get()
    thief = new_browser()
    thief.set_cookie("sessionid", before.session_key)
    who(old)
    clock.shift(timedelta(minutes=2))
    who(old)
    if ending == "revoked":
        AuthSession.objects.revoke("admin")
    elif ending == "signed out":
        old.logout()
    before.save()
    assert who(thief) == "anonymous"
    assert AuthSession.objects.count() == 1


# Not adopted


def assert_signed_out(browser):
    assert who(browser) == "anonymous"
    assert browser.get("/async/whoami/").text == "anonymous"
    assert browser.fetch("GET", "/api/ping/").status_code == 401
    assert token_cookies(browser) == set()
    assert not AuthSession.objects.exists()


def test_the_setting_turns_it_off(settings, old):
    """A site may want everybody to sign in anew."""
    settings.TOKENAUTH_ADOPT_DJANGO_SESSIONS = False
    assert_signed_out(old)


def test_sessions_in_signed_cookies_are_not_adopted(settings, browser, alice):
    """An old value of theirs is good for ever."""
    settings.SESSION_ENGINE = SIGNED_COOKIES
    assert_signed_out(sign_in_long_ago(browser, alice))


def test_sessions_in_the_cache_are_adopted(settings, browser, alice):
    """Any store that forgets will do."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    assert who(sign_in_long_ago(browser, alice)) == alice.get_username()
    assert token_cookies(browser) == {ACCESS, REFRESH}


def change_password(user):
    user.set_password("another-1")
    user.save()


def deactivate(user):
    user.is_active = False
    user.save()


def delete(user):
    user.delete()


@pytest.mark.parametrize("change", [change_password, deactivate, delete])
def test_what_django_would_not_accept_is_not_adopted(old, alice, change):
    """Django itself is asked: its hash, its backend, its user."""
    change(alice)
    assert_signed_out(old)


def test_a_backend_that_is_gone_adopts_nobody(settings, old):
    """As in Django."""
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    assert_signed_out(old)


@pytest.mark.parametrize("value", ["", "0" * 32, "x" * 3000, '"'], ids=["", "no", "long", "quote"])
def test_a_sessionid_that_is_none_is_ignored(browser, transactional_db, value):
    """Nobody is signed in by guessing."""
    browser.set_cookie("sessionid", value)
    assert_signed_out(browser)


# The key rotates


def replace_secret_key(settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"


def test_a_session_under_a_fallback_key_is_adopted(settings, old, alice):
    """Whoever signed in before the key was replaced stays signed in."""
    replace_secret_key(settings)
    assert who(old) == alice.get_username()
    settings.SECRET_KEY_FALLBACKS = []
    assert who(old) == alice.get_username()


def test_parallel_adopters_under_a_fallback_key_share_one_session(settings, old, alice):
    """Django gives such a session a new key; its old one is still known."""
    replace_secret_key(settings)
    answers = old.parallel(*[lambda: old.get("/whoami/")] * 5)
    assert alice.get_username() in {answer.text for answer in answers}
    assert AuthSession.objects.count() == 1
    assert who(old) == alice.get_username()


def test_what_was_adopted_under_a_fallback_key_is_not_adopted_again(settings, old, clock):
    """The mark is found under either key."""
    before = Session.objects.get()
    who(old)
    AuthSession.objects.revoke("admin")
    replace_secret_key(settings)
    before.save()
    keep_sessionid_only(old)
    assert who(old) == "anonymous"
    assert AuthSession.objects.count() == 1


# Signed out before it was adopted


@threaded
@pytest.mark.parametrize("door", ["/django-logout/", "/auth/api/logout/", "/clear/?how=flush"])
def test_pages_that_race_a_sign_out_bring_nobody_back(alice, new_browser, door):
    """Four ordinary pages that adopt, and the sign-out: none answers 400, none signs in again."""
    for _ in range(5):
        key, (first, *tabs) = make_django_session(alice), [new_browser() for _ in range(5)]
        for tab in [first, *tabs]:
            tab.set_cookie("sessionid", key)
        pages = [partial(tab.get, "/whoami/") for tab in tabs]
        leave = partial(first.fetch, "POST", door)
        answers = first.parallel(*pages[:2], leave, *pages[2:])
        assert {answer.status_code for answer in answers} <= {200, 204}
        assert not AuthSession.objects.active().exists()
        assert {who(tab) for tab in [first, *tabs]} == {"anonymous"}


def by_command(alice, other):
    call_command("tokenauth_revoke", user=alice.get_username(), stdout=StringIO())


def by_command_for_all(alice, other):
    call_command("tokenauth_revoke", all=True, stdout=StringIO())


def by_their_owner(alice, other):
    other.fetch("GET", "/auth/api/session/")  # for the CSRF cookie
    assert other.fetch("POST", "/auth/api/sessions/revoke-others/").status_code == 204


@pytest.mark.parametrize("sign_out", [by_command, by_command_for_all, by_their_owner])
def test_signing_out_everywhere_reaches_what_is_not_adopted_yet(old, new_browser, alice, sign_out):
    """A Django session that has slept since before tokenauth wakes up as nobody's."""
    other = new_browser()
    other.login(alice)
    sign_out(alice, other)
    assert who(old) == "anonymous"
    assert old.get("/session-data/").text == ""
    assert who(other) == (alice.get_username() if sign_out is by_their_owner else "anonymous")
    other.login(alice)
    assert who(other) == alice.get_username()


def test_a_value_whose_django_session_was_deleted_signs_nobody_in(old):
    """Adopted, but not confirmed yet: the row is what counts."""
    who(old)
    Session.objects.all().delete()
    keep_sessionid_only(old)
    assert who(old) == "anonymous"
    assert not AuthSession.objects.active().exists()


def test_marks_stay_as_long_as_anything_is_adopted(old, settings, clock):
    """What is written back after its row was cleared would sign in again."""
    before = Session.objects.get()
    who(old)
    AuthSession.objects.revoke("admin")
    clock.shift(timedelta(days=100))
    call_command("tokenauth_clear", stdout=StringIO())
    before.expire_date = timezone.now() + timedelta(days=1)
    before.save()
    keep_sessionid_only(old)
    assert who(old) == "anonymous"
    settings.TOKENAUTH_ADOPT_DJANGO_SESSIONS = False
    call_command("tokenauth_clear", stdout=StringIO())
    assert not AuthSession.objects.exists()


def test_an_engine_made_from_signed_cookies_is_not_adopted_from(settings, browser, alice):
    """Its old values are good for ever, whatever it is called."""
    settings.SESSION_ENGINE = "tests.request.test_adoption"
    assert_signed_out(sign_in_long_ago(browser, alice))


# In a site's own tests


def test_force_login_keeps_working(client, alice):
    """Request after request, and after a logout for the next person."""
    client.force_login(alice)
    for url in ("/", "/whoami/", "/private/", "/whoami/"):
        assert client.get(url).status_code == 200
    assert client.get("/whoami/").content.decode() == alice.get_username()
    assert AuthSession.objects.count() == 1


def test_force_login_reaches_a_live_server(client, alice, browser):
    """As tests with Selenium do it: the cookie of the test client goes into the browser."""
    client.force_login(alice)
    browser.set_cookie("sessionid", client.cookies["sessionid"].value)
    assert [who(browser) for _ in range(2)] == [alice.get_username()] * 2
