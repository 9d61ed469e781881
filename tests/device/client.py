"""A browser without a screen that keeps device keys, and proves them as Chromium 156 does.

It does so below redirects, where Chromium does: a request in scope whose device cookie has gone is
held until that has been refreshed, and sent once. What it keeps and deletes is what was seen of
Chromium (W3C DBSC leaves some of it open).

To copy what a browser holds, for a thief or for after a crash: ``copy_cookies()``, ``copy_keys()``.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from html import unescape
from threading import Lock
from typing import Any

import httpx

from tests.browser import Browser, Network
from tests.device.keys import ES256, RS256, prove
from tests.live import Server

#: So many answers of 403 to one refresh end the session.
MAX_REFUSALS = 4
#: In seconds: a cookie with less left is refreshed beside the request.
EARLY = 120
#: How many signatures in how many seconds.
QUOTA, QUOTA_WINDOW = 6, 9 * 60
OFFER = re.compile(r'\(([\w ]+)\);path="([^"]*)";challenge="([^"]*)"')
CHALLENGE = re.compile(r'"([^"]*)";id="([^"]*)"')
RELOAD = re.compile(r'<meta http-equiv="refresh" content="0;url=([^"]*)">')


@dataclass
class BoundSession:
    """What the browser keeps of a session; all but the challenge and its proof is on disk."""

    id: str
    key: ES256 | RS256
    origin: str
    refresh_path: str
    excluded: tuple[str, ...]
    cookie: str
    challenge: str = ""
    #: What was signed last, and the proof.
    signed: str = ""
    proof: str = ""

    def covers(self, url: httpx.URL) -> bool:
        """Tell whether a request needs the device cookie."""
        outside = (*self.excluded, self.refresh_path)
        return origin_of(url) == self.origin and not any(is_under(url.path, p) for p in outside)


def origin_of(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def is_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class DeviceNetwork(Network):
    """What lies between the browser and the server, with the browser's keys."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.sessions: dict[str, BoundSession] = {}
        self.make_key: type[ES256 | RS256] = ES256
        self.quota: int | None = QUOTA
        self.signatures: list[float] = []
        #: How often it registered, refreshed, was told to go, and so on.
        self.counts: Counter[str] = Counter()
        self.is_refreshing = Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reasons = [self.hold(session) for session in self.held_by(request)]
        if skipped := ", ".join(filter(None, reasons)):
            request.headers["Secure-Session-Skipped"] = skipped
        response = super().handle_request(request)
        self.take_challenges(response)
        if request.url.scheme == "https":
            for offer in OFFER.finditer(response.headers.get("Secure-Session-Registration", "")):
                self.register(request.url, *offer.groups())
        for session in self.in_scope(request.url):
            if 0 < self.seconds_left(session) < EARLY:
                self.hold(session, early=True)
        return response

    def in_scope(self, url: httpx.URL) -> list[BoundSession]:
        return [session for session in list(self.sessions.values()) if session.covers(url)]

    def held_by(self, request: httpx.Request) -> list[BoundSession]:
        """Return the sessions that a request has to wait for; another site's waits for none."""
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            return []
        return [one for one in self.in_scope(request.url) if not self.seconds_left(one)]

    def seconds_left(self, session: BoundSession) -> float:
        """Return for how long the device cookie lives; 0 if it is gone."""
        now = time.time()
        ends = [c.expires or 0 for c in self.cookies.jar if c.name == session.cookie]
        return max([end - now for end in ends if end > now], default=0)

    # Registering

    def register(self, url: httpx.URL, algorithms: str, path: str, challenge: str) -> None:
        """Make a key for the session that an answer offers to bind."""
        key = self.make_key()
        if key.alg not in algorithms.split():
            return
        self.signatures.append(time.time())
        proof = prove(key, challenge, brings_key=True)
        answer = self.send(url.join(path), {"Secure-Session-Response": f'"{proof}"'})
        if answer is not None and answer.status_code == 200:
            self.store(answer, key)

    def store(self, answer: httpx.Response, key: ES256 | RS256) -> None:
        """Keep the key, by what the answer says, if its cookie could be set."""
        told = answer.json()
        scope, [credential] = told["scope"], told["credentials"]
        rules = scope["scope_specification"]
        assert {(rule["type"], rule["domain"]) for rule in rules} == {("exclude", "*")}
        session = BoundSession(
            id=told["session_identifier"],
            key=key,
            origin=scope["origin"],
            refresh_path=told["refresh_url"],
            excluded=tuple(rule["path"] for rule in rules),
            cookie=credential["name"],
        )
        if self.seconds_left(session):
            self.counts["registered"] += 1
            self.sessions[session.id] = session
            self.take_challenges(answer)

    # Refreshing

    def hold(self, session: BoundSession, *, early: bool = False) -> str:
        """Refresh, one at a time; return why a request goes without, as the browser says it."""
        with self.is_refreshing:
            needs_none = self.seconds_left(session) >= (EARLY if early else 1e-9)
            if needs_none or self.sessions.get(session.id) is not session:
                return ""
            why = self.refresh(session)
        self.counts[why or "refreshed"] += 1
        return why and f'{why};session_identifier="{session.id}"'

    def refresh(self, session: BoundSession) -> str:
        """Prove the key; keep it, or delete it, by the answer. Return what went wrong."""
        for _ in range(MAX_REFUSALS):
            if session.challenge and not self.sign(session):
                return "quota_exceeded"
            answer = self.ask(session, session.proof)
            if answer is None:
                return "unreachable"
            if answer.status_code == 407 or answer.status_code >= 500:
                return "server_error"
            self.take_challenges(answer)
            if answer.status_code != 403:
                break
        if answer.status_code == 200 and goes_on(answer, session):
            return ""
        del self.sessions[session.id]
        return "deleted"

    def ask(self, session: BoundSession, proof: str) -> httpx.Response | None:
        """Send the proof of a session's key, whoever made it; None if no answer came."""
        headers = {"Sec-Secure-Session-Id": f'"{session.id}"'}
        headers |= {"Secure-Session-Response": f'"{proof}"'} if proof else {}
        return self.send(httpx.URL(session.origin).join(session.refresh_path), headers)

    def sign(self, session: BoundSession) -> bool:
        """Sign the challenge, unless it is signed already; tell whether there is a proof of it."""
        if session.signed == session.challenge:
            return True
        now = time.time()
        recent = [moment for moment in self.signatures if now - moment < QUOTA_WINDOW]
        if self.quota is not None and len(recent) >= self.quota:
            return False
        self.signatures.append(now)
        session.proof, session.signed = prove(session.key, session.challenge), session.challenge
        return True

    def send(self, url: httpx.URL, headers: dict[str, str]) -> httpx.Response | None:
        """Send what no script can: a request of the browser's own."""
        own = {"Site": "same-origin", "Mode": "no-cors", "Dest": "empty"}
        headers |= {f"Sec-Fetch-{name}": value for name, value in own.items()}
        headers |= {"Origin": origin_of(url), "Content-Length": "0"}
        try:
            answer = super().handle_request(httpx.Request("POST", url, headers=headers))
            answer.read()
        except httpx.TransportError:
            return None
        return answer

    def take_challenges(self, answer: httpx.Response) -> None:
        """Note what is to be signed next."""
        for challenge, sid in CHALLENGE.findall(answer.headers.get("Secure-Session-Challenge", "")):
            if sid in self.sessions:
                self.sessions[sid].challenge = challenge


def goes_on(answer: httpx.Response, session: BoundSession) -> bool:
    """Tell whether the server lets a session live; JSON that can't be read ends it."""
    if not answer.content:
        return True
    try:
        told = answer.json()
    except ValueError:
        return False
    return told.get("session_identifier") == session.id and told.get("continue", True)


class DeviceBrowser(Browser):
    """One person's Chrome. Give ``quota = None`` for a life in a hurry."""

    network_class = DeviceNetwork
    network: DeviceNetwork

    def __init__(self, server: Server, origin: str = "https://app.site.test") -> None:
        super().__init__(server, origin)
        self.client.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0"

    def get(self, url: str, *, headers: dict[str, str] | None = None, **kwargs: Any):
        """Type an address, or follow a link; a page that loads itself again does."""
        answer = super().get(url, headers=headers, **kwargs)
        for _ in range(5):
            again = RELOAD.search(answer.text)
            if again is None:
                break
            answer = super().get(str(answer.url.join(unescape(again[1]))))
        return answer

    @property
    def keys(self) -> dict[str, BoundSession]:
        """The sessions that it has keys for, by identifier."""
        return self.network.sessions

    def copy_keys(self) -> dict[str, BoundSession]:
        """Return the keys as the disk has them: a challenge does not live there."""
        copied = {"challenge": "", "signed": "", "proof": ""}
        return {sid: replace(session, **copied) for sid, session in list(self.keys.items())}

    def paste_keys(self, keys: dict[str, BoundSession]) -> None:
        """Have these keys and no others."""
        self.network.sessions = {sid: replace(session) for sid, session in keys.items()}

    def lose_device_cookies(self) -> None:
        """Let the device cookies end now, as their time is over."""
        for session in list(self.keys.values()):
            self.drop_cookie(session.cookie)

    def replay(self, session: BoundSession) -> httpx.Response | None:
        """Send the last proof of somebody else's session, as who has read it along the way can."""
        return self.network.ask(session, session.proof)
