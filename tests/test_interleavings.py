"""Walk every interleaving of browser, network, crash and thief against the rotation decision.

The world, as small as it can be and still hold every quarrel: one session; one browser with a jar
and the copy of it on disk; up to three requests or answers on their way, which overtake each other
or get lost; a thief who copies the jar at any moment and presents what he has whenever he likes.

Tokens are named by their distance from the session's counter: 0 is the current one, 1 its
predecessor, ``OLD`` anything before that, for all of those are alike to the decision. So the world
is finite and a breadth-first walk visits all of it.

Time is a step: more than a grace period passes. What was on its way has arrived or been lost by
then, and the browser has written its jar to disk: that is what the grace period is for.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from tests.prove import tally
from tokenauth.session.rotation import Step, decide

OLD = 3
IN_FLIGHT = 3
GRACE_PERIOD = timedelta(seconds=60)
NOW = datetime(2026, 11, 20, tzinfo=UTC)

Decision = Callable[..., Step]


class Jar(NamedTuple):
    """The rotation of each token in a jar; ``aged``: the access token is past the grace period."""

    refresh: int = 0
    access: int = 0
    aged: bool = False


class Message(NamedTuple):
    """A request on its way to the server, or an answer on its way back."""

    kind: str
    refresh: int | None
    access: int
    aged: bool


@dataclass(frozen=True)
class World:
    """Everything that can be different."""

    confirmed: bool = False
    #: The current token was handed out less than a grace period ago.
    fresh: bool = True
    jar: Jar = field(default_factory=Jar)
    disk: Jar | None = None
    messages: tuple[Message, ...] = ()
    loot: frozenset[int] = frozenset()
    #: The youngest token ever confirmed, as a distance.
    proven: int = OLD
    ended: Step | None = None

    def aged_by_rotation(self) -> "World":
        """Count one rotation further: every token is one step older."""
        return replace(
            self,
            jar=older(self.jar),
            disk=self.disk and older(self.disk),
            messages=tuple(sorted(map(older, self.messages), key=repr)),
            loot=frozenset(min(token + 1, OLD) for token in self.loot),
            proven=min(self.proven + 1, OLD),
        )


def older(tokens):
    """Return a jar or message whose tokens are one rotation older."""
    refresh = None if tokens.refresh is None else min(tokens.refresh + 1, OLD)
    return tokens._replace(refresh=refresh, access=min(tokens.access + 1, OLD))


@dataclass
class Walk:
    """A walk over all worlds that a decision can lead to; ``found`` holds what went wrong."""

    decision: Decision
    thief: bool
    found: set[str] = field(default_factory=set)

    def __call__(self) -> int:
        """Visit every reachable world; return how many there are."""
        start = World()
        seen, queue = {start}, deque([start])
        while queue:
            for world in self.successors(queue.popleft()):
                if world not in seen:
                    seen.add(world)
                    queue.append(world)
        return len(seen)

    def successors(self, world: World) -> Iterator[World]:
        """Give every world one event further."""
        if world.ended:
            return
        yield from self.browser(world)
        yield from self.network(world)
        if self.thief:
            yield from self.thefts(world)

    def browser(self, world: World) -> Iterator[World]:
        jar = world.jar
        if len(world.messages) < IN_FLIGHT:
            yield send(world, Message("refresh", *jar))
            yield send(world, Message("page", None, jar.access, jar.aged))
        if world.disk is not None:  # killed; the new one starts from the disk
            yield replace(world, jar=world.disk, messages=())
        aged = jar._replace(aged=True)
        yield replace(world, fresh=False, jar=aged, disk=aged, messages=())

    def network(self, world: World) -> Iterator[World]:
        for message in set(world.messages):
            rest = list(world.messages)
            rest.remove(message)
            without = replace(world, messages=tuple(rest))
            yield without  # lost
            if message.kind == "answer":
                refresh = world.jar.refresh if message.refresh is None else message.refresh
                yield replace(without, jar=Jar(refresh, message.access, aged=False))
            elif message.kind == "page":
                yield self.confirm(without, message)
            else:
                yield from self.refresh(without, message.refresh, to_browser=True)

    def thefts(self, world: World) -> Iterator[World]:
        yield replace(world, loot=world.loot | {world.jar.refresh})
        for token in world.loot:
            yield from self.refresh(world, token, to_browser=False)

    def confirm(self, world: World, page: Message) -> World:
        if page.access == 0 and page.aged:
            return replace(world, confirmed=True, proven=0)
        return world

    def refresh(self, world: World, token: int, *, to_browser: bool) -> Iterator[World]:
        """Let the decision judge a token, and hand out what it says."""
        step = self.decision(
            SimpleNamespace(
                rotation=10,
                token_hash="current",
                issued_at=NOW - GRACE_PERIOD * (0.5 if world.fresh else 1.5),
                confirmed=world.confirmed,
            ),
            10 - token,
            "other" if token else "current",
            NOW,
            GRACE_PERIOD,
        )
        self.judge(world, token, step)
        if step in {Step.REUSE, Step.MISMATCH}:
            yield replace(world, ended=step)
            return
        if step is Step.ROTATE:
            world = replace(world.aged_by_rotation(), confirmed=False)
        if step is not Step.DEBOUNCE:
            world = replace(world, fresh=True)
        refresh = None if step is Step.DEBOUNCE else 0
        if to_browser:
            yield send(world, Message("answer", refresh, 0, aged=False))
        else:
            yield replace(world, loot=world.loot | ({0} if refresh == 0 else set()))

    def judge(self, world: World, token: int, step: Step) -> None:
        """Note a breach of invariant 1 or 2."""
        ends = step in {Step.REUSE, Step.MISMATCH}
        if ends and not self.thief:
            self.found.add("an honest person is signed out")
        if token > world.proven and not ends:
            self.found.add("a token comes back after its successor was confirmed, unnoticed")


def send(world: World, message: Message) -> World:
    """Put a message on its way; their order says nothing."""
    return replace(world, messages=tuple(sorted([*world.messages, message], key=repr)))


def strict_single_use(row, rot, token_hash, now, grace_period):
    """RFC 9700 to the letter."""
    return Step.ROTATE if rot == row.rotation else Step.REUSE


def grace_without_confirm(row, rot, token_hash, now, grace_period):
    """The predecessor counts for the grace period, then it is theft (Okta, Auth0)."""
    if rot == row.rotation:
        return Step.ROTATE
    in_time = now - row.issued_at < grace_period
    return Step.REISSUE if rot == row.rotation - 1 and in_time else Step.REUSE


def forever_window(row, rot, token_hash, now, grace_period):
    """The predecessor counts for ever (Supabase v2)."""
    if rot == row.rotation:
        return Step.ROTATE
    return Step.REISSUE if rot == row.rotation - 1 else Step.REUSE


def without_debounce(row, rot, token_hash, now, grace_period):
    """Ours, but a token that was only just handed out is rotated again."""
    step = decide(row, rot, token_hash, now, grace_period)
    return Step.ROTATE if step is Step.DEBOUNCE else step


@pytest.mark.parametrize("thief", [False, True], ids=["honest", "thief"])
def test_no_interleaving_breaks_an_invariant(thief, capsys):
    """Nobody honest is signed out, and no spent token comes back unnoticed, in any world."""
    walk = Walk(decide, thief)
    visited = walk()
    tally("states", visited)
    with capsys.disabled():
        print(f" [{visited:,} states]", end="")  # noqa: T201  # so that everybody sees it
    assert visited > (10_000 if thief else 300)
    assert walk.found == set()


@pytest.mark.parametrize(
    ("decision", "thief", "breach"),
    [
        (strict_single_use, False, "an honest person is signed out"),
        (grace_without_confirm, False, "an honest person is signed out"),
        (without_debounce, False, "an honest person is signed out"),
        (forever_window, True, "a token comes back after its successor was confirmed, unnoticed"),
    ],
)
def test_the_walk_catches_a_broken_decision(decision, thief, breach):
    """Each rule that others use is found wanting by the same walk."""
    walk = Walk(decision, thief)
    walk()
    assert breach in walk.found
