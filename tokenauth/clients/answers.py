"""Say in JSON which tokens a client gets (RFC 6749 §5.1): the only bodies that carry any."""

import time
from typing import Any

from tokenauth.models import AuthSession
from tokenauth.secret import Secret
from tokenauth.session.jwt.access_claims import APP
from tokenauth.session.rotation import Step
from tokenauth.session.tokens import Claims, issue_access_token


def token_answer(session: AuthSession) -> dict[str, Any]:
    """Make an access token for a session that is no browser's, and return what its client gets."""
    return tokens_in_body(session, *issue_access_token(session))


def tokens_in_body(
    session: AuthSession, access_token: Secret[str], claims: Claims
) -> dict[str, Any]:
    """Return the answer that carries a session's tokens.

    There is no refresh token in it where the client has got that only just now: this answer may
    come late, and must not put an old one in the place of its successor.
    """
    answer = {
        "access_token": access_token.reveal(),
        "token_type": "DPoP" if session.key_thumbprint else "Bearer",
        "expires_in": max(0, claims.exp - int(time.time())),
    }
    if session.client == APP and session.step is not Step.DEBOUNCE:
        answer["refresh_token"] = session.refresh_token.reveal()
    return answer
