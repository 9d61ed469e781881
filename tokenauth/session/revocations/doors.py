"""Watch the doors through which sessions end, or are no longer to be used.

Connected only where a site tells resource servers. ``QuerySet.update()`` on people sends no signal,
and is not seen.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.signals import request_started
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_save, pre_delete

from tokenauth import signals
from tokenauth.models import AuthSession

from .publishing import publisher
from .rows import handed_out_since, note_suspended, sessions_of
from .telling import before_now


def connect() -> None:
    """Begin to watch. Raises ImproperlyConfigured if there is nobody to tell."""
    publisher()
    request_started.connect(begin, dispatch_uid="tokenauth.revocations")
    signals.sessions_ended.connect(tell_of_ended, dispatch_uid="tokenauth.revocations")
    for model in kinds_of_user():
        post_save.connect(tell_of_suspended, model, dispatch_uid="tokenauth.revocations")
        pre_delete.connect(tell_of_deleted, model, dispatch_uid="tokenauth.revocations")


def disconnect() -> None:
    """Watch no more."""
    request_started.disconnect(dispatch_uid="tokenauth.revocations")
    signals.sessions_ended.disconnect(dispatch_uid="tokenauth.revocations")
    for model in kinds_of_user():
        post_save.disconnect(sender=model, dispatch_uid="tokenauth.revocations")
        pre_delete.disconnect(sender=model, dispatch_uid="tokenauth.revocations")


def kinds_of_user() -> Iterator[type[Model]]:
    """Yield the user model, its proxies and its children: each sends signals of its own."""
    return (model for model in apps.get_models() if issubclass(model, get_user_model()))


def begin(**kwargs: Any) -> None:
    """Look after the stream in a process that serves requests."""
    publisher().start()


def tell_of_ended(sessions: Sequence[AuthSession], **kwargs: Any) -> None:
    """Tell of sessions that were revoked, once that is committed."""
    since = handed_out_since()
    ids = [str(session.pk) for session in sessions if session.issued_at >= since]
    if ids:
        alias = sessions[0]._state.db
        # No partial: Django could not log its error, for want of a name.
        transaction.on_commit(lambda: publisher().tell(ids), using=alias, robust=True)


def tell_of_suspended(
    instance: Any, created: bool, raw: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    """Tell of a person's sessions that a new password or deactivation has suspended."""
    if created or raw or (update_fields is not None and set(update_fields) <= {"last_login"}):
        return
    ids = note_suspended(instance)
    if ids:
        # The moment counts, not the person: who is reactivated and refreshes gets in again.
        transaction.on_commit(lambda: publisher().tell(ids, before_now()), using=using, robust=True)


def tell_of_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    """Tell of the sessions of a person who is deleted: now, for afterwards no row knows of them.

    If that is rolled back, they need but a refresh.
    """
    ids = [str(session.pk) for session in sessions_of(instance)]
    if ids:
        publisher().tell(ids, before_now(), known=False)
        transaction.on_commit(lambda: publisher().tell(ids, known=False), using=using, robust=True)
