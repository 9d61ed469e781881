"""What the database knows of Django's sessions: rows, and marks of those older than tokenauth.

A row lives and dies with the session of ours, where the site's engine keeps rows; of other engines
nothing is known here. A mark is an HMAC in the unique column ``adopted_from``: of the value of a
session cookie, or of a person who was signed out everywhere.
"""

from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.core.cache import caches
from django.db import models, router
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf

from .tokens import secret_keys

T = TypeVar("T", bound=models.QuerySet[Any])


def engine() -> type[SessionBase]:
    """Return the site's store."""
    return store_in(settings.SESSION_ENGINE)


@cache
def store_in(module: str) -> type[SessionBase]:
    """Return an engine's store."""
    store: type[SessionBase] = import_module(module).SessionStore
    return store


@cache
def model_of(store: type[SessionBase]) -> type[models.Model] | None:
    """Return the model of an engine's rows; None for other engines, and without the app."""
    if not issubclass(store, DatabaseStore):
        return None
    try:
        model: type[models.Model] = store.get_model_class()
    except RuntimeError:  # django.contrib.sessions is not installed
        return None
    return model


def rows(keys: Sequence[str]) -> models.QuerySet[Any] | None:
    """Return the rows under these keys, in the database that is written."""
    model = model_of(engine())
    if model is None:
        return None
    return model._base_manager.using(router.db_for_write(model)).filter(session_key__in=keys)


def joined_model(alias: str) -> type[models.Model] | None:
    """Return the model of the rows, if one statement in this database can ask for both."""
    model = model_of(engine())
    return None if model is None or router.db_for_write(model) != alias else model


def with_existence(sessions: T) -> T:
    """Let sessions of ours say whether their rows are there, where one statement can."""
    model = joined_model(sessions.db)
    if model is None:
        return sessions
    mine = model._base_manager.filter(session_key=models.OuterRef("django_session"))
    annotated: T = sessions.annotate(has_django_session=models.Exists(mine))
    return annotated


def exists(key: str) -> bool:
    """Tell whether a row is there, if only for want of an engine that has rows."""
    found = rows([key])
    return found is None or found.exists()


def prolong(key: str, until: datetime) -> None:
    """Let a row last at least until then. Its data is not touched: another request may write it."""
    found = rows([key])
    if found is not None:
        found.filter(expire_date__lt=until).update(expire_date=until)


def delete(keys: Sequence[str], gone: Container[str | None] = ()) -> None:
    """Delete rows, but for those known to be ``gone``, and what ``cached_db`` keeps of them all."""
    if not keys or model_of(engine()) is None:
        return
    left = [key for key in keys if key not in gone]
    found = rows(left) if left else None
    if found is not None:
        found.delete()
    prefix = getattr(engine(), "cache_key_prefix", None)
    if prefix is not None:
        caches[settings.SESSION_CACHE_ALIAS].delete_many([prefix + key for key in keys])


def may_turn_up() -> bool:
    """Tell whether a Django session that is older than tokenauth may still turn up.

    Until nothing has been adopted for as long as one lives: the date may be set to a later one.
    """
    return conf.adopts(timezone.now() - timedelta(seconds=settings.SESSION_COOKIE_AGE))


def long_ago() -> datetime:
    """Return the first moment that each database knows, as this site stores moments."""
    return timezone.make_aware(datetime(1971, 1, 1)) if settings.USE_TZ else datetime(1971, 1, 1)  # noqa: DTZ001  # the setting says which


@sensitive_variables()
def marks_of_cookie(value: str) -> list[str]:
    """Return the marks of a session cookie's value, under each key, that of today's first."""
    return marks("tokenauth.adoption", value)


def marks_of_person(key: Any) -> list[str]:
    """Return the marks of a person, by the primary key as text; as above."""
    return marks("tokenauth.adoption.person", str(key))


@sensitive_variables()
def marks(salt: str, value: str) -> list[str]:
    """Return an HMAC under each key."""
    return [
        salted_hmac(salt, value, secret=secret.reveal(), algorithm="sha256").hexdigest()
        for secret in secret_keys()
    ]
