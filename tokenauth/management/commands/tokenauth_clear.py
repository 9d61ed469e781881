"""Remove the sessions that ended long ago."""

import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tokenauth.clients.jobs import MAX_AGE, MAX_SKEW
from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions
from tokenauth.session.database.contention import insist
from tokenauth.session.endings import AuthSessionQuerySet
from tokenauth.session.jwt.access_claims import CI


class Command(BaseCommand):
    """Delete in batches, so that no statement locks the table for long."""

    help = "Remove sessions that ended longer ago than TOKENAUTH_HISTORY_LIFETIME."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the batch size and whether to delete at all."""
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        parser.add_argument("--batch-size", type=int, default=1000, help="rows per statement")
        parser.add_argument("--sleep", type=float, default=0, help="seconds between two statements")

    def handle(
        self, *args: Any, dry_run: bool, batch_size: int, sleep: float, **options: Any
    ) -> None:
        """Count or remove them, and say how many."""
        old = self.old_sessions()
        if dry_run:
            count = sum(rows.count() for rows in old)
            text = ngettext("%d session would be removed.", "%d sessions would be removed.", count)
        else:
            count = sum(self.remove(rows, max(1, batch_size), max(0, sleep)) for rows in old)
            text = ngettext("%d session removed.", "%d sessions removed.", count)
        self.stdout.write(text % count if count else _("Nothing to remove."))
        if conf.REVOCATIONS and not dry_run:
            self.tell_untold()

    def tell_untold(self) -> None:
        """Tell resource servers what a process that died has left untold."""
        from tokenauth.session.revocations.publishing import publisher  # noqa: PLC0415  # needs redis

        if not publisher().make_good():
            self.stderr.write(_("Ended sessions could not be told: is Redis away?"))

    def old_sessions(self) -> list[AuthSessionQuerySet]:
        """Return what was revoked and what expired before the history begins, each by its index."""
        now, rows = timezone.now(), AuthSession.objects.all()
        begin = now - conf.HISTORY_LIFETIME
        if django_sessions.may_turn_up():
            # A Django session that a slow request writes back must meet its mark.
            rows = rows.filter(Q(adopted_from=None) | Q(client=CI))
        if conf.TRUSTED_ISSUERS:
            # As long as an assertion counts it must meet its mark, or it would count twice.
            still = now - timedelta(seconds=MAX_AGE + MAX_SKEW)
            rows = rows.exclude(client=CI, created_at__gt=still)
        # Nobody revokes what has expired. The empty reason is for the index.
        expired = rows.filter(revoked_at__isnull=True, revoke_reason="", expires_at__lt=begin)
        return [
            rows.filter(revoked_at__lt=begin).order_by("revoked_at"),
            expired.order_by("revoked_at", "revoke_reason", "expires_at"),
        ]

    def remove(self, old: AuthSessionQuerySet, batch_size: int, sleep: float) -> int:
        """Delete batch after batch, the oldest first, and return how many rows went.

        Each goes on at the moment where the one before stopped: an index keeps what was deleted for
        a while, and from its beginning the last batch would wade through all of it.
        """
        column, total = str(old.query.order_by[-1]), 0
        rows = old
        while found := list(rows.values_list("pk", column)[:batch_size]):
            batch = AuthSession.objects.filter(pk__in=[pk for pk, _ in found])
            # Two servers may clear at the same time.
            total += insist(batch.db, batch.delete)[0]
            if len(found) < batch_size:
                break
            rows = old.filter(**{f"{column}__gte": found[-1][1]})
            time.sleep(sleep)
        return total
