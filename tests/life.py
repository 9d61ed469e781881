"""A life with one browser, told at random: the real views, model and database, and a thief.

Hypothesis strings events together: tabs, answers that come late or never, crashes, sign-ins and
sign-outs, a revoke, a new password, a new ``SECRET_KEY``, clocks that jump, a thief with a copy of
the jar. After every event the invariants of the design must hold:

1. nobody is signed out who did not ask for it;
2. a token that comes back after its successor was confirmed ends the session;
3. after a revoke nothing authenticates with the session;
4. nobody is ever taken for somebody else;
5. no token and no hash in a body, a URL or a header other than Set-Cookie.

What the network may do: answers arrive in any order, or not at all, but within the grace period;
and a person who signs in sees the answers to what they did before.
"""

import json
import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import ClassVar, NamedTuple
from unittest import mock
from uuid import UUID

import time_machine
from django.test import Client, override_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.factories import PASSWORD, UserFactory
from tests.prove import tally
from tokenauth.conf import conf
from tokenauth.models import AuthSession, RevokeReason
from tokenauth.session import tokens

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: Chromium writes its cookies to disk this often.
DISK_INTERVAL = timedelta(seconds=30)
NOBODY = "anonymous"
PEOPLE = st.sampled_from(["alice", "bob"])
#: Seconds between two pages: shorter and longer than the grace period, and than an access token.
GAP = [10, 61, 130, 16 * 60, 2 * 3600]
GAPS = st.lists(st.sampled_from(GAP), min_size=1, max_size=4)
LONG = {
    # So that no run outlives them: expiry has tests of its own.
    "TOKENAUTH_REFRESH_TOKEN_LIFETIME": timedelta(days=400),
    "TOKENAUTH_BROWSER_SESSION_LIFETIME": timedelta(days=400),
    "TOKENAUTH_SESSION_LIFETIME": timedelta(days=4000),
}


class CookieJar(dict[str, tuple[str, str]]):
    """Cookies by name: path and value."""

    def header(self, url: str) -> str:
        sent = [(name, value) for name, (path, value) in self.items() if url.startswith(path)]
        return "; ".join(f"{name}={value}" for name, value in sent)

    def take(self, answer) -> None:
        for name, morsel in answer.cookies.items():
            self.pop(name, None)
            if morsel.value:
                self[name] = (morsel["path"], morsel.value)


class Late(NamedTuple):
    """An answer that is still on its way."""

    answer: object
    sent_at: datetime


class Life(RuleBasedStateMachine):
    """One browser, two people who use it in turn, one thief."""

    refresh_path: ClassVar[str | None] = None
    binds: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.time = self.clock.start()
        # The travelled clock says how long a request takes, too.
        self.stopwatch = mock.patch("time.monotonic", time.time)
        self.stopwatch.start()
        self.keys = ["key number 0 of this test"]
        own = {"REFRESH_COOKIE_PATH": self.refresh_path, "DEVICE_BINDING": self.binds}
        own = {f"TOKENAUTH_{name}": value for name, value in own.items()}
        self.site = override_settings(**LONG, **own)
        self.site.enable()
        self.key_settings = None
        self.use_keys()
        self.people = {name: UserFactory(username=name) for name in ("alice", "bob")}
        self.jar, self.disk, self.loot = CookieJar(), CookieJar(), CookieJar()
        self.late: list[Late] = []
        self.person = NOBODY
        self.sign_ins = self.sign_ins_on_disk = 0
        #: The thief has acted: the session may rightly end at any moment.
        self.robbed = False
        self.secrets: set[str] = set()
        self.confirmed: dict[object, int] = {}

    def teardown(self) -> None:
        tally("lives")
        AuthSession.objects.all().delete()
        for user in self.people.values():
            user.delete()
        self.key_settings.disable()
        self.site.disable()
        self.stopwatch.stop()
        self.clock.stop()

    def use_keys(self) -> None:
        """Sign with the newest key, verify with all."""
        if self.key_settings is not None:
            self.key_settings.disable()
        newest, *fallbacks = reversed(self.keys)
        self.key_settings = override_settings(SECRET_KEY=newest, SECRET_KEY_FALLBACKS=fallbacks)
        self.key_settings.enable()

    # The network

    def send(self, url: str, cookies: str, data=None):
        """Make one request, and look for secrets in the answer."""
        client = Client(raise_request_exception=True, headers={"Cookie": cookies})
        method = client.get if data is None else client.post
        answer = method(url, data, secure=True)
        assert answer.status_code < 500
        morsels = answer.cookies.values()
        self.secrets |= {m.value for m in morsels if "token" in m.key and m.value.count(".") == 2}
        shown = answer.content.decode() + str(dict(answer.headers))
        assert not [secret for secret in self.secrets if secret in shown]
        return answer

    def browse(self, url: str, data=None, jar: CookieJar | None = None):
        """Request a page and follow its redirects; every answer arrives."""
        jar = self.jar if jar is None else jar
        for _ in range(6):
            answer = self.send(url, jar.header(url), data)
            jar.take(answer)
            if answer.status_code not in {302, 307}:
                break
            data = data if answer.status_code == 307 else None
            url = answer["Location"]
        return answer

    def arrived(self) -> None:
        """Let everything that is on its way arrive, oldest first."""
        while self.late:
            self.jar.take(self.late.pop(0).answer)

    # What the person does

    @initialize(name=PEOPLE, remember=st.booleans())
    def begin(self, name, remember):
        """Begin signed in: most events mean little to a stranger."""
        self.sign_in(name, remember)

    @rule(name=PEOPLE, remember=st.booleans())
    def sign_in(self, name, remember):
        self.arrived()
        data = {"username": self.people[name].get_username(), "password": PASSWORD}
        answer = self.browse("/auth/login/", data | ({"remember": "on"} if remember else {}))
        assert answer.status_code == 200
        self.person, self.robbed = name, False
        self.sign_ins += 1

    @rule()
    def sign_out(self):
        self.arrived()
        self.browse("/auth/logout/", {})
        self.person = NOBODY

    @rule()
    def open_a_page(self):
        """Look who the site thinks is there, and that it knows the browser to have kept its token.

        A second more than the grace period: tokens count in whole seconds.
        """
        shown = self.claims(self.jar, "access")
        self.check(self.browse("/whoami/").content.decode())
        now = self.time_now().timestamp()
        if shown and shown.exp > now > shown.iat + conf.GRACE_PERIOD.total_seconds() + 1:
            seen = AuthSession.objects.active().filter(pk=shown.sid, rotation=shown.rot)
            assert self.person == NOBODY or all(session.confirmed for session in seen)

    @rule(gaps=GAPS)
    def use_the_site(self, gaps):
        """Open a page now and then, as people do most of the time."""
        for seconds in gaps:
            self.time_passes(seconds)
            self.open_a_page()

    @rule(seconds=st.sampled_from(GAP))
    def a_page_asks_late(self, seconds):
        """Send something that takes long to read, and be asked for only then."""
        with override_settings(TEST_MEANWHILE=lambda: self.time_passes(seconds)):
            self.check(self.browse("/asks-late/").content.decode())

    @rule(count=st.integers(1, 6), overtaken=st.booleans())
    def scripts_refresh(self, count, overtaken):
        """Refresh several times, with the jar as it then is; the first answer is late.

        If it is overtaken it arrives after the others, and the page refreshes once more.
        """
        url = "/auth/refresh/"
        self.late.append(Late(self.send(url, self.jar.header(url), {}), self.time_now()))
        for _ in range(count):
            self.jar.take(self.send(url, self.jar.header(url), {}))
        if overtaken:
            self.arrived()
            self.jar.take(self.send(url, self.jar.header(url), {}))
            self.open_a_page()

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def an_answer_arrives(self, data):
        index = data.draw(st.integers(0, len(self.late) - 1))
        self.jar.take(self.late.pop(index).answer)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def an_answer_is_lost(self, data):
        self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))

    @rule(pages=st.integers(0, 2))
    def the_browser_is_killed(self, pages):
        """Start again from what was on disk, perhaps from before the last proof of identity."""
        for _ in range(pages):
            self.open_a_page()
        self.late.clear()
        self.jar = CookieJar(self.disk)
        if self.sign_ins_on_disk != self.sign_ins:
            self.person = NOBODY
        self.open_a_page()

    @rule()
    def change_the_password_on_the_page(self):
        self.arrived()
        if self.person != NOBODY and not self.robbed:
            new = {"old_password": PASSWORD, "new_password1": "Tr0ub4dor&3", "new_password2": ""}
            new["new_password2"] = new["new_password1"]
            self.browse("/password/", new)
            self.set_password(PASSWORD, self.person, keep=True)
            self.sign_ins += 1  # a session of its own, which may not be on disk yet

    # What others do

    @rule(name=PEOPLE)
    def staff_revoke(self, name):
        self.people[name].auth_sessions.active().revoke(RevokeReason.ADMIN)
        self.ends_for(name)

    @rule(name=PEOPLE)
    def the_password_is_reset_in_a_shell(self, name):
        self.set_password(PASSWORD, name, keep=False)
        self.ends_for(name)

    @rule()
    def the_key_is_rotated(self):
        self.keys.append(f"key number {len(self.keys)} of this test")
        self.use_keys()

    @rule(seconds=st.sampled_from([1, 10, 61, 130, 16 * 60, 2 * 3600, -600, 24 * 3600]))
    def time_passes(self, seconds):
        """Let time pass, or the clock jump; what was on its way for too long is lost."""
        self.time.shift(timedelta(seconds=seconds))
        now = self.time_now()
        self.late = [late for late in self.late if now - late.sent_at < conf.GRACE_PERIOD]
        if seconds > DISK_INTERVAL.total_seconds():
            self.late.clear()
            self.disk, self.sign_ins_on_disk = CookieJar(self.jar), self.sign_ins

    @rule(what=st.sampled_from(["sign_out", "sign_in", "revoke"]), seconds=st.sampled_from(GAP))
    def a_slow_page_is_overtaken(self, what, seconds):
        """Render a page for so long that the person does something else in another tab.

        Two requests are slower still: they reach the server after that. They cross a sign-in only
        where it replaced a live session: nobody signs in within the blink in which a dead one is
        swept away.
        """
        self.time_passes(seconds)
        self.arrived()
        alive = self.person != NOBODY and not self.robbed
        before = CookieJar(self.jar)

        def meanwhile():
            self.time.shift(timedelta(seconds=10))
            if what == "revoke":
                self.staff_revoke("alice")
            elif what == "sign_out":
                self.sign_out()
            else:
                self.sign_in("bob", remember=True)

        with override_settings(TEST_MEANWHILE=meanwhile):
            self.jar.take(self.send("/overtaken/", before.header("/overtaken/")))
        if alive or what != "sign_in":
            for url in ("/whoami/", "/auth/sessions/"):
                self.jar.take(self.send(url, before.header(url)))
        self.open_a_page()

    # The thief

    @rule()
    def a_thief_copies_the_jar(self):
        self.loot = CookieJar(self.jar)

    @rule(gaps=GAPS)
    def a_thief_waits(self, gaps):
        """Copy the jar, and present its token when the person has used the site for a while."""
        self.a_thief_copies_the_jar()
        self.use_the_site(gaps)
        self.the_thief_refreshes()

    @precondition(lambda self: self.loot)
    @rule()
    def the_thief_refreshes(self):
        claims = self.claims(self.loot, "refresh")
        if claims is None:
            return
        self.remember()
        spent = claims.rot < self.confirmed.get(claims.sid, 0)
        active_before = AuthSession.objects.active().filter(pk=claims.sid).exists()
        self.loot.take(self.send("/auth/refresh/", self.loot.header("/auth/refresh/"), {}))
        session = AuthSession.objects.filter(pk=claims.sid).first()
        if spent and active_before and claims.exp > self.time_now().timestamp():
            suspended = session.active and self.password_changed_since(session)
            assert suspended or session.revoke_reason == RevokeReason.REUSE
        self.robbed = True

    # What must hold

    def check(self, name: str) -> None:
        """Compare who a page took the browser for with who uses it."""
        usual = self.person if self.person == NOBODY else self.people[self.person].get_username()
        assert name in ({usual, NOBODY} if self.robbed else {usual})

    @invariant()
    def an_event_is_over(self):
        tally("events")
        self.remember()

    # Small things

    def remember(self) -> None:
        """Note what was confirmed, and which hashes nobody may ever see."""
        for session in AuthSession.objects.filter(confirmed=True):
            self.confirmed[session.pk] = session.rotation
        self.secrets |= set(AuthSession.objects.values_list("token_hash", flat=True))

    def claims(self, jar: CookieJar, kind: str) -> tokens.Claims | None:
        """Read the claims of a jar's access or refresh token, as whoever holds it can."""
        found = [value for name, (_, value) in jar.items() if kind in name]
        if not found:
            return None
        payload = json.loads(urlsafe_b64decode(found[0].split(".")[1] + "=="))
        return tokens.Claims(UUID(payload["sid"]), *itemgetter("rot", "iat", "exp")(payload))

    def time_now(self) -> datetime:
        return datetime.now(UTC)

    def set_password(self, password: str, name: str, *, keep: bool) -> None:
        """Set a password; ``keep`` lets the browser's own session follow, as Django's view does."""
        user = self.people[name]
        user.set_password(password)
        user.save()
        if keep:
            user.auth_sessions.active().update(auth_hash=user.get_session_auth_hash())

    def password_changed_since(self, session) -> bool:
        user = type(session.user).objects.get(pk=session.user_id)
        hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
        return session.auth_hash not in hashes

    def ends_for(self, name: str) -> None:
        if self.person == name:
            self.person = NOBODY


class LifeOnTheRootPath(Life):
    """The same with the refresh cookie on ``/``: refreshed in place everywhere."""

    refresh_path = "/"
