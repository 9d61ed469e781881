"""Walk every interleaving of the binding: offer, register, show, bind, lose, and a thief.

The world, as small as it can be and still hold every quarrel: one session; a browser with its jar,
its key, and what of both is on disk; up to two messages on their way, which overtake each other
or get lost; two keys, both of them the browser's, or one of them a thief's, who copies the jar at
any moment. How the refresh token rotates is another walk's (``tests/test_interleavings.py``): here
it is the current one or a spent one.

Time is a step: a grace period passes. A device token is fresh for one, lives for some, and is late
for the last one, when its cookie is gone from the jar and only a request that was sent before the
step brings it. All else that was on its way has arrived by then or been lost, and the browser has
written its key and its cookies to disk: that is what the grace period is for.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tests.prove import tally
from tokenauth.conf import conf
from tokenauth.device import binding
from tokenauth.device.tokens import DeviceClaims
from tokenauth.exceptions import DeviceProofRequired
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session.jwt.access_claims import BROWSER
from tokenauth.session.jwt.jwk import thumbprint_of
from tokenauth.session.rotation import Step

IN_FLIGHT = 2
NONE, KEYS, THIEFS = 0, (1, 2), 9
FRESH, ALIVE, LATE, OVER = range(4)
SID = UUID(int=1)


class Token(NamedTuple):
    """A device token: of which key, whether it brings that, and its age."""

    key: int
    first: bool
    #: Whether more than a grace period has passed since the key was registered, or proven.
    old: bool
    age: int


class Message(NamedTuple):
    """A request on its way, what the server has decided to do, or an answer."""

    kind: str
    key: int = NONE
    token: Token | None = None
    #: Whether it was sent before the last step of time.
    slow: bool = False
    #: Whether nobody waits for the answer any more: the browser was killed.
    dead: bool = False


class Browser(NamedTuple):
    """What it holds, or has on disk."""

    key: int = NONE
    cookie: Token | None = None


class Thief(NamedTuple):
    """What was copied, and the thief's own token."""

    has_jar: bool = False
    spent: bool = False
    copied: Token | None = None
    own: Token | None = None
    #: Whether a rotation of theirs is decided on, and on which state of the row.
    decided: int | None = None


@dataclass(frozen=True)
class World:
    """Everything that can be different."""

    bound: int = NONE
    made: int = 0
    browser: Browser = field(default_factory=Browser)
    disk: Browser = field(default_factory=Browser)
    messages: tuple[Message, ...] = ()
    thief: Thief = field(default_factory=Thief)


# The rules, by the code itself


@lru_cache
def jwk_of(key: int) -> str:
    return f'{{"crv":"P-256","kty":"EC","x":"{key}","y":"{key}"}}' if key else ""


def claims_of(token: Token | None) -> DeviceClaims | None:
    """Return what a token says at this moment of its life."""
    if token is None:
        return None
    now, grace = int(time.time()), conf.GRACE_PERIOD.total_seconds()
    left = {FRESH: 9.5, ALIVE: 5, LATE: 0.5}[token.age] * grace
    since, jwk = int(now - (2 if token.old else 0.5) * grace), jwk_of(token.key)
    jkt = thumbprint_of(jwk)
    return DeviceClaims(SID, 0, since, int(now + left), jkt, now, jwk if token.first else "")


def credentials_of(bound: int, token: Token | None) -> Any:
    claims = claims_of(token)
    return SimpleNamespace(
        session=SimpleNamespace(pk=SID, device_key=jwk_of(bound), client=BROWSER, step=Step.ROTATE),
        bearer=None,
        request=SimpleNamespace(is_secure=lambda: True),
        came_at=time.time(),
        presented=SimpleNamespace(header=claims),  # see ``on``
    )


@lru_cache
def binds(bound: int, token: Token | None) -> bool:
    return binding.token_to_bind_by(credentials_of(bound, token)) is not None


@lru_cache
def lets_in(bound: int, token: Token | None) -> bool:
    claims = claims_of(token)
    try:
        AuthSession(device_key=jwk_of(bound)).check_device(claims.jkt if claims else "")
    except DeviceProofRequired:
        return False
    return True


@lru_cache
def offers(bound: int, token: Token | None) -> bool:
    credentials = credentials_of(bound, token)
    response: Any = SimpleNamespace(cookies=[cookies.refresh_name()])
    return binding.is_to_be_offered(credentials, credentials.session, response)


@dataclass(frozen=True)
class Rules:
    """How the site decides; each is to be broken once."""

    binds: Callable[[int, Token | None], bool] = binds
    offers: Callable[[int, Token | None], bool] = offers
    #: Whether a statement changes only the row that it was decided on.
    binds_once: bool = True
    rotates_as_decided: bool = True
    binds_at_registration: bool = False
    judges_reuse_first: bool = True
    counts_anew: bool = True


# The walk


@dataclass
class Walk:
    """A walk over all worlds that the rules can lead to; ``found`` holds what went wrong."""

    rules: Rules
    thief: bool
    found: set[str] = field(default_factory=set)

    def __call__(self) -> int:
        """Visit every reachable world, or until one is wrong; return how many there are."""
        start = World(messages=(Message("offer"),))
        seen, queue = {start}, deque([start])
        while queue and not self.found:
            for world in self.successors(queue.popleft()):
                self.judge(world)
                if world not in seen:
                    seen.add(world)
                    queue.append(world)
        return len(seen)

    def judge(self, world: World) -> None:
        """Note whether the owner can prove the key that is wanted."""
        if not self.thief and world.bound not in (NONE, world.browser.key):
            self.found.add("the owner is signed out")

    def successors(self, world: World) -> Iterator[World]:
        """Give every world one event further."""
        yield from owners_acts(world)
        yield from steps_of_time(world)
        for message in set(world.messages):
            without = without_message(world, message)
            yield without  # lost
            yield from getattr(self, message.kind)(without, message)
        if self.thief:
            yield from self.thefts(world)

    # What arrives at the server

    def page(self, world: World, sent: Message) -> Iterator[World]:
        """Let a request in, or not; and bind by what it shows."""
        if lets_in(world.bound, sent.token) and self.rules.binds(world.bound, sent.token):
            yield send(world, sent._replace(kind="bind"))

    def bind(self, world: World, decided: Message) -> Iterator[World]:
        """Write what was decided, if that is still so."""
        key = decided.token.key
        if self.rules.binds_once and world.bound:
            return
        if world.bound not in (NONE, key):
            self.found.add("a second key counts")
        yield replace(world, bound=key)

    def rotate(self, world: World, sent: Message) -> Iterator[World]:
        """Rotate the refresh token; the copy of it is a spent one."""
        if not lets_in(world.bound, sent.token):
            return
        if world.thief.has_jar:
            world = replace(world, thief=world.thief._replace(spent=True))
        offers_now = self.rules.offers(world.bound, sent.token)
        yield answer(world, sent, "offer") if offers_now else world

    def register(self, world: World, sent: Message) -> Iterator[World]:
        """Answer with the first token, if there is no key yet."""
        if world.bound:
            return
        if self.rules.binds_at_registration:
            world = replace(world, bound=sent.key)
        yield answer(world, sent, "granted", Token(sent.key, first=True, old=False, age=FRESH))

    def prove(self, world: World, sent: Message) -> Iterator[World]:
        """Answer a proof by the row's key, or by that in the first token."""
        if world.bound:
            is_good = sent.key == world.bound
            token = Token(sent.key, first=False, old=True, age=FRESH) if is_good else None
            yield answer(world, sent, "granted" if is_good else "refused", token)
        elif sent.token and sent.token.first and sent.token.key == sent.key:
            yield answer(world, sent, "granted", self.granted_again(sent.token))

    def granted_again(self, token: Token) -> Token:
        """Return the first token of a key that was proven again: it counts from there."""
        return token._replace(age=FRESH, old=not self.rules.counts_anew)

    # What arrives at the browser

    def offer(self, world: World, came: Message) -> Iterator[World]:
        """Make another key, and register it."""
        # Where there is a thief, theirs is the other one.
        if world.made < len(KEYS) - self.thief:
            key = KEYS[world.made]
            yield send(replace(world, made=world.made + 1), Message("register", key))

    def granted(self, world: World, came: Message) -> Iterator[World]:
        """Keep the key and the cookie."""
        if came.token.first or came.key == world.browser.key:
            yield replace(world, browser=Browser(came.key, came.token))

    def refused(self, world: World, came: Message) -> Iterator[World]:
        """Delete the key."""
        if came.key == world.browser.key:
            yield replace(world, browser=Browser(NONE, world.browser.cookie))

    # The thief

    def thefts(self, world: World) -> Iterator[World]:
        thief = world.thief
        if not thief.has_jar:
            yield replace(world, thief=Thief(has_jar=True, copied=world.browser.cookie))
            return
        if not world.bound and not thief.spent:
            own = Token(THIEFS, first=True, old=False, age=FRESH)
            yield replace(world, thief=thief._replace(own=own))
        for token in {None, thief.copied, thief.own}:
            shown = Message("page", token=token, dead=True)
            if len(world.messages) < IN_FLIGHT:
                yield from self.page(world, shown)
            yield from self.thief_rotates(world, token)
        if thief.decided is not None:
            yield from self.thiefs_rotation(world, thief.decided)

    def thief_rotates(self, world: World, token: Token | None) -> Iterator[World]:
        """Judge the copied refresh token, and decide on a rotation."""
        may = lets_in(world.bound, token)
        if world.thief.spent:
            if not (may or self.rules.judges_reuse_first):
                self.found.add("a spent token comes back unnoticed")
        elif may and token is None:
            yield replace(world, thief=world.thief._replace(decided=world.bound))

    def thiefs_rotation(self, world: World, decided: int) -> Iterator[World]:
        """Write it, if the row is still what it was decided on."""
        if self.rules.rotates_as_decided and world.bound != decided:
            return
        if world.bound not in (NONE, THIEFS):
            self.found.add("somebody rotates without the key")
        yield replace(world, thief=world.thief._replace(decided=None))


def owners_acts(world: World) -> Iterator[World]:
    """Send a page, a refresh or a proof; or be killed."""
    key, cookie = world.browser
    if len(world.messages) < IN_FLIGHT:
        yield send(world, Message("page", token=cookie))
        yield send(world, Message("rotate", token=cookie))
        if key:
            yield send(world, Message("prove", key, cookie))
    requests = [m._replace(dead=True) for m in world.messages if m.kind in REQUESTS]
    # The keys may reach the disk sooner than the cookies.
    for kept in {world.disk.key, key}:
        browser = Browser(kept, world.disk.cookie)
        yield replace(world, browser=browser, disk=browser, messages=in_order(requests))


REQUESTS = {"page", "bind", "rotate", "register", "prove"}


def steps_of_time(world: World) -> Iterator[World]:
    """Let a grace period pass: each token that is alive lives on, or gets late."""
    held = {world.browser.cookie, world.thief.copied, world.thief.own}
    held |= {message.token for message in world.messages}
    alive = [token for token in held if token and token.age == ALIVE]
    for choice in product([ALIVE, LATE], repeat=len(alive)):
        ages = dict(zip(alive, choice, strict=True))

        def older(token: Token | None, ages: dict[Token, int] = ages) -> Token | None:
            """Return the token after that; None if it is over."""
            age = ages.get(token, token.age + 1) if token else OVER
            return token._replace(age=age, old=True) if age < OVER else None

        cookie = older(world.browser.cookie)
        browser = Browser(world.browser.key, None if cookie and cookie.age == LATE else cookie)
        slow = [
            m._replace(slow=True, token=older(m.token))
            for m in world.messages
            if m.kind in REQUESTS - {"bind"} and m.token and m.token.age == ALIVE and not m.dead
        ]
        copied, own = older(world.thief.copied), older(world.thief.own)
        thief = world.thief._replace(copied=copied, own=own)
        messages = in_order(slow)
        yield replace(world, browser=browser, disk=browser, messages=messages, thief=thief)


def send(world: World, message: Message) -> World:
    return replace(world, messages=in_order([*world.messages, message]))


def answer(world: World, sent: Message, kind: str, token: Token | None = None) -> World:
    """Put an answer on its way, if anybody waits for it."""
    return world if sent.dead else send(world, Message(kind, sent.key, token))


def in_order(messages: list[Message]) -> tuple[Message, ...]:
    """Return them in any order that is always the same: it says nothing."""
    return tuple(sorted(messages, key=repr))


def without_message(world: World, message: Message) -> World:
    rest = list(world.messages)
    rest.remove(message)
    return replace(world, messages=tuple(rest))


# What they find


@pytest.fixture(autouse=True)
def on(settings, monkeypatch):
    """A site that binds; in a header of a world there is what a token says, and nothing else."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    monkeypatch.setattr(binding, "good_device_token", lambda header, sid: header)
    monkeypatch.setattr(
        binding,
        "first_device_token",
        lambda header, sid: header if header is not None and header.jwk else None,
    )


@pytest.mark.parametrize("thief", [False, True], ids=["honest", "thief"])
def test_no_interleaving_breaks_an_invariant(thief, capsys):
    """The owner can prove what is wanted, nobody else rotates, and a second key never counts."""
    walk = Walk(Rules(), thief)
    visited = walk()
    tally("states", visited)
    with capsys.disabled():
        print(f" [{visited:,} states]", end="")  # noqa: T201  # so that everybody sees it
    assert walk.found == set()


def binds_at_once(bound: int, token: Token | None) -> bool:
    """Bind by a token however young."""
    return not bound and token is not None and token.first


def binds_late(bound: int, token: Token | None) -> bool:
    """Bind by a token however old: its cookie may have gone, and another key been made."""
    return not bound and token is not None and token.first and token.old


def offers_always(bound: int, token: Token | None) -> bool:
    """Offer another key to a browser that has one."""
    return not bound


@pytest.mark.parametrize(
    ("rules", "thief", "breach"),
    [
        (Rules(binds=binds_at_once), False, "the owner is signed out"),
        (Rules(binds=binds_late), False, "the owner is signed out"),
        (Rules(offers=offers_always), False, "the owner is signed out"),
        (Rules(counts_anew=False), False, "the owner is signed out"),
        (Rules(binds_at_registration=True), False, "the owner is signed out"),
        (Rules(binds_once=False), True, "a second key counts"),
        (Rules(rotates_as_decided=False), True, "somebody rotates without the key"),
        (Rules(judges_reuse_first=False), True, "a spent token comes back unnoticed"),
    ],
    ids=[
        "no grace period",
        "bound by a late token",
        "offered again",
        "not counted anew",
        "enforced on registration",
        "bound without WHERE",
        "rotated without WHERE",
        "reuse judged after the proof",
    ],
)
def test_the_walk_catches_a_broken_rule(rules, thief, breach):
    """Each rule that is left out is missed by the same walk."""
    walk = Walk(rules, thief)
    walk()
    assert breach in walk.found
