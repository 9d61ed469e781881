"""An authorization server and two resource servers as a person starts them, by one command.

Real programs: nginx, gunicorn, uvicorn, PostgreSQL, Redis, Chromium.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from django.core.management.base import CommandError

from demo_project.management.commands.servers import Command
from demo_project.servers import requirements
from tests.chromium import Window
from tests.conftest import leave_out
from tests.live import Server
from tests.nginx import free_port
from tests.processes import PATIENCE, ROOT

#: Runs the command where nobody listens at the usual address of Redis.
ALONE = """
import sys
from django.core.management import execute_from_command_line
from demo_project.servers import requirements
requirements.REDIS = "redis://127.0.0.1:9/0"
execute_from_command_line(sys.argv)
"""
SERVERS = ("authorization", "orders", "weather", "nginx")
RESOURCES = ("/api/orders/", "/api/weather/")
ACCESS, REFRESH = "access_token", "refresh_token"


@pytest.fixture
def needs():
    """What the set-up needs is on this machine."""
    try:
        requirements.check_packages()
        requirements.find_program("nginx")
        requirements.find_program("redis-server")
        requirements.find_postgresql()
    except CommandError as missing:
        leave_out(str(missing))


@pytest.fixture
def folders():
    """Where the command makes its folder: by a short name, because sockets are in there."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


class Run:
    """The command, in a process of its own, and what it has said."""

    def __init__(self, said, program, *options, **env):
        self.port, self._said = free_port(), said
        with said.open("w") as output:
            self.process = subprocess.Popen(  # noqa: S603  # our own words
                [sys.executable, *program, "servers", f"--port={self.port}", *options],
                cwd=ROOT,
                env=os.environ | {"DJANGO_SETTINGS_MODULE": "demo_project.settings"} | env,
                stdout=output,
                stderr=output,
                # Tests in a shell's background ignore Ctrl-C, and so would what they start.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no lock is held
            )

    @property
    def said(self):
        return self._said.read_text()

    @property
    def pids(self):
        """The process of each server, by its name."""
        pids = re.search(r"Processes: (.*)\. Ctrl-C", self.said)
        return {name: int(pid) for name, pid in re.findall(r"(\w+) (\d+)", pids[1] if pids else "")}

    @property
    def requests(self):
        """Where each request went: its path, the server, and the tokens that it brought."""
        found = re.findall(r"^[A-Z]+ (\S+) -> (\w+): \d+ \[(.*)\]$", self.said, re.MULTILINE)
        return [(path, server, tokens.split()) for path, server, tokens in found]

    def wait_until_ready(self):
        wait_until(lambda: self.pids or self.process.poll() is not None)
        assert self.pids, self.said

    def end(self):
        """Press Ctrl-C; whatever is left after that is killed, and a failure."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            left = [pid for pid in self.pids.values() if is_group_alive(pid)]
            for pid in left:
                os.killpg(pid, signal.SIGKILL)
        assert not left, self.said


@contextmanager
def run(folder, *options, program=("manage.py",), **env):
    """Run the command until the block ends, however it does."""
    running = Run(folder / "said.txt", program, *options, **env)
    try:
        yield running
    finally:
        running.end()


def wait_until(condition):
    """Ask again and again until something holds, as long as a busy machine may take."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_group_alive(pid):
    """Whether a server is there, or workers that it has left behind."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def databases():
    import psycopg  # noqa: PLC0415  # may be missing

    with psycopg.connect(dbname="postgres", **requirements.find_postgresql()) as connection:
        return [name for (name,) in connection.execute("SELECT datname FROM pg_database")]


def keys_in_redis(port):
    import redis  # noqa: PLC0415  # as above

    with redis.Redis.from_url(requirements.find_redis()) as client:
        return client.keys(f"*{port}*")


@contextmanager
def window(chromium, site, host="127.0.0.1"):
    """A person's Chromium; the other name of this machine is another person's."""
    opened = Window(chromium, Server("nginx", site.port), host=host)
    try:
        yield opened
    finally:
        opened.close()


def sign_in(tab, name, path):
    tab.goto(path)
    tab.fill(username=name, password=f"demo-{name}")
    tab.submit("form:has([name=password]) [type=submit]")


def press(tab, method):
    """Press a button of the page; return what its table says, by the path that was called."""
    tab.run(tab.page.click(f"button[value={method}]"))
    tab.run(tab.page.wait_for_selector(f"#told:text('{method}')", timeout=PATIENCE * 1000))
    rows = tab.evaluate(
        "[...document.querySelectorAll('#arrived tbody tr')]"
        ".map((row) => [row.dataset.path, [...row.cells].map((cell) => cell.innerText)])"
    )
    return dict(rows)


def let_expire(tab):
    """Wait until the access token is over."""
    session = tab.evaluate("fetch('/auth/api/session/').then((answer) => answer.json())")
    time.sleep(session["access_expires_in"] + 1)


def test_one_sign_in_counts_at_all_servers_and_the_refresh_token_reaches_one(
    chromium_process, needs, tmp_path
):
    """Called by scripts, a form and uploads, refreshed on the way, and signed out."""
    with run(tmp_path, "--lifetime=15") as site:
        site.wait_until_ready()
        assert (database := f"tokenauth_servers_{site.port}") in databases()
        with window(chromium_process, site) as alice:
            walk(alice, tmp_path)
        assert is_told_apart(site.requests)
    assert database not in databases()
    assert keys_in_redis(site.port) == []


def walk(alice, folder):
    tab = alice.tab()
    sign_in(tab, "alice", "/servers/")
    look_at_the_table(press(tab, "GET"))
    are_refreshed(alice, tab, "PUT", "16")
    file = folder / "big.bin"
    file.write_bytes(bytes(2_000_000))
    tab.upload("file", file)
    are_refreshed(alice, tab, "POST", "2,000,...")
    let_expire(tab)
    tab.submit("#order button")
    assert (tab.path, "Taken: “Tea”" in tab.text) == ("/api/orders/", True)
    assert ("POST", "/api/orders/", 307) in alice.log
    tab.goto("/private/")
    tab.submit("form[action$='/logout/'] button")
    assert [tab.fetch("GET", path).status for path in RESOURCES] == [401, 401]


def look_at_the_table(rows):
    """Names of cookies, whose database was asked, and who the person is."""
    for path, (_, cookies, database, person) in rows.items():
        assert ACCESS in cookies
        assert (REFRESH in cookies) is path.startswith("/auth/")
        assert (database == "has none") is (path in RESOURCES)
        assert path in RESOURCES or re.fullmatch(r"yes, \d+ (query|queries)", database)
        assert person.startswith("alice, person ")
    assert len(rows) == 4


def are_refreshed(alice, tab, method, size):
    """All at once, with method and body."""
    let_expire(tab)
    alice.log.clear()
    rows = press(tab, method)
    for path in RESOURCES:
        assert (method, path, 307) in alice.log
        assert re.search(rf"{method}, {size} bytes: 200, by way of the refresh URL", rows[path][0])


def is_told_apart(requests):
    """Whether what nginx saw says of each request where its tokens may go."""
    reached = {server: set() for server in SERVERS}
    for path, server, tokens in requests:
        reached[server] |= {(token, path.startswith("/auth/")) for token in tokens}
    mine, others = reached["authorization"], reached["orders"] | reached["weather"]
    everywhere = {(ACCESS, False)}
    return others == everywhere and mine == everywhere | {(ACCESS, True), (REFRESH, True)}


def test_who_is_revoked_in_the_admin_is_refused_by_every_worker(chromium_process, needs, tmp_path):
    """Though none of them has a database, and the access token is good for ten minutes more."""
    (alone := tmp_path / "alone.py").write_text(ALONE)
    with run(tmp_path, "--lifetime=900", program=[alone], PYTHONPATH=str(ROOT)) as site:
        site.wait_until_ready()
        with (
            window(chromium_process, site) as alice,
            window(chromium_process, site, "localhost") as staff,
        ):
            tab = alice.tab()
            sign_in(tab, "alice", "/servers/")
            token = alice.cookies[ACCESS, "/"]["value"]
            workers = ask_until(site, token, lambda answers: has_asked_all(answers, {200}))
            revoke(staff.tab())
            ask_until(site, token, lambda answers: has_asked_all(answers, {307}))
            rows = press(tab, "PUT")
            assert [person for _, _, _, person in rows.values()] == ["nobody"] * 4
        assert not [pid for pid in workers if not is_alive(pid)]
    assert not [pid for pid in workers if is_alive(pid)]


def revoke(tab):
    """As staff would: find the session in the admin, and end it."""
    sign_in(tab, "admin", "/admin/tokenauth/authsession/?q=alice")
    tab.run(tab.page.check("[name=_selected_action]"))
    tab.run(tab.page.select_option("[name=action]", "revoke"))
    tab.submit("[name=index]")
    assert "1 session" in tab.text


def ask_until(site, token, is_enough):
    """Call both resource servers, several times at once, until their answers are enough.

    Returns the last status of each worker, by its process.
    """
    answers = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", timeout=PATIENCE) as client:

        def ask(path):
            answer = client.get(path, headers={"Cookie": f"{ACCESS}={token}"})
            answers[int(answer.headers["X-Worker"])] = answer.status_code

        with ThreadPoolExecutor(8) as threads:

            def ask_all():
                for asked in [threads.submit(ask, path) for path in RESOURCES * 4]:
                    asked.result()
                return is_enough(answers)

            wait_until(ask_all)
    return answers


def has_asked_all(answers, statuses):
    """Whether two workers of each server have answered, all of them so."""
    return len(answers) == 4 and set(answers.values()) == statuses


def test_a_server_that_dies_ends_the_rest(needs, tmp_path, folders):
    """And says which it was; no process, no database and no folder stays."""
    with run(tmp_path, TMPDIR=str(folders)) as site:
        site.wait_until_ready()
        orphan = httpx.get(f"http://127.0.0.1:{site.port}/api/weather/", timeout=PATIENCE)
        os.kill(site.pids["weather"], signal.SIGKILL)
        assert site.process.wait(PATIENCE) == 1
        assert "weather has ended (status -9)." in site.said
        workers = [int(orphan.headers["X-Worker"]), *site.pids.values()]
        # The worker of a server that was killed hears of it by itself.
        wait_until(lambda: not [pid for pid in workers if is_alive(pid)])
    assert f"tokenauth_servers_{site.port}" not in databases()
    assert [*folders.iterdir()] == []


def test_who_ends_it_while_it_starts_leaves_nothing(needs, tmp_path, folders):
    """Ctrl-C waits for the step that is being done, and undoes those before it."""
    with run(tmp_path, TMPDIR=str(folders)) as site:
        wait_until(lambda: f"tokenauth_servers_{site.port}" in databases())
    assert (site.process.returncode, site.said.split()) == (0, ["All", "have", "ended."])
    assert f"tokenauth_servers_{site.port}" not in databases()
    assert [*folders.iterdir()] == []


def test_a_server_that_cannot_start_says_why(needs, tmp_path):
    """In its own last words; what was there by then is gone."""
    with run(tmp_path, GUNICORN_CMD_ARGS="--wrong") as site:
        assert site.process.wait(PATIENCE) == 1
        assert re.search(r"(authorization|orders) has ended \(status 2\). It said:", site.said)
        assert "unrecognized arguments: --wrong" in site.said
    assert f"tokenauth_servers_{site.port}" not in databases()


@pytest.fixture
def command(settings):
    """Starts the command in this process, where it had better not get far."""
    settings.DEBUG = True
    return partial(Command().handle, port=str(free_port()), lifetime=30)


@pytest.mark.parametrize("name", ["nginx", "redis-server"])
def test_a_missing_program_has_a_friendly_message(command, monkeypatch, tmp_path, name):
    """It says how to get it, here and on a Mac, and nothing has begun."""
    which = requirements.shutil.which
    monkeypatch.setattr(
        requirements.shutil,
        "which",
        lambda name_, **path: None if name_ == name else which(name_, **path),
    )
    monkeypatch.setattr(requirements, "REDIS", "redis://127.0.0.1:9/0")
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(requirements, "find_postgresql", pytest.fail)
    with pytest.raises(
        CommandError, match=rf"^{name} was not found. Install it: apt install .* or brew"
    ):
        command()
    assert [*tmp_path.iterdir()] == []


def test_missing_packages_have_a_friendly_message(command, monkeypatch):
    """For who starts the command in another environment than that of `make`."""
    monkeypatch.setattr(requirements, "PACKAGES", ("os", "a_package_of_nobody"))
    with pytest.raises(
        CommandError, match=r"^Not installed: a_package_of_nobody\. Try: make servers"
    ):
        command()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"REDIS_URL": "redis://:pass-word@127.0.0.1:9/0"}, "No Redis answers at REDIS_URL"),
        ({"PGPORT": "9"}, "apt install postgresql, or brew install postgresql"),
        ({"DEMO_PRODUCTION": "1", "SECRET_KEY": "s" * 50}, "Unset DEMO_PRODUCTION"),
    ],
    ids=["Redis", "PostgreSQL", "a live site"],
)
def test_what_is_not_as_it_must_be_has_a_friendly_message(needs, tmp_path, env, words):
    """It says what to do, and tells no password."""
    with run(tmp_path, **env) as site:
        assert site.process.wait(PATIENCE) == 1
        assert site.said.startswith("CommandError: ")
        assert words in site.said
        assert "pass-word" not in site.said


@pytest.mark.parametrize(
    ("options", "words"),
    [({"port": "0"}, r"Try: make servers PORT=8001$"), ({"lifetime": 9}, "10 seconds or longer")],
    ids=["port", "lifetime"],
)
def test_an_impossible_option_has_a_friendly_message(command, options, words):
    """Before anything is looked for."""
    with pytest.raises(CommandError, match=words):
        command(**options)
