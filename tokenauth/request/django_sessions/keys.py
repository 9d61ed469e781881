"""What stands in Django's session about a sign-in: Django's own keys, and the ``sid`` beside them.

Django's auth keys stay where Django put them: hijack, Channels and a site's tests read them, and
``login()`` flushes the previous person's data only if it finds them. They sign nobody in any more.
"""

from datetime import datetime, timedelta

from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import RemoteUserMiddleware
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils import timezone
from django.utils.module_loading import import_string

from tokenauth.models import AuthSession

SID_KEY = "_tokenauth_sid"


def store_of(request: HttpRequest) -> SessionBase | None:
    """Return the request's Django session; None where the app is absent."""
    return getattr(request, "session", None)


def auth_keys(session: AuthSession) -> dict[str, str]:
    """Return what Django's ``login()`` notes of a person, and which session of ours it is."""
    user = session.user
    return {
        SESSION_KEY: user._meta.pk.value_to_string(user),
        BACKEND_SESSION_KEY: session.backend,
        HASH_SESSION_KEY: session.auth_hash,
        SID_KEY: str(session.pk),
    }


def signed_in(request: HttpRequest, user: AbstractBaseUser) -> bool:
    """Tell whether the Django session holds this user's sign-in.

    A ``user_logged_in`` signal alone doesn't: knox sends one for a bearer token.
    """
    store = store_of(request)
    return store is not None and store.get(SESSION_KEY) == user._meta.pk.value_to_string(user)


def backend_of(request: HttpRequest) -> str:
    """Return the backend that ``login()`` noted."""
    return str(request.session[BACKEND_SESSION_KEY])


def is_modified(request: HttpRequest) -> bool:
    """Tell whether the request wrote to its Django session, without loading it."""
    store = store_of(request)
    return store is not None and bool(store.modified)


def belongs_to(store: SessionBase, session: AuthSession) -> bool:
    """Tell whether data is kept there for a session."""
    return store.session_key is not None and store.get(SID_KEY) == str(session.pk)


def are_read_at_once() -> bool:
    """Tell whether something is installed that reads Django's keys in every request.

    In async code, too, without awaiting: Django's own ``auser()`` has loaded them by then.
    """
    classes = map(import_string, settings.MIDDLEWARE)
    remote_user = any(isinstance(c, type) and issubclass(c, RemoteUserMiddleware) for c in classes)
    return remote_user or apps.is_installed("hijack")


def hash_left(request: HttpRequest) -> str:
    """Return the hash of a password that stands in the Django session."""
    return str(request.session.get(HASH_SESSION_KEY, ""))


def persistence(request: HttpRequest) -> tuple[bool, datetime | None]:
    """Return whether a Django session outlives the browser, and when ``set_expiry`` ends it."""
    store = request.session
    if store.get_expire_at_browser_close():
        return False, None
    if "_session_expiry" not in store:
        return True, None
    return True, timezone.now() + timedelta(seconds=store.get_expiry_age())
