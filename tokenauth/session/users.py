"""Ask Django whether a session's user may be signed in: backend, is_active, password."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from django.conf import settings
from django.contrib.auth import get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend, RemoteUserBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import models, router
from django.utils.crypto import constant_time_compare

from tokenauth.exceptions import SessionSuspended
from tokenauth.secret import Masked


def people() -> Any:
    """Return the user model's manager for the database that is written: a replica lags behind."""
    model = get_user_model()
    return model._default_manager.db_manager(router.db_for_write(model))


class HasUser(Protocol):
    """What of a session this module looks at. ``user`` was joined to it."""

    backend: str
    auth_hash: str
    user: Any
    user_id: Any


def vouch_for(session: HasUser) -> Any:
    """Return the user for whom the session's backend vouches, as Django's ``get_user`` does.

    Raises SessionSuspended when it doesn't: inactive, hidden, or the backend is gone.
    """
    if session.backend not in settings.AUTHENTICATION_BACKENDS:
        raise SessionSuspended("its authentication backend is no longer installed")
    backend: Any = load_backend(session.backend)
    if joined_user_will_do(backend, type(session.user)):
        user = session.user if backend.user_can_authenticate(session.user) else None
    else:
        user = as_written(backend.get_user(session.user_id), session.user, backend)
    if user is None:
        raise SessionSuspended("its backend does not vouch for the user")
    return user


def as_written(user: Any, joined: Any, backend: Any) -> Any:
    """Return a backend's user with the columns that were joined; None if they are not let in so.

    The site's router may have sent the backend to a replica, which knows the password of before.
    A user whom it made of something else stays as they are.
    """
    if user is None or user._state.db in (None, joined._state.db):
        return user
    for field in joined._meta.concrete_fields:
        setattr(user, field.attname, getattr(joined, field.attname))
    is_let_in = getattr(backend, "user_can_authenticate", None)
    return user if is_let_in is None or is_let_in(user) else None


def proves(backend: str) -> bool:
    """Tell whether who signs in by a backend has shown something.

    RemoteUserMiddleware signs in whomever the web server names wherever it finds nobody, with
    each page that could not be refreshed: that is the same sign-in. A backend that is gone signs
    nobody in.
    """
    try:
        return not isinstance(load_backend(backend), RemoteUserBackend)
    except ImportError:
        return True


def joined_user_will_do(backend: Any, model: type[models.Model]) -> bool:
    """Tell whether the user that was joined to the session is what the backend would load.

    True for the stock ``ModelBackend`` (and subclasses that keep its ``get_user``) with a user
    model whose default manager hides nobody.
    """
    stock = getattr(type(backend), "get_user", None) is ModelBackend.get_user
    manager = type(model._default_manager)
    return stock and manager.get_queryset is models.Manager.get_queryset


def check_auth_hash(user: AbstractBaseUser, auth_hash: str) -> list[Masked]:
    """Compare a session's hash with the user's password of now.

    Returns the password's hashes under each key, that of today's first. A mismatch raises
    SessionSuspended and is never written down: a request that comes between ``user.save()`` and
    the new hash must not end the changer's own session.
    """
    fallbacks: Iterable[str] = getattr(user, "get_session_auth_fallback_hash", tuple)()
    hashes = [auth_hash_of(user), *map(Masked, fallbacks)]
    if any(constant_time_compare(auth_hash, known) for known in hashes):
        return hashes
    raise SessionSuspended("the password has been changed since")


def is_suspended(session: HasUser) -> bool:
    """Tell whether a session may not be used because of its user."""
    try:
        check_auth_hash(vouch_for(session), session.auth_hash)
    except SessionSuspended:
        return True
    return False


def auth_hash_of(user: AbstractBaseUser) -> Masked:
    """Return Django's session auth hash, which changes with the password."""
    make: Callable[[], str] = getattr(user, "get_session_auth_hash", str)
    return Masked(make())


def can_be_username(text: str) -> bool:
    """Tell whether the user model's username field can hold a text: letters are no number.

    Where it can't, Django's ``ModelBackend`` raises whatever its query raises.
    """
    model = get_user_model()
    field: Any = model._meta.get_field(model.USERNAME_FIELD)
    try:
        field.to_python(text)
    except ValidationError:
        return False
    return True


def backend_of(user: AbstractBaseUser) -> str:
    """Return the dotted path of the backend that ``authenticate`` noted, or of the only one.

    Raises ValueError when there are several.
    """
    noted: str | None = getattr(user, "backend", None)
    if noted is None and len(settings.AUTHENTICATION_BACKENDS) != 1:
        raise ValueError(
            "There are several AUTHENTICATION_BACKENDS: pass backend=, or a user that "
            "authenticate() returned."
        )
    return noted or settings.AUTHENTICATION_BACKENDS[0]
