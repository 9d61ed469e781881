"""The same promises in Chromium, whose clock is real while the server's travels.

``http://localhost`` is trustworthy to it, so Secure cookies and their prefixes work there too.
"""

import hashlib
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from tokenauth.models import AuthSession
from tokenauth.request import cookies

LOGIN = "/auth/login/"

#: Over the 15 minutes of an access token.
EXPIRY = timedelta(minutes=16)

EVENT = """url => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.onmessage = event => { source.close(); resolve(event.data); };
    source.onerror = () => { source.close(); reject("no event"); };
})"""
IMAGE = """url => new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve(image.naturalWidth);
    image.onerror = () => resolve(0);
    image.src = url;
})"""
FETCHES = """([url, count]) => Promise.all(
    Array.from({length: count}, () => fetch(url).then(answer => answer.text()))
)"""

with_both_names = pytest.mark.usefixtures("secure")
on_one_server = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@pytest.fixture(params=[True, False], ids=["secure", "plain"])
def secure(request, settings):
    """Whether the cookies are Secure, which changes their names."""
    settings.TOKENAUTH_COOKIE_SECURE = request.param
    return request.param


@pytest.fixture(autouse=True)
def clock():
    """The server's clock."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def tab(chromium, user):
    """A tab on the home page, in which Alice has signed in."""
    tab = chromium.tab()
    tab.login(user)
    assert tab.path == "/"
    return tab


def row():
    """Return the one session there is."""
    return AuthSession.objects.get()


def bounces(chromium):
    """Return the method and path of everything that was sent on a bounce."""
    found = [(method, path) for method, path, status in chromium.log if status == 307]
    return [(method, path) for method, path in found if not path.startswith("/auth/refresh/")]


def has_tokens(chromium):
    """Tell whether a token cookie is left in the jar."""
    names = {cookies.access_name(), cookies.refresh_name()}
    return any(name in names for name, _ in chromium.cookies)


@on_one_server
def test_the_cookies_are_out_of_the_reach_of_scripts(secure, chromium, tab):
    """HttpOnly, and as Secure as the setting says; a script sees the CSRF token alone."""
    assert [name.partition("=")[0] for name in tab.evaluate("document.cookie").split("; ")] == [
        "csrftoken"
    ]
    prefixes = ("__Host-", "__Secure-") if secure else ("", "")
    jar = chromium.cookies
    for key in ((f"{prefixes[0]}access_token", "/"), (f"{prefixes[1]}refresh_token", "/auth/")):
        cookie = jar[key]
        assert (cookie["httpOnly"], cookie["secure"]) == (True, secure)
        assert cookie["sameSite"] == "Lax"
        month_from_now = (timezone.now() + timedelta(days=30)).timestamp()
        assert cookie["expires"] == pytest.approx(month_from_now, abs=120)


@with_both_names
@on_one_server
@pytest.mark.parametrize("path", [None, "/"], ids=["bounce", "in-place"])
def test_a_session_survives_many_expiries(settings, chromium, user, clock, path):
    """The address stays as it was typed, and the row counts the rotations."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = path
    tab = chromium.tab()
    tab.login(user, remember=False)
    address = "/private/?q=%C3%A9+%26&q=2#part"
    for rotation in range(1, 4):
        clock.shift(EXPIRY)
        tab.goto("/")
        tab.goto(address)
        assert "Hello alice" in tab.text
        assert tab.page.url == chromium.origin + address
        assert row().rotation == rotation
    assert len(bounces(chromium)) == (0 if path else 3)
    jar = chromium.cookies
    names = [(cookies.access_name(), "/"), (cookies.refresh_name(), cookies.refresh_path())]
    assert [jar[name]["expires"] for name in names] == [-1, -1]


@with_both_names
def test_a_form_that_was_open_while_the_token_expired_arrives(chromium, tab, clock):
    """What a person wrote for sixteen minutes is not lost."""
    tab.goto("/form/")
    tab.fill(note="Größe = 1 & 2 ☃")
    clock.shift(EXPIRY)
    tab.submit()
    assert "alice wrote: Größe = 1 & 2 ☃" in tab.text
    assert bounces(chromium) == [("POST", "/form/")]
    assert row().rotation == 1


def test_an_upload_of_5_mb_arrives(chromium, tab, clock):
    """A file survives the bounce."""
    content = hashlib.shake_256(b"upload").digest(5_000_000)
    tab.goto("/upload/")
    file = {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": content}
    tab.run(tab.page.set_input_files("[name=file]", file))
    clock.shift(EXPIRY)
    tab.submit()
    assert '"size": 5000000' in tab.text
    assert hashlib.sha256(content).hexdigest() in tab.text
    assert bounces(chromium) == [("POST", "/upload/")]
    assert row().rotation == 1


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("POST", {"a": 1}), ("PUT", {"a": 1}), ("DELETE", None)]
)
def test_a_fetch_of_any_method_arrives(chromium, tab, clock, method, body):
    """Method, body and CSRF header are as the page's script sent them."""
    clock.shift(EXPIRY)
    answer = tab.fetch(method, "/api/ping/", body)
    assert (answer.status, answer.url) == (200, f"{chromium.origin}/api/ping/")
    assert f'"method":"{method}"' in answer.text
    assert '"username":"alice"' in answer.text
    assert '"a":1' in answer.text or body is None
    assert bounces(chromium) == [(method, "/api/ping/")]
    assert row().rotation == 1


@on_one_server
@pytest.mark.parametrize(
    ("url", "script", "result"),
    [("/events/", EVENT, "alice"), ("/image/", IMAGE, 1)],
    ids=["event-source", "image"],
)
def test_what_a_page_loads_is_refreshed(chromium, tab, clock, url, script, result):
    """A stream of events and a picture need no script that knows of tokens."""
    clock.shift(EXPIRY)
    assert tab.evaluate(script, url) == result
    assert bounces(chromium) == [("GET", url)]
    assert row().rotation == 1


def test_twenty_fetches_at_once_cost_one_rotation(chromium, tab, clock):
    """A page that loads much after a pause loads all of it."""
    clock.shift(EXPIRY)
    assert tab.evaluate(FETCHES, ["/whoami/", 20]) == ["alice"] * 20
    assert bounces(chromium)
    assert (row().rotation, row().revoke_reason) == (1, "")
    clock.shift(EXPIRY)
    assert tab.fetch("GET", "/whoami/").text == "alice"
    assert row().rotation == 2


def test_two_tabs_at_once_cost_one_rotation(chromium, tab, clock):
    """A browser that reopens its tabs in the morning."""
    other = chromium.tab("/")
    clock.shift(EXPIRY)
    chromium.together(tab.page.goto("/private/"), other.page.goto("/private/?b"))
    assert ["Hello alice" in each.text for each in (tab, other)] == [True, True]
    assert (row().rotation, row().revoke_reason) == (1, "")


@on_one_server
def test_back_and_forward_know_nothing_of_the_bounce(chromium, tab, clock):
    """A bounce leaves no entry in the history."""
    tab.goto("/whoami/")
    clock.shift(EXPIRY)
    tab.goto("/private/")
    assert bounces(chromium) == [("GET", "/private/")]
    tab.back()
    assert (tab.path, tab.text) == ("/whoami/", "alice")
    clock.shift(EXPIRY)
    tab.forward()
    assert tab.path == "/private/"
    tab.run(tab.page.reload())
    assert "Hello alice" in tab.text
    assert row().rotation == 2


@with_both_names
@on_one_server
@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
def test_logout_ends_the_session_and_empties_the_jar(chromium, tab, clock, pause):
    """The button works whenever it is pressed; going back shows nobody's page."""
    tab.goto("/private/")
    tab.goto("/auth/sessions/")
    clock.shift(pause)
    tab.submit("form[action$='/logout/'] [type=submit]")
    assert tab.path == LOGIN
    assert not has_tokens(chromium)
    assert row().revoke_reason == "logout"
    tab.goto("/private/")
    assert tab.path == f"{LOGIN}?next=/private/"


@on_one_server
@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
def test_the_click_after_a_revocation_lands_on_the_login_page(chromium, tab, user, clock, pause):
    """And from there a new login leads to where the person was going."""
    AuthSession.objects.revoke("admin")
    clock.shift(pause)
    tab.goto("/private/?b=2")
    assert tab.path == f"{LOGIN}?next=/private/%3Fb%3D2"
    assert (cookies.access_name(), "/") not in chromium.cookies
    assert tab.run(tab.page.is_checked("[name=remember]"))
    tab.fill(username="alice", password="secret-pass-1")
    tab.submit()
    assert tab.path == "/private/?b=2"
    assert "Hello alice" in tab.text
