"""Do what Django's ``login()``, ``logout()``, a new password or an old session asks for.

The view has run, and its transaction is over, so that nothing rolls back what is done here; or it
is one of ours, which has none, or was cancelled.
"""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import router
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from tokenauth.exceptions import SessionSuspended
from tokenauth.models import AuthSession
from tokenauth.session.endings import RevokeReason
from tokenauth.session.rotation import Step
from tokenauth.session.users import auth_hash_of, check_auth_hash, proves

from . import adoption, keys

if TYPE_CHECKING:
    from tokenauth.request.credentials import Credentials


def follow_django(credentials: "Credentials") -> None:
    """Do what Django's ``login()``, ``logout()`` or an old session of Django's asks for."""
    if is_signed_out(credentials):
        credentials.end(RevokeReason.LOGOUT)
    elif credentials.bearer is not None:
        return  # what an app does, or proves, gives it no browser's session
    elif credentials.signed_in is not None:
        follow_login(credentials, credentials.signed_in)
    elif is_proved_again(credentials):
        follow_proof(credentials)
    elif credentials.adoptable is not None:
        adopt(credentials, credentials.adoptable)
    elif credentials.session is not None and keys.is_modified(credentials.request):
        follow_new_password(credentials, credentials.session)


def is_signed_out(credentials: "Credentials") -> bool:
    """Tell whether the view signed the person out: with ``logout()`` or with the data."""
    session, store = credentials.session, credentials.store
    if credentials.signed_out or (store is not None and store.flushed):
        return True
    user = credentials.signed_in or credentials.adoptable or (session and session.user)
    is_touched = store is not None and (store.modified or not session)
    return bool(user and is_touched and not keys.signed_in(credentials.request, user))


def abandon(credentials: "Credentials") -> None:
    """Sign out whom a view signed out, or over whom it signed in somebody, and then failed.

    As Django does: the data of the one before is gone, and that of the next was not saved. A
    cancelled request alike: nobody gets its answer.
    """
    store = credentials.store
    flushed = store is not None and store.flushed
    if credentials.signed_out or credentials.signed_in or flushed:
        credentials.end(RevokeReason.LOGOUT)


def follow_login(credentials: "Credentials", user: AbstractBaseUser) -> None:
    """Give Django's login a session of ours: a new one for each proof of identity.

    A copy of the jar gains nothing by what is proven after it was taken (ASVS 7.2.4).
    """
    request = credentials.request
    if not proves(keys.backend_of(request)):
        live = AuthSession.objects.active().select_related("user")
        kept: AuthSession | None = live.filter(pk__in=credentials.sids(), user=user.pk).first()
        if kept is not None:
            kept.step = Step.DEBOUNCE  # a new access token only
            live.filter(pk=kept.pk).swap(issued_at=timezone.now())
            credentials.hand_out(kept)
            return
    start_anew(credentials, user)


def start_anew(
    credentials: "Credentials", user: AbstractBaseUser, persistent: bool | None = None
) -> None:
    """Start a session with the backend and the lifetime that Django's session has.

    ``persistent`` is what the person chose, where that is known.
    """
    request, user = credentials.request, as_left(credentials, user)
    credentials.answers_at_once = True
    policy, ends_at = keys.persistence(request)
    persistent = policy if persistent is None else persistent
    backend = keys.backend_of(request)
    credentials.start(user, persistent=persistent, backend=backend, ends_at=ends_at)


def is_proved_again(credentials: "Credentials") -> bool:
    """Tell whether the person who is there now proved in this request who they are.

    They may have signed out since, or in once more.
    """
    there = credentials.session or credentials.adoptable
    return there is not None and credentials.proved_again is there


def follow_proof(credentials: "Credentials") -> None:
    """Start a session anew for a person who has proved again who they are.

    Django's session gets a new key, as at a login: nothing goes on under one that was copied.
    """
    store, kept = credentials.store, credentials.session
    user: Any = credentials.user
    assert store is not None  # noqa: S101  # for the type checker: what was proved stands there
    store.cycle_key()
    start_anew(credentials, user, persistent=kept.persistent if kept else None)


def follow_new_password(credentials: "Credentials", session: AuthSession) -> None:
    """Start a session anew after ``update_session_auth_hash``, which sends no signal.

    The user is read again: the hash must be that of the password now in the database. A hash
    that differs only by the key under which it was made is no new password.
    """
    left = keys.hash_left(credentials.request)
    if not left or constant_time_compare(left, session.auth_hash):
        return
    user = read_again(session.user)
    if not constant_time_compare(left, auth_hash_of(user)):
        return
    try:
        session.auth_hashes = check_auth_hash(user, session.auth_hash)
    except SessionSuspended:
        start_anew(credentials, user)


def as_left(credentials: "Credentials", user: AbstractBaseUser) -> AbstractBaseUser:
    """Return the user with the password that the view has left, by another instance perhaps."""
    left = keys.hash_left(credentials.request)
    return user if constant_time_compare(left, auth_hash_of(user)) else read_again(user)


def read_again(user: Any) -> Any:
    """Return the user as the database that is written has it now."""
    model = type(user)
    return model._base_manager.using(router.db_for_write(model)).get(pk=user.pk)


def adopt(credentials: "Credentials", user: AbstractBaseUser) -> None:
    """Start a session for a Django session that is older than tokenauth."""
    store = credentials.store
    assert store is not None  # noqa: S101  # for the type checker: there is one to adopt
    session = adoption.adopt(credentials.request, as_left(credentials, user))
    if session is None:
        # A parallel request was faster: the same tokens, then, if they are still to be had.
        credentials.adoptable = None
        credentials.resolve_django_session()
        session = credentials.session
    if session is not None:
        credentials.signed_in, credentials.adoptable = None, None
        credentials.hand_out(session)
    else:
        # It was signed out meanwhile: what this view has written goes nowhere.
        store.withheld = True


def adopt_now(credentials: "Credentials") -> None:
    """Adopt before our own view answers, which says which session it is.

    The view must run outside a transaction (``urls`` sees to that). A view of the site's is adopted
    after it ran: ATOMIC_REQUESTS could roll the session back.
    """
    credentials.get_user()
    user = credentials.adoptable
    if user is None:
        return
    adopt(credentials, user)
    if credentials.session is None:  # adopted by a parallel request, and ended since
        credentials.user, credentials.adoptable = AnonymousUser(), None
