"""Serve the demo site on this machine."""

import os
import socket
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

PEOPLE: dict[str, dict[str, Any]] = {
    "alice": {"password": "demo-alice"},
    "admin": {"password": "demo-admin", "is_staff": True, "is_superuser": True},
}

GUIDE = """
  The demo of tokenauth:  {origin}/

    a person   alice   password  demo-alice
    staff      admin   password  demo-admin

  An access token lives {lifetime} seconds here. What to try:

    1. Sign in as alice:               {origin}/private/
    2. Wait {lifetime} seconds, then click anything: still signed in, one rotation more.
       Write a note for a minute:      {origin}/note/
    3. As admin, revoke her session:   {admin}/admin/tokenauth/authsession/
       (127.0.0.1 is another site to the browser, so one browser can hold both people)
       Alice's next click lands on the login page, which says why.
    4. Play the thief:                 {origin}/auth/demo/thief/
    5. Lose an answer:                 {origin}/auth/demo/lost-answer/
    6. A minute after signing in, delete your account, and be asked again who you are:
                                       {origin}/delete-account/
    7. Start an app, and sign it out:  {origin}/app/
    8. {example_id}
"""
LAST = """
  Begin at localhost, and not at the address that the server names below.
"""

HERE = "Sign in with Example ID, as with Google: {origin}/auth/login/"
#: Where a package is missing, or a process cannot be handed a socket (Windows).
NOT_HERE = "Sign in with Example ID: not here. It needs: pip install --group demo, and no Windows"


class Command(BaseCommand):
    """Migrate, make two people, say what to try, serve."""

    help = "Serve the demo: a SQLite file, a person, a staff user, tokens that live 30 seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the port as text, so that this command words the error."""
        parser.add_argument("--port", default="8000", help="port to serve on (default: 8000)")

    def handle(self, *args: Any, port: str, **options: Any) -> None:
        """Run the demo until Ctrl-C."""
        if not settings.DEBUG:
            raise CommandError("The demo's passwords are public. It runs with DEBUG on only.")
        check_port(port)
        fill_database()
        lifetime = int(settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME.total_seconds())
        scheme = "https" if settings.HTTPS else "http"
        origin, admin = (f"{scheme}://{host}:{port}" for host in ("localhost", "127.0.0.1"))
        line = (HERE if has_example_id() else NOT_HERE).format(origin=origin)
        guide = GUIDE.format(origin=origin, admin=admin, lifetime=lifetime, example_id=line)
        with server(origin) as (runserver, more):
            self.stdout.write(guide + more + LAST)
            with provider():
                call_command(runserver, f"127.0.0.1:{port}", use_reloader=False)


@contextmanager
def server(origin: str) -> Iterator[tuple[Any, str]]:
    """Give the command that serves, and what more there is to say."""
    if not settings.HTTPS:
        yield "runserver", ""
        return
    from demo_project.device.serving import SecureRunserver, certified  # noqa: PLC0415  # optional

    with certified(origin) as guide:
        yield SecureRunserver(), guide


def has_example_id() -> bool:
    """Tell whether the provider can run here."""
    return settings.EXAMPLE_ID and os.name == "posix"


def provider() -> AbstractContextManager[None]:
    """Return the provider beside the demo, or nothing."""
    if not has_example_id():
        return nullcontext()
    from demo_project.example_id.process import example_id  # noqa: PLC0415  # not for Windows

    return example_id()


def check_port(port: str, target: str = "demo") -> None:
    """Refuse a port nobody can listen on, or somebody does; ``target`` is what to make instead."""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise CommandError(
            f"The port must be a number from 1 to 65535, not {port!r}. Try: make {target} PORT=8001"
        )
    # ::1 as well: for "localhost" a browser may ask a server there first.
    if any(somebody_listens(host, int(port)) for host in ("127.0.0.1", "::1")):
        another = int(port) + 1 if int(port) < 65535 else 8000
        raise CommandError(f"Port {port} is in use. Try: make {target} PORT={another}")


def somebody_listens(host: str, port: int) -> bool:
    """Tell whether a connection is accepted there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def fill_database() -> None:
    """Make the tables and the people."""
    call_command("migrate", interactive=False, verbosity=0)
    for username, fields in PEOPLE.items():
        ensure_person(username, **fields)


def ensure_person(username: str, password: str, **fields: bool) -> None:
    """Make the account, or mend it; an untouched password keeps its sessions."""
    user, _ = get_user_model()._default_manager.update_or_create(username=username, defaults=fields)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
