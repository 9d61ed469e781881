"""Start the app beside the demo, and hear what it says."""

import json
import subprocess
import sys
from collections import deque
from datetime import datetime
from threading import Thread
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from demo_project.servers.processes import BASE_DIR

#: By person, in the memory of this process and nowhere else: their app, running or ended.
APPS: dict[Any, "RunningApp"] = {}


class Event(NamedTuple):
    """Something that an app said."""

    at: datetime
    what: str


class RunningApp:
    """A process, the session that it was given, and what it said last."""

    def __init__(self, sid: UUID) -> None:
        self.sid = sid
        self.events: deque[Event] = deque(maxlen=60)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo_project.app_client.client"],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone
        )

    @sensitive_variables()
    def begin(self, start: dict[str, Any]) -> None:
        """Hand over the tokens, and listen from here on."""
        if self.process.stdin is not None:
            with self.process.stdin as pipe:
                json.dump(start, pipe)
        Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        """Note what it says until it ends."""
        with self.process:
            for line in self.process.stdout or ():
                self.events.appendleft(Event(timezone.now(), line.strip()))

    @property
    def runs(self) -> bool:
        """Whether it is there still."""
        return self.process.poll() is None
