"""A site's own tests: whoever its clients sign in has tokens, as if on the login page."""

import os
import subprocess
import sys
import tomllib
from contextlib import contextmanager

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as site
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test import (
    AsyncClient,
    Client,
    LiveServerTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)
from django.test.client import ClientMixin
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient, RequestsClient

from tests.factories import PASSWORD, StaffFactory, UserFactory
from tests.processes import ROOT
from tokenauth import signals
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions
from tokenauth.testing import TokenClientMixin, aforce_login, force_login, install

WITHOUT_SESSIONS = {
    "INSTALLED_APPS": [
        app
        for app in site.INSTALLED_APPS
        if app not in {f"django.contrib.{name}" for name in ("sessions", "messages", "admin")}
    ],
    "MIDDLEWARE": [
        name for name in site.MIDDLEWARE if "sessions" not in name and "messages" not in name
    ],
    "ROOT_URLCONF": "tests.urls_plain",
}
ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]
BACKENDS = [
    f"django.contrib.auth.backends.{name}Backend" for name in ("Model", "AllowAllUsersModel")
]
ASYNC_NAMES = {"force_login": "aforce_login", "login": "alogin", "logout": "alogout"}


class SiteClient(TokenClientMixin, Client):
    """A site's own, which needs no install()."""


class SiteAsyncClient(TokenClientMixin, AsyncClient):
    """The same."""


class SiteAPIClient(TokenClientMixin, APIClient):
    """The same."""


@pytest.fixture(autouse=True, scope="module")
def installed():
    """Called once, as by a test runner."""
    undo = install()
    yield
    undo()


@pytest.fixture
def uninstalled(installed, monkeypatch):
    """Django's clients as they were."""
    for owner in (ClientMixin, APIClient):
        for name, method in list(vars(owner).items()):
            if hasattr(method, "followed_by_tokenauth"):
                monkeypatch.setattr(owner, name, method.__wrapped__)


@pytest.fixture(params=[Client, AsyncClient, APIClient])
def client(request):
    """Each kind of test client."""
    return request.param()


@pytest.fixture
def without_sessions(monkeypatch):
    """A site that never installed django.contrib.sessions: its model can't be imported."""

    def get_model_class():
        raise RuntimeError

    monkeypatch.setattr(SessionStore, "get_model_class", get_model_class)
    django_sessions.model_of.cache_clear()
    with override_settings(**WITHOUT_SESSIONS):
        yield
    django_sessions.model_of.cache_clear()


each_engine = pytest.mark.parametrize("engine", ENGINES)
pytestmark = pytest.mark.django_db


def do(client, name, *args, **kwargs):
    """Call a client's method, or its async twin."""
    if isinstance(client, AsyncClient):
        return async_to_sync(getattr(client, ASYNC_NAMES.get(name, name)))(*args, **kwargs)
    return getattr(client, name)(*args, **kwargs)


def get(client, path="/whoami/"):
    return do(client, "get", path)


def who(client):
    """Whom a page greets."""
    return get(client).text


def tokens_of(client):
    return {name for name in client.cookies if "token" in name and name != "csrftoken"}


@contextmanager
def heard(*expected):
    """Collect what these signals say."""
    calls = []

    def note(signal, **kwargs):
        calls.append((signal, kwargs))

    for signal in expected:
        signal.connect(note, weak=False)
    try:
        yield calls
    finally:
        for signal in expected:
            signal.disconnect(note)


# Signed in


def assert_is_like_signed_in(client, user):
    """One query, one session, nothing to set, nothing that a cache would have to refuse."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = get(client)
    assert page.text == user.get_username()
    assert len(queries) == 1
    assert not page.cookies
    assert "Cache-Control" not in page.headers
    session = AuthSession.objects.active().get()
    assert (session.user_id, session.adopted_from, session.persistent) == (user.pk, None, True)


@pytest.mark.users
def test_the_first_page_costs_one_query_and_adopts_nothing(client, user):
    """After force_login(), and the second one the same."""
    do(client, "force_login", user)
    assert_is_like_signed_in(client, user)
    assert_is_like_signed_in(client, user)


@pytest.mark.users
def test_login_gives_tokens_too(client, user):
    """With the right password alone."""
    name = type(user).USERNAME_FIELD
    assert do(client, "login", **{name: user.get_username(), "password": "wrong"}) is False
    assert tokens_of(client) == set()
    assert do(client, "login", **{name: user.get_username(), "password": PASSWORD}) is True
    assert_is_like_signed_in(client, user)


def test_another_person_takes_over(client, user):
    """At the second force_login(), and the first one's session is over."""
    do(client, "force_login", user)
    bob = UserFactory()
    do(client, "force_login", bob)
    assert_is_like_signed_in(client, bob)
    assert user.auth_sessions.get().revoke_reason == "replaced"


def test_the_same_person_gets_a_new_session(client, user):
    """Signed in is signed in: also after a revocation."""
    do(client, "force_login", user)
    AuthSession.objects.revoke("admin")
    do(client, "force_login", user)
    assert_is_like_signed_in(client, user)


def test_logout_leaves_neither_cookies_nor_a_session(client, user):
    """Nor somebody who is signed in."""
    do(client, "force_login", user)
    do(client, "logout")
    assert tokens_of(client) == set()
    assert AuthSession.objects.get().revoke_reason == "logout"
    assert who(client) == "anonymous"


def test_logout_ends_what_the_login_page_started(user):
    """It reads the cookies, wherever they come from."""
    client = Client()
    client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    client.logout()
    assert AuthSession.objects.get().revoke_reason == "logout"


def test_logout_of_nobody_is_quiet(client):
    """As Django's."""
    do(client, "logout")
    assert who(client) == "anonymous"


@pytest.mark.parametrize("client", [Client, AsyncClient], indirect=True)
def test_the_signals_are_djangos_and_one_of_ours(client, user):
    """Each once; Django's with Django's own request, ours with what the client would send."""
    client.defaults["REMOTE_ADDR"] = "192.0.2.7"
    with heard(
        user_logged_in, user_logged_out, signals.session_started, signals.session_revoked
    ) as calls:
        do(client, "force_login", user)
        do(client, "logout")
    told = dict(calls)
    assert len(calls) == len(told) == 4
    assert told[user_logged_in]["user"] == user
    assert told[user_logged_in]["request"].path == ""
    assert told[signals.session_revoked]["reason"] == "logout"
    started = told[signals.session_started]
    assert started["request"].META["REMOTE_ADDR"] == started["session"].ip_address == "192.0.2.7"


# Django's session


@each_engine
def test_djangos_session_stays_usable_and_belongs_to_ours(client, user, settings, tmp_path, engine):
    """What a test puts there a page reads, before and after; it goes with the sign-in."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    put(client, early="cart")
    do(client, "force_login", user)
    put(client, data="milk")
    assert do(client, "get", "/session-data/").text == "milk"
    assert client.session["early"] == "cart"
    assert client.session["_tokenauth_sid"] == str(AuthSession.objects.get().pk)
    do(client, "force_login", UserFactory())
    assert "data" not in client.session
    assert do(client, "get", "/session-data/").text == ""


@pytest.mark.parametrize("again", [1, 2])
def test_who_deletes_djangos_session_signs_out(client, user, again):
    """As in Django, whoever signed in with this client before."""
    do(client, "force_login", UserFactory())
    for _ in range(again):
        do(client, "force_login", user)
    assert who(client) == user.get_username()
    client.session.flush()
    assert who(client) == "anonymous"


def test_what_a_view_does_is_followed_once(user):
    """By the middleware, as on the site; here too, the client holds what it was given."""
    client = Client()
    with heard(signals.session_started, signals.session_revoked) as calls:
        client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
        client.post("/auth/logout/")
    assert len(calls) == 2
    assert who(client) == "anonymous"


def put(client, **data):
    """Write to Django's session, as its documentation says; the cookie too, where that is it."""
    session = client.session
    session.update(data)
    session.save()
    client.cookies[site.SESSION_COOKIE_NAME] = session.session_key


def test_a_site_whose_sessions_end_with_the_browser(client, user, settings):
    """Its tokens do so too."""
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    do(client, "force_login", user)
    assert AuthSession.objects.get().persistent is False
    assert {client.cookies[name]["max-age"] for name in tokens_of(client)} == {""}


@pytest.mark.users
@pytest.mark.usefixtures("without_sessions")
def test_sites_without_djangos_sessions(client, user):
    """Which Django's client can't sign in to."""
    do(client, "logout")
    do(client, "force_login", user)
    assert_is_like_signed_in(client, user)
    do(client, "force_login", bob := UserFactory())
    assert_is_like_signed_in(client, bob)
    do(client, "logout")
    assert who(client) == "anonymous"
    assert not AuthSession.objects.active().exists()


# Other sites


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("lifetime", [60, 3600])
def test_the_cookies_are_those_of_a_sign_in(client, user, settings, secure, lifetime):
    """The same names and attributes as the login page's, whatever the settings."""
    settings.TOKENAUTH_COOKIE_SECURE = secure
    settings.TOKENAUTH_COOKIE_DOMAIN = ".site.test"
    settings.TOKENAUTH_COOKIE_SAMESITE = "Strict"
    settings.TOKENAUTH_REFRESH_TOKEN_LIFETIME = lifetime
    do(client, "force_login", user)
    page = {"username": user.get_username(), "password": PASSWORD}
    given = Client().post("/auth/api/login/", page, "application/json").cookies
    assert tokens_of(client) == {name for name in given if "token" in name and name != "csrftoken"}
    for name in tokens_of(client):
        assert attributes(client.cookies[name]) == attributes(given[name])
    assert who(client) == user.get_username()


def attributes(cookie):
    """All but the moment."""
    return {name: value for name, value in cookie.items() if name != "expires"}


@pytest.mark.parametrize("debug", [True, False])
def test_a_test_may_override_debug(client, user, settings, debug):
    """Which changes the names of the cookies, before or after somebody signs in."""
    settings.DEBUG = not debug
    do(client, "force_login", user)
    settings.DEBUG = debug
    assert_is_like_signed_in(client, user)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_several_backends(client, user, settings, backend):
    """The one that was asked for, the first one otherwise, as in Django."""
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    do(client, "force_login", user, backend=backend)
    assert AuthSession.objects.get().backend == (backend or BACKENDS[0])
    assert_is_like_signed_in(client, user)


def test_somebody_inactive_is_not_signed_in(client, user):
    """Though force_login() doesn't ask."""
    user.is_active = False
    user.save()
    do(client, "force_login", user)
    assert who(client) == "anonymous"


def test_csrf_is_checked_where_a_test_asks_for_it(user):
    """By Django's views and by REST framework."""
    strict, lax = Client(enforce_csrf_checks=True), Client()
    for client in (strict, lax):
        client.force_login(user)
    for path in ("/form/", "/api/ping/"):
        assert strict.post(path, {"note": "x"}).status_code == 403
        assert lax.post(path, {"note": "x"}).status_code == 200


# REST framework


@pytest.mark.usefixtures("without_sessions")
def test_force_authenticate_stays(user):
    """It goes around the cookies; taking it back signs out, as in REST framework."""
    client = APIClient()
    client.force_authenticate(user)
    assert client.get("/api/ping/").status_code == 200
    assert not AuthSession.objects.exists()
    client.force_login(user)
    client.force_authenticate(None)
    assert client.get("/api/ping/").status_code == 401
    assert not AuthSession.objects.active().exists()


@pytest.mark.parametrize("secure", [True, False])
def test_a_requests_client_is_given_the_cookies(user, settings, secure):
    """For http://testserver, where requests sends no Secure cookie."""
    settings.TOKENAUTH_COOKIE_SECURE = secure
    pytest.importorskip("requests")
    client = RequestsClient()
    for person in (user, UserFactory()):
        force_login(client, person)
        assert client.get("http://testserver/whoami/").text == person.get_username()
        assert AuthSession.objects.active().get().user_id == person.pk
    answer = client.get("http://testserver/api/ping/")
    assert (answer.status_code, answer.json()["username"]) == (200, person.get_username())


# A client of the site's own; no install() at all


@pytest.mark.parametrize("kind", [SiteClient, SiteAsyncClient, SiteAPIClient])
@pytest.mark.parametrize("there", ["installed", "uninstalled"])
def test_a_clients_mixin(request, user, kind, there):
    """Alone, and where install() was called: one session each time."""
    request.getfixturevalue(there)
    client = kind()
    with heard(signals.session_started) as calls:
        do(client, "force_login", user)
    assert len(calls) == 1
    assert_is_like_signed_in(client, user)
    do(client, "logout")
    assert AuthSession.objects.get().revoke_reason == "logout"
    assert who(client) == "anonymous"


@pytest.mark.usefixtures("uninstalled")
def test_one_client_alone(client, user):
    """With the function; all the others stay Django's."""
    if isinstance(client, AsyncClient):
        async_to_sync(aforce_login)(client, user)
    else:
        force_login(client, user)
    assert_is_like_signed_in(client, user)
    other = type(client)()
    do(other, "force_login", user)
    assert tokens_of(other) == set()


@pytest.mark.usefixtures("uninstalled")
def test_without_it_the_second_person_takes_over_too(user):
    """The first page adopts. The next force_login() deletes that Django session, and so ends it."""
    client = Client()
    client.force_login(user)
    page = get(client)
    assert "no-store" in page.headers["Cache-Control"]
    assert tokens_of(client) <= set(page.cookies)
    client.force_login(bob := UserFactory())
    assert [who(client), who(client)] == [bob.get_username()] * 2
    assert AuthSession.objects.active().get().user == bob


@pytest.mark.usefixtures("uninstalled")
def test_installing_can_be_undone():
    """Twice installed is once installed; undone, all is Django's."""
    django = methods()
    undo = install()
    ours = methods()
    undo_nothing = install()
    assert methods() == ours
    undo_nothing()
    assert methods() == ours != django
    undo()
    assert methods() == django


def methods():
    """All that the classes of Django and REST framework define."""
    return [dict(vars(owner)) for owner in (ClientMixin, Client, AsyncClient, APIClient)]


# Django's test cases


class Signed(TestCase):
    """A TestCase whose client is made once for all its tests."""

    @classmethod
    def setUpTestData(cls):
        cls.user = UserFactory()
        cls.signed_in = Client()
        cls.signed_in.force_login(cls.user)

    def test_the_data_of_the_class_is_signed_in(self):
        """A test that ends it..."""
        with self.assertNumQueries(1):
            assert who(self.signed_in) == self.user.get_username()
        self.signed_in.logout()
        assert who(self.signed_in) == "anonymous"

    def test_the_next_test_has_it_again(self):
        """...does not end it for the next one."""
        with self.assertNumQueries(1):
            assert who(self.signed_in) == self.user.get_username()
        self.client.force_login(StaffFactory())
        assert self.client.get("/admin/").status_code == 200

    async def test_async_tests(self):
        """Django runs them on the same connection."""
        await self.async_client.aforce_login(self.user)
        page = await self.async_client.get("/async/whoami/")
        assert page.text == self.user.get_username()


class Committed(TransactionTestCase):
    def test_a_transaction_test_case(self):
        """Where everything is committed."""
        self.client.force_login(UserFactory())
        with self.assertNumQueries(1):
            who(self.client)


@override_settings(TOKENAUTH_COOKIE_SECURE=False)
class Live(LiveServerTestCase):
    def test_a_live_server(self):
        """A real client shows the cookies, which it would send back over http."""
        self.client.force_login(user := UserFactory())
        jar = {cookie.key: cookie.value for cookie in self.client.cookies.values()}
        page = httpx.get(f"{self.live_server_url}/whoami/", cookies=jar, timeout=60)
        assert page.text == user.get_username()


# pytest

TESTS = """
import pytest
from django.test.client import ClientMixin
from tokenauth.models import AuthSession

pytestmark = pytest.mark.django_db


def test_it(client, django_user_model, django_assert_num_queries):
    client.force_login(django_user_model.objects.create(username="alice"))
    with django_assert_num_queries(1):
        assert client.get("/whoami/").text == "alice"
    client.force_login(django_user_model.objects.create(username="bob"))
    assert client.get("/whoami/").text == "bob"
    assert AuthSession.objects.active().count() == 1


def test_async_clients():
    assert hasattr(ClientMixin._alogin, "followed_by_tokenauth")
"""

OTHER_TESTS = """
import sys


def test_nothing_was_imported():
    ours = {name for name in sys.modules if name.startswith("tokenauth")}
    assert ours == {"tokenauth", "tokenauth.pytest_plugin"}
"""

UNCHANGED = """
from django.test.client import ClientMixin


def test_nothing_was_changed():
    assert not hasattr(ClientMixin.logout, "followed_by_tokenauth")
"""
PLUGIN = ["-p", "tokenauth.pytest_plugin"]


def run_pytest(folder, *arguments, **environment):
    """Run pytest with these plugins alone, in a folder of its own; return what it said."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    env = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(folder)])
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(  # noqa: S603  # our own command
        command,
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def own_database():
    """The name of a database that no other test uses."""
    return {"TOKENAUTH_TEST_DATABASE_NAME": f"test_tokenauth_plugin_{os.getpid()}"}


@pytest.mark.parametrize(
    "plugins",
    ["tokenauth django", "tokenauth tokenauth.pytest_plugin pytest_django.plugin"],
    ids=["by the entry point", "twice"],
)
def test_the_plugin_installs_where_the_settings_do(tmp_path, plugins):
    """A small site's tests, in a pytest of their own."""
    register(tmp_path)
    (tmp_path / "test_site.py").write_text(TESTS)
    arguments = [f"-p{name}" for name in plugins.split()]
    said = run_pytest(tmp_path, *arguments, "--ds=tests.settings", **own_database())
    assert "2 passed" in said, said


def register(folder):
    """Write down what pip would: the package installed here may be another checkout's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = [f"{name} = {value}" for name, value in project["entry-points"]["pytest11"].items()]
    info = folder / "ours-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *points]))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")


@pytest.mark.parametrize(
    "settings",
    ["INSTALLED_APPS = []\nSECRET_KEY = 'x'", None],
    ids=["other apps", "no Django"],
)
def test_the_plugin_leaves_other_projects_alone(tmp_path, settings):
    """It imports nothing, whatever else is in the environment."""
    arguments = [*PLUGIN, "-p", "django"]
    if settings:
        (tmp_path / "other_settings.py").write_text(settings)
        arguments.append("--ds=other_settings")
    (tmp_path / "test_other.py").write_text(OTHER_TESTS)
    said = run_pytest(tmp_path, *arguments)
    assert "1 passed" in said, said


def test_the_plugin_needs_pytest_django(tmp_path):
    """Who sets Django up without it calls install()."""
    (tmp_path / "conftest.py").write_text("import django\n\ndjango.setup()\n")
    (tmp_path / "test_other.py").write_text(UNCHANGED)
    said = run_pytest(tmp_path, *PLUGIN, DJANGO_SETTINGS_MODULE="tests.settings")
    assert "1 passed" in said, said


def test_the_plugin_is_off_in_this_repository(pytestconfig):
    """Under the name by which it is switched off anywhere: adoption is tested here too."""
    assert pytestconfig.pluginmanager.is_blocked("tokenauth")
