"""Read the ``TOKENAUTH_*`` settings, each at the moment it is used.

Nothing is remembered between two reads, so ``override_settings`` and a test's fixtures
work everywhere. Durations are ``timedelta``; a plain number counts as seconds.
"""

from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

from django.conf import settings

T = TypeVar("T")
SameSite = Literal["Lax", "Strict", "None"]


class Setting(Generic[T]):
    """Describe one ``TOKENAUTH_*`` setting and its default.

    ``fits`` are the types that a site may give; the system check reports any other.
    """

    def __init__(self, default: T, *fits: type) -> None:
        self.default = default
        self.fits = fits or (type(default),)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"TOKENAUTH_{name}"

    def __get__(self, instance: object, owner: type) -> T:
        value: T = getattr(settings, self.name, self.fallback())
        return value

    def fallback(self) -> T:
        """Return the value of a setting that the site left out."""
        return self.default


class Duration(Setting[timedelta]):
    """A setting that is a length of time."""

    def __init__(self, default: timedelta) -> None:
        super().__init__(default, timedelta, int, float)

    def __get__(self, instance: object, owner: type) -> timedelta:
        value: Any = super().__get__(instance, owner)
        return value if isinstance(value, timedelta) else timedelta(seconds=value)


class TokenLifetime(Duration):
    """A length of time that falls back to the setting of the same name in ``SIMPLE_JWT``."""

    def fallback(self) -> timedelta:
        """Return simplejwt's setting where the site has one, else our own default."""
        site: dict[str, timedelta] = getattr(settings, "SIMPLE_JWT", {})
        return site.get(self.name.removeprefix("TOKENAUTH_"), self.default)


class SecureUnlessDebug(Setting[bool]):
    """``COOKIE_SECURE``: True, except under ``DEBUG`` where http is usual.

    WebKit rejects Secure cookies on ``http://localhost``.
    """

    def fallback(self) -> bool:
        """Return whether the site is a real one."""
        return not settings.DEBUG


class Conf:
    """The settings, a line each."""

    ACCESS_TOKEN_LIFETIME = TokenLifetime(timedelta(minutes=15))
    REFRESH_TOKEN_LIFETIME = TokenLifetime(timedelta(days=30))
    SESSION_LIFETIME = Duration(timedelta(days=180))
    BROWSER_SESSION_LIFETIME = Duration(timedelta(hours=12))
    GRACE_PERIOD = Duration(timedelta(seconds=60))
    HISTORY_LIFETIME = Duration(timedelta(days=90))
    ACCESS_COOKIE_NAME = Setting("access_token")
    REFRESH_COOKIE_NAME = Setting("refresh_token")
    REFRESH_COOKIE_PATH = Setting[str | None](None, str, type(None))
    COOKIE_DOMAIN = Setting[str | None](None, str, type(None))
    COOKIE_SAMESITE = Setting[SameSite]("Lax", str)
    COOKIE_SECURE = SecureUnlessDebug(default=True)
    MAX_SESSIONS_PER_USER = Setting[int | None](100, int, type(None))
    ADOPT_DJANGO_SESSIONS = Setting(default=True)
    TRUSTED_PROXY_COUNT = Setting(0)
    LOGIN_RATES = Setting[dict[str, str | None] | None](
        {"address": "60/m", "account": "10/10m"}, dict, type(None)
    )
    SEND_NOTICES = Setting(default=False)


conf = Conf()
