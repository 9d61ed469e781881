"""A real nginx: it asks the gateway, and hands over uploads when they are complete."""

import re
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import time_machine
from django.utils import timezone

from tests.browser import Browser
from tests.conftest import leave_out
from tests.live import Server
from tests.nginx import find_nginx, free_port, nginx
from tests.processes import ROOT
from tokenauth.models import AuthSession

EXPIRY = timedelta(minutes=16)

pytestmark = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


class App(BaseHTTPRequestHandler):
    """A server that knows nothing of sessions: it says what it was told."""

    def do_GET(self):  # http.server's name
        length = int(self.headers.get("Content-Length", 0))
        told = ", ".join(self.headers.get_all("X-Auth-User", ["nobody"]))
        told += " with cookies" * ("Cookie" in self.headers)
        body = f"{self.command} {self.path} {told} {self.rfile.read(length).decode()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the same

    def log_message(self, *args):
        pass


@contextmanager
def serve_app():
    with ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def program():
    """The nginx of this machine."""
    return find_nginx() or leave_out("nginx was not found: install it")


@pytest.fixture
def clock():
    """The clock of Django and of the browser."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def refresh_path(request, settings):
    """Where the refresh cookie lives; None: where it does by default."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = getattr(request, "param", None)
    return settings.TOKENAUTH_REFRESH_COOKIE_PATH


@pytest.fixture
def gateway(server, program, clock, refresh_path):
    """A browser before the nginx of the page about gateways, an app and Django behind it."""
    page = (ROOT / "docs/how-to/gateways.md").read_text()
    config, names, line = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    if refresh_path == "/":
        config = names + config.replace("    internal;", f"    internal;\n{line}")
    port = free_port()
    with serve_app() as app:
        config = config.replace("443 ssl", f"127.0.0.1:{port}")
        config = config.replace("http://app", f"http://127.0.0.1:{app}")
        config = config.replace("http://django", f"http://127.0.0.1:{server.port}")
        # The tests' browser speaks https as far as Django can tell, and nginx does not.
        config = config.replace("$scheme", "https")
        with nginx(program, config, port):
            browser = Browser(Server("nginx", port))
            yield browser
            browser.close()


def test_nginx_tells_the_app_who_is_there(gateway, user):
    """After a login on Django's own page."""
    gateway.login(user)
    assert gateway.get("/app/?a=1&b=2").text == f"GET /app/?a=1&b=2 {user.pk} "
    form = gateway.send_form("/app/", {"note": "x"})
    assert form.text == f"POST /app/ {user.pk} note=x"


def test_nginx_strips_the_clients_own_header(gateway, user):
    """Or anybody would be whoever they say."""
    gateway.login(user)
    answer = gateway.get("/app/", headers={"X-Auth-User": "0"})
    assert answer.text == f"GET /app/ {user.pk} "


def test_nginx_sends_nobody_to_the_login_page(gateway):
    """And from there to where they wanted to go."""
    page = gateway.get("/app/?a=1&b=2")
    assert (page.url.path, page.url.params["next"]) == ("/auth/login/", "/app/?a=1&b=2")


def test_nginx_sends_who_has_expired_to_refresh(gateway, user, clock):
    """And back to the very address, with what was typed."""
    gateway.login(user)
    clock.shift(EXPIRY)
    page = gateway.get("/app/?a=1&b=2")
    assert page.text == f"GET /app/?a=1&b=2 {user.pk} "
    assert [hop.status_code for hop in page.history] == [307, 307]
    clock.shift(EXPIRY)
    form = gateway.send_form("/app/", {"note": "kept"})
    assert form.text == f"POST /app/ {user.pk} note=kept"
    assert AuthSession.objects.get().rotation == 2


@pytest.mark.parametrize("refresh_path", ["/"], indirect=True)
def test_nginx_refreshes_with_the_path_on_the_root(gateway, user, clock):
    """By the refresh URL, as nginx would lose one of two cookies."""
    gateway.login(user)
    for rotation in (1, 2):
        clock.shift(EXPIRY)
        for _ in range(2):
            assert gateway.get("/app/").text == f"GET /app/ {user.pk} "
        assert AuthSession.objects.get().rotation == rotation


def test_nginx_makes_no_loop(gateway, user, clock):
    """A browser that has lost its refresh token, and one whose session was ended."""
    gateway.login(user)
    clock.shift(EXPIRY)
    gateway.drop_cookie("__Secure-refresh_token")
    assert gateway.get("/app/").url.path == "/auth/login/"
    gateway.login(user)
    AuthSession.objects.revoke("admin")
    clock.shift(EXPIRY)
    assert gateway.get("/app/").url.path == "/auth/login/"
