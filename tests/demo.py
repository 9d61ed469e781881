"""The demo, served by its command, and people who click through it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from types import SimpleNamespace

import httpx

from tests.processes import PATIENCE, ROOT

COOKIES = {"access_token", "refresh_token"}
#: The demo's own settings, in a hurry: nobody watches.
HASTY = """
from datetime import timedelta
from demo_project.settings import *
TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=3)
TOKENAUTH_GRACE_PERIOD = timedelta(seconds=0.5)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""


def manage(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one of the demo's commands to its end."""
    return subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "demo_project.settings"} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def serve_demo(folder: Path, settings: str = "", before: str = "") -> Iterator[SimpleNamespace]:
    """Run ``manage.py demo`` until the block ends; ``settings`` are lines of Python.

    So are those ``before`` the demo's own settings are read.
    """
    (folder / "hasty.py").write_text(before + HASTY + settings)
    said, database, port = folder / "said.txt", folder / "demo.sqlite3", free_port()
    env = {
        "DEMO_DATABASE": str(database),
        "DJANGO_SETTINGS_MODULE": "hasty",
        "PYTHONPATH": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    with said.open("w") as output:
        process = subprocess.Popen(  # noqa: S603  # our own words
            [sys.executable, "manage.py", "demo", f"--port={port}"],
            cwd=ROOT,
            env=os.environ | env,
            stdout=output,
            stderr=output,
            # Tests that run in a shell's background ignore Ctrl-C, and so would what they start.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no lock is held
        )
        try:
            wait_until(lambda: process.poll() is not None or listens(port))
            yield SimpleNamespace(
                pid=process.pid, port=port, database=database, read=said.read_text
            )
        finally:
            process.send_signal(signal.SIGINT)  # Ctrl-C
            process.wait(PATIENCE)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def wait_until(condition) -> None:
    """Ask again and again until something holds, for half a minute at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Person:
    """Somebody who clicks through the demo, without JavaScript."""

    def __init__(self, port: int) -> None:
        self.seen: set[str] = set()
        self.pages: list[str] = []
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            cookies=CookieJar(),
            headers={
                "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0",
                "Sec-Fetch-Site": "same-origin",
                "Sec-Fetch-Mode": "navigate",
            },
            follow_redirects=True,
            event_hooks={"response": [self.note]},
        )

    def note(self, response: httpx.Response) -> None:
        """Keep every token that came, and every page."""
        self.seen |= {value for name, value in response.cookies.items() if name in COOKIES}
        self.pages.append(f"{response.url} {response.read().decode()}")

    def visit(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def press(self, path: str, **fields: str) -> httpx.Response:
        """Open a page and send its form."""
        form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.visit(path).text)
        return self.client.post(path, data={"csrfmiddlewaretoken": form[1], **fields})

    def login(self, name: str) -> httpx.Response:
        return self.press("/auth/login/", username=name, password=f"demo-{name}", remember="on")

    @property
    def token(self) -> str:
        """The refresh token in the jar."""
        return self.client.cookies["refresh_token"]


@contextmanager
def closed(person: Person) -> Iterator[Person]:
    """A browser, until the block ends."""
    with closing(person.client):
        yield person


def fields_of(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of a page's form."""
    pairs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
    return {name: unescape(value) for name, value in pairs}
