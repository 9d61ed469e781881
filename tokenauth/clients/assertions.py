"""Verify by which a job of a CI shows what it is: a token of its issuer's (RFC 7523 §3).

A message of ``InvalidAssertion`` is for whoever runs the job. It tells nothing of the token but
which rule it breaks.
"""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from django.utils.crypto import salted_hmac

from tokenauth.exceptions import InvalidToken, Unavailable, UnknownKey
from tokenauth.resource.keys.published import Source
from tokenauth.secret import Secret
from tokenauth.session.jose.keys import KeySet
from tokenauth.session.jwt.access_claims import is_audience, is_moment, is_text
from tokenauth.session.jwt.form import ASSERTION, check_form

from .issuers import TrustedIssuer, trusted
from .jobs import MAX_AGE, MAX_SKEW, Job

MAX_JTI_LENGTH = 255


class InvalidAssertion(InvalidToken):
    """The assertion signs nobody in; the message says why."""


def is_id(value: Any) -> bool:
    """Tell whether a claim can name one token."""
    return is_text(value) and len(value) <= MAX_JTI_LENGTH


#: What a claim must be besides ``iss``. RFC 7523 §3 requires the first three, and lets us ask for
#: the next two.
CLAIMS: Mapping[str, Callable[[Any], bool]] = {
    "sub": is_text,
    "aud": is_audience,
    "exp": is_moment,
    "iat": is_moment,
    "jti": is_id,
    "nbf": is_moment,
}
OPTIONAL = {"nbf"}


def verify_assertion(raw: Secret[str]) -> Job:
    """Return whose job it is that shows this assertion.

    Nothing is written down: the caller sees to it that each mark signs in once. What a function of
    the site's raises is the site's, and passes through.

    Raises InvalidAssertion, and Unavailable where the issuer's keys cannot be had.
    """
    try:
        check_form(raw, ASSERTION.longest)
        issuer = issuer_named_in(raw)
        claims = payload_of(raw, issuer.keys)
    except InvalidToken as error:
        raise InvalidAssertion(str(error)) from None
    flaw = flaw_in(claims, issuer, time.time())
    if flaw:
        raise InvalidAssertion(flaw)
    mark = mark_of(claims)  # before a function of the site's has had them in hand
    return Job(user_for(claims, issuer), issuer.name_of(claims), mark)


def issuer_named_in(raw: Secret[str]) -> TrustedIssuer:
    """Return by whose keys to verify a token. What it says is still anybody's word.

    Raises InvalidAssertion unless it names, to the letter, one whom the site trusts.
    """
    named, issuers = unverified_issuer(raw), trusted()
    if named in issuers:
        return issuers[named]
    if named.removesuffix("/") in {issuer.removesuffix("/") for issuer in issuers}:
        raise InvalidAssertion(
            "signed by an issuer that TOKENAUTH_TRUSTED_ISSUERS names with another end: one has a "
            "slash, the other has none"
        )
    raise InvalidAssertion("signed by an issuer that is not in TOKENAUTH_TRUSTED_ISSUERS")


def unverified_issuer(raw: Secret[str]) -> str:
    """Return the ``iss`` of a token that nobody has verified. Raises InvalidAssertion."""
    body = raw.reveal().split(".")[1]
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        named = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["iss"]
        if isinstance(named, str):
            return named
    raise InvalidAssertion("without an issuer ('iss')")


def payload_of(raw: Secret[str], keys: Source[KeySet]) -> dict[str, Any]:
    """Return what a token says that one of its issuer's keys has signed.

    Raises InvalidToken, and Unavailable where there are no keys.
    """
    known = keys.verifier()
    if known is not None:
        with suppress(UnknownKey):
            return known.verify(raw, ASSERTION)
    flight = keys.flight()
    if flight is not None:
        flight.wait()
    newer = keys.verifier()
    if newer is None:
        raise Unavailable("the keys of its issuer cannot be had now")
    return newer.verify(raw, ASSERTION)


def flaw_in(claims: Mapping[str, Any], issuer: TrustedIssuer, now: float) -> str:
    """Say why the claims of a genuine token sign nobody in at ``now``; empty if they may."""
    wanted = [name for name in CLAIMS if name in claims or name not in OPTIONAL]
    wrong = [name for name in wanted if not CLAIMS[name](claims.get(name))]
    if wrong:
        return f"without, or with an impossible: {', '.join(wrong)}"
    audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    flaws = {
        "of another issuer than its keys": claims.get("iss") != issuer.issuer,
        "for another audience than TOKENAUTH_TRUSTED_ISSUERS says": issuer.audience
        not in audiences,
        "expired": claims["exp"] <= now,
        "issued more than 10 minutes ago: let the job ask for it and send it at once": claims["iat"]
        < now - MAX_AGE,
        "issued in the future: a clock is wrong": claims["iat"] > now + MAX_SKEW,
        "not valid yet": claims.get("nbf", 0) > now + MAX_SKEW,
        # RFC 7800, and nobody here asks for the proof.
        "bound to a key": "cnf" in claims,
    }
    return next((flaw for flaw, is_there in flaws.items() if is_there), "")


def user_for(claims: dict[str, Any], issuer: TrustedIssuer) -> Any:
    """Return whom the site lets a job in as.

    Raises InvalidAssertion, and whatever the site's function raises.
    """
    user = issuer.find_user(claims)
    if user is None:
        raise InvalidAssertion("of a job that this site lets in as nobody")
    if not user.is_active:
        raise InvalidAssertion("of a job whose user is inactive")
    return user


def mark_of(claims: Mapping[str, Any]) -> str:
    """Return what a token is known by: it tells nobody which one it was.

    Under another SECRET_KEY the same token has another mark, and counts once more, if it is not ten
    minutes old.
    """
    one = json.dumps([claims["iss"], claims["jti"]])
    return salted_hmac("tokenauth.assertion", one, algorithm="sha256").hexdigest()
