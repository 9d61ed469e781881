"""Firefox and WebKitGTK, driven in the words of WebDriver; the interface is tests/chromium.py's.

Both come from the system with what it takes to drive them, and nothing here downloads anything:
Firefox listens itself (Marionette, which geckodriver speaks to as well), WebKitGTK brings
WebKitWebDriver. The names of the commands are those of the standard: https://www.w3.org/TR/webdriver2/
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import httpx

from tests.chromium import FETCH, Answer
from tests.live import Server

#: Seconds until what doesn't happen is an error: a hang, not slowness, ends here.
DEADLINE = 90

#: What an engine can't do, and why; a test that needs it is left out there.
CANNOT = {
    ("webkit", "secure cookies"): "WebKit refuses Secure cookies on http://localhost",
}

#: The key of an element's id, by the standard.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

# As Playwright does: an expression is its value, a function is called, a promise waited for.
EVALUATE = "const it = ({}); return typeof it === 'function' ? it(arguments[0]) : it;"

PREFERENCES = """\
user_pref("marionette.port", 0);
user_pref("devtools.jsonview.enabled", false);
user_pref("browser.chrome.site_icons", false);
// It visits the live server and nobody else: all but loopback goes to a proxy that isn't there.
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
"""

WEBKIT_ROUTES = {
    "Navigate": ("POST", "url"),
    "Back": ("POST", "back"),
    "Forward": ("POST", "forward"),
    "FindElement": ("POST", "element"),
    "ElementClick": ("POST", "element/{id}/click"),
    "ElementSendKeys": ("POST", "element/{id}/value"),
    "ExecuteScript": ("POST", "execute/sync"),
    "NewWindow": ("POST", "window/new"),
    "SwitchToWindow": ("POST", "window"),
    "CloseWindow": ("DELETE", "window"),
    "GetWindowHandle": ("GET", "window"),
    "GetCookies": ("GET", "cookie"),
    "DeleteAllCookies": ("DELETE", "cookie"),
}


def wait_until(ready: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and give it."""
    end = time.monotonic() + DEADLINE
    while not (answer := ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {DEADLINE} s: {ready.__qualname__}")
        time.sleep(0.02)
    return answer


@contextmanager
def run(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the system until the block ends, and whatever it starts as long."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **quiet | options)  # noqa: S603  # our own words
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)


class Engine(ABC):
    """A browser's process."""

    name: str

    @abstractmethod
    def command(self, name: str, **parameters: Any) -> Any:
        """Have a command of WebDriver carried out; raise a RuntimeError if it can't be."""


class Firefox(Engine):
    """Firefox, spoken to over Marionette: JSON with its length before it."""

    name = "firefox"

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.numbers = count(1)
        self._receive()  # it says who it is
        self.command("NewSession")

    def command(self, name: str, **parameters: Any) -> Any:
        message = json.dumps([0, next(self.numbers), f"WebDriver:{name}", parameters]).encode()
        self.stream.write(b"%d:%b" % (len(message), message))
        self.stream.flush()
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{name}: {error['error']}: {error['message']}")
        return result.get("value", result) if isinstance(result, dict) else result

    def _receive(self) -> Any:
        length = b"".join(iter(lambda: self.stream.read(1), b":"))
        return json.loads(self.stream.read(int(length)))


class WebKit(Engine):
    """WebKitGTK's MiniBrowser, behind WebKitWebDriver."""

    name = "webkit"

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        session = self._send("POST", "session", {"capabilities": {}})
        self.session = f"session/{session['sessionId']}"

    def command(self, name: str, **parameters: Any) -> Any:
        method, path = WEBKIT_ROUTES[name]
        address = f"{self.session}/{path}".format_map(parameters)
        return self._send(method, address, parameters if method == "POST" else None)

    def quit(self) -> None:
        """Let the driver end the browser that it started; what hangs is killed after this."""
        with suppress(httpx.TransportError):
            self.client.delete(self.session)

    def _send(self, method: str, address: str, parameters: Any) -> Any:
        answer = self.client.request(method, address, json=parameters)
        value = answer.json()["value"]
        if answer.is_error:
            raise RuntimeError(f"{address}: {value['error']}: {value['message']}")
        return value


@contextmanager
def firefox() -> Iterator[Engine]:
    """Run Firefox on a new profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder, "user.js").write_text(PREFERENCES, encoding="utf-8")
        port = Path(folder, "MarionetteActivePort")
        with run("firefox-esr", "--headless", "--marionette", "--profile", folder):
            address = ("127.0.0.1", int(wait_until(lambda: port.exists() and port.read_text())))
            with (
                socket.create_connection(address, timeout=DEADLINE) as connection,
                connection.makefile("rwb") as stream,
            ):
                yield Firefox(stream)


@contextmanager
def webkit() -> Iterator[Engine]:
    """Run WebKitGTK on a screen that nobody sees."""
    with tempfile.TemporaryFile() as display:
        fd = display.fileno()
        screen = ("Xvfb", "-displayfd", str(fd), "-screen", "0", "1024x768x24", "-nolisten", "tcp")
        with run(*screen, pass_fds=[fd]):
            number = wait_until(lambda: os.pread(fd, 16, 0).partition(b"\n")[0]).decode()
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            with run(
                "WebKitWebDriver", f"--port={port}", env=os.environ | {"DISPLAY": f":{number}"}
            ):
                base = f"http://127.0.0.1:{port}/"
                with httpx.Client(base_url=base, timeout=DEADLINE, trust_env=False) as client:
                    wait_until(lambda: _is_up(client))
                    engine = WebKit(client)
                    try:
                        yield engine
                    finally:
                        engine.quit()


def _is_up(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("status").is_success
    return False


ENGINES = {"firefox": firefox, "webkit": webkit}
PROGRAMS = {"firefox": ("firefox-esr",), "webkit": ("WebKitWebDriver", "Xvfb")}


def find_missing(name: str) -> list[str]:
    """Return the programs that are missing for an engine."""
    return [program for program in PROGRAMS[name] if not shutil.which(program)]


class Window:
    """One person's window: tabs that share a cookie jar, emptied at the end."""

    def __init__(self, engine: Engine, server: Server, host: str = "localhost") -> None:
        self.engine = engine
        self.origin = f"http://{host}:{server.port}"
        self.first = engine.command("GetWindowHandle")
        self.handles: list[str] = []

    def tab(self, path: str | None = None) -> "Tab":
        """Open a new tab."""
        self.handles.append(self.engine.command("NewWindow", type="tab")["handle"])
        tab = Tab(self, self.handles[-1])
        if path is not None:
            tab.goto(path)
        return tab

    def command(self, handle: str, name: str, **parameters: Any) -> Any:
        """Have a command carried out in one of the tabs."""
        self.engine.command("SwitchToWindow", handle=handle)
        return self.engine.command(name, **parameters)

    def close(self) -> None:
        """Close the tabs and forget the cookies, those below /auth/ too."""
        for handle in self.handles:
            self.command(handle, "CloseWindow")
        self.command(self.first, "Navigate", url=f"{self.origin}/auth/login/")
        self.engine.command("DeleteAllCookies")
        self.engine.command("Navigate", url="about:blank")


class Tab:
    """A tab."""

    def __init__(self, window: Window, handle: str) -> None:
        self.window = window
        self.handle = handle

    def command(self, name: str, **parameters: Any) -> Any:
        return self.window.command(self.handle, name, **parameters)

    def goto(self, path: str) -> None:
        """Visit a page."""
        url = path if "://" in path else self.window.origin + path
        self.command("Navigate", url=url)

    @property
    def path(self) -> str:
        """Where the tab is, without the host."""
        return self.evaluate("location.pathname + location.search")

    @property
    def text(self) -> str:
        """What a person reads."""
        return self.evaluate("document.body.innerText")

    def _find(self, selector: str) -> str:
        found = self.command("FindElement", using="css selector", value=selector)
        return found[ELEMENT]

    def fill(self, **fields: str) -> None:
        """Type into the inputs of these names."""
        for name, value in fields.items():
            self.command("ElementSendKeys", id=self._find(f"[name={name}]"), text=value)

    def upload(self, name: str, file: Path) -> None:
        """Choose a file for the input of this name."""
        self.fill(**{name: str(file)})

    def submit(self, selector: str = "[type=submit]") -> None:
        """Press what leads to another page, and wait for that page."""
        self.evaluate("window.left = true")
        self.command("ElementClick", id=self._find(selector))
        wait_until(self.has_arrived)

    def has_arrived(self) -> bool:
        """Tell whether the page that was left has given way to another."""
        with suppress(RuntimeError):  # asked between the two
            return self.evaluate("!window.left && document.readyState === 'complete'")
        return False

    def back(self) -> None:
        self.command("Back")

    def forward(self) -> None:
        self.command("Forward")

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Run JavaScript in the page; a promise is waited for."""
        return self.command("ExecuteScript", script=EVALUATE.format(script), args=[argument])

    def fetch(self, method: str, url: str, json: Any = None) -> Answer:
        """Call the page's ``fetch()``, with an X-CSRFToken header."""
        return Answer(**self.evaluate(FETCH, [method, url, json]))
