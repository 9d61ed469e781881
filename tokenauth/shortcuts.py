"""What our own pages and API do, for a site's views too: sign in and out, end one's sessions."""

from typing import Any
from uuid import UUID

from django.contrib.auth import login, logout
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.shortcuts import get_object_or_404

from tokenauth.lazy import credentials_of

from .clients.answers import token_answer
from .conf import conf
from .models import MAX_CLIENT_NAME_LENGTH, AuthSession
from .request.credentials import Credentials
from .request.django_sessions.following import adopt_now
from .request.django_sessions.keys import store_of
from .session.devices import Client
from .session.endings import AuthSessionQuerySet, RevokeReason
from .session.jwt.access_claims import APP


def sign_in(
    request: HttpRequest, user: AbstractBaseUser, *, persistent: bool | None = None
) -> AuthSession:
    """Sign in a person that ``authenticate()`` returned, as our own views do.

    With Django's ``login()`` where sessions are installed: it sends ``user_logged_in``, drops the
    previous person's data and replaces the CSRF token. Without ``persistent`` the site's policy
    counts: SESSION_EXPIRE_AT_BROWSER_CLOSE.
    """
    persistent = conf.persistent_by_default if persistent is None else persistent
    credentials = credentials_of(request)
    store = store_of(request)
    if store is None:
        rotate_token(request)
        user_logged_in.send(sender=type(user), request=request, user=user)
    else:
        login(request, user)  # type: ignore[arg-type]  # the stubs know one user model
        if not persistent:
            store.set_expiry(0)
    return credentials.start(user, persistent=persistent)


def sign_in_app(
    request: HttpRequest,
    user: AbstractBaseUser,
    *,
    client_name: str = "",
    key_thumbprint: str | None = None,
    backend: str = "",
) -> dict[str, Any]:
    """Sign in a person in an app, as ``api/login/`` does, and return what the app gets.

    That is for the body of an answer which no browser reads (RFC 6749 §5.1;
    ``tokenauth.clients.parameters.refuse_browser``). Whoever sends the request stays who they are,
    and no cookie is set. An app that is signed in already, by its header, has the new session in
    the place of that one.

    ``key_thumbprint`` binds the session to a key (``tokenauth.clients.proofs.shown_key``).
    ``backend`` is the dotted path of the authentication backend that vouches for the user; see
    ``AuthSession.objects.start``, and ValueError there.
    """
    return token_answer(
        start_in_app(
            request, user, Client(APP, readable(client_name), key_thumbprint), backend=backend
        )
    )


def start_in_app(
    request: HttpRequest, user: AbstractBaseUser, client: Client, *, backend: str = ""
) -> AuthSession:
    """Start the session of an app; see sign_in_app()."""
    credentials = credentials_of(request)
    credentials.is_apps_login = True
    try:
        user_logged_in.send(sender=type(user), request=request, user=user)
    finally:
        credentials.is_apps_login = False
    replaced = credentials.sids() if credentials.bearer else ()
    session: AuthSession = AuthSession.objects.start(
        request, user, backend=backend, client=client, replaces=replaced
    )
    return session


def readable(name: str) -> str:
    """Return a client's name as a line that staff can read: it is anybody's word."""
    return "".join(filter(str.isprintable, name))[:MAX_CLIENT_NAME_LENGTH]


def sign_out(request: HttpRequest, reason: str = RevokeReason.LOGOUT) -> None:
    """Sign the person out, as our own views do. Works with any cookie in the jar, or none."""
    credentials = credentials_of(request)
    if store_of(request) is None:
        user = credentials.get_user()
        person = user if user.is_authenticated else None
        user_logged_out.send(sender=type(person), request=request, user=person)
    else:
        logout(request)
    credentials.end(reason)
    if credentials.store is not None:
        credentials.store.flushed = False  # what that asks for is done


def sessions_of(credentials: Credentials) -> AuthSessionQuerySet:
    """Return the signed-in person's active sessions, the last seen first.

    An old Django session is adopted first: then ``credentials.session`` is the one that asks.
    """
    adopt_now(credentials)
    user: Any = credentials.get_user()
    theirs: AuthSessionQuerySet = AuthSession.objects.active().lean().filter(user=user.pk)
    return theirs.order_by("-last_seen_at")


def revoke_own(request: HttpRequest, pk: UUID) -> tuple[str, str]:
    """End one of the person's sessions; return the name of the page to show then, and the device.

    Raises Http404 for anybody else's.
    """
    credentials = credentials_of(request)
    session = get_object_or_404(sessions_of(credentials), pk=pk)
    if credentials.session is not None and session.pk == credentials.session.pk:
        sign_out(request, RevokeReason.USER)
        return "tokenauth:login", session.device
    AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.USER, request)
    return "tokenauth:session_list", session.device


def revoke_others(request: HttpRequest) -> int:
    """End all of the person's sessions but the one that asks; return how many."""
    credentials = credentials_of(request)
    adopt_now(credentials)
    person, this = credentials.get_user(), credentials.session
    return AuthSession.objects.end_everywhere(
        [person.pk], RevokeReason.USER, request, but=this.pk if this else None
    )
