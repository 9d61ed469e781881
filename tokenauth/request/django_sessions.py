"""Keep Django's own session in step with ours.

Django's auth keys stay where Django put them: hijack, Channels and a site's tests read them, and
``login()`` flushes the previous person's data only if it finds them. They sign nobody in any
more: beside them stands the ``sid`` of the session of ours that does.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user,
)
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import RemoteUserMiddleware
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, router, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session.tokens import secret_keys
from tokenauth.session.users import auth_hash_of

SID_KEY = "_tokenauth_sid"
SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"


def store_of(request: HttpRequest) -> SessionBase | None:
    """Return the request's Django session; None where the app is absent."""
    return getattr(request, "session", None)


def is_modified(request: HttpRequest) -> bool:
    """Tell whether the request wrote to its Django session, without loading it."""
    store = store_of(request)
    return store is not None and bool(store.modified)


def note(request: HttpRequest, session: AuthSession) -> None:
    """Write down which session of ours this Django session belongs to.

    The auth keys go with it: data that a person collected after a Django session of theirs had
    expired would otherwise pass to the next one who signs in at that browser.
    """
    store = store_of(request)
    if store is None or store.get(SID_KEY) == str(session.pk):
        return
    user = session.user
    user_key = user._meta.pk.value_to_string(user)
    if SESSION_KEY not in store:
        # Whoever planted an anonymous session must not read what is written to it from now on.
        store.cycle_key()
    elif store[SESSION_KEY] != user_key:
        store.flush()
    store[SESSION_KEY] = user_key
    store[BACKEND_SESSION_KEY] = session.backend
    store[HASH_SESSION_KEY] = session.auth_hash
    store[SID_KEY] = str(session.pk)


def flush(request: HttpRequest, sid: UUID) -> None:
    """Drop the data of a session that has ended, so that the next person inherits nothing."""
    store = store_of(request)
    if store is not None and store.get(SID_KEY) == str(sid):
        store.flush()


def drop(request: HttpRequest) -> None:
    """Drop the data, whatever stands in it: a slow request may have written over the ``sid``."""
    request.session.flush()


def flush_orphan(request: HttpRequest) -> None:
    """Drop the data of a session that ended while its browser was away."""
    store = store_of(request)
    if store is None or SID_KEY not in store:
        return
    if not AuthSession.objects.at_writer().active().filter(pk=store[SID_KEY]).exists():
        store.flush()


def signed_in(request: HttpRequest, user: AbstractBaseUser) -> bool:
    """Tell whether the Django session holds this user's sign-in.

    A ``user_logged_in`` signal alone doesn't: knox sends one for a bearer token.
    """
    store = store_of(request)
    return store is not None and store.get(SESSION_KEY) == user._meta.pk.value_to_string(user)


def follow_password_change(request: HttpRequest, session: AuthSession) -> None:
    """Take over the hash that ``update_session_auth_hash`` left; it sends no signal.

    The user is read again: the hash must be that of the password now in the database, not one
    that this Django session has held since before ``SECRET_KEY`` was rotated.
    """
    store = store_of(request)
    left = store.get(HASH_SESSION_KEY, "") if store is not None and store.modified else ""
    if not left or constant_time_compare(left, session.auth_hash):
        return
    user = session.user.__class__._base_manager.using(session._state.db).get(pk=session.user_id)
    if constant_time_compare(left, auth_hash_of(user)):
        session.set_auth_hash(left)


def backend_of(request: HttpRequest) -> str:
    """Return the backend that ``login()`` noted."""
    return str(request.session[BACKEND_SESSION_KEY])


def persistence(request: HttpRequest) -> tuple[bool, datetime | None]:
    """Return whether a Django session outlives the browser, and when ``set_expiry`` ends it."""
    store = request.session
    if store.get_expire_at_browser_close():
        return False, None
    if "_session_expiry" not in store:
        return True, None
    return True, timezone.now() + timedelta(seconds=store.get_expiry_age())


def needs_auth_keys() -> bool:
    """Tell whether something is installed that raises KeyError without Django's keys.

    Both load the Django session in every request anyway.
    """
    classes = map(import_string, settings.MIDDLEWARE)
    remote_user = any(isinstance(c, type) and issubclass(c, RemoteUserMiddleware) for c in classes)
    return remote_user or apps.is_installed("hijack")


@sensitive_variables()
def adoption_marks(request: HttpRequest) -> list[str]:
    """Return an HMAC of the session cookie's value under each key; none where nothing is adopted.

    Not from ``signed_cookies``: there an old value is good for ever.
    """
    value = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    adopts = conf.ADOPT_DJANGO_SESSIONS and settings.SESSION_ENGINE != SIGNED_COOKIES
    if not value or not adopts or store_of(request) is None:
        return []
    return [
        salted_hmac("tokenauth.adoption", value, secret=secret, algorithm="sha256").hexdigest()
        for secret in secret_keys()
    ]


def find_adopted(request: HttpRequest) -> AuthSession | None:
    """Return the session that this browser's Django session was adopted into."""
    found: AuthSession | None = (
        AuthSession.objects.at_writer().filter(adopted_from__in=adoption_marks(request)).first()
    )
    return found


def find_adoptable(request: HttpRequest) -> AbstractBaseUser | None:
    """Return the user of a Django session that is older than tokenauth, checked by Django."""
    store = store_of(request)
    if store is None or SESSION_KEY not in store or SID_KEY in store:
        return None
    user = get_user(request)
    return user if user.is_authenticated else None


def adopt(request: HttpRequest, user: AbstractBaseUser) -> AuthSession | None:
    """Start the session that a Django session is adopted into, once; None if it exists.

    Parallel adopters share one: ``adopted_from`` is unique.
    """
    mark = adoption_marks(request)[0]
    persistent, ends_at = persistence(request)
    try:
        with transaction.atomic(using=router.db_for_write(AuthSession)):
            return AuthSession.objects.start(
                request,
                user,
                persistent,
                backend=backend_of(request),
                ends_at=ends_at,
                adopted_from=mark,
            )
    except IntegrityError:
        return None
