"""Look at a great many sessions on PostgreSQL: time the admin's queries, weigh what is written.

    python -m benchmarks.scale                      one million, about ten minutes
    python -m benchmarks.scale --rows 10000000      ten million, half an hour, and 8 GB of disk

The server is the one that ``PGHOST``, ``PGPORT``, ``PGUSER`` and ``PGPASSWORD`` name; the database
is made for this run and dropped after it. Exit status 1 if a query of the admin takes
``admin_list.LIMIT`` or more: on a busy machine, try ``--tries 3``.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from django.db import connection
from django.test.utils import override_settings, setup_test_environment

from benchmarks import admin_list, crowd, writes
from benchmarks.admin_list import say

DAY = timedelta(days=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the database, fill it, measure, drop it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="sessions (1000000)")
    parser.add_argument("--tries", type=int, default=1, help="visits to a slow page (1)")
    options = parser.parse_args(arguments)
    setup_test_environment()
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        begun = time.perf_counter()
        crowd.fill(options.rows)
        say(f"filled in {time.perf_counter() - begun:.0f} s")
        with override_settings(TOKENAUTH_ACCESS_TOKEN_LIFETIME=DAY):  # no refresh in between
            slow = admin_list.bench(options.tries)
        writes.bench()
        return bool(slow)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
