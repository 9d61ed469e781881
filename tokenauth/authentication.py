"""Let REST framework's views see the person that the middleware found."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tokenauth.lazy import find_credentials

from .models import AuthSession
from .request.credentials import Credentials
from .request.header.bearer import CHALLENGE as BEARER_CHALLENGE

#: What a 401 asks for.
CHALLENGE = 'Cookie realm="api"'


class CookieTokenAuthentication(SessionAuthentication):
    """Authenticate by the token cookies; ``request.auth`` is the ``AuthSession``.

    A browser sends the cookies whoever made it, so unsafe requests need the CSRF token. Where
    nobody is signed in the answer is 401 with ``WWW-Authenticate``, not Django's 403. Whom the
    middleware found by the token of an app is let in as well, so that one API serves both.
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AuthSession | None] | None:
        """Return the person and their session, or None.

        Raises PermissionDenied without CSRF token.
        """
        credentials = find_credentials(request)
        if credentials is None:
            # A request that a test has made; a site without the middleware fails its checks.
            return super().authenticate(request)
        user = person_on(request, credentials)
        if user is None:
            return None
        if credentials.bearer is None:
            self.enforce_csrf(request)
        return user, credentials.session

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes the answer a 401."""
        return CHALLENGE


class BearerTokenAuthentication(BaseAuthentication):
    """Authenticate apps and CI jobs alone; ``request.auth`` is the ``AuthSession``.

    No cookie counts. A header whose token does not count is refused (RFC 6750 §3.1).
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, AuthSession | None] | None:
        """Return the person and their session; None without such a header.

        Raises AuthenticationFailed.
        """
        credentials = find_credentials(request)
        if credentials is None or credentials.bearer is None:
            return None
        user = person_on(request, credentials)
        if user is None:
            raise AuthenticationFailed(code="invalid_token")
        return user, credentials.session

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge, which says if a token was refused."""
        credentials = find_credentials(request)
        came = credentials.bearer if credentials else None
        return came.challenge if came else BEARER_CHALLENGE


def person_on(request: Request, credentials: Credentials) -> AbstractBaseUser | None:
    """Return who is there, None if nobody is that may be let in.

    A middleware may have put somebody else in their place, or nobody. Whom it found by other means
    than our tokens, by a key of the site's own say, is not ours to let in, nor to refuse.
    """
    user: Any = credentials.get_user()
    placed = getattr(request._request, "user", None)
    if user.is_authenticated and placed is not None:
        user = placed
    is_person = isinstance(user, AbstractBaseUser) and getattr(user, "is_active", True)
    return user if is_person else None
