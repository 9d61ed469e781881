"""What REST framework's views may ask for."""

from datetime import timedelta
from typing import Any, Self

from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from .models import AuthSession
from .session.jwt.access_claims import BROWSER
from .stepup.challenges import InsufficientUserAuthentication
from .stepup.recency import FIVE_MINUTES, duration_of, is_recent


class RecentLogin(BasePermission):
    """Let in people who have proved who they are at most ``max_age`` ago.

    Others get 401, code ``insufficient_user_authentication`` (RFC 9470), and sign in again. In
    ``permission_classes``: ``RecentLogin``, or ``RecentLogin.within(60)``.
    """

    max_age: timedelta | float = FIVE_MINUTES

    @classmethod
    def within(cls, max_age: timedelta | float) -> type[Self]:
        """Return the permission with another ``max_age``, a duration or seconds.

        Raises ValueError if it is not above zero.
        """
        return type(cls.__name__, (cls,), {"max_age": duration_of(max_age)})

    def has_permission(self, request: Request, view: Any) -> bool:
        """Look at the session that authenticated the request.

        Raises InsufficientUserAuthentication.
        """
        user: Any = request.user  # None, where the site wants that of nobody
        if not (user and user.is_authenticated):
            return False
        demand_recent_login(request, duration_of(self.max_age))
        return True


def demand_recent_login(request: Request, max_age: timedelta) -> None:
    """Raise InsufficientUserAuthentication, unless the request's session has a recent proof."""
    session = request.auth if isinstance(request.auth, AuthSession) else None
    proved_at = session.authenticated_at if session else None
    if not is_recent(proved_at, timezone.now(), max_age):
        raise InsufficientUserAuthentication(max_age, session.client if session else BROWSER)
