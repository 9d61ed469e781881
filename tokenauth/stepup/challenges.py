"""Tell scripts that a proof is too old, and what to do (RFC 9470 §3)."""

from datetime import timedelta

from django.http import JsonResponse
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException

from tokenauth.authentication import CHALLENGE

CODE = "insufficient_user_authentication"


def challenge(max_age: timedelta) -> str:
    """Return the value of ``WWW-Authenticate``."""
    return f'{CHALLENGE}, error="{CODE}", max_age="{int(max_age.total_seconds())}"'


def body() -> dict[str, str]:
    """Return what an answer says, in the form of our API's errors."""
    return {"detail": _("Confirm first that it is you: sign in again."), "code": CODE}


def plain_answer(max_age: timedelta) -> JsonResponse:
    """Return the answer to what no person reads."""
    response = JsonResponse(body(), status=401)
    response["WWW-Authenticate"] = challenge(max_age)
    response["Cache-Control"] = "no-store"
    return response


class InsufficientUserAuthentication(APIException):
    """The same, for REST framework."""

    status_code = 401
    default_code = CODE

    def __init__(self, max_age: timedelta) -> None:
        super().__init__(body())
        #: Where REST framework looks for the challenge.
        self.auth_header = challenge(max_age)
