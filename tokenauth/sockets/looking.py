"""Look at sessions again, many at a time, and tell which may still be used."""

import logging
from collections.abc import Collection, Iterator
from typing import Any

from django.db import Error

from tokenauth.exceptions import TokenAuthError
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions
from tokenauth.session.database.batches import batched
from tokenauth.session.users import is_suspended

log = logging.getLogger("tokenauth.security")


def usable_among(sids: Collection[str]) -> set[str]:
    """Return those that an HTTP request would be signed in by now, too."""
    rows = django_sessions.with_existence(AuthSession.objects.all()).order_by()
    found = (rows.filter(pk__in=batch).select_related("user") for batch in batched(sids))
    return {str(session.pk) for batch in found for session in batch if is_usable(session)}


def is_usable(session: AuthSession) -> bool:
    """Tell whether a session may be used now. Raises what a database raises that is away."""
    try:
        session.check_usable()
    except TokenAuthError:
        return False
    except Error:
        raise
    except Exception:  # a backend of the site's: the others must be looked at all the same
        log.exception("Session %s could not be looked at again.", session.pk)
    return True


def active_of(person: Any) -> Iterator[AuthSession]:
    """Yield a person's active sessions, as the person is now."""
    for session in AuthSession.objects.active().filter(user=person.pk).order_by():
        session.set_user(person)
        yield session


def suspended_of(person: Any) -> list[str]:
    """Return which of them may not be used: of a new password, or deactivation."""
    return [str(session.pk) for session in active_of(person) if is_suspended(session)]
