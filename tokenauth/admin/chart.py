"""Draw the last days of all sessions: three bands above each other, each to its own scale."""

from dataclasses import dataclass

from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from . import activity
from .activity import Day

#: In the units of the drawing.
STEP, HEIGHT, GAP, BASE = 20, 36, 22, 18
WIDTH = STEP * activity.DAYS


@dataclass(frozen=True)
class Mark:
    """A day's bar."""

    x: int
    y: int
    height: int


@dataclass(frozen=True)
class Band:
    """A row of the picture; ``name`` is a class of the style sheet."""

    name: str
    title: str
    values: list[int]
    top: int

    @property
    def greatest(self) -> int:
        """What reaches the top."""
        return max(self.values)

    @property
    def bottom(self) -> int:
        """Where the band's axis is."""
        return self.top + HEIGHT

    def height(self, value: int) -> int:
        """Return how high a value stands: nothing but nought is flat."""
        return max(2, round(value * HEIGHT / self.greatest)) if value else 0

    @property
    def bars(self) -> list[Mark]:
        """The bars of the days on which there was something."""
        marks = enumerate(map(self.height, self.values))
        return [Mark(n * STEP + 3, self.bottom - high, high) for n, high in marks if high]

    @property
    def line(self) -> str:
        """The points of a line from day to day."""
        heights = enumerate(map(self.height, self.values))
        return " ".join(f"{n * STEP + STEP // 2},{self.bottom - high}" for n, high in heights)

    @property
    def area(self) -> str:
        """The points of what is below the line."""
        return f"{STEP // 2},{self.bottom} {self.line} {WIDTH - STEP // 2},{self.bottom}"

    @property
    def caption(self) -> int:
        """Where the title's line of text stands."""
        return self.top - 6


@dataclass(frozen=True)
class Column:
    """A day of the picture and of the table, with a link to the sessions that it began."""

    day: Day
    x: int
    link: str

    @property
    def label(self) -> str:
        """The day's date."""
        return date_format(self.day.date, "MONTH_DAY_FORMAT")


@dataclass(frozen=True)
class Picture:
    """All that the template needs; every coordinate is whole, so no locale can spell it."""

    bands: list[Band]
    columns: list[Column]
    width: int = WIDTH
    step: int = STEP
    bar: int = STEP - 6

    @property
    def height(self) -> int:
        """How high the whole picture is."""
        return self.bands[-1].bottom + BASE

    @property
    def latest(self) -> list[Column]:
        """The days of the table, which begins with today."""
        return self.columns[::-1]


def draw(list_url: str) -> Picture:
    """Count and draw; ``list_url`` is where the sessions are listed."""
    days = activity.last_days()
    sign_ins, thefts = [day.sign_ins for day in days], [day.thefts for day in days]
    active = [day.active for day in days]
    rows = [
        ("active", title_of(active[-1], activity.count_bound()), active),
        ("sign-ins", _("Sign-ins: %d") % sum(sign_ins), sign_ins),
        ("thefts", _("Theft alerts: %d") % sum(thefts), thefts),
    ]
    bands = [Band(*row, top=GAP + n * (HEIGHT + GAP)) for n, row in enumerate(rows)]
    columns = [Column(day, n * STEP, began_on(day, list_url)) for n, day in enumerate(days)]
    return Picture(bands, columns)


def title_of(active: int, bound: int | None) -> str:
    """Say how many sessions live and, where the site binds them, how many are bound."""
    if bound is None:
        return _("Active sessions: %d") % active
    numbers = {"active": active, "bound": min(bound, active)}
    return _("Active sessions: %(active)d, bound to their device: %(bound)d") % numbers


def began_on(day: Day, list_url: str) -> str:
    """Return the address of the list of the sessions that began on a day."""
    first, last = day.begin.isoformat(" "), day.end.isoformat(" ")
    query = {"created_at__gte": first, "created_at__lt": last, "status": "all"}
    return f"{list_url}?{urlencode(query)}"
