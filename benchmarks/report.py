"""Say what was measured: a table for each group, a chart, JSON."""

import argparse
import json
import platform
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.columns import COLUMNS, GROUPS, Column

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "topics" / "performance.md"
CHART = ROOT / "docs" / "images" / "performance.svg"

DISTRIBUTIONS = [
    "Django",
    "djangorestframework",
    "djangorestframework-simplejwt",
    "dj-rest-auth",
    "django-allauth",
    "django-oauth-toolkit",
    "django-rest-knox",
    "PyJWT",
]
NONE = "-"
#: In the one table of all groups: what a column does, if it is no page.
KINDS = {"refresh": "a refresh: ", "login": "a sign-in: "}
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def describe(options: argparse.Namespace, module: str = "requests") -> dict[str, Any]:
    """Return what a reader must know to repeat it."""
    chosen = f' --columns "{options.columns}"' if options.columns else ""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.{module}{chosen} --database {options.database}",
        "database": options.database,
        "rounds": options.rounds,
        "python": platform.python_version(),
        "versions": {name: found for name in DISTRIBUTIONS if (found := version_of(name))},
    }


def version_of(name: str) -> str:
    """Return a distribution's version; nothing if it is not here."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """Return what is checked out, and whether what is measured was changed since."""
    name = git("rev-parse", "--short", "HEAD")
    changed = name and git("status", "--porcelain", "tokenauth", "benchmarks")
    return f"{name or 'unknown'}{'-dirty' if changed else ''}"


def git(*arguments: str) -> str:
    """Return what git says; nothing where it is missing, or this is no checkout."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(  # noqa: S603  # git, with words of ours
            command, cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def keep(result: dict[str, Any], begin: str = "") -> Path:
    """Write everything down, under the time it was measured; return where."""
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    file = RESULTS / f"{begin}{result['database']}-{stamp}-{result['commit']}.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return file.relative_to(ROOT)


# Figures


def above(result: dict[str, Any], name: str, figure: str) -> float | None:
    """Return a figure of a column above its floor; None if it was not measured."""
    measured = result["columns"]
    one, floor = measured.get(name, {}), measured.get(COLUMNS[name].floor, {})
    return one[figure] - floor[figure] if figure in one and figure in floor else None


def best(result: dict[str, Any]) -> str:
    """Return the figure that the ratios are made of."""
    counted = all("instructions" in one for one in result["columns"].values())
    return "instructions" if counted else "microseconds"


def ratio(one: float | None, other: float | None) -> str:
    """Return how many times as much one is."""
    return f"{one / other:.2f}" if one is not None and other else NONE


def statements(counts: dict[str, float]) -> str:
    """Return reads and writes. What opens and closes transactions is not among them."""
    reads, writes = (int(counts.get(kind, 0)) for kind in ("reads", "writes"))
    return f"{reads} + {writes}" if writes else str(reads)


# Tables


def tables(result: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    """Return the tables in Markdown, and under what they were made."""
    parts = []
    for key, group in GROUPS.items():
        columns = [c for c in COLUMNS.values() if c.group == key and c.name in result["columns"]]
        if columns:
            parts.append(f"{group.title}:\n\n{table(result, columns, group.references, before)}")
    return "\n".join([*parts, *lines(result)]) + "\n"


def table(
    result: dict[str, Any],
    columns: list[Column],
    references: tuple[str, ...],
    before: dict[str, Any] | None,
) -> str:
    """Return a group's table."""
    heads = [f"÷ {COLUMNS[name].title}" for name in references] + ["÷ before"] * bool(before)
    names = ["", "SQL", "M instructions", *heads, "µs of CPU"]
    rows = [names, ["---", "---", *["---:"] * (len(names) - 2)]]
    figure = best(result)
    for column in columns:
        mine = above(result, column.name, figure)
        others = [above(result, name, figure) for name in references]
        if before:
            known = column.name in before["columns"]
            others.append(above(before, column.name, figure) if known else None)
        counted = above(result, column.name, "instructions")
        took = above(result, column.name, "microseconds")
        rows.append(
            [
                bold(column),
                statements(result["columns"][column.name]["statements"]),
                NONE if counted is None else f"{counted / 1e6:.2f}",
                *(ratio(mine, other) for other in others),
                NONE if took is None else f"{took:.0f}",
            ]
        )
    return markdown(rows)


def markdown(rows: list[list[str]]) -> str:
    """Return rows as a table; the second one says on which side its columns are."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def bold(column: Column) -> str:
    """Return a column's title; ours are to be seen."""
    return f"**{column.title}**" if column.name.startswith("tokenauth") else column.title


def load_table(result: dict[str, Any]) -> str:
    """Return what the columns did under load, and how it was measured."""
    figures = {"rate": ("requests/s", ".0f"), "p50": ("p50, ms", ".1f"), "p99": ("p99, ms", ".1f")}
    beside = f"÷ {COLUMNS['session_db'].title} (from … to)"
    names = ["", *(name for head, _ in figures.values() for name in (head, beside))]
    rows = [names, ["---", *["---:"] * (len(names) - 1)]]
    for name, found in result["columns"].items():
        row = [KINDS.get(COLUMNS[name].group, "") + bold(COLUMNS[name])]
        for figure, (_, form) in figures.items():
            row += [format(found[figure], form), paired(result["columns"], name, figure)]
        rows.append(row)
    return "\n".join([markdown(rows), load_line(result), *lines(result)]) + "\n"


def paired(columns: dict[str, Any], name: str, figure: str) -> str:
    """Return a column's ratio to Django's session: of those within a round, the median and all."""
    if "session_db" not in columns:
        return NONE
    pairs = zip(columns[name]["rounds"], columns["session_db"]["rounds"], strict=True)
    ratios = [one[figure] / other[figure] for one, other in pairs]
    wavers = "" if name == "session_db" else f" ({min(ratios):.2f} … {max(ratios):.2f})"
    return f"{median(ratios):.2f}{wavers}"


def load_line(result: dict[str, Any]) -> str:
    """Return the circumstances of a load."""
    busiest = max(one["wrk"] for found in result["columns"].values() for one in found["rounds"])
    tools = ", ".join(f"{name} {number}" for name, number in result["tools"].items())
    return (
        f"{result['rounds']} rounds of {result['seconds']} s, {result['connections']} connections,"
        f" {result['workers']} workers,\n{result['processors']} processors with a load average of"
        f" {result['load average']} before; wrk took at most {busiest:.0%} of one.\n{tools},"
    )


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield under what it was measured, in short lines."""
    versions = [f"{name} {number}" for name, number in result["versions"].items()]
    half = (len(versions) + 1) // 2
    yield (
        f"{DATABASES[result['database']]}, commit {result['commit']}, {result['date']}, "
        f"Python {result['python']},"
    )
    yield ", ".join(versions[:half]) + ","
    yield ", ".join(versions[half:]) + ":"
    yield f"`{result['command']}`"


# Chart


STYLE = """
    .card { fill: #fff } .ink { fill: #1f2430 } .soft { fill: #5b6472 }
    .peer { fill: #8a93a3 } .ours { fill: #1e7a3a } .line { stroke: #8a93a3 }
    @media (prefers-color-scheme: dark) {
      .card { fill: #161a22 } .ink { fill: #e9ecf2 } .soft { fill: #a9b2c1 }
      .peer { fill: #727c8d } .ours { fill: #7fd69a } .line { stroke: #727c8d }
    }
  """


def chart(result: dict[str, Any]) -> str:
    """Draw what a signed-in request costs, Django's session in the database being 1."""
    figure = best(result)
    unit = above(result, "session_db", figure)
    shown = [c for c in COLUMNS.values() if c.group == "request" and c.name in result["columns"]]
    costs = [(c, (above(result, c.name, figure) or 0) / (unit or 1)) for c in shown]
    longest = max(cost for _, cost in costs)
    height = 74 + 28 * len(costs)
    left, wide = 262, 420 / longest
    bars = []
    for n, (column, cost) in enumerate(costs):
        y = 50 + 28 * n
        kind = "ours" if column.name.startswith("tokenauth") else "peer"
        bars.append(
            f'  <text class="ink" x="{left - 10}" y="{y + 14}" text-anchor="end">'
            f"{escape(column.title)}</text>\n"
            f'  <rect class="{kind}" x="{left}" y="{y}" width="{cost * wide:.1f}" height="19" '
            f'rx="3"/>\n'
            f'  <text class="ink" x="{left + cost * wide + 8:.1f}" y="{y + 14}">{cost:.2f}</text>'
        )
    one = left + wide
    drawn = "\n".join(bars)
    words = f"{DATABASES[result['database']]}, commit {result['commit']}, {result['date']}"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img" \
aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="13">
  <title id="t">What it costs to sign a request in</title>
  <desc id="d">{"; ".join(f"{escape(c.title)} {cost:.2f}" for c, cost in costs)}.</desc>
  <style>{STYLE}</style>
  <rect class="card" width="760" height="{height}" rx="12"/>
  <text class="ink" x="24" y="30" font-size="15">What it costs to sign a request in: \
{figure}, Django's session in the database = 1</text>
  <path class="line" stroke-dasharray="4 4" d="M{one:.1f} 44V{height - 28}"/>
{drawn}
  <text class="soft" x="24" y="{height - 10}" font-size="12">{words}</text>
</svg>
"""


def publish(result: dict[str, Any]) -> None:
    """Put the tables into the page between the marks of this database; SQLite's chart, too."""
    put(result["database"], tables(result))
    if result["database"] == "sqlite":
        CHART.write_text(chart(result), encoding="utf-8")


def put(name: str, text: str) -> None:
    """Put a text into the page between the marks of this name."""
    begin, end = f"<!-- bench: {name} -->", "<!-- end of bench -->"
    block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(block.sub(lambda _: f"{begin}\n{text}{end}", page), encoding="utf-8")
