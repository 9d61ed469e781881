"""The rows in which Django keeps its sessions: each lives and dies with the session of ours.

Where the site's engine keeps them in a database, that is; of other engines nothing is known here.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.core.cache import caches
from django.db import models, router

T = TypeVar("T", bound=models.QuerySet[Any])


def engine() -> type[SessionBase]:
    """Return the site's store."""
    store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
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


def with_existence(sessions: T) -> T:
    """Let sessions of ours say whether their rows are there, where one statement can."""
    model = model_of(engine())
    if model is None or router.db_for_write(model) != sessions.db:
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


def delete(keys: Sequence[str]) -> None:
    """Delete rows, and what ``cached_db`` keeps of them."""
    found = rows(keys)
    if found is None or not keys:
        return
    found.delete()
    prefix = getattr(engine(), "cache_key_prefix", None)
    if prefix is not None:
        caches[settings.SESSION_CACHE_ALIAS].delete_many([prefix + key for key in keys])
