"""The demo as a person gets it: a process of its own, started by its command."""

import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from django.core.management.base import CommandError
from django.test import RequestFactory

from demo_project.management.commands.demo import check_port
from demo_project.promise import refresh_as
from tests.chromium import Window
from tests.demo import Person, closed, fields_of, free_port, manage, serve_demo, wait_until
from tokenauth.request.cookies import Presented, refresh_place
from tokenauth.secret import Secret
from tokenauth.session.tokens import Claims

THIEF, LOST_ANSWER = "/auth/demo/thief/", "/auth/demo/lost-answer/"
APP = "/app/"
#: As a token looks; the coverage tool has base64 of its own in the environment.
JWT = re.compile(rb"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")
USED_TWICE = "Somebody else may have used your sign-in"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, served."""
    with serve_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def person(demo):
    """A browser with an empty jar."""
    person = Person(demo.port)
    yield person
    person.client.close()


@pytest.fixture
def alice(person):
    """A browser in which Alice is signed in."""
    assert person.login("alice").url.path == "/private/"
    return person


# The command


def test_the_command_says_what_to_try(demo):
    """Every address has the port, and both passwords are there."""
    said = demo.read()
    assert "demo-alice" in said
    assert "demo-admin" in said
    addresses = re.findall(r"http://\S+", said.partition("Starting")[0])
    assert len(addresses) == 9
    assert {httpx.URL(address).port for address in addresses} == {demo.port}


@pytest.mark.parametrize(("name", "may_enter"), [("alice", False), ("admin", True)])
def test_the_command_makes_two_people(person, name, may_enter):
    """Both can sign in; one of them is staff."""
    assert person.login(name).url.path == "/private/"
    assert (person.visit("/admin/").url.path == "/admin/") is may_enter


def test_the_command_refuses_with_debug_off(tmp_path):
    """Its passwords are public, so it does not even make a database."""
    database = tmp_path / "production.sqlite3"
    env = {"DEMO_PRODUCTION": "1", "SECRET_KEY": uuid4().hex * 2, "DEMO_DATABASE": str(database)}
    result = manage("demo", **env)
    assert result.returncode == 1
    assert "It runs with DEBUG on only." in result.stderr
    assert not database.exists()


def test_a_taken_port_has_a_friendly_message(demo, tmp_path):
    """It says what to type, before anything else happens, and not how Python failed."""
    database = tmp_path / "demo.sqlite3"
    result = manage("demo", "--port", str(demo.port), DEMO_DATABASE=str(database))
    assert result.returncode == 1
    assert result.stderr == (
        f"CommandError: Port {demo.port} is in use. Try: make demo PORT={demo.port + 1}\n"
    )
    assert not database.exists()


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "http", "٨٠٠٠"])
def test_no_port_at_all_has_a_friendly_message(port):
    """What nobody can listen on is refused in plain words."""
    with pytest.raises(CommandError, match="must be a number from 1 to 65535"):
        check_port(port)


# The pages


@pytest.mark.parametrize(
    "path", ["/private/", "/note/", "/delete-account/", THIEF, LOST_ANSWER, APP]
)
def test_a_page_for_people_asks_who_one_is(person, path):
    """Nobody is sent to the login page and from there back."""
    response = person.visit(path)
    assert response.url.path == "/auth/login/"
    assert response.url.params["next"] == path


def test_every_link_of_the_home_page_leads_somewhere(alice):
    """No page is missing, and none fails."""
    links = set(re.findall(r'href="(/[^"]*)"', alice.visit("/").text))
    assert {THIEF, LOST_ANSWER, "/delete-account/", "/auth/sessions/"} < links
    assert {link: alice.visit(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_a_live_site_has_none_of_the_plays(tmp_path):
    """With DEBUG off there is no page, no link and no middleware that loses answers."""
    code = (
        "from django.conf import settings; from django.test import Client;"
        "client = Client(headers={'host': 'localhost'});"
        f"paths = ['/', {THIEF!r}, {LOST_ANSWER!r}, {APP!r}];"
        "answers = [client.get(path, secure=True) for path in paths];"
        "home = answers[0].content; print([a.status_code for a in answers], end=' ');"
        "print(b'/auth/demo/' in home, b'/app/' in home);"
        "print(settings.MIDDLEWARE)"
    )
    result = manage(
        "shell",
        "--command",
        code,
        DEMO_PRODUCTION="1",
        SECRET_KEY=uuid4().hex * 2,
        DEMO_DATABASE=str(tmp_path / "production.sqlite3"),
    )
    assert "[200, 404, 404, 404] False False" in result.stdout
    assert "promise" not in result.stdout


# Delete my account


def test_an_account_is_deleted_after_a_proof(tmp_path):
    """Too late, the page asks again, shows what was about to happen, and then does it."""
    with serve_demo(tmp_path) as demo, closed(Person(demo.port)) as person:
        client = person.client
        person.login("alice")
        form = person.visit("/delete-account/")
        with closing(sqlite3.connect(demo.database)) as database, database:
            database.execute(
                "UPDATE tokenauth_authsession SET authenticated_at = '2026-01-01 00:00:00'"
            )
        asked = client.post("/delete-account/", data=fields_of(form) | {"reason": "Moving on"})
        assert "Confirm that it is you" in asked.text
        shown = client.post(
            "/auth/reauthenticate/", data=fields_of(asked) | {"password": "demo-alice"}
        )
        assert "Moving on" in shown.text
        gone = client.post("/delete-account/", data=fields_of(shown))
        assert gone.url.path == "/"
        assert "The account alice and its notes are deleted." in gone.text
        assert person.login("alice").url.path == "/auth/login/"


# Play the thief


def current_scene(response: httpx.Response) -> str:
    return re.search(r'aria-current="step"><strong>(.+?)</strong>', response.text)[1]


def go_on_until(person: Person, scene: str) -> dict[str, str]:
    """Press "Continue" until the play has come that far; return the first page of each scene."""
    scenes: dict[str, str] = {}

    def arrived() -> bool:
        response = person.press(THIEF, action="look")
        scenes.setdefault(current_scene(response), response.text)
        return scene in scenes

    wait_until(arrived)
    return scenes


def test_the_thief_ends_the_session_for_both(demo, alice):
    """Step by step; both browsers are told why, and it is written down where the page says."""
    assert current_scene(alice.visit(THIEF)) == "Copy the token."
    copy = alice.token
    alice.press(THIEF, action="copy")
    scenes = go_on_until(alice, "The thief uses his copy.")
    for scene in ("Your browser gets the next one.", "The server sees that it arrived."):
        assert re.search(r"Wait \d seconds?, until the bar is full", scenes[scene])
    assert "not confirmed yet" not in scenes["The thief uses his copy."]
    result = alice.press(THIEF, action="use").text
    assert result.count("401 session_ended") == 2
    assert "Firefox on Windows" in result
    assert "Firefox on Linux" in result
    assert USED_TWICE in result

    assert USED_TWICE in alice.visit("/private/").text
    assert USED_TWICE in visit_as_thief(demo, copy)
    assert "a spent refresh token came back" in demo.read()
    alice.login("alice")
    assert USED_TWICE in alice.visit("/auth/sessions/").text
    staff = Person(demo.port)
    with closing(staff.client):
        staff.login("admin")
        row = staff.visit("/admin/tokenauth/authsession/?status=reuse").text
    assert "alice" in row


def visit_as_thief(demo, token: str) -> str:
    """Open the login page with nothing but the copy."""
    thief = Person(demo.port)
    with closing(thief.client):
        thief.client.cookies.set("refresh_token", token, domain="127.0.0.1", path="/auth/")
        return thief.visit("/auth/login/").text


def test_a_copy_that_is_still_good_is_not_used(alice):
    """Too early, it would be no theft that anybody could see: the play waits."""
    alice.press(THIEF, action="copy")
    response = alice.press(THIEF, action="use")
    assert current_scene(response) == "Your browser gets the next one."
    assert alice.visit("/private/").url.path == "/private/"


def test_a_server_that_cannot_ask_itself_tells_no_token(rf: RequestFactory):
    """DEBUG's error page shows every frame's variables: none of them may be the token."""
    token = Presented(Secret("a.secret.token"), Claims(uuid4(), 0, 0, 0), refresh_place())
    request = rf.post(THIEF, SERVER_PORT=str(free_port()))
    with pytest.raises(RuntimeError) as caught:
        refresh_as("a browser", token, request)
    assert caught.value.__suppress_context__
    frame = caught.traceback[-1].frame
    assert frame.code.name == "refresh_as"
    assert "secret" not in repr(frame.f_locals)


# Lose an answer


def rotations(response: httpx.Response) -> tuple[int, int]:
    """Return the rotation that the browser sent, and the one the session is at."""
    found = [re.search(rf'id="{name}">(\d+)<', response.text) for name in ("held", "rotation")]
    return int(found[0][1]), int(found[1][1])


def test_a_lost_answer_does_nothing_to_the_person(alice):
    """The same rotation is handed out again: the very same token."""
    kept = alice.token
    assert "The next new token will be lost." in alice.press(LOST_ANSWER).text

    def lost() -> bool:
        return "The answer is lost." in alice.visit(LOST_ANSWER).text

    wait_until(lost)
    assert alice.token == kept
    response = alice.visit(LOST_ANSWER)
    assert rotations(response) == (0, 1)
    assert "You are still signed in." in response.text
    assert alice.token != kept
    held, _ = rotations(alice.visit(LOST_ANSWER))
    assert held == 1


def test_an_answer_that_is_lost_elsewhere_does_nothing_either(alice):
    """Then the bounce itself makes up for it, within one click."""
    alice.press(LOST_ANSWER)
    wait_until(lambda: alice.visit("/private/").history)  # bounced: the token had expired
    assert alice.visit("/private/").url.path == "/private/"
    assert "Rotation 1 was lost" in alice.visit(LOST_ANSWER).text


def test_only_one_answer_is_lost(alice):
    """It is not that of the request which asks for it, and none after it."""
    time.sleep(3.1)
    token = {"csrfmiddlewaretoken": alice.client.cookies["csrftoken"]}
    assert "will be lost." in alice.client.post(LOST_ANSWER, data=token).text
    wait_until(lambda: "is lost." in alice.visit(LOST_ANSWER).text)
    assert rotations(alice.visit(LOST_ANSWER)) == (1, 2)
    time.sleep(3.1)
    assert "has been replaced since" in alice.visit(LOST_ANSWER).text
    held, rotation = rotations(alice.visit(LOST_ANSWER))
    assert held == rotation


# Both


def test_a_copy_stays_in_memory(demo, alice):
    """No token of either play is in the database, on a page, in an address or in the log."""
    alice.press(THIEF, action="copy")
    alice.press(LOST_ANSWER)
    wait_until(lambda: "is lost" in alice.visit(LOST_ANSWER).text)
    alice.visit(LOST_ANSWER)
    go_on_until(alice, "The thief uses his copy.")
    alice.press(THIEF, action="use")
    assert len(alice.seen) >= 4
    files = [file.read_bytes() for file in demo.database.parent.glob("demo.sqlite3*")]
    everything = [demo.read().encode(), *(page.encode() for page in alice.pages), *files]
    signatures = {token.rpartition(".")[2].encode() for token in alice.seen}
    assert not [text for text in everything if any(mark in text for mark in signatures)]


# An app


def events_of(page: httpx.Response) -> list[str]:
    """What the app has said, the oldest first."""
    return re.findall(r"</time></td><td>(.+?)</td>", page.text)[::-1]


def press_at(person: Person, url: str) -> httpx.Response:
    """Send the form of the app's page that goes there; nothing else has this token."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', person.visit(APP).text)
    return person.client.post(url, data={"csrfmiddlewaretoken": token[1]})


def pid_of(page: httpx.Response) -> int:
    return int(re.search(r"Started: process (\d+)", page.text)[1])


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def app(alice):
    """A browser in which Alice has started an app; it has ended when the next test begins."""
    answer = press_at(alice, f"{APP}start/")
    # A browser's request has signed an app in: its own cookies stay as they are.
    assert [(r.status_code, r.headers.get("Set-Cookie")) for r in answer.history] == [(302, None)]
    wait_until(lambda: events_of(alice.visit(APP)))
    yield alice
    if "Sign out the app" in alice.visit(APP).text:
        press_at(alice, f"{APP}stop/")
    wait_until(lambda: "It has ended." in alice.visit(APP).text)


def test_an_app_asks_refreshes_loses_an_answer_and_gives_its_tokens_back(app):
    """It says so line by line, has a row of its own, and ends when its time is over."""
    assert is_alive(pid_of(app.visit(APP)))
    devices = app.visit("/auth/sessions/").text
    assert "Demo app" in devices
    assert "Firefox on Linux" in devices
    seen: set[str] = set()

    def is_over() -> bool:
        page = app.visit(APP)
        seen.update(events_of(page))
        return "It has ended." in page.text

    wait_until(is_over)
    said = " ".join(seen)
    assert re.search(r"200\. You have \d+ notes\. The access token is good for \d s\.", said)
    assert "The access token was over. Refreshed: two new tokens." in said
    assert "Refreshed, but the answer is lost, on purpose." in said
    assert "the same successor came again" in said
    page = app.visit(APP)
    assert events_of(page)[-1] == "Its time is over. The app gives its tokens back and ends."
    assert "It has none any more" in page.text


def test_an_app_that_is_signed_out_is_refused_and_ends(app):
    """The browser that did it stays signed in; the app may be started again."""
    pid = pid_of(app.visit(APP))
    assert press_at(app, f"{APP}stop/").url.path == APP
    wait_until(lambda: "It has ended." in app.visit(APP).text)
    page = app.visit(APP)
    assert events_of(page)[-1] == (
        "Refused (400 invalid_grant): signed out. The app forgets its tokens and ends."
    )
    assert "It has none any more" in page.text
    assert not is_alive(pid)
    press_at(app, f"{APP}start/")
    wait_until(lambda: "You have" in app.visit(APP).text)
    assert pid_of(app.visit(APP)) != pid


def test_the_apps_page_follows_it_by_itself(chromium_process, demo):
    """In Chromium: what it says appears without a click, also its end, on the same page."""
    window = Window(chromium_process, demo)
    tab = window.tab("/auth/login/?next=/app/")
    tab.fill(username="alice", password="demo-alice")
    tab.submit("form:has([name=password]) [type=submit]")
    tab.submit("[action='/app/start/'] button")
    tab.run(tab.page.wait_for_selector("td:has-text('two new tokens')"))
    tab.submit("[action='/app/stop/'] button")
    tab.run(tab.page.wait_for_selector("td:has-text('Refused (400')"))
    tab.run(tab.page.wait_for_selector("text=Start it again"))
    window.close()


def test_an_app_ends_with_the_demo(tmp_path):
    """However that ends; and nothing that was said or kept has a token."""
    with serve_demo(tmp_path) as demo, closed(Person(demo.port)) as person:
        person.login("alice")
        press_at(person, f"{APP}start/")
        wait_until(lambda: events_of(person.visit(APP)))
        pid = pid_of(person.visit(APP))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not JWT.search(command + Path(f"/proc/{pid}/environ").read_bytes())
        assert not any(JWT.search(page.encode()) for page in person.pages)
        assert is_alive(pid)
        os.kill(demo.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))
        assert "Traceback" not in demo.read()
        files = [file.read_bytes() for file in tmp_path.glob("demo.sqlite3*")]
        assert not [text for text in (*files, demo.read().encode()) if JWT.search(text)]
