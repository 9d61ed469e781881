"""The demo over https, as a person gets it: in a Chromium that binds its session, and in others."""

import re
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests.chromium import ARGUMENTS, Chromium, Window, find_executable
from tests.conftest import leave_out
from tests.demo import Person, serve_demo, wait_until
from tests.test_accessibility import problems as audit
from tests.test_accessibility import scenes_of

COPIED_JAR, THIEF = "/auth/demo/copied-jar/", "/auth/demo/thief/"
OVER_HTTPS = "import os\nos.environ['DEMO_HTTPS'] = '1'\n"
#: A bound session in a hurry, whose access token outlives a copied device token.
HASTY = """
TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=60)
TOKENAUTH_GRACE_PERIOD = timedelta(seconds=1)
TOKENAUTH_DEVICE_TOKEN_LIFETIME = timedelta(seconds=12)
"""


problems = audit


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, served over https."""
    with serve_demo(tmp_path_factory.mktemp("demo"), HASTY, OVER_HTTPS) as running:
        yield running


@pytest.fixture
def person(demo):
    """Somebody whose browser binds nothing, and takes any certificate."""
    person = Person(demo.port)
    person.client.close()
    person.client = httpx.Client(
        base_url=f"https://127.0.0.1:{demo.port}",
        headers=person.client.headers,
        follow_redirects=True,
        verify=False,  # noqa: S501  # on this machine
    )
    person.client.headers["Referer"] = f"https://127.0.0.1:{demo.port}/"
    with closing(person.client):
        yield person


@pytest.fixture
def window(demo):
    """A Chromium that was started with the words that the demo has said."""
    executable = find_executable()
    if executable is None:
        leave_out("Chromium was not found: install it, or say in CHROMIUM where it is")
    words = re.findall(r"--(?:ignore|enable)\S+", demo.read().partition("Starting")[0])
    chromium = Chromium(executable, [*ARGUMENTS, *words[:2]])
    origin = f"https://localhost:{demo.port}"
    window = Window(chromium, SimpleNamespace(port=demo.port), origin=origin)
    yield window
    window.close()
    chromium.close()


def test_the_command_says_how_to_start_a_browser_that_trusts_it(demo):
    """Every address is of https, and what the key is known by is in the line."""
    said = demo.read().partition("Starting")[0]
    assert not re.findall(r"http://\S+", said)
    assert len(re.findall(rf"https://\S+:{demo.port}/", said)) == 11
    assert re.search(r"--ignore-certificate-errors-spki-list=[\w+/]{43}= ", said)
    assert "chrome://flags" in said


def test_the_certificate_goes_with_the_demo(tmp_path):
    """It is made anew each time, in a folder that nobody else reads."""
    with serve_demo(tmp_path, HASTY, OVER_HTTPS) as demo:
        folder = Path(re.search(r"--user-data-dir=(\S+)", demo.read())[1]).parent
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_a_browser_that_binds_nothing_is_told_so(person):
    """It is signed in as ever, and the page says what it takes."""
    assert person.login("alice").url.path == "/private/"
    page = person.visit(COPIED_JAR)
    assert "Your session is not bound to this device." in page.text
    assert "Copy my cookies" not in page.text


def test_the_other_plays_work_over_https(demo, person):
    """The server asks itself, and its app asks it: both trust the certificate."""
    person.login("alice")
    assert "Both of you hold the same token now" in person.press(THIEF, action="copy").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', person.visit("/app/").text)
    person.client.post("/app/start/", data={"csrfmiddlewaretoken": token[1]})
    wait_until(lambda: "200. You have" in person.visit("/app/").text)
    assert "Traceback" not in demo.read()


def test_a_copied_jar_is_good_until_its_device_token_ends(demo, window):
    """Then it is refused, and the person whose jar it is goes on as before."""
    tab = window.tab(f"/auth/login/?next={COPIED_JAR}")
    tab.fill(username="alice", password="demo-alice")
    tab.submit("form:has([name=password]) [type=submit]")
    go_on_until(tab, "Copy my cookies", "text=Look again")
    tab.submit("text=Copy my cookies")
    assert "GET /api/notes/" in tab.text
    assert re.search(r"GET /api/notes/\s+200", tab.text)
    go_on_until(tab, "Use the copy again", "button:has-text('Continue')")
    tab.submit("text=Use the copy again")
    assert tab.text.count("401 device_proof_required") == 2
    assert "Your session goes on" in tab.text
    tab.goto("/auth/sessions/")
    assert "Bound to this device" in tab.text
    assert "Traceback" not in demo.read()


def test_the_play_has_no_violation(window, problems):
    """Unbound, and each of its scenes."""
    tab = window.tab(f"/auth/login/?next={COPIED_JAR}")
    tab.fill(username="alice", password="demo-alice")
    tab.submit("form:has([name=password]) [type=submit]")
    assert problems(tab) == []
    go_on_until(tab, "Copy my cookies", "text=Look again")
    found = [(scene, problems(tab)) for scene in scenes_of(tab, COPIED_JAR, "Your session goes on")]
    assert len(found) == 4
    assert [wrong for _, wrong in found] == [[]] * 4


def go_on_until(tab, text, selector):
    """Press what is there until something else appears.

    Not hastily: with a cookie of seconds, Chromium makes another first device token beside each
    request, and none would get old enough to bind the session.
    """

    def is_there():
        if text not in tab.text:
            time.sleep(3)
            tab.submit(selector)
        return text in tab.text

    wait_until(is_there)


def test_nothing_of_it_is_there_without_https(tmp_path):
    """No page and no link, and no session is bound."""
    with serve_demo(tmp_path) as demo:
        person = Person(demo.port)
        with closing(person.client):
            person.login("alice")
            assert person.visit(COPIED_JAR).status_code == 404
            assert "copied-jar" not in person.visit("/").text
            assert "device_bound" not in person.visit("/auth/api/session/").text
