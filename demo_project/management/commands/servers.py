"""Serve the demo as an authorization server beside two resource servers, on this machine."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from demo_project.management.commands.demo import check_port
from demo_project.servers.processes import Died, Stopped
from demo_project.servers.running import run

#: Seconds. The refresh URL calls a token that ends within 5 seconds expired.
SHORTEST = 10


class Command(BaseCommand):
    """Start everything, say what comes in, end everything."""

    help = "Serve behind nginx: the demo on PostgreSQL, a Django site and a FastAPI app without."
    requires_system_checks = []  # of the demo's other settings; the servers run theirs

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the port as text, so that check_port() words the error."""
        parser.add_argument("--port", default="8000", help="port to serve on (default: 8000)")
        parser.add_argument(
            "--lifetime", type=int, default=30, help="seconds an access token lives (default: 30)"
        )

    def handle(self, *args: Any, port: str, lifetime: int, **options: Any) -> None:
        """Run the servers until Ctrl-C."""
        if not settings.DEBUG:
            raise CommandError("The demo's passwords are public. Unset DEMO_PRODUCTION.")
        check_port(port, "servers")
        if lifetime < SHORTEST:
            raise CommandError(f"Access tokens must live {SHORTEST} seconds or longer.")
        try:
            run(int(port), lifetime, self.say)
        except Stopped:
            self.say("\n  All have ended.")
        except Died as death:
            raise CommandError(str(death)) from None

    def say(self, text: str) -> None:
        """Write a line at once, also into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()
