"""Let REST framework's views see the person that the middleware found."""

from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .credentials import find_credentials


class ResourceServerAuthentication(SessionAuthentication):
    """Authenticate by the access token; ``request.auth`` is the dict of its claims.

    A browser sends its cookies whoever made it, so unsafe requests that they authenticate need the
    CSRF token; a header is sent on purpose. A header whose token does not count is refused (RFC
    6750 §3.1). A cookie like that may be a browser's that is signed out: the view decides.
    """

    def authenticate(self, request: Request) -> tuple[Any, dict[str, Any]] | None:
        """Return the person and the claims, or None.

        Raises AuthenticationFailed for a bad header, PermissionDenied without CSRF token.
        """
        credentials = find_credentials(request)
        if credentials is None:
            # A request that a test has made; a site without the middleware fails its checks.
            return super().authenticate(request)
        if credentials.by_header and credentials.claims is None:
            raise AuthenticationFailed(code="invalid_token")
        user = credentials.get_user()
        # A middleware may have put somebody else in their place, or nobody.
        placed = getattr(request._request, "user", user)
        if not user.is_authenticated or not placed.is_authenticated:
            return None
        if not credentials.by_header:
            self.enforce_csrf(request)
        return placed, credentials.get_claims()

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes the answer a 401, and says if a token was refused."""
        credentials = find_credentials(request)
        return credentials.challenge if credentials else 'Bearer realm="api"'
