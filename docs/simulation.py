"""Simulate a day of page loads, and compare tokenauth, unbound and bound, with three others.

    python docs/simulation.py                                     the table
    python docs/simulation.py --svg docs/images/simulation.svg    the same numbers, drawn

One run is one session over 24 hours: a browser with a jar, a network that delays or loses answers,
a server with one rule for refresh tokens, and perhaps a thief who copied the jar. Ours is judged
by the real decision (``tokenauth.session.rotation.decide``); all else is a model. Seeded: the same
numbers every time. Nothing here is used by the app.
"""

import argparse
import heapq
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from tokenauth.session.rotation import Step, decide

DAY = 24 * 3600
GRACE = 60
GRACE_PERIOD = timedelta(seconds=GRACE)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LIFETIMES = (15 * 60, 5 * 60)
#: Lengths of a row of late re-issues for which the column is judged.
STREAKS = (2, 3, 5)
#: Another rule that is judged beside it: see ``Ours.page``.
OVERTAKEN = 0
#: Sessions per number.
HONEST, ROBBED = 300, 100
#: When the jar is copied.
THEFT = 3600
#: How long a device token lives; its cookie is replaced two minutes before it goes, which is a
#: grace period earlier.
DEVICE_TOKEN = 600
REPLACED_WITH = GRACE + 120


class Access(NamedTuple):
    """What an access token says."""

    rot: int
    issued: float
    expires: float


class Jar(NamedTuple):
    """The two cookies."""

    refresh: int
    access: Access


# The servers. Each gives the next refresh token, None for "keep yours", or raises Ended.


class Ended(Exception):  # noqa: N818  # an outcome, no error
    """The session is over: a refresh token was taken for stolen."""


class Ours:
    """The real decision, on a row that is as small as it can be."""

    name = "tokenauth"

    def __init__(self) -> None:
        self.rotation, self.confirmed, self.issued_at, self.rotated = 0, False, EPOCH, 0.0
        #: Rotations in a row that saw a late re-issue, and when the row first was that long.
        self.streak, self.is_late, self.reached = 0, False, dict[int, float]()

    @property
    def token_hash(self) -> str:
        return str(self.rotation)

    def refresh(self, token: int, now: float) -> int | None:
        moment = EPOCH + timedelta(seconds=now)
        step = decide(self, token, str(token), moment, GRACE_PERIOD)
        if step in (Step.REUSE, Step.MISMATCH):
            raise Ended
        if step is Step.DEBOUNCE:
            return None
        if step is Step.ROTATE:
            self.streak = self.streak if self.is_late else 0
            self.rotation, self.confirmed, self.is_late = self.rotation + 1, False, False
            self.rotated = now
        elif moment - self.issued_at > GRACE_PERIOD and not self.is_late:
            self.streak, self.is_late = self.streak + 1, True
            self.reached.setdefault(self.streak, now)
        self.issued_at = moment
        return self.rotation

    def page(self, access: Access, now: float) -> None:
        """Confirm, as ``settlement.confirms`` does.

        And note an access token that is still good though its session was rotated long since. The
        middleware refreshes expired ones only, so one holder would not have refreshed this one.
        """
        if access.rot == self.rotation and now - (int(access.issued) + 1) > GRACE:
            self.confirmed = True
        if access.rot < self.rotation and now - self.rotated > GRACE:
            self.reached.setdefault(OVERTAKEN, now)


class Bound(Ours):
    """The same, of a session that is bound to its device: who cannot prove its key is shut out.

    Rotation goes on below it, and the person's browser always can. A thief has what is left of the
    device token that he copied.
    """

    name = "tokenauth, bound"


class Strict:
    """RFC 9700 to the letter: a token is good once."""

    name = "strict single use"

    def __init__(self) -> None:
        self.rotation = 0

    def refresh(self, token: int, now: float) -> int | None:
        if token != self.rotation:
            raise Ended
        self.rotation += 1
        return self.rotation

    def page(self, access: Access, now: float) -> None:
        """Learn nothing."""


class Sibling(Strict):
    """A spent token is good for 30 s more, each time for a new sibling (Ory Hydra)."""

    name = "30 s grace, new sibling"

    def __init__(self) -> None:
        self.rotation, self.spent = 0, dict[int, float]()

    def refresh(self, token: int, now: float) -> int | None:
        if now - self.spent.setdefault(token, now) > 30:
            raise Ended
        self.rotation += 1
        return self.rotation


class Supabase(Strict):
    """The parent is good for ever; within 10 s of any refresh, so is every ancestor (v2)."""

    name = "Supabase v2"

    def __init__(self) -> None:
        self.rotation, self.refreshed_at = 0, 0.0

    def refresh(self, token: int, now: float) -> int | None:
        behind = self.rotation - token
        if behind > 1 and now - self.refreshed_at >= 10:
            raise Ended
        self.rotation += behind == 0
        self.refreshed_at = now
        return self.rotation


SERVERS: list[Any] = [Ours, Bound, Strict, Sibling, Supabase]


# The people: when they load a page.


def ordinary(rng: random.Random) -> Iterator[float]:
    """Use it for about 20 minutes, then do something else for an hour and a half."""
    now = 0.0
    while True:
        pause = now + rng.expovariate(1 / 1200)
        while now < pause:
            yield now
            now += rng.expovariate(1 / 40)
        now += rng.expovariate(1 / 5400)


def steady(rng: random.Random, gap: float = 60) -> Iterator[float]:
    """Load a page a minute, all day."""
    now = 0.0
    while True:
        yield now
        now += rng.expovariate(1 / gap)


def busy_tab(rng: random.Random) -> Iterator[float]:
    """Leave a tab open that asks every 10 seconds."""
    yield from (rng.random() + 10 * n for n in range(DAY // 10))


def idle_tab(rng: random.Random) -> Iterator[float]:
    """Leave a tab open that asks every 20 minutes."""
    yield from (rng.random() + 1200 * n for n in range(DAY // 1200))


@dataclass(frozen=True)
class Life:
    """A person, a browser and a network; the default is one in which nothing goes wrong."""

    loads: Callable[[random.Random], Iterator[float]] = ordinary
    #: Most requests that one page load sends at once.
    parallel: int = 1
    #: Share of answers that are lost.
    lost: float = 0.0
    #: Share of requests that take ``delay`` seconds, and of answers.
    slow_requests: float = 0.0
    slow_answers: float = 0.0
    delay: tuple[float, float] = (1, 20)
    #: Crashes per page load; each comes within 40 s of one.
    crashes: float = 0.0
    #: Whether half of the people reload within seconds when an answer is lost.
    reloads: bool = True


@dataclass
class World:
    """One session: events in the order of time until it ends, or the day does."""

    server: Any
    life: Life
    lifetime: int
    rng: random.Random
    thief: "type[Thief] | None" = None
    events: list[Any] = field(default_factory=list)
    count: int = 0
    #: The jar as it was, to start from after a crash; its last entry is the jar.
    journal: list[tuple[float, Jar]] = field(default_factory=list)
    #: How often the browser crashed: what is in flight then never arrives.
    crashed: int = 0
    robber: "Thief | None" = None

    @property
    def jar(self) -> Jar:
        return self.journal[-1][1]

    def at(self, moment: float, action: Callable[..., None], *args: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (moment, self.count, action, args))

    def run(self) -> float | None:
        """Live through the day; return when the session was ended, if it was."""
        self.journal.append((0.0, Jar(0, Access(0, 0.0, self.lifetime))))
        loads = self.life.loads(self.rng)
        self.at(next(loads), self.load, loads)
        if self.thief:
            self.at(THEFT + self.rng.random() * self.lifetime, self.steal)
        now: float
        while self.events:
            now, _, action, args = heapq.heappop(self.events)
            if now > DAY:
                return None
            try:
                action(now, *args)
            except Ended:
                return now
        return None

    def exchange(self, token: int, now: float) -> tuple[int | None, Access]:
        """Present a refresh token; return what the answer carries."""
        refresh = self.server.refresh(token, now)
        rot = getattr(self.server, "rotation", 0)
        return refresh, Access(rot, now, now + self.lifetime)

    # The browser

    def load(self, now: float, loads: Iterator[float] | None = None) -> None:
        """Load a page with the jar as it is now: every request of it carries the same tokens."""
        if loads is not None:
            upcoming = next(loads, None)
            if upcoming is not None:
                self.at(upcoming, self.load, loads)
        jar, rng, life = self.jar, self.rng, self.life
        if now < jar.access.expires:
            self.server.page(jar.access, now)
        else:
            for n in range(rng.randint(1, life.parallel)):
                moment = now + self.travel(life.slow_requests)
                self.at(moment, self.arrive, jar.refresh, self.crashed, n == 0)
        if life.crashes and rng.random() < life.crashes:
            self.at(now + rng.uniform(0, 40), self.crash)

    def travel(self, slow: float) -> float:
        """Return how long a message takes; ``slow`` is the share of slow ones."""
        is_slow = slow and self.rng.random() < slow
        return self.rng.uniform(*self.life.delay) if is_slow else self.rng.uniform(0.02, 0.4)

    def arrive(self, now: float, token: int, crashed: int, first: bool) -> None:
        answer = self.exchange(token, now)
        if self.robber:
            self.robber.notice(now)
        if self.rng.random() >= self.life.lost:
            self.at(now + self.travel(self.life.slow_answers), self.store, answer, crashed)
        elif first and self.life.reloads and self.rng.random() < 0.5:
            self.at(now + self.rng.uniform(2, 15), self.load)

    def store(self, now: float, answer: tuple[int | None, Access], crashed: int) -> None:
        if crashed == self.crashed:
            refresh = self.jar.refresh if answer[0] is None else answer[0]
            self.journal.append((now, Jar(refresh, answer[1])))

    def crash(self, now: float) -> None:
        """Lose what Chromium had not written to disk yet, and start again."""
        self.crashed += 1
        while len(self.journal) > 1 and self.journal[-1][0] > now - 30:
            self.journal.pop()
        self.at(now + self.rng.uniform(5, 120), self.load)

    def steal(self, now: float) -> None:
        if self.thief:
            self.robber = self.thief(self, self.jar)
            self.robber.begin(now)
            if isinstance(self.server, Bound):
                self.at(now + self.rng.uniform(REPLACED_WITH, DEVICE_TOKEN), self.shut_out)

    def shut_out(self, now: float) -> None:
        """Refuse the thief from here on: for him it is over, though the session is not."""
        if self.robber and self.robber.started is None:
            self.robber.started = now  # he comes too late
        raise Ended


class Thief:
    """Somebody with a copy of the jar; presents the newest refresh token he has."""

    def __init__(self, world: World, jar: Jar) -> None:
        self.world, self.jar, self.rng = world, jar, world.rng
        self.started: float | None = None
        self.planned = False

    def begin(self, now: float) -> None:
        """Set out."""

    def notice(self, now: float) -> None:
        """Notice that the victim has just refreshed, if he can see that."""

    def plan(self, moment: float) -> None:
        if not self.planned:
            self.planned = True
            self.world.at(moment, self.act)

    def act(self, now: float) -> None:
        self.planned = False
        self.refresh(now)

    def refresh(self, now: float) -> None:
        self.started = now if self.started is None else self.started
        refresh, access = self.world.exchange(self.jar.refresh, now)
        self.jar = Jar(self.jar.refresh if refresh is None else refresh, access)

    def page(self, now: float, *_: Any) -> None:
        if now < self.jar.access.expires:
            self.world.server.page(self.jar.access, now)


class Careless(Thief):
    """Uses it about once an hour, for a few pages."""

    pause = 3600

    def begin(self, now: float) -> None:
        self.plan(now + self.rng.expovariate(1 / self.pause))

    def act(self, now: float) -> None:
        self.planned = False
        if now >= self.jar.access.expires:
            self.refresh(now)
            for later in (30, 90, 150):
                self.world.at(now + later, self.page)
        self.page(now)
        self.begin(now)


class Eager(Careless):
    """Uses it about every five minutes."""

    pause = 300


class LockStep(Thief):
    """Does what the browser does: asks every 5 s, and refreshes when the access token is over."""

    def begin(self, now: float) -> None:
        # Of his requests only two tell: the first that can confirm, and the first too late.
        ask = self.rng.uniform(0, 5)
        self.world.at(max(now, self.jar.access.issued + GRACE + 2 + ask), self.page)
        self.plan(max(now, self.jar.access.expires) + ask)

    def act(self, now: float) -> None:
        super().act(now)
        self.begin(now)


class Timer(Thief):
    """Knows the victim's pace: refreshes once a period, and uses the access token for seconds only.

    Past the grace period it would confirm the rotation, and the victim's token be taken for his.
    """

    def begin(self, now: float) -> None:
        self.plan(now)

    def act(self, now: float) -> None:
        super().act(now)
        self.plan(now + self.world.lifetime + 60)


class Alternating(Timer):
    """The same, but learns minutes later that the victim has refreshed: acts once in between."""

    def act(self, now: float) -> None:
        Thief.act(self, now)

    def notice(self, now: float) -> None:
        self.plan(now + self.rng.uniform(GRACE + 10, self.world.lifetime - 10))


class Shadow(Thief):
    """Sees the victim refresh, and always follows within 25 s: inside every grace period."""

    def notice(self, now: float) -> None:
        self.plan(now + self.rng.uniform(1, 25))


# Counting


@dataclass
class Fate:
    """What became of many sessions: (first use by a thief or 0, end) of each."""

    ends: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The percentage that was ended."""
        return 100 * sum(end is not None for _, end in self.ends) / len(self.ends)

    @property
    def minutes(self) -> float | None:
        """The median time to the end, of those that were ended."""
        minutes = [(end - start) / 60 for start, end in self.ends if end is not None]
        return statistics.median(minutes) if minutes else None


#: By length of a row of late re-issues that ends a session; None for the rule as it is.
Fates = dict[int | None, Fate]


def live(make: Callable[[], Any], life: Life, lifetime: int, thief: type[Thief] | None) -> Fates:
    """Live many sessions under one rule."""
    fates: Fates = {n: Fate() for n in (None, *STREAKS, OVERTAKEN)}
    for seed in range(ROBBED if thief else HONEST):
        rng = random.Random(seed)  # noqa: S311  # a model, no secret
        world = World(make(), life, lifetime, rng, thief)
        end = world.run()
        start = world.robber.started if world.robber else 0.0
        if start is None:  # he never saw his moment
            continue
        fates[None].ends.append((start, end))
        for n in (*STREAKS, OVERTAKEN):
            sooner = getattr(world.server, "reached", {}).get(n, end)
            fates[n].ends.append((start, sooner))
    return fates


#: About four crashes a day for an ordinary person.
CRASHES = 0.01
HONEST_LIVES = {
    "parallel requests": Life(parallel=6, slow_requests=0.02, slow_answers=0.02),
    "1 % lost answers": Life(lost=0.01),
    "4 crashes a day": Life(crashes=CRASHES),
    "all three": Life(
        parallel=6, slow_requests=0.02, slow_answers=0.02, lost=0.01, crashes=CRASHES
    ),
    "5 % lost": Life(lost=0.05),
    "20 % lost": Life(lost=0.2),
    "40 crashes a day": Life(crashes=10 * CRASHES),
    "tab asks every 20 min, 1 % lost": Life(loads=idle_tab, lost=0.01, reloads=False),
    "tab asks every 20 min, 5 % lost": Life(loads=idle_tab, lost=0.05, reloads=False),
    "tab asks every 20 min, 20 % lost": Life(loads=idle_tab, lost=0.2, reloads=False),
    "1 % of requests take 20-50 s": Life(slow_requests=0.01, delay=(20, 50)),
    "1 % of answers take 1-5 min": Life(slow_answers=0.01, delay=(60, 300)),
    "1 % of requests take 1-5 min": Life(slow_requests=0.01, delay=(60, 300)),
}
#: One request a page load, so that strict single use lives long enough to be robbed.
CALM, STEADY = Life(), Life(loads=steady)
THIEVES: dict[str, tuple[type[Thief], Life]] = {
    "careless, every hour": (Careless, CALM),
    "careless, every 5 min": (Eager, CALM),
    "lock-step, a page a minute": (LockStep, STEADY),
    "lock-step, a tab asks every 10 s": (LockStep, Life(loads=busy_tab)),
    "timing, by the clock": (Timer, STEADY),
    "timing, sees when, minutes late": (Alternating, STEADY),
    "timing, always within 25 s": (Shadow, STEADY),
}

Row = tuple[str, list[Fate]]


def columns(life: Life, lifetime: int, thief: type[Thief] | None = None) -> list[Fate]:
    """Return a fate for each rule of others, then for ours as it is and with the column."""
    ours, *others = [live(make, life, lifetime, thief) for make in SERVERS]
    return [
        ours[None],
        *(fates[None] for fates in others),
        *(ours[n] for n in (*STREAKS, OVERTAKEN)),
    ]


def honest_rows(lifetime: int) -> list[Row]:
    return [(name, columns(life, lifetime)) for name, life in HONEST_LIVES.items()]


def thief_rows(lifetime: int) -> list[Row]:
    return [(name, columns(life, lifetime, thief)) for name, (thief, life) in THIEVES.items()]


def found(fate: Fate) -> str:
    """Say how many thieves were found, and in what median time from their first use."""
    if fate.minutes is None:
        return "never"
    minutes = fate.minutes
    time = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    return f"{fate.share:.0f} % {time}"


def lost(fate: Fate) -> str:
    """Say how many honest sessions were ended."""
    return f"{fate.share:.1f} %" if fate.share else "0"


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print columns, the first left-aligned."""
    widths = [max(len(row[n]) for row in [head, *rows] if len(row) > 1) for n in range(len(head))]
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


NOTES = """
N = n      tokenauth, if n rotations in a row with a re-issue later than the grace period ended it
overtaken  tokenauth, if an unexpired access token of an earlier rotation, later than the grace
           period after the rotation, ended it
0          none at all
n % time   share of thieves found within the day, or shut out, and the median time of those
"""

INK = {
    Ours.name: "#1a7f4b",
    Bound.name: "#0891b2",
    Strict.name: "#c2410c",
    Sibling.name: "#2563eb",
    Supabase.name: "#8b5cf6",
}
SHAPES = {
    Ours.name: '<circle cx="{x}" cy="{y}" r="6.5" fill="{ink}"/>',
    Bound.name: '<circle cx="{x}" cy="{y}" r="5" fill="none" stroke="{ink}" stroke-width="4"/>',
    Strict.name: '<rect x="{x_}" y="{y_}" width="10" height="10" fill="{ink}"/>',
    Sibling.name: '<path d="M{x} {y}m0 -7l7 7l-7 7l-7 -7z" fill="{ink}"/>',
    Supabase.name: '<path d="M{x} {y}m0 -6.5l6.5 11.5h-13z" fill="{ink}"/>',
}
STYLE = """
svg { color: #1f2328; background: #fff; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #161b22; } }
text { fill: currentColor; } .head { font-weight: 600; font-size: 15px; } .end { text-anchor: end; }
.mid { text-anchor: middle; } line { stroke: currentColor; opacity: .25; }"""
LEFT, RIGHT, NEVER = 250, 640, 700


def mark(name: str, x: float, y: float) -> str:
    """Draw a server's sign."""
    place = {"x": f"{x:.1f}", "y": y, "x_": f"{x - 5:.1f}", "y_": y - 5}
    return SHAPES[name].format(ink=INK[name], **place)


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{words}</text>'


def line(x: float, y: float, x2: float, y2: float) -> str:
    return f'<line x1="{x:.0f}" y1="{y}" x2="{x2:.0f}" y2="{y2}"/>'


def when(minutes: float) -> float:
    """Return where a time stands between a minute and a day, as a logarithm."""
    return LEFT + (RIGHT - LEFT) * math.log(max(1, minutes)) / math.log(DAY / 60)


def spread(marks: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Keep signs in one row from covering each other."""
    last = -math.inf
    for x, name in sorted(marks):
        last = max(x, last + 15)
        yield last, name


def draw(honest: list[Row], thieves: list[Row]) -> str:
    """Return the chart: bars for what honest people lose, signs for when thieves are found."""
    names = list(INK)
    out = [text(20, 28, "Honest sessions lost in a day (access token 15 min)", "head")]
    y = 52
    for cause, fates in honest:
        out.append(text(LEFT - 12, y + 34, cause, "end"))
        for name, fate in zip(names, fates, strict=False):
            width = (RIGHT - LEFT) * fate.share / 100
            out.append(
                f'<rect x="{LEFT}" y="{y}" width="{max(1.5, width):.1f}" height="12" '
                f'fill="{INK[name]}"/>{text(LEFT + width + 8, y + 11, lost(fate))}'
            )
            y += 15
        y += 12
    out.append(
        text(
            20,
            y + 18,
            "A thief with a copy of the jar: median time until found, or shut out",
            "head",
        )
    )
    y += 44
    ticks = {"1 min": 1, "10 min": 10, "1 h": 60, "6 h": 360, "1 day": DAY / 60}
    bottom = y + 10 + 30 * len(thieves)
    for label, minutes in ticks.items():
        out += [
            text(when(minutes), y, label, "mid"),
            line(when(minutes), y + 8, when(minutes), bottom),
        ]
    out += [text(NEVER + 22, y, "mostly not", "mid"), line(RIGHT + 30, y - 8, RIGHT + 30, bottom)]
    for thief, fates in thieves:
        y += 30
        out.append(text(LEFT - 12, y + 4, thief, "end"))
        pairs = list(zip(names, fates, strict=False))
        inside = [(when(f.minutes or 0), name) for name, f in pairs if f.share >= 50]
        missed = [(float(NEVER), name) for name, f in pairs if f.share < 50]
        out += [mark(name, x, y) for x, name in [*spread(inside), *spread(missed)]]
    y += 40
    x = 28
    for name in names:
        out += [mark(name, x, y), text(x + 14, y + 4, name)]
        x += 40 + 7 * len(name)
    y += 26
    note = (
        f"{HONEST} honest or {ROBBED} robbed sessions each. The median is of those found; "
        "“mostly not”: under half, in a day."
    )
    out.append(text(34, y, note))
    told = "; ".join(
        f"{title}: " + ", ".join(f"{n} {say(f)}" for n, f in zip(names, fates, strict=False))
        for rows, say in ((honest, lost), (thieves, found))
        for title, fates in rows
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {y + 16}" role="img" '
        f'aria-labelledby="title desc">\n<title id="title">Five rules for refresh tokens over a '
        f'day: false sign-outs, and time to find a thief</title>\n<desc id="desc">{told}.</desc>\n'
        f"<style>{STYLE}\n</style>\n" + "\n".join(out) + "\n</svg>\n"
    )


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--svg", type=Path, help="draw the numbers of the default lifetime here")
    options = parser.parse_args()
    head = ["", *(make.name for make in SERVERS), *(f"N = {n}" for n in STREAKS), "overtaken"]
    rows: list[list[str]] = []
    for lifetime in LIFETIMES:
        honest, thieves = honest_rows(lifetime), thief_rows(lifetime)
        title = f"access token {lifetime // 60} min"
        rows.append([f"{title}: HONEST SESSIONS LOST IN A DAY (of {HONEST})"])
        rows += [["  " + name, *map(lost, fates)] for name, fates in honest]
        rows.append([f"{title}: THIEVES FOUND, MEDIAN TIME FROM FIRST USE (of {ROBBED})"])
        rows += [["  " + name, *map(found, fates)] for name, fates in thieves]
        if options.svg and lifetime == LIFETIMES[0]:
            options.svg.write_text(draw(honest[:3], thieves), encoding="utf-8")
    table(head, rows)
    sys.stdout.write(NOTES)


if __name__ == "__main__":
    main()
