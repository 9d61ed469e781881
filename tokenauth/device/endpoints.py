"""Answer a browser that registers a device key, and one that proves it again (W3C DBSC).

Never with another status than 200, 403 or 5xx: at any other Chrome deletes the key, and its person
must sign in again. So the middleware answers, before anything of the site's own may.
"""

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from tokenauth import signals
from tokenauth.exceptions import InvalidProof, SessionEnded, TokenAuthError
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.request.credentials import Credentials
from tokenauth.request.jar.device import device_place, first_device_token
from tokenauth.secret import Masked, Secret
from tokenauth.session import tokens
from tokenauth.session.jwt.jwk import thumbprint_of

from .asking import UNBOUND
from .challenges import (
    CHALLENGE,
    challenge_header,
    make_challenge,
    moment_of,
    to_prove,
    to_register,
)
from .cookie import delete_device_token, put_device_token
from .proofs import read_proof, read_registration, unquoted
from .tokens import issue_device_token

log = logging.getLogger("tokenauth.security")

#: The header of a proof, as Django has it.
PROOF = "HTTP_SECURE_SESSION_RESPONSE"
REGISTER, REFRESH = "device/register/", "device/refresh/"
Endpoint = Callable[[Credentials], HttpResponse]


def endpoint_at(path: str) -> Endpoint | None:
    """Return what answers a request's path, if it is one of the two."""
    if not path.endswith((REGISTER, REFRESH)):
        return None
    here = unquote(cookies.include_path())
    return {here + REGISTER: register, here + REFRESH: refresh}.get(path)


# Registering


@sensitive_variables()
def register(credentials: Credentials) -> HttpResponse:
    """Give a browser its first device token, if it proves a key for the session that it holds.

    Nothing is written: a session is bound once the browser shows that it has kept this answer.
    """
    request, token = credentials.request, credentials.presented.refresh
    # A script's fetch says "cors", and can't have this answered by no-cors: it may send no proof.
    is_browsers_own = request.headers.get("Sec-Fetch-Mode", "no-cors") == "no-cors"
    if token is None or request.method != "POST" or not is_browsers_own:
        return refusal()
    try:
        key, challenge = read_registration(proof_in(request))
        session = AuthSession.objects.look_up(token.sid)
    except TokenAuthError:
        return refusal()
    moment = moment_of(challenge, to_register(token.sid), time.time())
    is_current = constant_time_compare(tokens.hash_token(token.raw), session.token_hash)
    if moment is None or not is_current:
        return refusal()
    if session.device_key:
        note_second_key(session, key, request)
        return refusal()
    return grant(credentials, session, key, proved=moment)


@sensitive_variables()
def note_second_key(session: AuthSession, key: str, request: HttpRequest) -> None:
    """Write down that another key was shown for a bound session, and tell of it once.

    It may be a thief's, who copied the jar before the session was bound, or of an answer that was
    long on its way: the two look the same, so the session lives. The key counts for nothing.
    """
    if key == session.device_key:
        return
    rows = AuthSession.objects.active().filter(pk=session.pk, second_key_at=None)
    if rows.swap(second_key_at=timezone.now()):
        log.warning(
            "A second device key was shown for session %s of user %s (%s, %s).",
            session.pk,
            session.user_id,
            session.device,
            session.ip_address,
        )
        signals.second_device_key.send_robust(sender=AuthSession, session=session, request=request)


# Proving again


@sensitive_variables()
def refresh(credentials: Credentials) -> HttpResponse:
    """Give a browser a new device token, if it proves the key of the session that it names.

    It may bring no cookies: another site's link makes it ask like that.
    """
    sid = identifier_in(credentials.request)
    if sid is None or credentials.request.method != "POST":
        return refusal()
    session = AuthSession.objects.find(sid)
    try:
        if session is None:
            raise SessionEnded(sid)
        session.check_not_over()
    except SessionEnded:
        return farewell(sid)
    except TokenAuthError:
        return not_now()
    header = credentials.presented.header
    first = None if session.device_key else first_device_token(header, sid)
    key = session.device_key or (first.jwk if first else "")
    if not key:
        # A parallel request may be bringing the first token; to end it would lose the key.
        return not_now()
    moment = proved_at(credentials.request, session, key)
    if moment is None:
        return with_challenge(refusal(), session, key)
    return grant(credentials, session, key, proved=moment)


@sensitive_variables()
def proved_at(request: HttpRequest, session: AuthSession, key: str) -> int | None:
    """Return since when a proof is good, in seconds since the epoch; None if none is or came."""
    try:
        challenge = read_proof(proof_in(request), key)
    except InvalidProof:
        return None
    return moment_of(challenge, to_prove(session.pk, thumbprint_of(key)), time.time())


def proof_in(request: HttpRequest) -> Secret[str]:
    """Return the proof that a request brings; empty if none.

    Reports of errors show the headers: of this one no more than that it is there.
    """
    header = request.META.setdefault(PROOF, "")
    request.META[PROOF] = Masked(header)
    return unquoted(header)


def identifier_in(request: HttpRequest) -> UUID | None:
    """Return which session a browser asks for. No script can send this header."""
    try:
        return UUID(unquoted(request.headers.get("Sec-Secure-Session-Id", "")).reveal())
    except ValueError:
        return None


# What they say


@sensitive_variables()
def grant(credentials: Credentials, session: AuthSession, key: str, *, proved: int) -> HttpResponse:
    """Return the answer that brings a device token, the next challenge, and what it is for."""
    try:
        told = instructions(credentials.request, session)
    except DisallowedHost:  # a 400 would delete the key
        return not_now()
    response = with_challenge(JsonResponse(told), session, key)
    raw = issue_device_token(session.pk, key, proved=proved, is_first=not session.device_key)
    put_device_token(response, session.pk, raw)
    return response


def instructions(request: HttpRequest, session: AuthSession) -> dict[str, Any]:
    """Return what the browser has to do for a session from now on (W3C DBSC §9.10)."""
    place = device_place(session.pk)
    here = cookies.include_path()
    static = urlsplit(settings.STATIC_URL or "")
    files = [static.path] if not static.netloc and len(static.path) > 1 else []
    unbound = [*(here + path for path in UNBOUND), *files, "/favicon.ico"]
    return {
        "session_identifier": str(session.pk),
        "refresh_url": here + REFRESH,
        "scope": {
            "origin": f"https://{request.get_host()}",
            "include_site": False,
            "scope_specification": [
                {"type": "exclude", "domain": "*", "path": path.rstrip("/")} for path in unbound
            ],
        },
        "credentials": [
            {
                "type": "cookie",
                "name": place.name,
                "attributes": f"Path=/; Secure; HttpOnly; SameSite={place.samesite}",
            }
        ],
    }


@sensitive_variables()
def with_challenge(response: HttpResponse, session: AuthSession, key: str) -> HttpResponse:
    """Let an answer bring what the key has to sign next."""
    challenge = make_challenge(to_prove(session.pk, thumbprint_of(key)), time.time())
    response[CHALLENGE] = challenge_header(challenge, session.pk)
    return response


def refusal() -> HttpResponse:
    """Return a 403: to a refresh with a challenge it means, sign that and ask again."""
    return sealed(HttpResponse(status=403))


def not_now() -> HttpResponse:
    """Return what makes a browser keep its key, and ask again later."""
    return sealed(HttpResponse(status=503))


def farewell(sid: UUID) -> HttpResponse:
    """Return what makes a browser delete the key of a session that has ended."""
    response = JsonResponse({"session_identifier": str(sid), "continue": False})
    delete_device_token(response, sid)
    return response


def sealed(response: HttpResponse) -> HttpResponse:
    """Return an answer that no cache keeps, and no log: it belongs to the protocol.

    Else Django tells the site's admins of each 503, by e-mail.
    """
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django's own, see log_response
    cookies.forbid_caching(response)
    return response
