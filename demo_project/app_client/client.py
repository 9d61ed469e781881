"""Be an app: ask the demo's API again and again, refresh, lose an answer now and then.

    python -m demo_project.app_client.client

Its standard input says where the demo is, and brings the tokens: neither arguments nor the
environment are a place for them. Each line of its output is something that happened, and has no
token in it. When nobody reads that any more, however the demo ended, it ends too. It needs nothing
but Python.
"""

import json
import os
import sys
import time
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

#: Seconds that an answer may take.
PATIENCE = 10
#: The demo is on this machine: no proxy is asked.
OPENER = build_opener(ProxyHandler({}))


class SignedOut(Exception):  # noqa: N818  # named for the state
    """The refresh token signs nobody in any more."""


class App:
    """What an app knows: where its site is, and its tokens."""

    def __init__(self, site: str, tokens: dict[str, Any]) -> None:
        self.site = site
        self.refreshes, self.lost, self.refresh_token = 0, "", ""
        self.keep(tokens)

    def keep(self, answer: dict[str, Any]) -> None:
        """Keep what came. A refresh token that did not come is the one that is there."""
        self.access: str = answer["access_token"]
        self.refresh_token = answer.get("refresh_token") or self.refresh_token
        self.expires_at: float = time.monotonic() + answer["expires_in"]

    def go_on(self) -> str:
        """Do what is next, and say what it was. Raises SignedOut."""
        if time.monotonic() >= self.expires_at:
            return self.refresh()
        try:
            notes = self.ask("/api/notes/")
        except HTTPError as refused:
            if refused.code != 401:
                raise
            return f"401, though the access token is not over. {self.refresh()}"
        left = max(0, round(self.expires_at - time.monotonic()))
        return f"200. You have {len(notes)} notes. The access token is good for {left} s."

    def refresh(self) -> str:
        """Spend the refresh token; one answer in three is lost on purpose. Raises SignedOut."""
        spent = {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        answer = self.post("/auth/token/", **spent)
        self.refreshes += 1
        is_same, was_lost = answer.get("refresh_token") == self.lost, bool(self.lost)
        if self.refreshes % 3 == 2:
            self.lost = answer.get("refresh_token", "")
            return "Refreshed, but the answer is lost, on purpose. The app has its old token still."
        self.keep(answer)
        self.lost = ""
        if was_lost and is_same:
            return "The old token once more: the same successor came again. Nothing is lost."
        return "The access token was over. Refreshed: two new tokens."

    def give_back(self) -> None:
        """Sign out (RFC 7009)."""
        self.post("/auth/token/revoke/", token=self.refresh_token)

    def ask(self, path: str) -> Any:
        """Return what the API says. Raises HTTPError."""
        return send(f"{self.site}{path}", {"Authorization": f"Bearer {self.access}"})

    def post(self, path: str, **form: str) -> Any:
        """Send a form with a token. Raises SignedOut, and OSError as anything does."""
        try:
            return send(f"{self.site}{path}", {}, urlencode(form).encode())
        except HTTPError as refused:
            if refused.code != 400:
                raise
            raise SignedOut(f"{refused.code} {json.load(refused)['error']}") from None


def send(url: str, headers: dict[str, str], form: bytes | None = None) -> Any:
    """Return an answer's JSON; None if it has no body. Raises HTTPError, and other OSErrors."""
    headers = {"User-Agent": "tokenauth demo app"} | headers
    request = Request(url, form, headers)  # noqa: S310  # the demo's own address
    with OPENER.open(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or b"null")


def live(app: App, seconds: float, pause: float) -> str:
    """Go on for some time; return how it ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            say(app.go_on())
        except SignedOut as refused:
            return f"Refused ({refused}): signed out. The app forgets its tokens and ends."
        except (OSError, HTTPException):
            say("No answer. It will ask again, with the tokens that it has.")
        time.sleep(pause)
    with suppress(OSError, HTTPException, SignedOut):
        app.give_back()
    return "Its time is over. The app gives its tokens back and ends."


def say(what: str) -> None:
    """Write down what happened; end if there is nobody to read it."""
    try:
        sys.stdout.write(f"{what}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(0)  # anything else would try to write once more


def main() -> None:
    """Be an app until its time is over, it is signed out, or the demo ends."""
    start = json.load(sys.stdin)
    say(f"Started: process {os.getpid()}. Its tokens came by a pipe.")
    app = App(start["site"], start["tokens"])
    say(live(app, start["seconds"], start["pause"]))


if __name__ == "__main__":
    main()
