"""End the sessions of one person, or of everybody."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tokenauth.models import AuthSession
from tokenauth.session.endings import RevokeReason
from tokenauth.session.users import people


class Command(BaseCommand):
    """Revoke from the shell, with the same effect as in the admin."""

    help = "End every session of a user, or of all users, with immediate effect."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose sessions to end."""
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--user", metavar="NAME", help="the username (USERNAME_FIELD)")
        whose.add_argument("--all", action="store_true", help="everybody")

    def handle(self, *args: Any, user: str | None, **options: Any) -> None:
        """End them and say how many there were."""
        everybody = people().values_list("pk", flat=True)
        whose = everybody.iterator() if user is None else [self.find(user).pk]
        count = AuthSession.objects.end_everywhere(whose, RevokeReason.ADMIN)
        text = ngettext("%d session ended.", "%d sessions ended.", count)
        self.stdout.write(text % count if count else _("No active session."))

    def find(self, name: str) -> Any:
        """Return the user of that name. Raises CommandError."""
        try:
            return people().get_by_natural_key(name)
        except get_user_model().DoesNotExist:
            message = _("There is no user %(name)s. Check the spelling.") % {"name": repr(name)}
            raise CommandError(message) from None
