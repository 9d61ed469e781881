"""Settle who opens a WebSocket: by the cookies of its handshake, as for any request."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils.functional import cached_property

from tokenauth.request import origins
from tokenauth.request.credentials import Credentials
from tokenauth.session import django_sessions


def request_of(scope: Mapping[str, Any]) -> ASGIRequest:
    """Return a handshake as the request that it is (RFC 6455 §4.1)."""
    is_secure = scope.get("scheme") == "wss"
    plain = {"method": "GET", "scheme": "https" if is_secure else "http", "query_string": b""}
    return ASGIRequest({**scope, **plain}, BytesIO())


class Handshake(Credentials):
    """The credentials of a handshake, whose answer sets no cookies: nothing is refreshed here."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        request: Any = request_of(scope)
        super().__init__(request)
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        request.session = django_sessions.engine()(None if self.is_foreign else key)
        self.attach()

    @cached_property
    def is_foreign(self) -> bool:
        """Whether a page of another site opens it: browsers let any (RFC 6455 §10.2).

        One without an Origin comes from no browser.
        """
        is_browser = "Origin" in self.request.headers
        return is_browser and not origins.origin_is_trusted(self.request)

    @property
    def is_hijacked(self) -> bool:
        """Whether such a page would use somebody's sign-in."""
        presented = self.presented
        return self.is_foreign and bool(presented.access_tokens or presented.single)

    @property
    def can_refresh(self) -> bool:
        """Whether no access token that is good came, but what a refresh may help."""
        access = self.presented.access
        if access is not None:
            return access.expired
        is_browser = "Origin" in self.request.headers
        return self.presented.refresh_at(self.request.path, in_browser=is_browser) is not None

    def resolve_django_session(self) -> None:
        """Adopt nobody: the tokens could not be handed out."""

    def populate(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scope with what a site's application looks at."""
        request: Any = self.request
        return {
            **scope,
            "cookies": request.COOKIES,
            "session": request.session,
            "user": self.user,
            "auth_session": self.session,
        }
