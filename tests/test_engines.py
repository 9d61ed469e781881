"""The same promises in three engines: Chromium, Firefox and WebKitGTK.

What one of them can't do is left out there, by ``CANNOT`` in tests/engines.py.
"""

import hashlib
import threading
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import time_machine
from django.utils import timezone

from tests.engines import CANNOT, wait_until
from tests.factories import PASSWORD
from tests.test_chromium import EVENT, EXPIRY, IMAGE, LOGIN
from tokenauth.models import AuthSession

#: Leave when somebody in any of the tabs says so.
WAIT_FOR_GO = """url => {
    window.channel = new BroadcastChannel("go");
    window.channel.onmessage = () => location.assign(url);
}"""
GO = "() => { new BroadcastChannel('go').postMessage(''); }"
LINK = """url => {
    const link = document.body.appendChild(document.createElement("a"));
    link.textContent = link.href = url;
}"""

FORM = """([action, fields]) => {
    const form = Object.assign(document.createElement("form"), {action, method: "post"});
    for (const [name, value] of Object.entries(fields))
        form.append(Object.assign(document.createElement("input"), {name, value}));
    form.append(Object.assign(document.createElement("button"), {type: "submit"}));
    document.body.append(form);
}"""

pytestmark = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@pytest.fixture
def names(request):
    """Whether the cookies are to be Secure, which changes their names; None: where they can be."""
    return getattr(request, "param", None)


@pytest.fixture(autouse=True)
def secure(engine, names, settings):
    """Make the cookies Secure in an engine that takes them on ``http://localhost``."""
    reason = CANNOT.get((engine.name, "secure cookies"))
    if names == "secure" and reason:
        pytest.skip(reason)
    settings.TOKENAUTH_COOKIE_SECURE = not reason and names != "plain"


@pytest.fixture(autouse=True)
def clock():
    """The server's clock."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def tab(window, user):
    """A tab on the home page, in which Alice has signed in by the form."""
    tab = window.tab(LOGIN)
    sign_in(tab, user)
    assert tab.path == "/"
    return tab


def sign_in(tab, user):
    tab.fill(username=user.get_username(), password=PASSWORD)
    tab.submit("form:has([name=password]) [type=submit]")


def reads(tab, words):
    """Tell whether these words are on the page by now."""
    with suppress(RuntimeError):  # asked between two pages, where there may be no text either
        return words in (tab.text or "")
    return False


def row():
    """Return the one session there is."""
    return AuthSession.objects.get()


@pytest.mark.parametrize("names", ["secure", "plain"], indirect=True)
def test_a_login_by_the_form_keeps_the_tokens_from_scripts(tab, names):
    """The person is signed in; a script sees the CSRF token alone."""
    assert tab.evaluate("document.cookie").partition("=")[0] == "csrftoken"
    assert ";" not in tab.evaluate("document.cookie")
    tab.goto("/private/")
    assert "Hello alice" in tab.text


@pytest.mark.parametrize("names", ["secure", "plain"], indirect=True)
def test_a_page_after_each_expiry_is_the_one_that_was_asked_for(tab, clock, names):
    """The address stays as it was typed, and each expiry costs one rotation."""
    for rotation in (1, 2):
        clock.shift(EXPIRY)
        tab.goto("/")  # else the address differs by nothing, and nothing is loaded
        tab.goto("/private/?q=%C3%A9+%26&q=2#part")
        assert "Hello alice" in tab.text
        assert tab.path == "/private/?q=%C3%A9+%26&q=2"
        assert tab.evaluate("location.hash") == "#part"
        assert row().rotation == rotation


def test_a_form_that_was_open_while_the_token_expired_arrives(tab, clock):
    """What a person wrote for sixteen minutes is not lost."""
    tab.goto("/form/")
    tab.fill(note="Größe = 1 & 2 ☃")
    clock.shift(EXPIRY)
    tab.submit()
    assert "alice wrote: Größe = 1 & 2 ☃" in tab.text
    assert row().rotation == 1


def test_an_upload_of_2_mb_arrives(tab, clock, tmp_path):
    """A file survives the bounce."""
    content = hashlib.shake_256(b"upload").digest(2_000_000)
    file = tmp_path / "big.bin"
    file.write_bytes(content)
    tab.goto("/upload/")
    tab.upload("file", file)
    clock.shift(EXPIRY)
    tab.submit()
    assert hashlib.sha256(content).hexdigest() in tab.text
    assert row().rotation == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_a_fetch_of_any_method_arrives(window, tab, clock, method):
    """Method, body and CSRF header are as the page's script sent them."""
    body = {"a": 1} if method in {"POST", "PUT", "PATCH"} else None
    clock.shift(EXPIRY)
    answer = tab.fetch(method, "/api/ping/", body)
    assert (answer.status, answer.url) == (200, f"{window.origin}/api/ping/")
    if method != "HEAD":
        assert f'"method":"{method}"' in answer.text
        assert '"username":"alice"' in answer.text
        assert ('"a":1' in answer.text) is bool(body)
    assert row().rotation == 1


@pytest.mark.parametrize(
    ("url", "script", "result"),
    [("/events/", EVENT, "alice"), ("/image/", IMAGE, 1)],
    ids=["event-source", "image"],
)
def test_what_a_page_loads_is_refreshed(tab, clock, url, script, result):
    """A stream of events and a picture need no script that knows of tokens."""
    clock.shift(EXPIRY)
    assert tab.evaluate(script, url) == result
    assert row().rotation == 1


def test_two_tabs_at_once_cost_one_rotation(window, tab, clock):
    """A browser that reopens its tabs in the morning."""
    other = window.tab("/")
    tab.evaluate(WAIT_FOR_GO, "/private/?a")
    other.evaluate(WAIT_FOR_GO, "/private/?b")
    clock.shift(EXPIRY)
    other.evaluate(GO)
    for each in (tab, other):
        wait_until(lambda each=each: reads(each, "Hello alice"))
    assert (row().rotation, row().revoke_reason) == (1, "")


def test_back_and_forward_know_nothing_of_the_bounce(tab, clock):
    """A bounce leaves no entry in the history."""
    tab.goto("/whoami/")
    clock.shift(EXPIRY)
    tab.goto("/private/")
    assert row().rotation == 1
    tab.back()
    assert (tab.path, tab.text) == ("/whoami/", "alice")
    clock.shift(EXPIRY)
    tab.forward()
    assert tab.path == "/private/"
    assert "Hello alice" in tab.text


@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
def test_a_link_on_another_site_leads_to_the_persons_page(window, tab, server, clock, pause):
    """``127.0.0.1`` is another site than ``localhost``: only Lax cookies come along."""
    tab.goto(f"http://127.0.0.1:{server.port}/")
    tab.evaluate(LINK, f"{window.origin}/private/?from=afar")
    clock.shift(pause)
    tab.submit("a")
    assert tab.path == "/private/?from=afar"
    assert "Hello alice" in tab.text
    assert row().rotation == bool(pause)


class Evil(BaseHTTPRequestHandler):
    """Another site, whose form takes some turns and tells nobody where it comes from."""

    target = ""

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        turns = int(self.path.strip("/"))
        self.answer(307, Location=f"/{turns - 1}" if turns else self.target)

    def answer(self, status, **headers):
        self.send_response(status)
        headers |= {"Content-Type": "text/html", "Content-Length": "0"}
        for name, value in (headers | {"Referrer-Policy": "no-referrer"}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def evil():
    """Another site's server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Evil) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_no_other_site_signs_anybody_in(window, user, evil, turns):
    """Firefox says ``Sec-Fetch-Site: none`` of a form after two redirects without a referrer."""
    Evil.target = f"{window.origin}/auth/api/login/"
    tab = window.tab()
    tab.goto(f"{evil}/")
    tab.evaluate(FORM, [f"{evil}/{turns}", {"username": user.get_username(), "password": PASSWORD}])
    tab.submit()
    tab.goto("/whoami/")
    assert tab.text == "anonymous"
    assert not AuthSession.objects.exists()


@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
def test_logout_ends_the_session(tab, clock, pause):
    """The button works whenever it is pressed; nobody's page is shown after it."""
    tab.goto("/auth/sessions/")
    clock.shift(pause)
    tab.submit("form[action$='/logout/'] [type=submit]")
    assert tab.path == LOGIN
    assert row().revoke_reason == "logout"
    tab.goto("/private/")
    assert tab.path == f"{LOGIN}?next=/private/"
