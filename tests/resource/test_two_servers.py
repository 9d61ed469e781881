"""An authorization server and a resource server without a database, each in its own process.

A browser signs in at the one, visits the other, and is refreshed on the way.
"""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone

from tests.browser import Browser
from tests.processes import PATIENCE, ROOT, gunicorn
from tests.resource import AUDIENCE, ISSUER
from tokenauth.models import AuthSession

API = "https://api.site.test"
#: Where the proxy of the shared host leads to the resource server.
OURS = ("/echo/", "/api/", "/write/", "/whoami/", "/async-whoami/")
ENV = {"DJANGO_SETTINGS_MODULE": "tests.resource.standalone"}


@pytest.fixture
def keys(settings):
    """The private key of the authorization server."""
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    settings.TOKENAUTH_SIGNING_KEYS = [pem.decode()]
    settings.TOKENAUTH_ISSUER, settings.TOKENAUTH_AUDIENCE = ISSUER, [AUDIENCE]
    return settings


@contextmanager
def uvicorn(**env):
    """The resource server on an event loop; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "uvicorn", f"--fd={listener.fileno()}", "--lifespan=off"]
        command += ["--log-level=critical", "tests.resource.asgi:application"]
        process = subprocess.Popen(  # noqa: S603  # our own words
            command, cwd=ROOT, env=os.environ | env, pass_fds=[listener.fileno()]
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait(PATIENCE)


@contextmanager
def wsgi(**env):
    with gunicorn("--threads=4", application="tests.resource.wsgi", **env) as running:
        yield running.port


KINDS = {"wsgi": wsgi, "asgi": uvicorn}


@pytest.fixture(params=KINDS)
def resource_port(request, server, keys):
    """A resource server of each kind, which fetches its keys from the live server."""
    jwks = f"http://127.0.0.1:{server.port}/auth/jwks.json"
    domain = {"RESOURCE_COOKIE_DOMAIN": keys.TOKENAUTH_COOKIE_DOMAIN} if is_apart(keys) else {}
    with KINDS[request.param](**ENV, RESOURCE_JWKS_URL=jwks, **domain) as port:
        yield port


def is_apart(keys):
    return hasattr(keys, "TOKENAUTH_COOKIE_DOMAIN")


@pytest.fixture
def apart(keys):
    """The resource server is on a host of its own, and gets the access token's cookie there."""
    keys.TOKENAUTH_COOKIE_DOMAIN = "site.test"
    keys.TOKENAUTH_RESOURCE_SERVERS = [API]


@pytest.fixture
def alice(server, resource_port, user, monkeypatch):
    """A browser in which Alice signed in an hour ago, behind a proxy that knows both servers."""
    browser = Browser(server)
    app, api = browser.network.server, httpx.URL(f"http://127.0.0.1:{resource_port}")
    send = browser.network.transport.handle_request
    headers = []

    def lead(request):
        host = request.headers["host"]
        is_api = host == "api.site.test" or request.url.path.startswith(OURS)
        there = api if is_api else app
        if is_api:
            headers.append(request.headers.get("cookie", ""))
        request.url = there.copy_with(raw_path=request.url.raw_path)
        return send(request)

    monkeypatch.setattr(browser.network.transport, "handle_request", lead)
    with time_machine.travel(timezone.now() - timedelta(hours=1)):
        browser.login(user)
    yield browser
    # Whatever was asked of it, no refresh token has ever come to a resource server.
    assert headers
    assert not any("refresh_token" in header for header in headers)
    browser.close()


pytestmark = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


def hops(answer):
    return [hop.status_code for hop in answer.history]


def test_on_one_host_a_form_and_a_script_are_refreshed_on_the_way(alice, user):
    """With method and body, though only the authorization server can refresh."""
    token = {"X-CSRFToken": "a" * 32}
    alice.network.cookies.set("csrftoken", "a" * 32, domain="app.site.test")
    answer = alice.fetch("PUT", "/api/", json={"a": 1}, headers=token)
    assert hops(answer) == [307, 307]
    assert answer.status_code == 405  # its view takes no PUT: it was asked, signed in
    assert alice.fetch("GET", "/api/").json()["pk"] == str(user.pk)
    form = alice.send_form("/write/", {"note": "hello", "csrfmiddlewaretoken": "a" * 32})
    assert form.text == f"{user.pk} wrote hello"
    assert AuthSession.objects.get().rotation == 1


def test_an_upload_arrives_whole(alice, user):
    """By way of the authorization server, and back."""
    alice.network.cookies.set("csrftoken", "a" * 32, domain="app.site.test")
    data = {"note": "b" * 1_000_000, "csrfmiddlewaretoken": "a" * 32}
    answer = alice.send_form("/write/", data, files={"file": b"c" * 1_000_000})
    assert hops(answer) == [307, 307]
    assert answer.text == f"{user.pk} wrote {'b' * 1_000_000}"


def test_who_was_signed_out_is_not_sent_round_and_round(alice):
    """Twice there and back at most, then the view's own answer."""
    AuthSession.objects.revoke("admin")
    answer = alice.get("/whoami/")
    assert (answer.text, hops(answer)) == ("anonymous", [307, 307])
    assert alice.fetch("GET", "/api/").status_code == 401


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("path", ["/whoami/?a=b", "/async-whoami/"])
def test_on_another_host_a_person_is_refreshed_and_comes_back(alice, user, path):
    """To a clean address."""
    answer = alice.get(API + path, headers={"Sec-Fetch-Site": "same-site"})
    assert (answer.text, hops(answer)) == (str(user.pk), [307, 307])
    assert str(answer.url) == API + path
    assert AuthSession.objects.get().rotation == 1


@pytest.mark.usefixtures("apart")
def test_on_another_host_a_script_refreshes_by_itself(alice, user):
    """401, then POST refresh/ with CORS, then again: what the how-to says."""
    own = {"Origin": API, "Sec-Fetch-Site": "same-site"}
    answer = alice.fetch("GET", f"{API}/api/", headers=own)
    assert (answer.status_code, answer.history) == (401, [])
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    refreshed = alice.fetch("POST", "/auth/refresh/", headers=own)
    assert (refreshed.status_code, refreshed.headers["Access-Control-Allow-Origin"]) == (200, API)
    assert alice.fetch("GET", f"{API}/api/", headers=own).json()["pk"] == str(user.pk)


@pytest.mark.usefixtures("apart")
def test_who_was_signed_out_comes_back_from_another_host_as_nobody(alice):
    """Marked, so that it ends there; the dead cookies are gone."""
    AuthSession.objects.revoke("admin")
    answer = alice.get(f"{API}/whoami/", headers={"Sec-Fetch-Site": "same-site"})
    assert (answer.text, hops(answer)) == ("anonymous", [307, 307])
    again = alice.get(f"{API}/whoami/")
    assert (again.text, hops(again)) == ("anonymous", [])


@pytest.mark.usefixtures("apart")
def test_a_resource_server_that_is_not_listed_gets_nobody_back(alice, keys):
    """Its own pages are a 400 at the authorization server then: an error of the set-up."""
    keys.TOKENAUTH_RESOURCE_SERVERS = ["https://other.site.test"]
    answer = alice.get(f"{API}/whoami/?a=b", headers={"Sec-Fetch-Site": "same-site"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unsafe_next")
    assert quote(f"{API}/whoami/") in str(answer.url)
