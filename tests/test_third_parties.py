"""Beside other people's apps: axes, hijack, RemoteUserMiddleware, simplejwt's own bearer API."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.conf import settings as site_settings
from django.contrib.auth.middleware import PersistentRemoteUserMiddleware, RemoteUserMiddleware
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.core.signals import setting_changed
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest
from django.test import override_settings
from django.urls import include, path, reverse
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from tests import settings as base
from tests import urls, views
from tests.factories import PASSWORD, StaffFactory, UserFactory
from tokenauth.models import AuthSession

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"


class BearerPing(APIView):
    """An endpoint of the site's own bearer API."""

    authentication_classes = [JWTAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response(views.name(request.user))


class WhoseSession(APIView):
    """Whose session REST framework's ``request.auth`` is."""

    def get(self, request):
        return Response([views.name(request.user), request.auth and views.name(request.auth.user)])


urlpatterns = [
    *urls.urlpatterns,
    path("hijack/", include("hijack.urls")),
    path("bearer/token/", TokenObtainPairView.as_view()),
    path("bearer/refresh/", TokenRefreshView.as_view()),
    path("bearer/ping/", BearerPing.as_view()),
    path("whose-session/", WhoseSession.as_view()),
]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def alice(transactional_db):
    return UserFactory(username="alice")


@pytest.fixture
def root(transactional_db):
    return StaffFactory(username="root")


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


def who(browser):
    return browser.get("/whoami/").text


def after(middleware):
    """Return the site's middleware with this one behind tokenauth's."""
    position = base.MIDDLEWARE.index("tokenauth.middleware.TokenAuthMiddleware") + 1
    return [*base.MIDDLEWARE[:position], middleware, *base.MIDDLEWARE[position:]]


# django-hijack


@pytest.fixture
def hijack(settings, browser, root):
    """A superuser's browser on a site with django-hijack."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "hijack"]
    settings.MIDDLEWARE = after("hijack.middleware.HijackUserMiddleware")
    browser.login(root)
    return browser


def acquire(browser, user):
    return browser.fetch("POST", reverse("hijack:acquire"), data={"user_pk": str(user.pk)})


def release(browser):
    return browser.fetch("POST", reverse("hijack:release"))


def history(browser):
    return SessionStore(browser.value("sessionid")).get("hijack_history", [])


def test_staff_become_somebody_and_themselves_again(hijack, root, alice):
    """Through hijack's own pages, which say so."""
    acquire(hijack, alice)
    assert who(hijack) == "alice"
    assert history(hijack) == [str(root.pk)]
    assert "djhj" in hijack.get("/auth/sessions/").text
    release(hijack)
    assert who(hijack) == "root"
    assert history(hijack) == []
    assert "djhj" not in hijack.get("/auth/sessions/").text


def test_the_history_of_a_hijack_survives_refreshes(hijack, root, alice, clock):
    """Who is really there is known for as long as it lasts."""
    acquire(hijack, alice)
    for _ in range(3):
        clock.shift(timedelta(minutes=20))
        assert who(hijack) == "alice"
    assert AuthSession.objects.get(user=alice).rotation == 3
    assert history(hijack) == [str(root.pk)]
    release(hijack)
    assert who(hijack) == "root"


def test_hijacks_within_hijacks_end_one_by_one(hijack, root, alice):
    """The history is a stack."""
    other = StaffFactory(username="other")
    acquire(hijack, other)
    acquire(hijack, alice)
    seen = [who(hijack)]
    for _ in range(2):
        release(hijack)
        seen.append(who(hijack))
    assert seen == ["alice", "other", "root"]


def test_each_step_of_a_hijack_is_a_session_of_its_own(hijack, root, alice):
    """The one before has ended, and the victim's own browser is not touched."""
    own = AuthSession.objects.start(HttpRequest(), alice)
    acquire(hijack, alice)
    release(hijack)
    sessions = AuthSession.objects.order_by("created_at").exclude(pk=own.pk)
    assert [(s.user, s.revoke_reason) for s in sessions] == [
        (root, "replaced"),
        (alice, "replaced"),
        (root, ""),
    ]
    own.refresh_from_db()
    assert own.active


def test_who_signs_out_during_a_hijack_leaves_no_way_back(hijack, alice):
    """The next person can't release themselves into a superuser."""
    acquire(hijack, alice)
    hijack.logout()
    assert who(hijack) == "anonymous"
    hijack.login(alice)
    assert history(hijack) == []
    assert release(hijack).status_code == 403
    assert who(hijack) == "alice"


def test_only_superusers_hijack(hijack, alice, root):
    """The rules of hijack itself hold."""
    hijack.login(alice)
    assert acquire(hijack, root).status_code == 403
    assert who(hijack) == "alice"


def test_a_hijack_needs_no_old_django_session(hijack, alice):
    """Django's may have expired while the tokens live on."""
    hijack.drop_cookie("sessionid")
    assert acquire(hijack, alice).status_code == 200
    assert who(hijack) == "alice"
    release(hijack)
    assert who(hijack) == "root"


# RemoteUserMiddleware


class ProxyUserMiddleware(RemoteUserMiddleware):
    """Believes a header of the proxy's; asynchronously Django puts HTTP_ before its name."""

    header = "HTTP_REMOTE_USER"


class PersistentProxyUserMiddleware(PersistentRemoteUserMiddleware):
    header = "HTTP_REMOTE_USER"


class Proxy:
    """A browser behind a proxy that knows who is there."""

    def __init__(self, browser):
        self.browser = browser

    def get(self, url, user="", **more):
        headers = dict.fromkeys(["Remote-User", "HTTP-Remote-User"], user) if user else {}
        return self.browser.get(url, headers=headers | more)

    def who(self, user=""):
        return self.get("/whoami/", user).text


@pytest.fixture
def proxy(settings, browser, transactional_db):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.RemoteUserBackend",
        "django.contrib.auth.backends.ModelBackend",
    ]
    settings.MIDDLEWARE = after(f"{__name__}.ProxyUserMiddleware")
    return Proxy(browser)


def test_the_header_signs_in_once(proxy):
    """One session, however many requests."""
    assert [proxy.who("alice") for _ in range(3)] == ["alice"] * 3
    session = AuthSession.objects.get()
    assert (session.rotation, session.active) == (0, True)
    assert {name for name, _ in proxy.browser.cookies} >= {ACCESS, REFRESH}


@pytest.mark.parametrize("url", ["/whoami/", "/async/whoami/"])
def test_the_header_proves_nothing_new_where_nobody_is_refreshed(proxy, clock, url):
    """A script of another origin is not bounced: the same session goes on, and no other begins."""
    proxy.who("alice")
    clock.shift(timedelta(minutes=20))
    from_elsewhere = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    assert proxy.get(url, "alice", **from_elsewhere).text == "alice"
    session = AuthSession.objects.get()
    assert (session.rotation, session.active) == (0, True)
    assert timezone.now() - session.issued_at < timedelta(minutes=1)  # it has a new access token
    assert proxy.who("alice") == "alice"
    assert AuthSession.objects.get().active


@pytest.mark.parametrize("lost", [None, "sessionid"], ids=["", "Django's session lost"])
def test_a_header_that_is_gone_signs_out(proxy, lost):
    """The session ends with it."""
    proxy.who("alice")
    proxy.browser.drop_cookie(lost)
    assert proxy.who() == "anonymous"
    assert AuthSession.objects.get().revoke_reason == "logout"


@pytest.mark.parametrize("url", ["/whoami/", "/private/", "/async/whoami/", "/api/ping/"])
def test_a_header_that_is_gone_counts_at_once(proxy, url):
    """Already the request that came without it is nobody's, for every kind of view."""
    proxy.who("alice")
    assert "alice" not in proxy.get(url).text


@pytest.mark.parametrize("lost", [None, "sessionid"], ids=["", "Django's session lost"])
def test_a_header_that_changed_is_another_person(proxy, lost):
    """The one before is out."""
    proxy.who("alice")
    proxy.browser.drop_cookie(lost)
    assert proxy.who("bob") == "bob"
    assert proxy.who("bob") == "bob"
    sessions = AuthSession.objects.order_by("created_at")
    assert [(s.user.username, s.active) for s in sessions] == [("alice", False), ("bob", True)]


@pytest.mark.parametrize(
    ("url", "seen"),
    [("/async/whoami/", "bob"), ("/private/", "Hello bob"), ("/api/ping/", '"username":"bob"')],
)
def test_a_header_that_changed_counts_at_once(proxy, url, seen):
    """Already the request that brought it is the new person's, for every kind of view."""
    proxy.who("alice")
    assert seen in proxy.get(url, "bob").text


def test_a_header_that_changed_brings_no_session_of_another(proxy):
    """``request.auth`` is nobody's until the new session is there."""
    proxy.who("alice")
    assert proxy.get("/whose-session/", "bob").json() == ["bob", None]
    assert proxy.get("/whose-session/", "bob").json() == ["bob", "bob"]


@pytest.mark.parametrize("minutes", [0, 20], ids=["at once", "refreshed"])
def test_tokens_outlive_djangos_session_behind_a_proxy(proxy, clock, minutes):
    """RemoteUserMiddleware finds the keys it needs."""
    proxy.who("alice")
    for _ in range(2):
        clock.shift(timedelta(minutes=minutes))
        proxy.browser.drop_cookie("sessionid")
        assert proxy.who("alice") == "alice"
    assert AuthSession.objects.count() == 1


def test_a_revoked_session_is_replaced_by_the_proxys_word(proxy):
    """As long as the proxy says who is there, they are."""
    proxy.who("alice")
    AuthSession.objects.revoke("admin")
    assert proxy.who("alice") == "alice"
    assert AuthSession.objects.active().count() == 1


def test_who_signed_in_with_a_password_needs_no_header(proxy, alice):
    """The proxy's people and the site's own can live together."""
    proxy.browser.login(alice)
    assert [proxy.who(), proxy.who()] == ["alice", "alice"]


def test_a_persistent_sign_in_needs_the_header_once(settings, proxy, clock):
    """PersistentRemoteUserMiddleware leaves the rest to the tokens."""
    settings.MIDDLEWARE = after(f"{__name__}.PersistentProxyUserMiddleware")
    proxy.who("alice")
    proxy.browser.drop_cookie("sessionid")
    clock.shift(timedelta(days=20))
    assert proxy.who() == "alice"


# simplejwt's own bearer API


def bearer(browser, url, token):
    return browser.fetch("GET", url, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def pair(browser, alice):
    """The tokens of the site's own API."""
    credentials = {"username": "alice", "password": PASSWORD}
    return browser.fetch("POST", "/bearer/token/", json=credentials).json()


def test_a_bearer_api_goes_on_beside_ours(browser, pair):
    """It starts no session, and its tokens work where the site wants them."""
    assert bearer(browser, "/bearer/ping/", pair["access"]).json() == "alice"
    renewed = browser.fetch("POST", "/bearer/refresh/", json={"refresh": pair["refresh"]})
    assert bearer(browser, "/bearer/ping/", renewed.json()["access"]).json() == "alice"
    assert not AuthSession.objects.exists()
    assert {name for name, _ in browser.cookies} & {ACCESS, REFRESH} == set()


def test_our_tokens_are_no_bearer_tokens(browser, alice):
    """They would skip revocation and CSRF."""
    browser.login(alice)
    for name in (ACCESS, REFRESH):
        token = browser.value(name)
        assert bearer(browser, "/bearer/ping/", token).status_code == 401
        renewed = browser.fetch("POST", "/bearer/refresh/", json={"refresh": token})
        assert renewed.status_code == 401
    assert who(browser) == "alice"


@pytest.mark.parametrize("name", ["access", "refresh"])
def test_bearer_tokens_are_not_ours(browser, pair, name):
    """In our cookies they sign nobody in, and do nothing else."""
    browser.set_cookie(ACCESS, pair[name])
    browser.set_cookie(REFRESH, pair[name], path="/auth/")
    assert who(browser) == "anonymous"
    assert browser.fetch("POST", reverse("tokenauth:refresh")).status_code == 401
    assert browser.value(ACCESS) == pair[name]


def test_a_bearer_token_is_none_on_our_endpoints(browser, pair):
    """Each API has its own door."""
    assert bearer(browser, "/api/ping/", pair["access"]).status_code == 401


# token_blacklist's models exist only where it was installed from the start: another process.
BLACKLIST = f"""
from django.conf import settings
settings.INSTALLED_APPS.append("rest_framework_simplejwt.token_blacklist")
settings.INSTALLED_APPS.append("hijack")
settings.ROOT_URLCONF = "{__name__}"

import django
django.setup()

import time_machine
from django.db import connection, connections
from django.test import Client
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from tests.factories import PASSWORD, UserFactory
from tokenauth.models import AuthSession


def tables():
    return OutstandingToken.objects.count(), BlacklistedToken.objects.count()


def live(client):
    with time_machine.travel(0, tick=False) as clock:
        client.post("/auth/api/login/", credentials, "application/json")
        clock.shift(1200)
        answer = client.post("/auth/refresh/")
        assert answer.status_code == 200, answer.content
        assert client.get("/whoami/").content == b"alice"
        client.post("/auth/api/logout/")


connection.creation.create_test_db(verbosity=0)
try:
    UserFactory(username="alice")
    credentials = {{"username": "alice", "password": PASSWORD}}
    live(Client())
    session = AuthSession.objects.get()
    assert (session.rotation, session.revoke_reason) == (1, "logout")
    assert tables() == (0, 0), tables()

    site = Client()
    pair = site.post("/bearer/token/", credentials, "application/json").json()
    assert tables() == (1, 0), tables()
    bearer = {{"authorization": "Bearer " + pair["access"]}}
    assert site.get("/bearer/ping/", headers=bearer).json() == "alice"
    live(site)
    assert tables() == (1, 0), tables()
finally:
    connection.creation.destroy_test_db(settings.DATABASES["default"]["NAME"], verbosity=0)
    connections.close_all()
print("done")
"""


def test_token_blacklist_never_hears_of_our_tokens():
    """It lists and ends the site's own, in its own tables."""
    name = f"{site_settings.DATABASES['default']['TEST']['NAME']}_blacklist"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "TOKENAUTH_TEST_DATABASE_NAME": Path(name).name.replace(".sqlite3", ""),
    }
    done = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-W", "error", "-c", BLACKLIST],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


# django-axes


@pytest.fixture(scope="module")
def axes_app():
    """A site with django-axes; its receivers would stay for the rest of the run."""
    signals = [
        user_logged_in,
        user_logged_out,
        user_login_failed,
        setting_changed,
        post_save,
        post_delete,
    ]
    before = [signal.receivers[:] for signal in signals]
    own = override_settings(
        AXES_ENABLE_ADMIN=False,  # it would stay registered
        AXES_HANDLER="axes.handlers.cache.AxesCacheHandler",  # needs no tables
        AXES_FAILURE_LIMIT=3,
    )
    sites = override_settings(
        INSTALLED_APPS=[*site_settings.INSTALLED_APPS, "axes"],
        AUTHENTICATION_BACKENDS=[
            "axes.backends.AxesStandaloneBackend",
            "django.contrib.auth.backends.ModelBackend",
        ],
        MIDDLEWARE=[*site_settings.MIDDLEWARE, "axes.middleware.AxesMiddleware"],
    )
    with own, sites:  # in this order: axes reads its settings when it is installed
        yield
        for signal, receivers in zip(signals, before, strict=True):
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()


@pytest.fixture
def axes(axes_app, alice):
    cache.clear()
    yield alice
    cache.clear()


def by_form(browser, user, password=PASSWORD):
    return browser.login(user, password=password).status_code


def by_api(browser, user, password=PASSWORD):
    credentials = {"username": user.get_username(), "password": password}
    return browser.fetch("POST", reverse("tokenauth:api_login"), json=credentials).status_code


every_door = pytest.mark.parametrize(("log_in", "refusal"), [(by_form, 200), (by_api, 401)])


@every_door
def test_axes_locks_out_after_failures(axes, browser, new_browser, log_in, refusal):
    """In the form and in the API, and for the right password too."""
    answers = [log_in(browser, axes, "wrong") for _ in range(4)]
    assert answers == [refusal, refusal, 429, 429]
    assert log_in(browser, axes) == 429
    assert log_in(new_browser(), axes) == 429
    assert who(browser) == "anonymous"
    assert not AuthSession.objects.exists()


@every_door
def test_who_is_signed_in_already_is_not_locked_out(
    axes, browser, new_browser, clock, *, log_in, refusal
):
    """Somebody else's failures don't sign the owner out."""
    assert log_in(browser, axes) == 200
    for _ in range(4):
        log_in(new_browser(), axes, "wrong")
    assert who(browser) == "alice"
    clock.shift(timedelta(minutes=20))
    assert who(browser) == "alice"
    assert AuthSession.objects.get().rotation == 1


@every_door
def test_the_login_signals_carry_the_request(axes, browser, log_in, refusal):
    """axes, and whoever else counts failures, learns where they come from."""
    heard = []

    def hear(signal, request, **kwargs):
        heard.append((signal, request.path if isinstance(request, HttpRequest) else request))

    signals = [user_login_failed, user_logged_in, user_logged_out]
    for signal in signals:
        signal.connect(hear)
    log_in(browser, axes, "wrong")
    log_in(browser, axes)
    browser.logout() if log_in is by_form else browser.fetch("POST", "/auth/api/logout/")
    for signal in signals:
        signal.disconnect(hear)
    kind = "" if log_in is by_form else "api/"
    paths = [f"/auth/{kind}login/", f"/auth/{kind}login/", f"/auth/{kind}logout/"]
    assert heard == list(zip(signals, paths, strict=True))
