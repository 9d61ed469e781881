"""A Redis of the test's own, to be stopped, started and emptied."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.processes import PATIENCE, ROOT


def find_redis() -> str | None:
    """Return where redis-server is."""
    return shutil.which("redis-server")


class RedisServer:
    """One that keeps nothing on its disk, unless ``save()`` is called before it is killed."""

    #: The default user's, so that all who connect must know it.
    password = "Pass/word:1"

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_of("default", self.password)

    @property
    def impatient_url(self) -> str:
        """The URL, with our own timeouts."""
        return self.url.partition("?")[0]

    def url_of(self, user: str, password: str) -> str:
        """Return a URL with timeouts that a busy machine does not reach."""
        quoted = password.replace("/", "%2F").replace(":", "%3A")
        patience = f"?socket_timeout={PATIENCE}&socket_connect_timeout={PATIENCE}"
        return f"redis://{user}:{quoted}@127.0.0.1:{self.port}/0{patience}"

    @property
    def client(self) -> Any:
        return redis.Redis(port=self.port, password=self.password, decode_responses=True)

    def start(self) -> None:
        """Start it, and wait until it can be asked."""
        options = ["--port", str(self.port), "--requirepass", self.password, "--save", ""]
        self.process = subprocess.Popen(  # noqa: S603  # our own words
            [self.program, *options, "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                with self.client as client:
                    client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def stop(self) -> None:
        """Kill it: what it knew is gone, but for what ``save()`` wrote."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it take connections, and answer nothing."""
        assert self.process is not None  # it was started
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()


def give_rights(server: RedisServer) -> None:
    """Make the two users of the how-to, by the very lines that stand there."""
    page = (ROOT / "docs" / "how-to" / "revocations.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("ACL ")]
    assert len(lines) == 2  # both are there
    with server.client as client:
        for line in lines:
            client.execute_command(*line.split())


@contextmanager
def redis_server(program: str) -> Iterator[RedisServer]:
    """Give a running Redis, which is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(program, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
