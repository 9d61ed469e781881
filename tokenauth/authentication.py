"""Let REST framework's views see the person that the middleware found."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from .models import AuthSession
from .request.credentials import find_credentials

#: What a 401 asks for.
CHALLENGE = 'Cookie realm="api"'


class CookieTokenAuthentication(SessionAuthentication):
    """Authenticate by the token cookies; ``request.auth`` is the ``AuthSession``.

    A browser sends the cookies whoever made it, so unsafe requests need the CSRF token. Where
    nobody is signed in the answer is 401 with ``WWW-Authenticate``, not Django's 403.
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AuthSession | None] | None:
        """Return the person and their session, or None.

        Raises PermissionDenied without CSRF token.
        """
        credentials = find_credentials(request)
        if credentials is None:
            # A request that a test has made; a site without the middleware fails its checks.
            return super().authenticate(request)
        user: Any = credentials.get_user()
        # A middleware may have put somebody else in their place, or nobody. Whom it found by other
        # means than our cookies, by a bearer token say, is not ours to let in, nor to refuse.
        placed = getattr(request._request, "user", None)
        if user.is_authenticated and placed is not None:
            user = placed
        if not isinstance(user, AbstractBaseUser) or not getattr(user, "is_active", True):
            return None
        self.enforce_csrf(request)
        return user, credentials.session

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes the answer a 401."""
        return CHALLENGE
