"""The test site for server processes that have to be watched, hurried or killed."""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import time_machine
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.dispatch import receiver
from django.utils import timezone

from tokenauth.signals import session_rotated

#: Each answer says here which process gave it.
PROCESS = "X-Process"
#: Seconds that access tokens live, and the grace period, for tests that cannot travel in time.
HASTE = {"TOKENAUTH_ACCESS_TOKEN_LIFETIME": "3", "TOKENAUTH_GRACE_PERIOD": "1"}
#: The file whose existence is an order to die, in this environment variable.
ORDER = "TEST_ORDER_TO_DIE"
#: By how many seconds the clock of this process is ahead, in this one.
AHEAD = "TEST_SECONDS_AHEAD"

site = get_wsgi_application()
for name in HASTE.keys() & os.environ.keys():
    setattr(settings, name, float(os.environ[name]))
if AHEAD in os.environ:
    time_machine.travel(timezone.now() + timedelta(seconds=int(os.environ[AHEAD]))).start()


@receiver(session_rotated)
def die(**kwargs: Any) -> None:
    """Kill this process if so ordered: the UPDATE is committed, the response not begun."""
    if ORDER in os.environ and Path(os.environ[ORDER]).exists():
        os.kill(os.getpid(), signal.SIGKILL)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    def start(status: str, headers: list[tuple[str, str]], *args: Any) -> Any:
        return start_response(status, [*headers, (PROCESS, str(os.getpid()))], *args)

    return site(environ, start)
