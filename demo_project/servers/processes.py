"""Processes that are started together and end together."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

BASE_DIR = Path(__file__).resolve().parents[2]
#: Seconds that a process may take to end when it is asked to.
PATIENCE = 15
#: Lines of its log that a process which ended by itself leaves behind.
LAST_LINES = 15


class Stopped(Exception):  # noqa: N818  # somebody has asked for it: no error
    """Ctrl-C, or another signal to end."""


class Died(Exception):  # noqa: N818  # named for what happened
    """A process has ended by itself; the text says which, and its last words."""


class Signals:
    """Remember a signal to end until somebody asks: none ends us between two steps."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self.came = True


class Process:
    """A program that runs in a group of its own, so that Ctrl-C reaches us alone."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(  # noqa: S603  # our own words
                command,
                cwd=BASE_DIR,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def died(self) -> Died:
        """Return what to say of a process that has ended by itself."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        words = "\n".join(["It said:", *(f"    {line}" for line in lines)] if lines else [])
        return Died(f"{self.name} has ended (status {self.popen.returncode}). {words}")

    def end(self) -> None:
        """Ask it to end, and make it."""
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(PATIENCE)
        # Its own children, if it left any.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Processes:
    """Those that run now."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.running = folder, list[Process]()
        self.signals = Signals()

    def pause(self) -> None:
        """Let a moment pass. Raises Stopped and Died."""
        if self.signals.came:
            raise Stopped
        for process in self.running:
            if process.popen.poll() is not None:
                raise process.died()
        time.sleep(0.1)

    @contextmanager
    def run(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str]
    ) -> Iterator[Process]:
        """Have a process until the block ends."""
        process = Process(name, command, self.folder, env)
        self.running.append(process)
        try:
            yield process
        finally:
            self.running.remove(process)
            process.end()

    def run_to_its_end(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str]
    ) -> None:
        """Wait for a process that has only one thing to do. Raises Stopped and Died."""
        process = Process(name, command, self.folder, env)
        try:
            while process.popen.poll() is None:
                self.pause()
            if process.popen.returncode:
                raise process.died()
        finally:
            process.end()
