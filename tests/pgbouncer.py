"""A pgbouncer of the test's own before PostgreSQL: each transaction gets any of its connections."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from tests.nginx import await_port, free_port
from tests.processes import PATIENCE

#: How many connections to PostgreSQL all clients share.
POOL_SIZE = 2

CONFIG = """
[databases]
{NAME} = host={HOST} port={PORT} dbname={NAME} user={USER}{password}

[pgbouncer]
pool_mode = transaction
default_pool_size = {POOL_SIZE}
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
"""


def find_pgbouncer() -> str | None:
    """Return where pgbouncer is: Debian puts it where only root looks."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


def configuration(port: int) -> str:
    """Let anybody in, to the tests' database alone, as the user of the tests."""
    database = connection.settings_dict
    password = database["PASSWORD"]
    return CONFIG.format(
        **database,
        password=f" password={password}" if password else "",
        POOL_SIZE=POOL_SIZE,
        port=port,
    )


@contextmanager
def pgbouncer(program: str) -> Iterator[dict[str, str]]:
    """Run pgbouncer; give the environment in which Django connects by it."""
    port, user = free_port(), "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "pgbouncer.ini")
        file.write_text(configuration(port), "utf-8")
        if user:
            shutil.chown(name, user)
            shutil.chown(file, user)
        process = subprocess.Popen(  # noqa: S603  # our own words
            [program, "--quiet", file],
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
        try:
            await_port(port, process)
            yield {"PGHOST": "127.0.0.1", "PGPORT": str(port)}
        finally:
            process.terminate()  # at once, whoever is connected
            process.wait(PATIENCE)
