"""Servers in processes of their own: on a database of tests, and PostgreSQL to pull down."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import time_machine
from django.utils import timezone

from tests.live import Server
from tokenauth.session import tokens

ROOT = Path(__file__).parents[1]
#: How often what goes on between processes is repeated; ``make prove`` wants more.
ROUNDS = int(os.environ.get("TOKENAUTH_ROUNDS", "5"))

#: Seconds to wait for what a busy machine may take its time for: a hang, not slowness, ends here.
PATIENCE = 300


# gunicorn and uvicorn


@contextmanager
def gunicorn(*options: str, application: str = "tests.wsgi", **env: str) -> Iterator[Server]:
    """Serve by gunicorn, on the tests' own database unless ``env`` says another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # clients may queue from here on
        command = [sys.executable, "-m", "gunicorn", f"--bind=fd://{listener.fileno()}"]
        command += ["--log-level=critical", "--no-control-socket", *options, application]
        process = subprocess.Popen(  # noqa: S603  # our own words
            command,
            cwd=ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"} | env,
            pass_fds=[listener.fileno()],
        )
        try:
            yield Server("gunicorn", listener.getsockname()[1], process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)


@contextmanager
def uvicorn(application: str, **env: str) -> Iterator[Server]:
    """Serve an ASGI application by uvicorn, on the tests' own database."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # clients may queue from here on
        command = [sys.executable, "-m", "uvicorn", f"--fd={listener.fileno()}", application]
        process = subprocess.Popen(  # noqa: S603  # our own words
            [*command, "--log-level=critical", "--lifespan=off", "--timeout-graceful-shutdown=5"],
            cwd=ROOT,
            env=os.environ | env,
            pass_fds=[listener.fileno()],
        )
        try:
            yield Server("uvicorn", listener.getsockname()[1])
        finally:
            process.terminate()
            process.wait(PATIENCE)


def run_python(code: str, env: dict[str, str]) -> None:
    """Run some Python in a process of its own."""
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, env=os.environ | env, check=True)  # noqa: S603  # our own words


def run_django(code: str, env: dict[str, str]) -> None:
    """Run it on the test site, where Django finds another database."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    run_python(f"import django; django.setup(); {code}", settings | env)


# The clocks of other processes are real: what they are to find old was made in the past


def an_hour_ago() -> time_machine.travel:
    return time_machine.travel(timezone.now() - timedelta(hours=1))


def expired_access_token(session: Any) -> str:
    with an_hour_ago():
        return tokens.issue_access_token(session)[0].reveal()


# PostgreSQL

WAIT = ("--wait", f"--timeout={PATIENCE}")


class Cluster:
    """A PostgreSQL of the test's own, on a port of its own, to be stopped and started."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.data = folder / "data"
        #: The server refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.run("initdb", "--auth=trust", "--username=postgres", "--no-sync")
        self.env = {
            "TOKENAUTH_TEST_DATABASE": "postgresql",
            "TOKENAUTH_TEST_DATABASE_NAME": "postgres",
            "PYTEST_XDIST_WORKER": "",  # would be part of the name
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
        }

    def run(self, program: str, *args: str) -> None:
        subprocess.run(  # noqa: S603  # our own words
            [self.programs / program, f"--pgdata={self.data}", *args],
            cwd=self.data.parent,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def start(self) -> None:
        """Start it, and wait until it can be asked."""
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self.data.parent / "log"
        self.run("pg_ctl", *WAIT, f"--log={log}", f"--options={options}", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it, at once ("immediate" is a crash) or in good order ("fast")."""
        self.run("pg_ctl", *WAIT, f"--mode={mode}", "stop")


def find_postgresql() -> Path | None:
    """Return where the newest PostgreSQL's programs are, by Debian's habit or the PATH."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda program: float(program.parts[-3]))
    newest = found[-1] if found else shutil.which("initdb")
    return Path(newest).parent if newest else None


@contextmanager
def postgresql(programs: Path) -> Iterator[Cluster]:
    """Give a running cluster, which is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(programs, Path(folder))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
