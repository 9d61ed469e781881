"""Chromium, driven through Playwright.

Playwright's sync API leaves an event loop running in the thread that uses it; Django then refuses
the ORM there and pytest-asyncio its own loop. So the async API runs here, in a thread of its own:
the tests stay synchronous and Django's check stays on for the servers, which it is meant for.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.urls import reverse

from tests.factories import PASSWORD
from tests.live import Server
from tests.processes import ROOT

ARGUMENTS = [
    "--no-sandbox",  # it refuses to run as root otherwise, as in CI
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # it visits the live server and nobody else
    "--disable-component-update",
    "--disable-sync",
]

FETCH = """async ([method, url, json]) => {
    const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
    const headers = token ? {"X-CSRFToken": token[1]} : {};
    const body = json === null ? undefined : JSON.stringify(json);
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(url, {method, headers, body});
    return {status: answer.status, url: answer.url, text: await answer.text()};
}"""

#: The rules of axe-core that apply: WCAG's, levels A and AA, and what its authors advise.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# Colours that are on their way to others would be judged half-way.
AUDIT = """async ([rules, include, exclude]) => {
    document.getAnimations().forEach(animation => animation.finish());
    const {violations} = await axe.run({include, exclude}, {runOnly: rules});
    return violations.flatMap(({id, nodes}) => nodes.map(
        ({target, failureSummary}) => `${id}: ${target}: ${failureSummary.replace(/\\s+/g, " ")}`
    ));
}"""


def find_axe() -> Path | None:
    """Return the file of axe-core, if it was installed: `make test` does that where npm is."""
    installed = ROOT / ".venv/node_modules/axe-core/axe.min.js"
    file = Path(os.environ.get("AXE_CORE") or installed)
    return file if file.is_file() else None


def find_executable() -> str | None:
    """Return the path of the Chromium to use, if there is one."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@dataclass(frozen=True)
class Answer:
    """What a page's ``fetch()`` was given."""

    status: int
    url: str
    text: str


class Chromium:
    """The browser's process, and the thread that Playwright lives in."""

    name = "chromium"

    def __init__(self, executable: str, arguments: Sequence[str] = ARGUMENTS) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="playwright")
        self.thread.start()
        self.run(self._launch(executable, arguments))

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for something of Playwright's async API."""
        return asyncio.run_coroutine_threadsafe(_wait_for(awaitable), self.loop).result(60)

    async def _launch(self, executable: str, arguments: Sequence[str]) -> None:
        from playwright.async_api import async_playwright  # noqa: PLC0415  # may be missing

        self.playwright = await async_playwright().start()
        self.process = await self.playwright.chromium.launch(
            executable_path=executable, args=list(arguments)
        )

    def close(self) -> None:
        self.run(self.process.close())
        self.run(self.playwright.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Window:
    """One person's Chromium: tabs that share a cookie jar."""

    def __init__(
        self,
        chromium: Chromium,
        server: Server,
        host: str = "localhost",
        state: Any = None,
        origin: str = "",
    ) -> None:
        self.run = chromium.run
        # Without TLS, Chromium trusts localhost with Secure cookies, names under it, and no others.
        self.origin = origin or f"http://{host}:{server.port}"
        self.log: list[tuple[str, str, int]] = []
        self.run(self._open(chromium, state))

    async def _open(self, chromium: Chromium, state: Any) -> None:
        self.context = await chromium.process.new_context(base_url=self.origin, storage_state=state)
        self.context.set_default_timeout(15_000)
        self.context.on("response", self._note)

    def _note(self, response: Any) -> None:
        path = response.url.removeprefix(self.origin)
        self.log.append((response.request.method, path, response.status))

    def tab(self, path: str | None = None) -> "Tab":
        """Open a new tab."""
        tab = Tab(self, self.run(self.context.new_page()))
        if path is not None:
            tab.goto(path)
        return tab

    @property
    def cookies(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The jar by (name, path): each cookie's value, httpOnly, secure, sameSite, expires."""
        return {(c["name"], c["path"]): c for c in self.run(self.context.cookies())}

    def together(self, *awaitables: Awaitable[Any]) -> list[Any]:
        """Do several things at once: ``together(a.page.goto("/"), b.page.goto("/"))``."""
        return self.run(_gather(awaitables))

    def close(self) -> None:
        self.run(self.context.close())


class Tab:
    """A tab; ``page`` is Playwright's async one.

    Hand its coroutines to ``run()``. What isn't one but talks to the browser, as ``page.on()``
    does, belongs inside a coroutine: Playwright's objects live in their own thread.
    """

    def __init__(self, window: Window, page: Any) -> None:
        self.window = window
        self.run = window.run
        self.page = page

    def goto(self, path: str) -> Any:
        """Visit a page; return Playwright's response (None if it stays on the page)."""
        return self.run(self.page.goto(path))

    @property
    def path(self) -> str:
        """Where the tab is, without the host."""
        parts = urlsplit(self.page.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    @property
    def text(self) -> str:
        """What a person reads."""
        return self.run(self.page.inner_text("body"))

    @property
    def html(self) -> str:
        """What the page has become."""
        return self.run(self.page.content())

    def fill(self, **fields: str) -> None:
        """Type into the inputs of these names."""
        for name, value in fields.items():
            self.run(self.page.fill(f"[name={name}]", value))

    def upload(self, name: str, file: Path) -> None:
        """Choose a file for the input of this name."""
        self.run(self.page.set_input_files(f"[name={name}]", file))

    def submit(self, selector: str = "[type=submit]") -> None:
        """Press a button that leads to another page, and wait for that page."""
        self.run(self._leave(self.page.locator(selector).first.click()))

    async def _leave(self, action: Awaitable[Any]) -> None:
        async with self.page.expect_navigation():
            await action

    def back(self) -> None:
        self.run(self.page.go_back())

    def forward(self) -> None:
        self.run(self.page.go_forward())

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Run JavaScript in the page; a promise is waited for."""
        return self.run(self.page.evaluate(script, argument))

    def fetch(self, method: str, url: str, json: Any = None) -> Answer:
        """Call the page's ``fetch()``, with an X-CSRFToken header."""
        return Answer(**self.evaluate(FETCH, [method, url, json]))

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Become a screen of this size, whose owner likes it light or dark."""
        self.run(self.page.set_viewport_size({"width": width, "height": height}))
        self.run(self.page.emulate_media(color_scheme=scheme))

    def audit(
        self, axe: str, exclude: Sequence[str] = (), include: Sequence[str] = ("html",)
    ) -> list[str]:
        """Return what axe-core finds wrong with the page, or parts of it, some excluded."""
        if not self.evaluate("'axe' in window"):
            self.evaluate(axe)
        return self.evaluate(AUDIT, [RULES, list(include), list(exclude)])

    def press(self, *keys: str) -> None:
        """Press keys, one after the other: "Tab", "Shift+Tab", "Enter", "Space"."""
        for key in keys:
            self.run(self.page.keyboard.press(key))

    def leave(self, key: str) -> None:
        """Press a key that leads to another page, and wait for that page."""
        self.run(self._leave(self.page.keyboard.press(key)))

    def login(self, user: Any, *, remember: bool = True) -> None:
        """Sign in on the login page."""
        self.goto(reverse("tokenauth:login"))
        self.fill(username=user.get_username(), password=PASSWORD)
        self.run(self.page.set_checked("[name=remember]", remember))
        self.submit("form:has([name=password]) [type=submit]")


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _gather(awaitables: tuple[Awaitable[Any], ...]) -> list[Any]:
    return await asyncio.gather(*awaitables)
