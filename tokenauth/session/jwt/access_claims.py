"""Say what an access token must tell that a private key signed (RFC 9068 §2.2, §4).

An authorization server and its resource servers judge by the same lines. Nothing here touches a
request or the database.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken

from .claims import Claims, epoch

#: Whose a session is, and the ``client_id`` of its access token: that of a browser counts in a
#: cookie alone, the others' in an ``Authorization`` header alone.
BROWSER, APP, CI = "browser", "app", "ci"
#: ``rotation`` is a PositiveIntegerField; no session gets near it.
MAX_ROTATION = 2**31 - 1


def is_text(value: Any) -> bool:
    """Tell whether a claim is a string that says something."""
    return isinstance(value, str) and value != ""


def is_moment(value: Any) -> bool:
    """Tell whether a claim is whole seconds since the epoch; True is no number."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_rotation(value: Any) -> bool:
    """Tell whether a claim is the number of a refresh token."""
    return is_moment(value) and bool(value <= MAX_ROTATION)


def is_session(value: Any) -> bool:
    """Tell whether a claim is a session's id, as we write it."""
    try:
        return bool(str(UUID(value)) == value)
    except (AttributeError, TypeError, ValueError):
        return False


def is_mapping(value: Any) -> bool:
    """Tell whether a claim is an object, as the key that a token is bound to (RFC 7800 §3)."""
    return isinstance(value, dict)


def is_audience(value: Any) -> bool:
    """Tell whether a claim names who may accept the token: one, or several (RFC 7519 §4.1.3)."""
    names = [value] if isinstance(value, str) else value
    return isinstance(names, list) and all(map(is_text, names))


#: What a claim must be. RFC 9068 §2.2 requires all but the last five.
CLAIMS: Mapping[str, Callable[[Any], bool]] = {
    "iss": is_text,
    "aud": is_audience,
    "sub": is_text,
    "client_id": is_text,
    "iat": is_moment,
    "exp": is_moment,
    "jti": is_text,
    "sid": is_session,
    "rot": is_rotation,
    "auth_time": is_moment,
    "cnf": is_mapping,
    "jkt": is_text,
}
#: What may be left out: nobody proved who they are to an adopted session (RFC 9068 §2.2.1).
OPTIONAL = {"auth_time", "cnf", "jkt"}
#: Nor may a site give these, which mean something to us or to any JWT library.
RESERVED = {*CLAIMS, "nbf", "token_type"}


def check_access_claims(
    payload: Mapping[str, Any], issuer: str, audience: str, *, asks_for_proof: bool = False
) -> dict[str, Any]:
    """Return the claims of a payload whose signature is good.

    ``issuer`` must be its ``iss`` to the letter, ``audience`` one of its ``aud``. Whether it is
    expired is for the caller to judge: an expired one is how the server knows what to refresh. So
    is whether its ``client_id`` may come this way, and whoever takes tokens that are bound to a key
    (RFC 7800) ``asks_for_proof`` of it.

    Raises InvalidToken.
    """
    wanted = {
        name: fits for name, fits in CLAIMS.items() if name in payload or name not in OPTIONAL
    }
    wrong = [name for name, fits in wanted.items() if not fits(payload.get(name))]
    if wrong:
        raise InvalidToken(f"no access token of ours: {', '.join(wrong)}")
    if payload["iss"] != issuer:
        raise InvalidToken("of another issuer")
    accepted = [payload["aud"]] if isinstance(payload["aud"], str) else payload["aud"]
    if audience not in accepted:
        raise InvalidToken("for another audience")
    if "cnf" in payload and not asks_for_proof:
        raise InvalidToken("bound to a key")
    return dict(payload)


def issuer() -> str:
    """Return who signs with the site's keys. Raises ImproperlyConfigured."""
    if not conf.ISSUER:
        raise ImproperlyConfigured("Set TOKENAUTH_ISSUER to this site's URL.")
    return conf.ISSUER


def audience() -> list[str]:
    """Return who may accept the site's access tokens: the issuer, and those of the setting."""
    named = conf.AUDIENCE or []
    return list(dict.fromkeys([issuer(), *([named] if isinstance(named, str) else named)]))


def told_to_others(session: Any, claims: Claims) -> dict[str, Any]:
    """Return what a resource server learns of a session (RFC 9068 §2.2)."""
    told = {
        "iss": issuer(),
        "aud": audience(),
        "sub": str(session.user_id),
        "client_id": session.client,
        "iat": claims.iat,
        "exp": claims.exp,
        "sid": str(claims.sid),
        "rot": claims.rot,
    }
    if session.authenticated_at is not None:
        told["auth_time"] = epoch(session.authenticated_at)
    if claims.jkt:
        told["jkt"] = claims.jkt
    if session.key_thumbprint:
        told["cnf"] = {"jkt": str(session.key_thumbprint)}  # RFC 9449 §6.1
    return told
