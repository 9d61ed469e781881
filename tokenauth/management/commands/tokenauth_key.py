"""Make a private key for access tokens that others verify."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from tokenauth.secret import Secret

#: Named here too, so that ``--help`` works without joserfc.
TYPES = ("ES256", "Ed25519", "RS256")


class Command(BaseCommand):
    """Print a new key, or write it where its owner alone can read it."""

    help = "Make a private key for TOKENAUTH_SIGNING_KEYS, and print it or write it to a file."
    requires_system_checks = []  # they may ask for the very key

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which kind of key, and where to."""
        parser.add_argument(
            "--type",
            choices=TYPES,
            default=TYPES[0],
            help="the algorithm: ES256 (P-256), Ed25519, or RS256 (3,072 bits)",
        )
        parser.add_argument("--out", metavar="FILE", help="a new file, of mode 0600")

    def handle(self, *args: Any, type: str, out: str | None, **options: Any) -> None:  # noqa: A002  # the option's name
        """Make it, and say what to edit."""
        try:
            from tokenauth.session.jose.keys import make_key  # noqa: PLC0415  # joserfc is optional
        except ImportError:
            hint = "pip install 'django-tokenauth[keys]'"
            raise CommandError(_("This needs joserfc: %s") % hint) from None
        kid, pem = make_key(type)
        if out is None:
            self.stdout.write(pem.reveal(), ending="")
            entry = "'/path/of/the/file.pem'"
        else:
            write_private(Path(out), pem)
            entry = repr(str(Path(out).resolve()))
        # Not on the standard output, which may be on its way into a file.
        self.stderr.write(_("Made the key %s. In your settings:") % kid, self.style.NOTICE)
        self.stderr.write(f"TOKENAUTH_SIGNING_KEYS = [{entry}]", self.style.NOTICE)
        self.stderr.write(
            _("Where there are keys already, add it as the second: put it first after 5 minutes."),
            self.style.NOTICE,
        )


def write_private(path: Path, pem: Secret[str]) -> None:
    """Write a key where nobody else reads it, in a file that was not there.

    Raises CommandError.
    """
    try:
        # The mode from the start: between an open() and a chmod() others could read it.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(_("%s is there already, and may be in use.") % path) from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    with os.fdopen(handle, "w") as file:
        file.write(pem.reveal())
