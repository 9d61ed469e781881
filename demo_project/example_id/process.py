"""Start Example ID beside the demo, and end it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from demo_project.servers.processes import BASE_DIR, PATIENCE

PORT = 9400
#: Cookies ignore ports: on the demo's own host the provider would be sent the demo's tokens. The
#: last one, where a machine has no other address of its own, is the host of the demo's admin.
HOSTS = ("127.0.0.2", "::1", "127.0.0.1")


@contextmanager
def example_id(*words: str) -> Iterator[None]:
    """Have the provider until the block ends, or this process does, however it ends.

    Of the words it knows "any nonce", also none: allauth's provider for Google sends none.
    """
    with listen() as listener:
        fd, (host, port) = listener.fileno(), listener.getsockname()[:2]
        # It reads standard input, which the system closes even if we are killed.
        process = subprocess.Popen(  # noqa: S603  # our own words
            [sys.executable, "-m", "demo_project.example_id.server", str(fd), *words],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            pass_fds=[fd],
            start_new_session=True,  # Ctrl-C reaches us alone
        )
    os.environ["DEMO_EXAMPLE_ID"] = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        yield
    finally:
        del os.environ["DEMO_EXAMPLE_ID"]
        process.terminate()
        process.communicate(timeout=PATIENCE)


def listen() -> socket.socket:
    """Return a socket on loopback: on the port that is always the same, or on a free one.

    From here on browsers may ask; the answer comes when the provider has started.
    """
    for host in HOSTS:
        for port in (PORT, 0):
            try:
                return listen_at(host, port)
            except OSError:
                continue
    raise OSError("This machine has no loopback address")


def listen_at(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
