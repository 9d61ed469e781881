"""Watch the doors through which sessions end, or are no longer to be used, for open sockets.

Connected where a site has a channel layer. ``QuerySet.update()`` on people sends no signal.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save, pre_delete

from tokenauth import signals
from tokenauth.models import AuthSession
from tokenauth.session.revocations.doors import kinds_of_user

from .looking import active_of, suspended_of
from .telling import tell

UID = "tokenauth.sockets"


def connect() -> None:
    """Begin to watch."""
    signals.sessions_ended.connect(tell_of_ended, dispatch_uid=UID)
    for model in kinds_of_user():
        post_save.connect(tell_of_suspended, model, dispatch_uid=UID)
        pre_delete.connect(tell_of_deleted, model, dispatch_uid=UID)


def disconnect() -> None:
    """Watch no more."""
    signals.sessions_ended.disconnect(dispatch_uid=UID)
    for model in kinds_of_user():
        post_save.disconnect(sender=model, dispatch_uid=UID)
        pre_delete.disconnect(sender=model, dispatch_uid=UID)


def tell_after_commit(sids: Iterable[str], using: str | None) -> None:
    """Name sessions once their end can be seen."""
    named = [*sids]
    if named:
        # No partial: Django could not log its error, for want of a name.
        transaction.on_commit(lambda: tell(named), using=using, robust=True)


def tell_of_ended(sessions: Sequence[AuthSession], **kwargs: Any) -> None:
    """Tell of all that were revoked: a socket outlives the access token that opened it."""
    tell_after_commit([str(session.pk) for session in sessions], sessions[0]._state.db)


def tell_of_suspended(
    instance: Any, created: bool, raw: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    """Tell of a person's sessions that a new password or deactivation has suspended."""
    if created or raw or (update_fields is not None and set(update_fields) <= {"last_login"}):
        return
    tell_after_commit(suspended_of(instance), using)


def tell_of_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    """Tell of the sessions of a person who is deleted, which no row knows afterwards."""
    tell_after_commit([str(session.pk) for session in active_of(instance)], using)
