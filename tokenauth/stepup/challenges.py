"""Tell scripts that a proof is too old, and what to do (RFC 9470 §3)."""

from datetime import timedelta

from django.http import JsonResponse
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException

from tokenauth.authentication import CHALLENGE
from tokenauth.request.header.bearer import CHALLENGE as BEARER_CHALLENGE
from tokenauth.session.jwt.access_claims import BROWSER

CODE = "insufficient_user_authentication"


def challenge(max_age: timedelta, client: str) -> str:
    """Return the value of ``WWW-Authenticate`` for a kind of client."""
    scheme = CHALLENGE if client == BROWSER else BEARER_CHALLENGE
    return f'{scheme}, error="{CODE}", max_age="{int(max_age.total_seconds())}"'


def body() -> dict[str, str]:
    """Return what an answer says, in the form of our API's errors."""
    return {"detail": _("Confirm first that it is you: sign in again."), "code": CODE}


def plain_answer(max_age: timedelta, client: str) -> JsonResponse:
    """Return the answer to what no person reads."""
    response = JsonResponse(body(), status=401)
    response["WWW-Authenticate"] = challenge(max_age, client)
    response["Cache-Control"] = "no-store"
    return response


class InsufficientUserAuthentication(APIException):
    """The same, for REST framework."""

    status_code = 401
    default_code = CODE

    def __init__(self, max_age: timedelta, client: str) -> None:
        super().__init__(body())
        #: Where REST framework looks for the challenge.
        self.auth_header = challenge(max_age, client)
