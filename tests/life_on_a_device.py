"""A life with a browser that binds its sessions to its device, told at random.

As ``tests.life``, with the same invariants, and with keys: registered when an answer offers, proven
when their cookie is over, on disk when the cookies are, or sooner. Once a session is bound, whoever
has a copy of the jar rotates nothing when the device token in it is over.
"""

import json
import time
from base64 import urlsafe_b64decode
from html import unescape
from typing import ClassVar

from django.test import Client
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.device.client import CHALLENGE, MAX_REFUSALS, OFFER, RELOAD
from tests.device.keys import ES256, prove
from tests.life import DISK_INTERVAL, CookieJar, Life
from tests.prove import tally
from tokenauth.conf import conf
from tokenauth.models import AuthSession

REFRESH = "/auth/device/refresh/"
#: Where no browser proves anything.
OUTSIDE = ("/auth/device/", "/auth/login/", "/auth/logout/")


def name_of(sid: str) -> str:
    return f"__Host-device_token_{sid[:8]}"


def seconds_left(jar: CookieJar, sid: str) -> float:
    """Return for how long the device token of a session is good."""
    _, value = jar.get(name_of(sid), ("", ""))
    part = value.split(".")[1] + "==" if value else ""
    return json.loads(urlsafe_b64decode(part))["exp"] - time.time() if part else 0


class LifeOnADevice(Life):
    """The browser has keys by session; what it has to sign next it forgets when it is killed."""

    binds: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.keys_kept: dict[str, ES256] = {}
        self.keys_on_disk: dict[str, ES256] = {}
        self.challenges: dict[str, str] = {}
        self.offer = None

    # The protocol

    def ask(self, url, headers):
        """Send what the browser sends by itself."""
        cookies = {"Cookie": self.jar.header(url), "Sec-Fetch-Mode": "no-cors"}
        answer = Client(headers=cookies | headers).post(url, secure=True)
        for challenge, sid in CHALLENGE.findall(answer.get("Secure-Session-Challenge", "")):
            self.challenges[sid] = challenge
        self.jar.take(answer)
        return answer

    def browse(self, url, data=None, jar=None):
        if jar is not None:
            return super().browse(url, data, jar)
        self.prove_keys(url)
        self.offer = None
        answer = super().browse(url, data)
        if self.offer:
            self.register(*self.offer.groups())
        again = RELOAD.search(answer.content.decode())
        return self.browse(unescape(again[1])) if again else answer

    def send(self, url, cookies, data=None):
        answer = super().send(url, cookies, data)
        self.offer = OFFER.search(answer.get("Secure-Session-Registration", "")) or self.offer
        return answer

    def register(self, _, path, challenge) -> None:
        """Make a key for the session that an answer offered to bind."""
        key = ES256()
        proof = prove(key, challenge, brings_key=True)
        answer = self.ask(path, {"Secure-Session-Response": f'"{proof}"'})
        assert answer.status_code in {200, 403}
        if answer.status_code == 200:
            self.keys_kept[answer.json()["session_identifier"]] = key
            tally("keys registered")

    def prove_keys(self, url) -> None:
        """Prove each key whose cookie is over, as the browser does before a request."""
        if url.startswith(OUTSIDE):
            return
        for sid in list(self.keys_kept):
            if seconds_left(self.jar, sid) <= conf.GRACE_PERIOD.total_seconds():
                self.jar.pop(name_of(sid), None)
                self.prove_key(sid)

    def prove_key(self, sid) -> None:
        for _ in range(MAX_REFUSALS):
            headers = {"Sec-Secure-Session-Id": f'"{sid}"'}
            if sid in self.challenges:
                proof = prove(self.keys_kept[sid], self.challenges[sid])
                headers["Secure-Session-Response"] = f'"{proof}"'
            answer = self.ask(REFRESH, headers)
            if answer.status_code != 403:
                break
        assert answer.status_code in {200, 403, 503}
        if answer.status_code == 403 or b'"continue"' in answer.content:
            del self.keys_kept[sid]
        else:
            tally("device refreshes", int(answer.status_code == 200))

    # What happens to keys

    @rule(seconds=st.sampled_from([1, 10, 61, 130, 16 * 60, 2 * 3600, -600, 24 * 3600]))
    def time_passes(self, seconds):
        """See Life; the keys are on disk when the cookies are."""
        Life.time_passes(self, seconds)
        if seconds > DISK_INTERVAL.total_seconds():
            self.keys_on_disk = dict(self.keys_kept)

    @rule(pages=st.integers(0, 2), sooner=st.booleans())
    def the_browser_is_killed(self, pages, sooner):
        """Start again with the keys of the disk, which may have had them sooner than cookies."""
        self.keys_kept = dict(self.keys_kept if sooner else self.keys_on_disk)
        self.challenges.clear()
        Life.the_browser_is_killed(self, pages)

    @rule(count=st.integers(1, 6), overtaken=st.booleans())
    def scripts_refresh(self, count, overtaken):
        """See Life; the first of them waits for the cookie."""
        self.prove_keys("/auth/refresh/")
        Life.scripts_refresh(self, count, overtaken)

    @precondition(lambda self: self.loot)
    @rule()
    def the_thief_refreshes(self):
        """See Life; without a device token that is good, nothing rotates."""
        claims = self.claims(self.loot, "refresh")
        rows = AuthSession.objects.filter(pk=claims.sid if claims else None)
        before = rows.exclude(device_key="").first()
        Life.the_thief_refreshes(self)
        after = rows.first()
        if before and seconds_left(self.loot, str(claims.sid)) <= 0:
            tally("tries of thieves")
            assert (after.rotation, after.issued_at) == (before.rotation, before.issued_at)
