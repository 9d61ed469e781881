"""Ask Django whether a session's user may be signed in: backend, is_active, password."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from django.conf import settings
from django.contrib.auth import get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.crypto import constant_time_compare

from tokenauth.exceptions import SessionSuspended
from tokenauth.secret import Masked


class HasUser(Protocol):
    """What of a session this module looks at. ``user`` was joined to it."""

    backend: str
    user: Any
    user_id: Any


def vouch_for(session: HasUser) -> Any:
    """Return the user for whom the session's backend vouches, as Django's ``get_user`` does.

    Raises SessionSuspended when it doesn't: inactive, hidden, or the backend is gone.
    """
    if session.backend not in settings.AUTHENTICATION_BACKENDS:
        raise SessionSuspended("its authentication backend is no longer installed")
    backend: Any = load_backend(session.backend)
    if joined_user_will_do(backend):
        user = session.user if backend.user_can_authenticate(session.user) else None
    else:
        user = backend.get_user(session.user_id)
    if user is None:
        raise SessionSuspended("its backend does not vouch for the user")
    return user


def joined_user_will_do(backend: Any) -> bool:
    """Tell whether the user that was joined to the session is what the backend would load.

    True for the stock ``ModelBackend`` (and subclasses that keep its ``get_user``) with a user
    model whose default manager hides nobody.
    """
    stock = getattr(type(backend), "get_user", None) is ModelBackend.get_user
    manager = type(get_user_model()._default_manager)
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
