"""What a client may exchange at the token endpoint (RFC 6749 §6, RFC 7523 §2.1), and give back."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, router, transaction
from django.http import HttpRequest
from django.utils import timezone

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidProof, InvalidToken, TokenAuthError, Unavailable
from tokenauth.models import AuthSession
from tokenauth.request.throttling import LoginAttempt
from tokenauth.secret import Secret
from tokenauth.session.devices import Client
from tokenauth.session.endings import RevokeReason
from tokenauth.session.jwt.access_claims import APP, CI
from tokenauth.session.tokens import BearerAccessToken, BearerRefreshToken, Claims

from .parameters import Parameters, RequestRefused
from .proofs import refusal, shown_key

if TYPE_CHECKING:
    from .jobs import Job

Grant = Callable[[HttpRequest, Parameters], AuthSession]

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def rotate(request: HttpRequest, parameters: Parameters) -> AuthSession:
    """Replace an app's refresh token.

    Raises RequestRefused. The reason is not told: whoever has a stolen token need not know why it
    is worth nothing; its owner signs in again in any case.
    """
    raw, key = parameters.need("refresh_token"), shown_key(request)
    try:
        return AuthSession.objects.rotate(raw, request, client=APP, key_thumbprint=key)
    except InvalidProof as flaw:
        raise refusal(flaw) from None
    except TokenAuthError:
        raise RequestRefused(
            "invalid_grant", "The refresh token signs nobody in any more: sign in again."
        ) from None


def start_job(request: HttpRequest, parameters: Parameters) -> AuthSession:
    """Start the session of a CI job, which ends with its one access token (RFC 7523 §2.1).

    Raises RequestRefused. Failures are counted by address, as those of logins are.
    """
    from .assertions import InvalidAssertion, verify_assertion  # noqa: PLC0415  # needs joserfc

    raw = parameters.need("assertion")
    attempt = LoginAttempt(request)
    try:
        job = verify_assertion(raw)
    except InvalidAssertion as flaw:
        raise RequestRefused("invalid_grant", f"The assertion is refused: {flaw}.") from None
    except Unavailable:
        later = "The keys of the issuer are not to be had now: try again."
        raise RequestRefused("temporarily_unavailable", later, 503, {"Retry-After": "5"}) from None
    attempt.succeeded()
    return start_once(request, job)


def start_once(request: HttpRequest, job: "Job") -> AuthSession:
    """Start the session of a job whose assertion was not used before: its mark is unique.

    Raises RequestRefused.
    """
    backend = getattr(job.user, "backend", None) or settings.AUTHENTICATION_BACKENDS[0]
    try:
        with transaction.atomic(using=router.db_for_write(AuthSession)):
            session: AuthSession = AuthSession.objects.start(
                request,
                job.user,
                backend=backend,
                ends_at=timezone.now() + conf.ACCESS_TOKEN_LIFETIME,
                adopted_from=job.mark,
                client=Client(CI, job.name),
            )
    except IntegrityError:
        used = "The assertion was used before: let the job ask its CI for another."
        raise RequestRefused("invalid_grant", used) from None
    return session


def grant(request: HttpRequest, parameters: Parameters) -> AuthSession:
    """Return the session whose tokens a client gets for what it brings.

    Raises RequestRefused.
    """
    kind = parameters.need("grant_type").reveal()
    handle = grants().get(kind)
    if handle is None:
        words = " or ".join(grants())
        raise RequestRefused("unsupported_grant_type", f"The grant_type here is {words}.")
    return handle(request, parameters)


def grants() -> dict[str, Grant]:
    """Return what the site grants, by ``grant_type``. There is no password grant (OAuth 2.1)."""
    offered: dict[str, Grant] = {}
    if conf.APP_CLIENTS:
        offered["refresh_token"] = rotate
    if conf.TRUSTED_ISSUERS:
        offered[JWT_BEARER] = start_job
    return offered


def revoke(request: HttpRequest, parameters: Parameters) -> None:
    """End the session of a token, whichever of its two (RFC 7009 §2.1).

    A token that is not known is no error (§2.2): it is worth nothing, as was asked for. A spent
    one is still its session's, and what its bearer asks for is what a reuse would come to.

    Raises RequestRefused.
    """
    claims, key = read_either(parameters.need("token")), shown_key(request)
    session = AuthSession.objects.filter(pk=claims.sid).first() if claims else None
    if session is None:
        return
    try:
        session.check_key(key)
    except InvalidProof as flaw:
        raise refusal(flaw) from None
    AuthSession.objects.revoke_each([session.pk], RevokeReason.LOGOUT, request)


def read_either(raw: Secret[str]) -> Claims | None:
    """Return the claims of an app's token, whatever its time; None if it is none."""
    for kind in (BearerRefreshToken, BearerAccessToken):
        try:
            return kind.read(raw)
        except InvalidToken:
            continue
    return None
