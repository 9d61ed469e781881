"""Remove the sessions that ended long ago."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions
from tokenauth.session.contention import insist
from tokenauth.session.transitions import AuthSessionQuerySet


class Command(BaseCommand):
    """Delete in batches, so that no statement locks the table for long."""

    help = "Remove sessions that ended longer ago than TOKENAUTH_HISTORY_LIFETIME."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the batch size and whether to delete at all."""
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        parser.add_argument("--batch-size", type=int, default=1000, help="rows per statement")

    def handle(self, *args: Any, dry_run: bool, batch_size: int, **options: Any) -> None:
        """Count or remove them, and say how many."""
        old = self.old_sessions()
        if dry_run:
            count = old.count()
            text = ngettext("%d session would be removed.", "%d sessions would be removed.", count)
        else:
            count = self.remove(old, max(1, batch_size))
            text = ngettext("%d session removed.", "%d sessions removed.", count)
        self.stdout.write(text % count if count else _("Nothing to remove."))

    def old_sessions(self) -> AuthSessionQuerySet:
        """Return the sessions that were revoked or expired before the history begins."""
        begin = timezone.now() - conf.HISTORY_LIFETIME
        # Nobody revokes what has expired. The empty reason is for the index.
        expired = Q(revoked_at__isnull=True, revoke_reason="", expires_at__lt=begin)
        old = AuthSession.objects.at_writer().filter(Q(revoked_at__lt=begin) | expired)
        # A Django session that a slow request writes back must meet its mark.
        return old.filter(adopted_from=None) if django_sessions.may_turn_up() else old

    def remove(self, old: AuthSessionQuerySet, batch_size: int) -> int:
        """Delete batch after batch and return how many rows went."""
        total = 0
        while ids := list(old.order_by().values_list("pk", flat=True)[:batch_size]):
            batch = AuthSession.objects.at_writer().filter(pk__in=ids)
            # Two servers may clear at the same time.
            total += insist(batch.db, batch.delete)[0]
        return total
