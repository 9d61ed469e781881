"""The large benchmark rotates, confirms and clears, and says what PostgreSQL wrote for it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

pytest.importorskip("benchmarks", reason="the wheel brings no benchmarks")

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="fills a database of PostgreSQL"
)

#: The admin's pages have tests of their own.
FEW = """
from benchmarks import admin_list, scale, writes
admin_list.bench = lambda tries: 0
writes.SESSIONS = 2
scale.main(["--rows", "2000"])
"""


def test_the_large_benchmark_rotates_confirms_and_clears():
    """All of it, with a few rows: what PostgreSQL wrote stands behind each kind of use."""
    command = [sys.executable, "-c", FEW]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    assert run.returncode == 0, run.stderr
    lines = [re.split(r"\s{2,}", line) for line in run.stdout.splitlines() if "%" in line]
    assert [int(line[1]) for line in lines] == [60, 60, 64, 40, 2]
    assert re.search(r"tokenauth_clear: [1-9]\d* sessions, \d+ statements", run.stdout)
