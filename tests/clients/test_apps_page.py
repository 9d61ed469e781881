"""The page about apps: its Python stays signed in, whatever is lost on the way."""

import importlib
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import requests
import time_machine
from django.core.cache import cache
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from requests.adapters import HTTPAdapter

from tests import urls
from tests.factories import PASSWORD, UserFactory
from tests.live import serve
from tests.processes import PATIENCE, ROOT
from tokenauth.models import AuthSession

PAGE = (ROOT / "docs" / "how-to" / "apps.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SITE, TOKEN = "https://example.com", "/auth/token/"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: What the blocks that are no file of the app's define: the site's views.
of_site: dict = {"__name__": "apps_page"}
for _block in PYTHON:
    if not _block.startswith("# pocket/"):
        exec(compile(_block, "apps.md", "exec"), of_site)  # noqa: S102  # our own page


def person_of(request: HttpRequest):
    """Who has just proved who they are, as a site may find out."""
    return UserFactory._meta.model.objects.filter(username=request.POST.get("who")).first()


of_site["person_of"] = person_of
urlpatterns = [
    path("api/orders/", of_site["orders"]),
    path("api/for-apps-alone/", of_site["for_apps"]),
    path("app-login/", of_site["app_login"]),
    *urls.urlpatterns,
]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def server(transactional_db):
    """One kind is enough: the app is what is tried."""
    with serve("wsgi") as running:
        yield running


@pytest.fixture(autouse=True)
def clock():
    """Noon on a day in March, until a test shifts it."""
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture(autouse=True)
def _site(settings):
    """The page's settings; no proof was used before."""
    settings.TOKENAUTH_APP_CLIENTS = of_site["TOKENAUTH_APP_CLIENTS"]
    cache.clear()


@pytest.fixture
def site(server):
    """Where the site is."""
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def pocket(tmp_path, monkeypatch):
    """A function that imports a module of the app, which is written down as the page has it."""
    (tmp_path / "pocket").mkdir()
    for block in PYTHON:
        if block.startswith("# pocket/"):
            name = block.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: importlib.import_module(f"pocket.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "pocket"]:
        del sys.modules[name]


class Tunnel(httpx.HTTPTransport):
    """A network that loses answers to refreshes while it is told to."""

    loses, refreshes = False, 0

    def handle_request(self, request):
        answer = super().handle_request(request)
        if request.url.path != TOKEN:
            return answer
        self.refreshes += 1
        if self.loses:
            answer.close()
            raise httpx.ReadError("in a tunnel")
        return answer


class Phone:
    """The page's app on somebody's device: a file that stays, a process that may be killed."""

    def __init__(self, pocket, site, file, tunnel=None):
        self.code, self.site, self.file = pocket("tokens"), site, str(file)
        self.tunnel = tunnel or Tunnel()

    def sign_in(self):
        with httpx.Client(base_url=self.site, transport=self.tunnel) as http:
            fields = {"username": "alice", "password": PASSWORD, "client_name": "Pocket"}
            self.code.sign_in(http, self.file, **fields)
        return self.start()

    def start(self):
        """Begin anew, with what the file has."""
        self.auth = self.code.TokenAuth(self.site, self.file)
        self.http = httpx.Client(base_url=self.site, auth=self.auth, transport=self.tunnel)
        return self

    def orders(self):
        return self.http.get("/api/orders/").json()


@pytest.fixture
def phone(pocket, site, tmp_path, user):
    """Alice's."""
    phone = Phone(pocket, site, tmp_path / "tokens.json").sign_in()
    yield phone
    phone.http.close()


def test_the_pages_app_stays_signed_in_through_lost_answers(phone, clock):
    """Every answer is lost now and then, and the app is started anew with what its file has."""
    assert phone.orders() == {"person": "alice", "by": "app"}
    assert Path(phone.file).stat().st_mode & 0o777 == 0o600
    for is_killed in [False, True, True, False]:
        clock.shift(timedelta(hours=10))
        phone.tunnel.loses = True
        for _try in range(3):
            with pytest.raises(httpx.ReadError):
                phone.orders()
            clock.shift(timedelta(minutes=2))
            if is_killed:
                phone.http.close()
                phone.tunnel = Tunnel()
                phone.tunnel.loses = True
                phone.start()
        phone.tunnel.loses = False
        assert phone.orders() == {"person": "alice", "by": "app"}
        clock.shift(timedelta(minutes=2))
        assert phone.orders() == {"person": "alice", "by": "app"}
    session = AuthSession.objects.get()
    assert (session.rotation, session.revoked_at, session.confirmed) == (4, None, True)


def test_the_pages_app_refreshes_once_for_many_threads(phone, clock):
    """Those that come meanwhile wait, and send what it brought."""
    clock.shift(timedelta(hours=1))
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(phone.orders) for _ in range(8)]
        assert {answer.result(PATIENCE)["person"] for answer in answers} == {"alice"}
    assert (phone.tunnel.refreshes, AuthSession.objects.get().rotation) == (1, 1)


def test_the_pages_app_keeps_the_refresh_token_that_it_has(phone, clock):
    """An answer without one is no reason to forget it. A wrong clock is made up for by a 401."""
    clock.shift(timedelta(hours=1))
    phone.orders()
    first = phone.auth.tokens["refresh_token"]
    clock.shift(timedelta(seconds=5))
    phone.auth.tokens["access_token"] = "eyJ.of.yesterday"
    assert phone.orders()["person"] == "alice"
    assert phone.auth.tokens["refresh_token"] == first
    assert phone.tunnel.refreshes == 2
    assert json.loads(Path(phone.file).read_text()) == phone.auth.tokens


def test_the_pages_app_is_told_that_it_is_signed_out(phone):
    """By staff, say; and it signs itself out, too. Its file is gone then."""
    AuthSession.objects.revoke("admin")
    with pytest.raises(phone.code.SignedOut):
        phone.orders()
    assert not Path(phone.file).exists()
    phone.sign_in()
    assert phone.orders()["person"] == "alice"
    phone.auth.sign_out(phone.http)
    assert not AuthSession.objects.active().exists()
    assert not Path(phone.file).exists()


def test_the_pages_program_runs(pocket, site, tmp_path, user, settings):
    """A process of its own: signs in, and shows what the API says."""
    program = tmp_path / "pocket" / "main.py"
    code = program.read_text().replace(SITE, site)
    program.write_text(code.replace("correct horse", PASSWORD))
    done = subprocess.run(
        [sys.executable, "-m", "pocket.main"],
        cwd=tmp_path,
        env={"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{'person': 'alice', 'by': 'app'}\n", "")
    assert AuthSession.objects.get().client_name == "Pocket on Alice's laptop"


class LosingAdapter(HTTPAdapter):
    """See Tunnel; for requests."""

    loses = False

    def send(self, request, **options):
        answer = super().send(request, **options)
        if self.loses and request.path_url == TOKEN:
            answer.close()
            raise requests.ConnectionError("in a tunnel")
        return answer


def test_authlibs_client_refreshes_by_itself_and_survives_lost_answers(phone, pocket, site, clock):
    """Knowing nothing but RFC 6749."""
    adapter, file = LosingAdapter(), phone.file
    with pocket("with_authlib").session(site, file) as http:
        http.mount(site, adapter)
        http.trust_env = False
        for _day in range(3):
            clock.shift(timedelta(days=1))
            adapter.loses = True
            for _try in range(2):
                with pytest.raises(requests.ConnectionError):
                    http.get(f"{site}/api/orders/")
                clock.shift(timedelta(minutes=2))
            adapter.loses = False
            assert http.get(f"{site}/api/orders/").json()["person"] == "alice"
            clock.shift(timedelta(minutes=2))
            assert http.get(f"{site}/api/orders/").json()["person"] == "alice"
            assert (
                json.loads(Path(file).read_text())["refresh_token"] == (http.token["refresh_token"])
            )
    session = AuthSession.objects.get()
    assert (session.rotation, session.revoked_at) == (3, None)


def test_the_pages_proofs_bind_the_app_to_its_key(pocket, site, tmp_path, user, clock):
    """The transport below the same app; the tokens alone are worth nothing."""
    proofs = pocket("proofs")
    phone = Phone(pocket, site, tmp_path / "tokens.json", proofs.Proving(proofs.new_key()))
    with phone.sign_in().http:
        for _month in range(2):
            assert phone.orders() == {"person": "alice", "by": "app"}
            clock.shift(timedelta(days=20))
        assert phone.orders()["person"] == "alice"
        tokens = json.loads(Path(phone.file).read_text())
        assert tokens["token_type"] == "DPoP"
        session = AuthSession.objects.get()
        assert (session.rotation, bool(session.key_thumbprint)) == (2, True)

        thief = Client()
        for scheme in ("Bearer", "DPoP"):
            header = {"authorization": f"{scheme} {tokens['access_token']}"}
            assert thief.get("/api/orders/", headers=header).status_code == 401
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        with httpx.Client(base_url=site) as http:
            assert http.post(TOKEN, data=form).json()["error"] == "invalid_dpop_proof"
        assert phone.orders()["person"] == "alice"
        phone.auth.sign_out(phone.http)
    assert not AuthSession.objects.active().exists()


def test_the_views_of_the_page_serve_whom_they_say(phone, site, user):
    """One serves both, with a CSRF token for browsers; the other apps alone."""
    browser = Client(enforce_csrf_checks=True)
    browser.post(
        "/auth/api/login/", {"username": "alice", "password": PASSWORD}, "application/json"
    )
    statuses = [
        [client(each).status_code for client in (browser.get, browser.post)]
        for each in ("/api/orders/", "/api/for-apps-alone/")
    ]
    assert statuses == [[200, 403], [401, 401]]
    assert browser.get("/api/orders/").json()["by"] == "browser"
    for each in ("/api/orders/", "/api/for-apps-alone/"):
        assert phone.http.post(each).json() == {"person": "alice", "by": "app"}


def test_a_view_of_the_sites_own_signs_an_app_in_and_no_browser(user):
    """By whatever it takes for a proof; what it hands out are tokens of an app."""
    answer = Client().post("/app-login/", {"who": "alice", "client_name": "Scanner"})
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies
    header = {"authorization": f"Bearer {answer.json()['access_token']}"}
    assert Client().get("/api/orders/", headers=header).json() == {"person": "alice", "by": "app"}
    assert AuthSession.objects.get().client_name == "Scanner"
    assert Client().post("/app-login/", {"who": "bob"}).status_code == 403
    own_page = {"sec-fetch-site": "same-origin"}
    assert Client().post("/app-login/", {"who": "alice"}, headers=own_page).status_code == 403
    assert AuthSession.objects.count() == 1
