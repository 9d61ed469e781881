"""A way to the server that fails in every way, and a person who goes on all the same."""

import random
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import httpx

from tests.device.client import CHALLENGE, QUOTA_WINDOW
from tests.device.keys import ES256, prove
from tests.device.wire import Wire, open_browser
from tokenauth.conf import conf
from tokenauth.device import challenges
from tokenauth.models import AuthSession
from tokenauth.request import cookies

REGISTER = "/auth/device/register/"
OTHER_KEY = ES256()

#: In seconds: how long Chromium waits for the answer to a refresh.
HANG = 20
#: In seconds: Chromium writes its cookies to disk this often.
DISK_INTERVAL = 30
#: In seconds, between two pages: within a token's life, and long after it.
PAUSES = [1, 10, 62, 170, 400, 545, 605, 16 * 60, 3600, 10 * 3600]


class Trouble(Wire):
    """It passes requests on, or does something else to some of them."""

    def __init__(self, rng: random.Random, clock: Any) -> None:
        super().__init__()
        self.rng, self.wait = rng, clock.shift
        self.rate = 0.0
        self.faults = 0
        #: How often the server gave a device token for a proof, arrived or not.
        self.granted = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.rng.random() >= self.rate:
            return super().handle_request(request)
        self.faults += 1
        self.sent.append((request.url.path, request.headers))
        return self.rng.choice(FAULTS)(self, request)

    def pass_on(self, request: httpx.Request) -> httpx.Response:
        answer = super().pass_on(request)
        self.granted += request.url.path.endswith("device/refresh/") and answer.is_success
        return answer

    def refuse(self, request: httpx.Request) -> httpx.Response:
        """Answer in the server's place, as a proxy does when that is away."""
        return httpx.Response(self.rng.choice([500, 502, 503]))

    def lose_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("The request was lost.", request=request)

    def lose_answer(self, request: httpx.Request) -> httpx.Response:
        self.pass_on(request)
        raise httpx.ReadError("The answer was lost.", request=request)

    def spoil_answer(self, request: httpx.Request) -> httpx.Response:
        """Let the server do its part, and say that it did not answer in time."""
        self.pass_on(request)
        return httpx.Response(504)

    def hang(self, request: httpx.Request) -> httpx.Response:
        """Let the server take so long that nobody waits for it."""
        self.wait(HANG)
        return self.lose_answer(request)

    def restart(self, request: httpx.Request) -> httpx.Response:
        """Serve by a process that has just begun."""
        self.site.app.forget()
        return self.pass_on(request)


FAULTS = [
    Trouble.refuse,
    Trouble.lose_request,
    Trouble.lose_answer,
    Trouble.spoil_answer,
    Trouble.hang,
    Trouble.restart,
]


class Person:
    """Somebody at a browser that is killed now and then, on a bad line."""

    def __init__(self, user: Any, rng: random.Random, clock: Any) -> None:
        self.name, self.rng, self.clock = user.get_username(), rng, clock
        self.wire = Trouble(rng, clock)
        self.browser = open_browser(self.wire)
        self.browser.login(user)
        self.kills = 0
        self.save()
        self.wire.wait = self.wait

    def save(self) -> None:
        """Let what the browser holds reach the disk."""
        self.disk = self.browser.copy_cookies(), self.browser.copy_keys()
        self.unsaved = 0.0

    def wait(self, seconds: float) -> None:
        self.clock.shift(seconds)
        self.unsaved += seconds
        if self.unsaved > DISK_INTERVAL:
            self.save()

    def act(self, rate: float) -> None:
        """Do something on the site while so many requests meet with trouble."""
        self.wire.rate = rate
        for _ in range(self.rng.randint(1, 3)):
            with suppress(httpx.TransportError):
                self.rng.choice(ACTS)(self.browser)
        self.wire.rate = 0
        if self.rng.random() < 0.1:
            self.be_killed()

    def be_killed(self) -> None:
        """Start again from the disk, which may have had the keys sooner than the cookies."""
        self.kills += 1
        cookies, keys = self.disk
        keys = self.rng.choice([keys, self.browser.copy_keys()])
        self.browser.paste_cookies(cookies)
        self.browser.paste_keys(keys)

    @property
    def is_bound(self) -> bool:
        """Tell whether there is a session and its key."""
        rows = AuthSession.objects.active().exclude(device_key="")
        return bool(self.browser.keys) and rows.exists()

    def is_there(self) -> bool:
        """Tell whether the site knows them when all is well, and the key may sign again."""
        if self.browser.get("/whoami/").text == self.name:
            return True
        self.wait(QUOTA_WINDOW)
        return self.browser.get("/whoami/").text == self.name


def follow_a_link(browser: Any) -> None:
    browser.get("/whoami/", headers={"Sec-Fetch-Site": "cross-site"})


def call_by_script(method: str, url: str, browser: Any) -> None:
    browser.fetch(method, url)


ACTS = [
    lambda browser: browser.get("/whoami/"),
    lambda browser: browser.get("/private/"),
    follow_a_link,
    partial(call_by_script, "GET", "/whoami/"),
    partial(call_by_script, "POST", "/echo/"),
    partial(call_by_script, "POST", "/auth/refresh/"),
]


class Thief:
    """A copy of what somebody's browser sends: its jar, and the last proof of its key.

    Once spent, they don't show the refresh token: it would end the session for both.
    """

    def __init__(self, person: Person) -> None:
        self.name, self.clock = person.name, person.clock
        self.copied_at = time.time()
        self.browser = open_browser()
        self.browser.paste_cookies(person.browser.copy_cookies())
        [self.session] = person.browser.keys.values()
        self.proof = self.session.proof
        self.let_in_until = conf.DEVICE_TOKEN_LIFETIME
        self.successes = 0

    @property
    def elapsed(self) -> timedelta:
        """How long ago they copied it."""
        return timedelta(seconds=time.time() - self.copied_at)

    def try_to_rotate(self) -> None:
        """Show the refresh token while it is still the current one, if nothing else helps.

        With a device token it would be rotated: that is how two holders of one jar find out.
        """
        if self.browser.value(self.session.cookie) is None:
            assert self.browser.fetch("POST", "/auth/refresh/").status_code == 401
        self.browser.drop_cookie(cookies.refresh_name())

    def try_everything(self) -> None:
        """Let whatever still works have its reason in the promises."""
        challenge = self.challenge()
        worked = [self.prove(prove(OTHER_KEY, challenge)), self.register(challenge)]
        assert not any(worked)
        if self.proof and self.prove(self.proof):
            assert self.elapsed <= challenges.lifetime()
            self.let_in_until = self.elapsed + conf.DEVICE_TOKEN_LIFETIME
        if self.is_let_in():
            self.successes += 1
            assert self.elapsed <= self.let_in_until

    def challenge(self) -> str:
        """Ask for what is to be signed: anybody may know that."""
        answer = self.browser.network.ask(self.session, "")
        assert answer.status_code == 403
        [(challenge, _)] = CHALLENGE.findall(answer.headers["Secure-Session-Challenge"])
        return challenge

    def is_let_in(self) -> bool:
        return self.browser.fetch("GET", "/whoami/").text == self.name

    def prove(self, proof: str) -> bool:
        """Show a proof; tell whether that was worth a device token."""
        answer = self.browser.network.ask(self.session, proof)
        assert answer.status_code in {200, 403}
        assert b'"continue"' not in answer.content
        return answer.status_code == 200

    def register(self, challenge: str) -> bool:
        """Register a key of their own, by the only challenge that there is."""
        self.browser.network.register(self.browser.origin, "ES256", REGISTER, challenge)
        return bool(self.browser.keys)
