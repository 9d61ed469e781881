"""``request.user`` and ``request.session`` are one person's, whatever ``sessionid`` came."""

import asyncio
import copy
import pickle
from datetime import timedelta
from importlib import import_module

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.conf import settings as site_settings
from django.contrib.auth import SESSION_KEY, aget_user, get_user, get_user_model, logout
from django.contrib.auth.signals import user_logged_in
from django.contrib.messages import get_messages, info
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import AsyncClient, Client
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from tests import urls, views
from tests.factories import PASSWORD, UserFactory
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
BACKENDS = "django.contrib.sessions.backends"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
NEEDS_A_STREAM = {"Transfer-Encoding": "chunked"}


def vault(request):
    """Open to who has passed a second factor, as sites note it."""
    opened = request.user.is_authenticated and request.session.get("second_factor")
    return views.text("open" if opened else "closed")


async def async_vault(request):
    user = await request.auser()
    opened = user.is_authenticated and await request.session.aget("second_factor")
    return views.text("open" if opened else "closed")


def vault_asked_last(request):
    """Look at the session before anybody asks who is there."""
    opened = request.session.get("second_factor")
    return views.text("open" if opened and request.user.is_authenticated else "closed")


@csrf_exempt
def pass_second_factor(request):
    request.session["second_factor"] = True
    return views.text("")


def read(request):
    """Show what is kept, and ask nothing else."""
    return views.text(request.session.get("data", ""))


async def aread(request):
    return views.text(await request.session.aget("data", ""))


async def read_twice(request):
    """Ask in two tasks at once, neither of which knows whose the data is."""
    reads = [request.session.aget("data", "") for _ in range(2)]
    return views.text(" ".join(await asyncio.gather(*reads)))


@csrf_exempt
def write(request):
    request.session["data"] = request.POST["data"]
    return views.text("")


@csrf_exempt
async def awrite(request):
    await request.session.aset("data", request.POST["data"])
    return views.text("")


def keep_by_key(request):
    """Keep a cart by the session's key, as shops do."""
    return views.text(str(request.session.session_key))


@csrf_exempt
def clear(request):
    getattr(request.session, request.GET["how"])()
    return views.text("")


@csrf_exempt
async def aclear(request):
    await getattr(request.session, request.GET["how"])()
    return views.text("")


@csrf_exempt
def odd_hash(request):
    request.session["_auth_user_hash"] = "of no password"
    return views.text(views.name(request.user))


@csrf_exempt
def bearer_login_of(request):
    """Do as knox does, on a page that also writes to the session."""
    request.session["data"] = "mine"
    other = get_user_model().objects.get_by_natural_key(request.GET["name"])
    user_logged_in.send(sender=type(other), request=request, user=other)
    return views.text(views.name(request.user))


def django_says(request):
    """Ask as Channels and packages do."""
    return views.text(views.name(get_user(request)))


async def async_django_says(request):
    return views.text(views.name(await aget_user(request)))


@csrf_exempt
def own_store(request):
    """Do as allauth's headless app client: put the session of a token of its own there."""
    before, user = request.session, request.user
    engine = import_module(site_settings.SESSION_ENGINE)
    request.session = engine.SessionStore(request.GET.get("key"))
    request.user._wrapped = type(user)(lambda: None)._wrapped  # evaluated anew
    answer = views.name(request.user)
    if request.auth_session:
        answer += " by our cookies"
    if "logout" in request.GET:
        logout(request)
    request.session, request.user = before, user
    return views.text(answer)


def saved_and_loaded(request):
    """Do as allauth where it keeps the state of a sign-in elsewhere."""
    request.session["data"] = "state"
    request.session.save()
    request.session = request.session.__class__(request.session.session_key)
    request.session.modified = True
    return views.text(views.name(request.user) + request.session["data"])


def copied(request):
    store = pickle.loads(pickle.dumps(copy.copy(request.session)))  # noqa: S301  # our own bytes
    return views.text(f"{type(store).__name__} {store.get('data')}")


@csrf_exempt
def overtaken_write(request):
    """Write, and be overtaken by what is in ``TEST_MEANWHILE``."""
    request.session["data"] = views.name(request.user)
    site_settings.TEST_MEANWHILE()
    return views.text("written")


def say(request):
    info(request, "hello")
    return views.text("")


def said(request):
    return views.text(" ".join(map(str, get_messages(request))))


class Early:
    """A middleware above ours that writes down when somebody was here."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.session["last_activity"] = 1
        return self.get_response(request)


urlpatterns = [
    *urls.urlpatterns,
    path("vault/", vault),
    path("async/vault/", async_vault),
    path("vault-asked-last/", vault_asked_last),
    path("pass/", pass_second_factor),
    path("read/", read),
    path("async/read/", aread),
    path("async/read-twice/", read_twice),
    path("write/", write),
    path("async/write/", awrite),
    path("key/", keep_by_key),
    path("clear/", clear),
    path("async/clear/", aclear),
    path("odd-hash/", odd_hash),
    path("bearer-login-of/", bearer_login_of),
    path("django-says/", django_says),
    path("async/django-says/", async_django_says),
    path("own-store/", own_store),
    path("saved-and-loaded/", saved_and_loaded),
    path("copied/", copied),
    path("overtaken-write/", overtaken_write),
    path("say/", say),
    path("said/", said),
]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]

every_engine = pytest.mark.parametrize(
    "engine", ["db", "cached_db", "cache", "file", "signed_cookies"], indirect=True
)


@pytest.fixture
def engine(request, settings, tmp_path):
    settings.SESSION_ENGINE = f"{BACKENDS}.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    cache.clear()
    yield request.param
    cache.clear()


@pytest.fixture
def alice(user):
    return user


@pytest.fixture
def mallory(db):
    return UserFactory(username="mallory")


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def signed_in(user):
    """A browser in which a person has signed in."""
    client = Client()
    fields = {"username": user.get_username(), "password": PASSWORD}
    assert client.post("/django-login/", fields).status_code == 200
    return client


def text(answer):
    assert answer.status_code == 200
    return answer.content.decode()


def get(client, url, **headers):
    return text(client.get(url, headers=headers))


def plant(client, other):
    """Put another browser's ``sessionid`` into a browser, as a sibling domain can."""
    client.cookies["sessionid"] = other.cookies["sessionid"].value


def anonymous(data="theirs"):
    """A browser of nobody's in which something is kept."""
    client = Client()
    client.post("/write/", {"data": data})
    return client


# Somebody else's Django session


@every_engine
@pytest.mark.parametrize("url", ["/vault/", "/async/vault/", "/vault-asked-last/"])
def test_a_second_factor_passed_by_somebody_else_opens_nothing(engine, alice, mallory, url):
    """The thief has a second factor of their own, and a copy of the victim's tokens."""
    thief, victim = signed_in(mallory), signed_in(alice)
    thief.post("/pass/")
    assert get(thief, url) == "open"
    plant(victim, thief)
    assert get(victim, url) == "closed"


@every_engine
@pytest.mark.parametrize("url", ["/read/", "/async/read/"])
def test_a_planted_anonymous_session_shows_nothing(engine, alice, url):
    """A shipping address, or an account that somebody else has begun to connect."""
    victim = signed_in(alice)
    planted = anonymous()
    plant(victim, planted)
    assert get(victim, url) == ""
    assert get(planted, url) == "theirs"


@every_engine
@pytest.mark.parametrize("url", ["/write/", "/async/write/"])
def test_writing_replaces_a_planted_session(engine, alice, url):
    """What a person writes is not to be read by who planted the cookie."""
    victim, planted = signed_in(alice), anonymous()
    plant(victim, planted)
    victim.post(url, {"data": "mine"})
    assert get(victim, "/read/") == "mine"
    assert get(planted, "/read/") == "theirs"
    assert victim.cookies["sessionid"].value != planted.cookies["sessionid"].value
    assert get(victim, "/whoami/") == "alice"


@every_engine
@pytest.mark.parametrize(
    "url",
    [
        *(f"/clear/?how={how}" for how in ("clear", "flush", "delete")),
        *(f"/async/clear/?how={how}" for how in ("aflush", "adelete")),
    ],
)
def test_clearing_a_planted_session_takes_nothing_from_its_owner(engine, alice, url):
    """It reads as empty, and there is nothing of one's own to delete."""
    victim, planted = signed_in(alice), anonymous()
    plant(victim, planted)
    victim.post(url)
    assert get(planted, "/read/") == "theirs"


def test_a_logout_takes_nothing_from_the_owner_of_a_planted_session(alice):
    """Only the person's own session ends."""
    victim, planted = signed_in(alice), anonymous()
    plant(victim, planted)
    victim.post("/django-logout/")
    assert get(planted, "/read/") == "theirs"
    assert not AuthSession.objects.active().exists()


def test_the_key_of_a_planted_session_is_not_told(alice):
    """A site may keep a cart by it."""
    victim, planted = signed_in(alice), anonymous()
    assert get(victim, "/key/") == victim.cookies["sessionid"].value
    plant(victim, planted)
    assert get(victim, "/key/") == "None"


@pytest.mark.parametrize("save_always", [False, True])
def test_reading_leaves_the_cookie_as_it_is(settings, alice, save_always):
    """It may be a newer sign-in's, if this answer is slow."""
    settings.SESSION_SAVE_EVERY_REQUEST = save_always
    victim, planted = signed_in(alice), anonymous()
    plant(victim, planted)
    answer = victim.get("/read/")
    assert "sessionid" not in answer.cookies
    assert "Cookie" in answer["Vary"]


@every_engine
def test_two_tasks_that_ask_at_once_are_told_the_same(engine, alice):
    """The slower of them finds the matter decided."""
    victim, planted = signed_in(alice), anonymous()
    victim.post("/write/", {"data": "mine"})
    assert get(victim, "/async/read-twice/") == "mine mine"
    plant(victim, planted)
    assert get(victim, "/async/read-twice/") == " "


@every_engine
def test_a_session_that_is_noted_as_somebody_elses_is_empty_for_nobody(engine, alice):
    """A stolen ``sessionid`` alone shows no data."""
    victim = signed_in(alice)
    victim.post("/write/", {"data": "mine"})
    thief = Client()
    plant(thief, victim)
    assert get(thief, "/read/") == ""
    assert get(thief, "/whoami/") == "anonymous"
    assert get(victim, "/read/") == "mine"


def test_a_middleware_above_ours_brings_nobody_elses_data(settings, alice):
    """It has loaded and written the session before anybody could judge it."""
    position = settings.MIDDLEWARE.index("tokenauth.middleware.TokenAuthMiddleware")
    early = f"{__name__}.{Early.__name__}"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:position], early, *settings.MIDDLEWARE[position:]]
    victim, planted = signed_in(alice), anonymous()
    victim.post("/write/", {"data": "mine"})
    assert get(victim, "/read/") == "mine"
    plant(victim, planted)
    assert get(victim, "/read/") == ""
    assert get(planted, "/read/") == "theirs"


# One's own


@every_engine
@pytest.mark.parametrize("url", ["/write/", "/async/write/"])
def test_ones_own_data_is_there_after_each_refresh(engine, alice, clock, url):
    """Nothing of this is to be noticed by anybody in their own browser."""
    client = signed_in(alice)
    client.post(url, {"data": "mine"})
    for _ in range(3):
        clock.shift(16 * MINUTE)
        assert client.post("/auth/refresh/").status_code == 200
        assert [get(client, page) for page in ("/read/", "/async/read/")] == ["mine", "mine"]


@every_engine
def test_anonymous_data_is_kept_at_a_login(engine, alice):
    """As Django keeps it: a cart."""
    client = anonymous("cart")
    fields = {"username": alice.get_username(), "password": PASSWORD}
    client.post("/django-login/", fields)
    assert get(client, "/read/") == "cart"


@every_engine
def test_messages_cross_a_login(engine, settings, alice):
    """They may be kept in the session."""
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
    client = Client()
    client.get("/say/")
    client.post("/django-login/", {"username": alice.get_username(), "password": PASSWORD})
    assert get(client, "/said/") == "hello"


@pytest.mark.parametrize("url", ["/django-says/", "/async/django-says/"])
def test_djangos_own_get_user_agrees(alice, mallory, url):
    """Packages ask it, not the request; whether there is a Django session or not."""
    client, other = signed_in(alice), signed_in(mallory)
    assert get(client, url) == "alice"
    del client.cookies["sessionid"]
    assert get(client, url) == "alice"
    plant(client, other)
    assert get(client, url) == "alice"
    assert get(Client(), url) == "anonymous"


@every_engine
def test_a_store_that_an_app_makes_of_the_same_key_is_the_same(engine, alice):
    """Allauth saves, and loads the same data anew."""
    client = signed_in(alice)
    assert get(client, "/saved-and-loaded/") == "alicestate"
    assert get(client, "/read/") == "state"


@pytest.mark.parametrize("engine", ["db", "file", "signed_cookies"], indirect=True)
def test_a_copy_is_the_engines_own(engine, alice):
    """It can be pickled, for a task queue say."""
    client = signed_in(alice)
    client.post("/write/", {"data": "mine"})
    assert get(client, "/copied/") == "SessionStore mine"


# A store with another key


def test_a_request_with_a_session_of_its_own_speaks_for_that_alone(alice, mallory):
    """Allauth's app client, by ``X-Session-Token``: no CSRF token is asked for there."""
    client, other = signed_in(alice), signed_in(mallory)
    assert get(client, "/own-store/") == "anonymous"
    key = other.cookies["sessionid"].value
    assert get(client, f"/own-store/?key={key}") == "mallory"
    assert get(client, f"/own-store/?logout&key={key}") == "mallory"
    assert get(client, "/whoami/") == "alice"


def test_a_bearer_login_beside_a_write_signs_nobody_else_in(alice, mallory):
    """The signal alone is no login, though the session was written to."""
    client = signed_in(alice)
    client.post("/bearer-login-of/?name=mallory")
    assert get(client, "/whoami/") == "alice"
    assert AuthSession.objects.get().user == alice


def test_a_hash_of_no_password_changes_nothing(alice):
    """Only that of the password now in the database starts a session anew."""
    client = signed_in(alice)
    client.post("/odd-hash/")
    assert get(client, "/whoami/") == "alice"
    assert AuthSession.objects.count() == 1


# Data ends with its session


@every_engine
@pytest.mark.parametrize("url", ["/read/", "/async/read/"])
def test_data_ends_with_its_session_on_whichever_page_is_asked_first(engine, alice, url):
    """A page that never asks who is there would show it for ever."""
    client = signed_in(alice)
    client.post("/write/", {"data": "mine"})
    AuthSession.objects.all().revoke("admin")
    assert get(client, url) == ""
    assert get(client, url) == ""


@pytest.mark.parametrize("url", ["/read/", "/async/read/"])
def test_data_ends_with_the_idle_lifetime(settings, alice, clock, url):
    """Also where the Django session lasts longer, and its tokens have gone from the browser."""
    settings.SESSION_COOKIE_AGE = 90 * 24 * 3600
    client = signed_in(alice)
    client.post("/write/", {"data": "mine"})
    clock.shift(31 * DAY)
    for cookie in (ACCESS, REFRESH):
        del client.cookies[cookie]
    assert get(client, url) == ""


def test_what_is_written_after_an_end_stays(alice):
    """The end is noticed before the view writes: a cart, the state of a sign-in with Google."""
    client = signed_in(alice)
    AuthSession.objects.all().revoke("admin")
    client.post("/write/", {"data": "cart"})
    assert get(client, "/read/") == "cart"


@pytest.mark.parametrize("engine", ["db", "cached_db"], indirect=True)
def test_a_revoke_deletes_djangos_session_too(engine, alice):
    """A socket that reads Django's auth keys finds nobody any more."""
    client = signed_in(alice)
    key = client.cookies["sessionid"].value
    store = import_module(site_settings.SESSION_ENGINE).SessionStore
    assert store(key)[SESSION_KEY] == str(alice.pk)
    AuthSession.objects.all().revoke("admin")
    assert SESSION_KEY not in store(key)


@pytest.mark.parametrize("engine", ["db", "cached_db"], indirect=True)
@pytest.mark.parametrize("row", ["there", "gone"])
def test_a_revoke_by_id_deletes_djangos_session_too(engine, alice, row):
    """What a cache has kept of it is gone also where the row was deleted by others."""
    client = signed_in(alice)
    key = client.cookies["sessionid"].value
    if row == "gone":
        Session.objects.all().delete()
    [ended] = AuthSession.objects.revoke_each([AuthSession.objects.get().pk], "logout", None)
    assert ended.django_session == key
    store = import_module(site_settings.SESSION_ENGINE).SessionStore
    assert SESSION_KEY not in store(key)
    assert not Session.objects.exists()


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache"], indirect=True)
def test_data_that_was_written_meanwhile_goes_nowhere(engine, settings, alice):
    """The answer goes out, without data and without a cookie that a newer one may have replaced."""
    client = signed_in(alice)
    client.get("/say/")
    settings.TEST_MEANWHILE = lambda: AuthSession.objects.all().revoke("admin")
    answer = client.post("/overtaken-write/")
    assert text(answer) == "written"
    assert "sessionid" not in answer.cookies
    assert not Session.objects.exists()


# ... and the session with its data


def delete_all_rows(key):
    Session.objects.all().delete()


def delete_the_store(key):
    DatabaseStore(key).delete()


@pytest.mark.parametrize("delete", [delete_all_rows, delete_the_store])
def test_who_deletes_a_django_session_ends_the_sign_in(alice, delete):
    """Allauth's usersessions, qsessions, "one sign-in for each person", a session admin."""
    client = signed_in(alice)
    assert get(client, "/whoami/") == "alice"
    delete(client.cookies["sessionid"].value)
    assert get(client, "/whoami/") == "anonymous"
    session = AuthSession.objects.get()
    assert (session.active, session.revoke_reason) == (False, "logout")


def test_it_does_so_where_the_rows_are_in_another_database(alice, monkeypatch):
    """The look-up can't ask for both in one statement then, so it asks once more."""
    monkeypatch.setattr(django_sessions, "with_existence", lambda sessions: sessions)
    client = signed_in(alice)
    assert get(client, "/whoami/") == "alice"
    Session.objects.all().delete()
    assert get(client, "/whoami/") == "anonymous"


def test_a_new_engine_signs_nobody_out(settings, alice, clock):
    """Sessions that are noted to have a row go on where there are no rows any more."""
    client = signed_in(alice)
    settings.SESSION_ENGINE = f"{BACKENDS}.cache"
    clock.shift(25 * timedelta(hours=1))
    assert client.post("/auth/refresh/").status_code == 200
    assert get(client, "/whoami/") == "alice"


def test_a_refresh_notices_a_deleted_django_session(alice, clock):
    """At the latest."""
    client = signed_in(alice)
    Session.objects.all().delete()
    clock.shift(16 * MINUTE)
    assert client.post("/auth/refresh/").status_code == 401
    assert not AuthSession.objects.active().exists()


def test_a_django_session_whose_time_was_over_ends_nothing(alice, clock):
    """``clearsessions`` has removed it: another process had set its end back."""
    client = signed_in(alice)
    clock.shift(15 * DAY)
    Session.objects.all().delete()
    assert client.post("/auth/refresh/").status_code == 200
    assert get(client, "/whoami/") == "alice"


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "signed_cookies"], indirect=True)
def test_the_django_session_lasts_as_long_as_the_sign_in(engine, alice, clock):
    """From day 14 sockets would be anonymous, and a hijacker could not go back."""
    client = signed_in(alice)
    client.post("/write/", {"data": "mine"})
    for _ in range(5):
        clock.shift(7 * DAY)
        assert client.post("/auth/refresh/").status_code == 200
    assert get(client, "/read/") == "mine"
    assert client.cookies["sessionid"]["max-age"] == 30 * 24 * 3600


def test_the_django_session_is_prolonged_once_a_day(alice, clock):
    """Not at each refresh."""
    client = signed_in(alice)
    clock.shift(25 * timedelta(hours=1))
    cookies = []
    for _ in range(2):
        answer = client.post("/auth/refresh/")
        cookies.append("sessionid" in answer.cookies)
        clock.shift(16 * MINUTE)
    assert cookies == [True, False]


def test_a_sessionid_that_is_not_the_sessions_is_not_prolonged(alice, clock):
    """It was planted."""
    client, planted = signed_in(alice), anonymous()
    plant(client, planted)
    clock.shift(25 * timedelta(hours=1))
    assert "sessionid" not in client.post("/auth/refresh/").cookies


@every_engine
def test_a_flush_signs_out(engine, alice):
    """As in Django."""
    client = signed_in(alice)
    client.post("/clear/?how=flush")
    assert not AuthSession.objects.active().exists()
    assert get(client, "/whoami/") == "anonymous"


# One Django session at a time


def is_stored(key):
    return Session.objects.filter(pk=key).exists()


@pytest.mark.parametrize("engine", ["db", "cached_db"], indirect=True)
@pytest.mark.parametrize("url", ["/write/", "/async/write/"])
def test_a_session_that_starts_anew_over_a_planted_one_leaves_nothing_behind(engine, alice, url):
    """A socket that knows the key of the one before finds nobody in it, nor after a revoke."""
    victim, planted = signed_in(alice), anonymous()
    key = victim.cookies["sessionid"].value
    plant(victim, planted)
    assert get(victim, "/read/") == ""
    assert is_stored(key)
    victim.post(url, {"data": "mine"})
    store = import_module(site_settings.SESSION_ENGINE).SessionStore
    assert SESSION_KEY not in store(key)
    assert get(planted, "/read/") == "theirs"
    assert get(victim, "/read/") == "mine"
    AuthSession.objects.all().revoke("admin")
    assert [row.pk for row in Session.objects.all()] == [planted.cookies["sessionid"].value]


def test_a_new_key_takes_the_data_along(alice):
    """A site may change it at any time, and it is the old one that goes."""
    client = signed_in(alice)
    client.post("/write/", {"data": "mine"})
    before = client.cookies["sessionid"].value
    client.post("/clear/?how=cycle_key")
    assert client.cookies["sessionid"].value != before
    assert get(client, "/read/") == "mine"
    assert [row.pk for row in Session.objects.all()] == [client.cookies["sessionid"].value]


def test_a_slow_request_with_the_key_before_ends_nothing(settings, alice):
    """What it writes has nowhere to go; the data under the new key and the sign-in stay."""
    client, slow = signed_in(alice), Client()
    client.post("/write/", {"data": "mine"})
    slow.cookies.load({name: morsel.value for name, morsel in client.cookies.items()})
    settings.TEST_MEANWHILE = lambda: client.post("/clear/?how=cycle_key")
    assert text(slow.post("/overtaken-write/")) == "written"
    assert get(client, "/read/") == "mine"
    assert get(client, "/whoami/") == "alice"
    assert is_stored(client.cookies["sessionid"].value)


def new_key():
    store = DatabaseStore()
    store.create()
    return store.session_key


def test_of_two_requests_that_start_anew_one_is_noted_and_nothing_is_left(alice):
    """Whoever sends many at once could keep a key for after the revoke."""
    signed_in(alice)
    fast, slow = AuthSession.objects.get(), AuthSession.objects.get()
    fast.note_django_session(new_key())
    last = new_key()
    slow.note_django_session(last)
    assert [row.pk for row in Session.objects.all()] == [last]
    assert AuthSession.objects.get().django_session == slow.django_session == last


def test_a_key_that_comes_after_the_end_is_not_kept(alice):
    """A view that changes it at the moment of a revoke makes no new sign-in for sockets."""
    signed_in(alice)
    slow = AuthSession.objects.get()
    AuthSession.objects.all().revoke("admin")
    slow.note_django_session(new_key())
    assert not Session.objects.exists()


def test_hosts_that_share_the_tokens_leave_each_others_data_alone(settings, alice):
    """Each has a ``sessionid`` of its own, by Django's default."""
    settings.TOKENAUTH_COOKIE_DOMAIN = "site.test"
    client = signed_in(alice)
    client.post("/write/", {"data": "on www"})
    www = client.cookies.pop("sessionid").value
    client.post("/write/", {"data": "on shop"})
    assert get(client, "/read/") == "on shop"
    client.cookies["sessionid"] = www
    assert get(client, "/read/") == "on www"


# Nobody can tell


@every_engine
def test_a_request_that_can_not_be_refreshed_neither_reads_nor_writes(engine, alice, clock):
    """A stream, say: the person's data stays as it is, and so does their cookie."""
    client = signed_in(alice)
    client.post("/write/", {"data": "mine"})
    clock.shift(16 * MINUTE)
    before, refresh = client.cookies["sessionid"].value, client.cookies.pop(REFRESH)
    assert get(client, "/read/", **NEEDS_A_STREAM) == ""
    client.post("/write/", {"data": "lost"}, headers=NEEDS_A_STREAM)
    assert client.cookies["sessionid"].value == before
    client.cookies[REFRESH] = refresh.value
    assert client.post("/auth/refresh/").status_code == 200
    assert get(client, "/read/") == "mine"


@async_to_sync  # whose database connection is the test's own
async def open_vaults(alice, mallory):
    """Return what is open to a thief, and to a victim with the thief's ``sessionid``."""
    client, thief = AsyncClient(), AsyncClient()
    for browser, person in ((client, alice), (thief, mallory)):
        fields = {"username": person.get_username(), "password": PASSWORD}
        await browser.post("/django-login/", fields)
    await thief.post("/pass/")
    plant(client, thief)
    return [(await browser.get("/async/vault/")).content for browser in (thief, client)]


def test_an_async_client_is_one_person_too(alice, mallory):
    """The whole way, without a thread of its own."""
    assert open_vaults(alice, mallory) == [b"open", b"closed"]
