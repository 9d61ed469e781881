"""The benchmark measures what it says: its requests are answered, its table is made of ratios."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

report = pytest.importorskip("benchmarks.report", reason="the wheel brings no benchmarks")
requests = pytest.importorskip("benchmarks.requests")

from benchmarks import load, valgrind  # noqa: E402  # where there are any
from benchmarks.columns import COLUMNS, choose  # noqa: E402  # the same
from tests.conftest import leave_out  # noqa: E402  # the same

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "topics" / "performance.md"
CHART = ROOT / "docs" / "images" / "performance.svg"

#: Reads and writes of a request.
PROMISED = {
    "tokenauth_asks": "1",
    "tokenauth_silent": "0",
    "tokenauth_no_cookie": "0",
    "tokenauth_drf": "1",
    "tokenauth_async": "1",
    "tokenauth_bounce": "0",
    "tokenauth_confirm": "1 + 1",
    "tokenauth_refresh": "1 + 1",
    "tokenauth_login": "4 + 4",
    "tokenauth_login_alone": "3 + 2",
    "tokenauth_again": "5 + 4",
    "tokenauth_logout": "4 + 2",
}
#: The most instructions that one may take, of what another takes: a tenth above what they do on
#: the slowest of our Pythons.
BUDGETS = {
    ("tokenauth_asks", "session_db"): 0.43,
    # 0.08, and 0.12 if Python collects its garbage in between: so little it is.
    ("tokenauth_silent", "session_db"): 0.13,
    ("tokenauth_refresh", "simplejwt_refresh"): 0.54,
    ("tokenauth_login", "session_db_login"): 2.05,
}


def result(**figures):
    """What a run finds: instructions by column."""
    columns = {
        name: {"statements": {}, "instructions": number, "microseconds": number / 1000}
        for name, number in figures.items()
    }
    about = {"database": "sqlite", "commit": "c", "date": "d", "python": "3", "command": "make"}
    return about | {"versions": {"Django": "6"}, "columns": columns}


def test_our_columns_answer_and_cost_what_is_promised(monkeypatch, tmp_path):
    """Each in a process of its own, as make bench has them, with the queries of the README."""
    monkeypatch.setattr(requests, "EACH", 1)
    columns = [COLUMNS[name] for name in PROMISED]
    options = requests.parse(["--rounds", "1", "--no-instructions"])
    found = requests.measure(options, columns)
    assert {n: report.statements(found[n]["statements"]) for n in PROMISED} == PROMISED


def test_no_request_costs_more_than_its_budget():
    """In instructions, which a busy machine repeats: what makes a page slower is seen at once."""
    if reason := valgrind.why_not():
        leave_out(f"instructions are not counted: {reason}")
    columns = [COLUMNS[name] for name in dict.fromkeys(name for pair in BUDGETS for name in pair)]
    options = requests.parse(["--rounds", "1", "--instructions"])
    found = requests.measure(options, columns)
    cost = {c.name: found[c.name]["instructions"] - found[c.floor]["instructions"] for c in columns}
    over = {
        ours: round(cost[ours] / cost[theirs], 2)
        for (ours, theirs), most in BUDGETS.items()
        if cost[ours] > most * cost[theirs]
    }
    assert over == {}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["session_db"], {"session_db"}),
        (["knox", "simplejwt_cookie"], {"knox", "simplejwt_cookie"}),
        (["oauth"], {"oauth_toolkit", "oauth_toolkit_refresh"}),
        ([], {name for name, column in COLUMNS.items() if column.group}),
    ],
    ids=["one", "two", "beginning", "all"],
)
def test_a_name_chooses_one_column_or_all_that_begin_so(names, chosen):
    """The floors are not chosen: they come along."""
    assert {column.name for column in choose(names)} == chosen


def test_a_name_that_nothing_has_is_refused(capsys):
    """With the names that there are."""
    with pytest.raises(SystemExit, match="no column 'sesion_db'"):
        requests.main(["--columns", "sesion_db"])


def test_a_ratio_is_one_of_costs_above_the_floor():
    """Both floors are taken off first; what was not measured is not guessed."""
    found = result(floor=1_000_000, session_db=3_000_000, tokenauth_asks=2_000_000)
    [row] = [line for line in report.tables(found).splitlines() if "a page that asks" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:] == ["1.00", "0.50", "-", "1000"]


def test_an_earlier_run_can_be_compared_with():
    """Above its own floor."""
    before = result(floor=500_000, tokenauth_asks=4_500_000)
    text = report.tables(result(floor=1_000_000, tokenauth_asks=2_000_000), before)
    assert "| 0.25 | 1000 |" in text


def test_the_chart_shows_what_the_page_says():
    """Both were written by one run: the ratios to Django's session in the database."""
    block = PAGE.read_text("utf-8").partition("<!-- bench: sqlite -->")[2]
    table = block.partition("The same under ASGI")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    ratios = [(row[0].strip(" *"), row[3].strip()) for row in rows[2:]]
    drawn = re.findall(r'<text class="ink"[^>]*>([^<]+)</text>', CHART.read_text("utf-8"))[1:]
    assert ratios
    assert list(zip(drawn[::2], drawn[1::2], strict=True)) == ratios


# Under load


@pytest.fixture
def wrk():
    """Sends requests as fast as they are answered."""
    if reason := load.why_not():
        leave_out(reason)


def test_servers_answer_under_load_and_are_gone_afterwards(wrk, monkeypatch):
    """One round on gunicorn and uvicorn, with tokens that can be spent once and are few."""
    sites = []

    class Watched(load.Site):
        def __init__(self, *args):
            super().__init__(*args)
            sites.append(self)

    monkeypatch.setattr(load, "Site", Watched)
    monkeypatch.setattr(load, "EACH", 5)
    options = load.parse(["--database=sqlite", "--rounds=1", "--connections=2", "--seconds=5"])
    found = load.measure(options, [COLUMNS["tokenauth_async"], COLUMNS["tokenauth_refresh"]])
    assert [*found] == ["floor_async", "floor_post", "tokenauth_async", "tokenauth_refresh"]
    assert all(one["rate"] > 0 and 0 < one["p50"] <= one["p99"] for one in found.values())
    assert found["tokenauth_refresh"]["rounds"][0]["answered"] <= load.EACH
    assert [site.process.poll() is None for site in sites] == [False] * 4
    for site in sites:
        with pytest.raises(ConnectionRefusedError):  # no worker listens either
            socket.create_connection(("127.0.0.1", site.port))


@pytest.mark.parametrize(
    ("to_all", "number"),
    [(True, signal.SIGINT), (False, signal.SIGTERM)],
    ids=["Ctrl-C", "kill"],
)
def test_a_load_that_is_stopped_leaves_no_process_behind(wrk, to_all, number):
    """Neither a server nor a worker of it, nor wrk."""
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup has it ignored
    command = [sys.executable, "-m", "benchmarks.load", "--columns", "session_db"]
    with subprocess.Popen(  # noqa: S603  # our own words
        [*command, "--database", "sqlite", "--rounds", "1000"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        signal.signal(signal.SIGINT, heard)
        said = b""
        while b"round 1 " not in said:
            more = process.stderr.read1()
            assert more, said
            said += more
        (os.killpg if to_all else os.kill)(process.pid, number)
        try:
            assert process.wait(load.PATIENCE) != 0
            assert is_soon_gone(process.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_soon_gone(group):
    """Whether a group of processes is, but for what init has yet to bury."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("good_ones", "said"),
    [(0, "tokenauth_no_cookie answered 404"), (1, "tokenauth_no_cookie did not answer all")],
    ids=["from the beginning", "later"],
)
def test_a_load_that_is_answered_wrong_is_no_figure(wrk, monkeypatch, good_ones, said):
    """Errors are quick."""
    prepare = requests.Place.prepare

    def prepare_wrong(place, column, number):
        """Let every request go nowhere, or every second one."""
        prepare(place, column, number)
        file = place.file(column)
        [good] = json.loads(file.read_text("utf-8"))
        bad = good | {"path": "/nowhere/"}
        file.write_text(json.dumps([good] * good_ones + [bad]), "utf-8")

    monkeypatch.setattr(requests.Place, "prepare", prepare_wrong)
    monkeypatch.setattr(load, "with_floors", list)
    options = load.parse(["--database", "sqlite", "--rounds", "1"])
    with pytest.raises(SystemExit, match=said):
        load.measure(options, [COLUMNS["tokenauth_no_cookie"]])


def test_a_load_without_wrk_says_how_to_get_it(monkeypatch):
    """Before anything is prepared."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="apt install wrk"):
        load.main([])


def test_a_ratio_under_load_is_one_within_a_round():
    """What slows a round down slows all of it down; how far apart the rounds were is said."""

    def column(*rates):
        rounds = [{"rate": rate, "p50": 1.0, "p99": 2.0, "wrk": 0.1} for rate in rates]
        return {"rate": 1.0, "p50": 1.0, "p99": 2.0, "rounds": rounds}

    columns = {"session_db": column(100, 10, 40), "tokenauth_asks": column(200, 20, 120)}
    assert report.paired(columns, "tokenauth_asks", "rate") == "2.00 (2.00 … 3.00)"
    assert report.paired({"tokenauth_asks": column(1)}, "tokenauth_asks", "rate") == "-"
