"""Run everything long, and print one table: check, runs, violations.

The tests count what they do themselves: each calls ``tally``, which writes to the file that
``TOKENAUTH_PROOF`` names. ``make prove`` runs this; ``python -m tests.prove test_fuzz`` a part.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

LONG = {
    "TOKENAUTH_REQUIRE_ALL": "1",
    "TOKENAUTH_STATEFUL_EXAMPLES": "1000",
    "TOKENAUTH_FUZZ_EXAMPLES": "12000",
    "TOKENAUTH_LOST_ANSWERS": "10000",
    "TOKENAUTH_DEVICE_REFRESHES": "10000",
    "TOKENAUTH_LONG_WALKS": "1",
    "TOKENAUTH_ROUNDS": "200",
}


#: Names the file that takes the counts.
PROOF = "TOKENAUTH_PROOF"


class Check(NamedTuple):
    """A promise, the tests that try it, and the database they do it on."""

    name: str
    tests: str
    database: str = "sqlite"


CHECKS = [
    Check("every interleaving", "test_interleavings"),
    Check("random lives", "test_stateful"),
    Check("lost answers", "test_lost_answers"),
    Check("every binding", "device/test_binding_model"),
    Check("bound to a device", "device/test_ten_thousand_refreshes"),
    Check("killed in Chromium", "device/test_chromium_profile"),
    Check("bad input", "test_fuzz"),
    Check("the API by its schema", "api/test_schema"),
    *[
        Check(f"{name}, {database}", tests, database)
        for name, tests in (
            ("processes", "test_processes"),
            ("faults", "test_faults"),
            ("bound, killed", "device/test_processes"),
            ("bound, races", "device/test_races"),
        )
        for database in ("sqlite", "postgresql", "mariadb")
    ],
]


class Result(NamedTuple):
    """What came of a check."""

    name: str
    runs: str
    violations: int

    def __str__(self) -> str:
        return f"{self.name:24}{self.violations:>10}  {self.runs}"


def tally(unit: str, runs: int = 1) -> None:
    """Count what a test has just done, if anybody wants to know."""
    if path := os.environ.get(PROOF):
        with Path(path).open("a") as file:
            file.write(json.dumps({"unit": unit, "runs": runs}) + "\n")


def run(check: Check) -> Result:
    """Run a check's tests; what failed, or could not run, is a violation."""
    with tempfile.TemporaryDirectory() as folder:
        counts, report = Path(folder, "counts.jsonl"), Path(folder, "report.xml")
        counts.touch()
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
        status = subprocess.run(  # noqa: S603  # our own words
            [*command, f"tests/{check.tests}.py"],
            cwd=Path(__file__).parents[1],
            env=LONG | os.environ | {PROOF: str(counts), "TOKENAUTH_TEST_DATABASE": check.database},
            check=False,
        ).returncode
        units: Counter[str] = Counter()
        for line in map(json.loads, counts.read_text().splitlines()):
            units[line["unit"]] += line["runs"]
        suite = ET.parse(report).getroot().find("testsuite") if report.exists() else None  # noqa: S314  # pytest wrote it
    broken = 0 if suite is None else sum(int(suite.attrib[key]) for key in ("failures", "errors"))
    runs = ", ".join(f"{count:,} {unit}" for unit, count in units.items())
    return Result(check.name, runs or "nothing", broken or bool(status or not units))


def main(chosen: list[str]) -> int:
    """Run the chosen checks, or all, and print the table; return how many found something."""
    checks = [check for check in CHECKS if not chosen or check.tests in chosen]
    results = [run(check) for check in checks]
    print(f"\n{'check':24}{'violations':>10}  runs", *results, sep="\n")  # noqa: T201  # its purpose
    return sum(bool(result.violations) for result in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
