"""Let a Django session that is older than tokenauth become a session of ours, once."""

from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.db import IntegrityError, router, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session import django_sessions

from .keys import SID_KEY, backend_of, persistence, store_of


def is_replayable(engine: type[SessionBase]) -> bool:
    """Tell whether an old value of a session's cookie is good for ever, whoever signs out."""
    return issubclass(engine, SignedCookies)


@sensitive_variables()
def marks_of(request: HttpRequest) -> list[str]:
    """Return the marks of the session cookie's value, the newest key's first.

    The list is empty where nothing is adopted.
    """
    store, value = store_of(request), request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not value or not conf.adopts(timezone.now()) or store is None:
        return []
    return [] if is_replayable(type(store)) else django_sessions.marks_of_cookie(value)


def find_adopted(request: HttpRequest) -> AuthSession | None:
    """Return the session that this browser's Django session was adopted into, or its mark.

    Or the mark of its person, who was signed out everywhere before it was adopted.
    """
    person = request.session.get(SESSION_KEY)
    known = [*marks_of(request), *(django_sessions.marks_of_person(person) if person else [])]
    rows = AuthSession.objects.filter(adopted_from__in=known)
    found: list[AuthSession] = sorted(rows, key=lambda row: row.is_mark)
    return found[0] if found else None


def find_adoptable(request: HttpRequest) -> AbstractBaseUser | None:
    """Return the user of a Django session that is older than tokenauth, checked by Django."""
    store: Any = store_of(request)
    if SESSION_KEY not in store or SID_KEY in store:
        return None
    user = get_user(request)
    return user if user.is_authenticated else None


def adopt(request: HttpRequest, user: AbstractBaseUser) -> AuthSession | None:
    """Start the session that a Django session is adopted into, once.

    Parallel adopters share one: ``adopted_from`` is unique. None: another request was faster, be
    it to adopt or to sign out, or the Django session is gone.
    """
    persistent, ends_at = persistence(request)
    key = request.session.session_key
    if not key or not request.session.exists(key):
        return None
    try:
        with transaction.atomic(using=router.db_for_write(AuthSession)):
            return AuthSession.objects.start(
                request,
                user,
                persistent,
                backend=backend_of(request),
                ends_at=ends_at,
                adopted_from=marks_of(request)[0],
            )
    except IntegrityError:
        return None


def bar(request: HttpRequest, user: AbstractBaseUser) -> None:
    """Sign out of a Django session that was not adopted: no slower request adopts it any more."""
    AuthSession.objects.leave_mark(user, marks_of(request)[0], request)
