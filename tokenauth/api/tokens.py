"""The token endpoint of apps and CI jobs (RFC 6749 §3.2), and where they give tokens back."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from rest_framework.exceptions import APIException, Throttled, UnsupportedMediaType
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from tokenauth.clients.answers import token_answer
from tokenauth.clients.grants import grant, revoke
from tokenauth.clients.parameters import (
    MAX_FORM,
    Parameters,
    RequestRefused,
    invalid_request,
    refuse_browser,
)
from tokenauth.conf import conf
from tokenauth.dpop.answers import NONCE, fresh_nonce

from .views import TokenAuthView


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ClientView(TokenAuthView):
    """What both have in common: a form comes, of no browser, and brings all that counts."""

    authentication_classes = []  # DRF's own idiom
    permission_classes = [AllowAny]  # DRF's own idiom
    parser_classes = [FormParser]  # DRF's own idiom

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse before anything is read. Raises Http404 where the site takes no such clients."""
        if not conf.takes_bearer_tokens:
            raise Http404
        super().initial(request, *args, **kwargs)
        refuse_browser(request._request)
        check_length(request._request)

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Give every error the form of RFC 6749 §5.2."""
        return oauth_error


class TokenView(ClientView):
    """Exchange a refresh token, or a job's own token, for new ones."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Rotate, or start the session of a job."""
        session = grant(request._request, Parameters(request.data))
        headers = {"Pragma": "no-cache"}  # RFC 6749 §5.1
        if session.key_thumbprint:
            headers[NONCE] = fresh_nonce()
        return Response(token_answer(session), headers=headers)


class RevokeTokenView(ClientView):
    """End the session of a token: an app's way to sign out (RFC 7009)."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Revoke."""
        revoke(request._request, Parameters(request.data))
        return Response(status=200)


def check_length(request: HttpRequest) -> None:
    """Raise RequestRefused for a form that is longer than any of ours."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_FORM:
        raise invalid_request(f"Send at most {MAX_FORM} bytes.", 413)


def oauth_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer in the form ``{"error", "error_description"}`` (RFC 6749 §5.2)."""
    refused = error if isinstance(error, RequestRefused) else refusal_of(error)
    if refused is None:
        return None
    body = {"error": refused.error, "error_description": refused.description}
    return Response(body, status=refused.status, headers=refused.headers)


def refusal_of(error: Exception) -> RequestRefused | None:
    """Return what another error comes to in OAuth's words; None if it is not the client's."""
    if isinstance(error, Http404):
        return RequestRefused("not_found", "This site has no clients but browsers.", 404)
    if isinstance(error, UnsupportedMediaType):
        return invalid_request("Send the parameters as application/x-www-form-urlencoded.")
    if isinstance(error, SuspiciousOperation):  # more fields than Django reads
        return invalid_request("Send the parameters that are needed, and no others.")
    if isinstance(error, Throttled):
        later = {"Retry-After": str(getattr(error, "wait", 1))}
        return RequestRefused("temporarily_unavailable", str(error.detail), 429, later)
    if isinstance(error, APIException):
        return invalid_request(str(error.detail), error.status_code)
    return None
