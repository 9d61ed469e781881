"""Measure what it costs to sign a request in: tokenauth beside what else there is.

    python -m benchmarks.requests
    python -m benchmarks.requests --columns "tokenauth session_db" --database postgresql

A name stands for one column, or for all that begin so. Each column is a process of its own with a
project of its own (``benchmarks/columns.py``). They take turns, so that whatever else the machine
does falls on all of them; CPU time is the median of the rounds. Where valgrind is installed, the
instructions of a request are counted too: these are the same on a busy machine as on a quiet one.

The table goes to the output, everything to ``benchmarks/results/``. ``--against FILE`` compares
with what an earlier run left there. ``--write`` puts table and chart into the documentation.
PostgreSQL is the one that ``PGHOST``, ``PGPORT``, ``PGUSER`` and ``PGPASSWORD`` name.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report, valgrind
from benchmarks.columns import COLUMNS, Column, choose

ROOT = Path(__file__).parents[1]
WARM = 5
EACH = 10
COUNTED = 20
#: The same hashes in every process, so the same order of sets, so the same instructions.
ENVIRONMENT = os.environ | {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}


class Place:
    """Where the columns keep their databases and requests."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self.engine = engine

    def database(self, column: Column) -> str:
        """Return the name of a column's database."""
        if self.engine == "sqlite":
            return str(self.folder / f"{column.name}.sqlite3")
        return f"bench_{os.getpid()}_{column.name}"

    def file(self, column: Column) -> Path:
        """Return where a column's requests are."""
        return self.folder / f"{column.name}.json"

    def arguments(self, column: Column, *more: str) -> list[str]:
        """Return what a column's process is started with."""
        where = [column.name, self.engine, self.database(column), str(self.file(column))]
        return ["-m", "benchmarks.column", *where, *more]

    def prepare(self, column: Column, number: int) -> None:
        """Have a column make its tables and its credentials."""
        command = [sys.executable, *self.arguments(column, "prepare", str(number))]
        subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True)  # noqa: S603  # ourselves


@contextmanager
def places(engine: str, columns: list[Column]) -> Iterator[Place]:
    """Make room for the columns, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Place(Path(folder), engine)
        if engine == "postgresql":
            server = stack.enter_context(postgresql())
            for name in map(place.database, columns):
                server.execute(f'CREATE DATABASE "{name}"')
                stack.callback(server.execute, f'DROP DATABASE "{name}" WITH (FORCE)')
        yield place


def postgresql() -> Any:
    """Connect to the server's own database."""
    psycopg = import_module("psycopg")  # not needed on SQLite
    host, user = os.environ.get("PGHOST", "127.0.0.1"), os.environ.get("PGUSER", "postgres")
    return psycopg.connect(host=host, user=user, dbname="postgres", autocommit=True)


class Child:
    """A column's process."""

    def __init__(self, place: Place, column: Column, program: list[str]) -> None:
        self.column = column
        self.process = subprocess.Popen(  # noqa: S603  # ourselves
            [*program, *place.arguments(column, "serve")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=ENVIRONMENT,
            text=True,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exception: object) -> None:
        """Close its input: then it ends."""
        self.process.communicate()

    def ask(self, command: str, number: int) -> Any:
        """Have it do something, and wait for the answer."""
        assert self.process.stdin is not None  # noqa: S101  # for the type
        assert self.process.stdout is not None  # noqa: S101  # the same
        self.process.stdin.write(f"{command} {number}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.column.name} failed; what it said is above")
        return json.loads(line)


def time_columns(place: Place, columns: list[Column], rounds: int) -> dict[str, Any]:
    """Let the columns take turns; return statements and CPU time of each."""
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(place, column, [sys.executable])) for column in columns
        ]
        found: dict[str, Any] = {}
        for child in children:
            child.ask("warm", WARM)
            found[child.column.name] = {"statements": child.ask("statements", 1), "rounds": []}
        for turn in range(rounds):
            say(f"\rround {turn + 1} of {rounds}", end="")
            for child in children:
                found[child.column.name]["rounds"].append(child.ask("time", EACH))
    say("")
    return found


def count_column(place: Place, column: Column, spent: int) -> float:
    """Return the instructions of a column's request."""
    output = place.folder / f"{column.name}.callgrind"
    with Child(place, column, valgrind.command(output)) as child:
        child.ask("skip", spent)
        child.ask("warm", WARM)
        child.ask("count", COUNTED)
    [count] = valgrind.read(output)
    return count / COUNTED


def with_floors(columns: list[Column]) -> list[Column]:
    """Return the columns after their floors, each once."""
    needed = {column.floor: COLUMNS[column.floor] for column in columns}
    return [*needed.values(), *columns]


def measure(options: argparse.Namespace, columns: list[Column]) -> dict[str, Any]:
    """Measure columns and their floors; return it by name."""
    everything = with_floors(columns)
    spent = WARM + 1 + options.rounds * EACH
    counted = WARM + 1 + COUNTED
    with places(options.database, everything) as place:
        for column in everything:
            say(f"\rpreparing {column.name:30}", end="")
            place.prepare(column, spent + counted if column.spends else 1)
        found = time_columns(place, everything, options.rounds)
        for column in everything if options.instructions else []:
            say(f"\rcounting {column.name:30}", end="")
            found[column.name]["instructions"] = count_column(place, column, spent)
    say("\r" + " " * 40 + "\r", end="")
    return {name: summed(one) for name, one in found.items()}


def summed(found: dict[str, Any]) -> dict[str, Any]:
    """Return a column's figures; how far apart the middle half of the rounds was, too."""
    rounds = sorted(found.pop("rounds"))
    quarter = len(rounds) // 4
    spread = rounds[-1 - quarter] - rounds[quarter]
    return found | {"microseconds": round(median(rounds), 1), "spread": round(spread, 1)}


def say(text: str, end: str = "\n") -> None:
    """Tell how far it is, apart from the table."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def pick(names: str) -> list[Column]:
    """Return the columns that were asked for and whose packages are here; say which are not."""
    try:
        columns = choose(names.replace(",", " ").split())
    except KeyError as error:
        raise SystemExit(f"There is no column {error}. There are: {', '.join(COLUMNS)}.") from None
    for column in columns:
        if column.missing:
            say(f"left out: {column.name} ({column.missing} is not installed)")
    columns = [column for column in columns if not column.missing]
    if not columns:
        raise SystemExit("No column is left.")
    return columns


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; whether to count instructions is decided by the machine if need be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--columns", default="", help="names, or their beginnings (all)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {EACH} requests each (20)")
    parser.add_argument(
        "--instructions",
        action=argparse.BooleanOptionalAction,
        help="count instructions (if valgrind is here)",
    )
    parser.add_argument("--against", type=Path, help="an earlier run's JSON to compare with")
    parser.add_argument("--write", action="store_true", help="into docs/topics/performance.md")
    options = parser.parse_args(arguments)
    reason = valgrind.why_not()
    if options.instructions and reason:
        parser.error(reason)
    if options.instructions is None:
        options.instructions = not reason
        if reason:
            say(f"left out: instructions ({reason}); CPU time is all there is, and it wavers")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and say what was found."""
    options = parse(arguments)
    before = json.loads(options.against.read_text("utf-8")) if options.against else None
    columns = pick(options.columns)
    result = report.describe(options) | {"columns": measure(options, columns)}
    sys.stdout.write(report.tables(result, before))
    say(f"all of it: {report.keep(result)}")
    if options.write:
        report.publish(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
