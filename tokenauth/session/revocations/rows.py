"""Find in the database what resource servers have to know.

A session matters here only while an access token of it may be good. A revoked one says so itself.
One that is suspended, because its person has a new password or was deactivated, says in ``told``
since when. So the rows know all, whatever becomes of Redis or of the process that was to tell it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session.endings import AuthSessionQuerySet
from tokenauth.session.tokens import epoch
from tokenauth.session.users import is_suspended

from .telling import SLACK

#: For how long a view may run that hands out an access token when it is done.
SLOWEST = timedelta(hours=1)


def handed_out_since() -> datetime:
    """Return since when a session must have been handed a token to have a good one now.

    Who ends a million sessions ends few that were in use within the hour: the others need no
    telling, and no place in the memory of every resource server.
    """
    return timezone.now() - conf.ACCESS_TOKEN_LIFETIME - SLOWEST


def with_tokens() -> AuthSessionQuerySet:
    """Return the sessions that may have a good access token."""
    rows: AuthSessionQuerySet = AuthSession.objects.filter(issued_at__gte=handed_out_since())
    return rows


def ended_lately() -> Iterator[tuple[str, int | None]]:
    """Yield what ended within an access token's life: each ``sid``, and since when.

    None stands for a session that was revoked, which is over for good.
    """
    since = timezone.now() - conf.ACCESS_TOKEN_LIFETIME - timedelta(seconds=SLACK)
    rows = with_tokens().order_by()
    for pk in rows.filter(revoked_at__gte=since).values_list("pk", flat=True):
        yield str(pk), None
    suspended = rows.filter(told__gte=since, revoked_at__isnull=True)
    for session in suspended.select_related("user"):
        # Whose person is back has better tokens by now.
        if session.told is not None and is_suspended(session):
            yield str(session.pk), epoch(session.told)


def sessions_of(person: Any) -> list[AuthSession]:
    """Return a person's active sessions that may have a good access token."""
    sessions = list(with_tokens().active().filter(user=person.pk))
    for session in sessions:
        session.set_user(person)
    return sessions


def note_suspended(person: Any) -> list[str]:
    """Write down, and return, which sessions of a person may not be used as the person is now."""
    found = [session.pk for session in sessions_of(person) if is_suspended(session)]
    if found:
        AuthSession.objects.filter(pk__in=found).swap(told=timezone.now())
    return [str(pk) for pk in found]
