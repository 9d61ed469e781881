"""Read the ``TOKENAUTH_*`` settings, each at the moment it is used.

Nothing is remembered between two reads, so ``override_settings`` and a test's fixtures
work everywhere. Durations are ``timedelta``; a plain number counts as seconds. What is read is
what holds: a duration that others leave no room for is cut here, and nowhere else.
"""

from datetime import UTC, date, datetime, time, timedelta
from os import PathLike
from typing import Any, Generic, Literal, TypeVar

from django.conf import settings
from django.utils.functional import empty

T = TypeVar("T")
SameSite = Literal["Lax", "Strict", "None"]


#: Stands for a setting that the site has left out.
UNSET: Any = object()
#: What Django's lazy object has; first of all, the site's settings.
DJANGOS = vars(settings)


def of_site(name: str, default: Any = UNSET) -> Any:
    """Return a setting of the site as it stands, ``default`` where it has none.

    Django's lazy object raises two exceptions to say that there is none. Most of ours are left
    out, and a request asks for ten: that was a fourth of what it cost.
    """
    site = DJANGOS["_wrapped"]
    return getattr(settings if site is empty else site, name, default)


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
        return self.given()

    def given(self) -> T:
        """Return the value as it stands in the site's settings, else the fallback."""
        value: T = of_site(self.name)
        return self.fallback() if value is UNSET else value

    def fallback(self) -> T:
        """Return the value of a setting that the site left out."""
        return self.default


class Duration(Setting[timedelta]):
    """A setting that is a length of time."""

    def __init__(self, default: timedelta) -> None:
        super().__init__(default, timedelta, int, float)

    def __get__(self, instance: object, owner: type) -> timedelta:
        return min(self.wanted(), self.cap())

    def wanted(self) -> timedelta:
        """Return what the site asks for, whether or not it holds."""
        value: Any = self.given()
        return value if isinstance(value, timedelta) else timedelta(seconds=value)

    def cap(self) -> timedelta:
        """Return the longest that it can be."""
        return timedelta.max


class OptionalDuration(Setting[timedelta | None]):
    """A setting that is a length of time, or None."""

    def __init__(self) -> None:
        super().__init__(None, timedelta, int, float, type(None))

    def __get__(self, instance: object, owner: type) -> timedelta | None:
        value: Any = self.given()
        return timedelta(seconds=value) if isinstance(value, int | float) else value


class TokenLifetime(Duration):
    """A length of time that falls back to the setting of the same name in ``SIMPLE_JWT``."""

    def fallback(self) -> timedelta:
        """Return simplejwt's setting where the site has one, else our own default."""
        site: dict[str, timedelta] = of_site("SIMPLE_JWT", {})
        return site.get(self.name.removeprefix("TOKENAUTH_"), self.default_here())

    def default_here(self) -> timedelta:
        """Return the default of a site that has no simplejwt."""
        return self.default


class IdleLifetime(TokenLifetime):
    """``REFRESH_TOKEN_LIFETIME``: a site's policy for idle sessions goes before our default."""

    def default_here(self) -> timedelta:
        """Return SESSION_COOKIE_AGE where the site has set it, else our own default."""
        return idle_policy(self.default)


class BrowserLifetime(Duration):
    """``BROWSER_SESSION_LIFETIME``: unset, no session outlives one that is kept signed in."""

    def fallback(self) -> timedelta:
        """Return SESSION_COOKIE_AGE where the site has set it, else our own default."""
        return idle_policy(self.default)

    def cap(self) -> timedelta:
        """Let the site's own words hold; what it left out is no longer than the idle lifetime."""
        if of_site(self.name) is not UNSET:
            return timedelta.max
        return min(self.default, conf.REFRESH_TOKEN_LIFETIME)


class AccessLifetime(TokenLifetime):
    """``ACCESS_TOKEN_LIFETIME``: idle time is counted at rotations, so these must come often."""

    def cap(self) -> timedelta:
        """Return a third of the shorter idle lifetime."""
        return min(conf.REFRESH_TOKEN_LIFETIME, conf.BROWSER_SESSION_LIFETIME) / 3


class GracePeriod(Duration):
    """``GRACE_PERIOD``: a token is confirmed only by use after it, while it is good."""

    def cap(self) -> timedelta:
        """Return half of an access token's life."""
        return conf.ACCESS_TOKEN_LIFETIME / 2


def idle_policy(otherwise: timedelta) -> timedelta:
    """Return ``SESSION_COOKIE_AGE`` where the site has set it; Django's default is no policy."""
    is_set = settings.is_overridden("SESSION_COOKIE_AGE")  # type: ignore[misc]  # the stubs lack it
    age: Any = settings.SESSION_COOKIE_AGE if is_set else otherwise
    return age  # type: ignore[no-any-return]  # seconds count as a duration


class SecureUnlessDebug(Setting[bool]):
    """``COOKIE_SECURE``: True, except under ``DEBUG`` where http is usual.

    WebKit rejects Secure cookies on ``http://localhost``.
    """

    def fallback(self) -> bool:
        """Return whether the site is a real one."""
        return not of_site("DEBUG")


class Conf:
    """The settings, a line each."""

    ACCESS_TOKEN_LIFETIME = AccessLifetime(timedelta(minutes=15))
    REFRESH_TOKEN_LIFETIME = IdleLifetime(timedelta(days=30))
    SESSION_LIFETIME = Duration(timedelta(days=180))
    BROWSER_SESSION_LIFETIME = BrowserLifetime(timedelta(hours=12))
    GRACE_PERIOD = GracePeriod(timedelta(seconds=60))
    HISTORY_LIFETIME = Duration(timedelta(days=90))
    ACCESS_COOKIE_NAME = Setting("access_token")
    REFRESH_COOKIE_NAME = Setting("refresh_token")
    REFRESH_COOKIE_PATH = Setting[str | None](None, str, type(None))
    COOKIE_DOMAIN = Setting[str | None](None, str, type(None))
    COOKIE_SAMESITE = Setting[SameSite]("Lax", str)
    COOKIE_SECURE = SecureUnlessDebug(default=True)
    FORMER_COOKIES = Setting[list[dict[str, Any]]]([], list, tuple)
    MAX_SESSIONS_PER_USER = Setting[int | None](100, int, type(None))
    ADOPT_DJANGO_SESSIONS = Setting(default=True)
    ADOPT_UNTIL = Setting[date | None](None, date, type(None))
    TRUSTED_PROXY_COUNT = Setting(0)
    LOGIN_RATES = Setting[dict[str, str | None] | None](
        {"address": "60/m", "account": "10/10m"}, dict, type(None)
    )
    ISSUER = Setting[str | None](None, str, type(None))
    REVOCATIONS = Setting[str | None](None, str, type(None))
    REVOCATION_INTERVAL = Duration(timedelta(seconds=0.25))
    REVOCATIONS_DOWN = Setting[Literal["accept", "refuse"]]("accept", str)
    RECENT_LOGIN = OptionalDuration()
    APP_CLIENTS = Setting(default=False)
    DEVICE_BINDING = Setting(default=False)
    DEVICE_TOKEN_LIFETIME = Duration(timedelta(minutes=10))
    TRUSTED_ISSUERS = Setting[dict[str, dict[str, Any]]]({}, dict)
    SEND_NOTICES = Setting(default=False)
    ADDRESS_LABEL = Setting[str | None](None, str, type(None))
    PASSWORD_CHANGE_URL = Setting[str | None](None, str, type(None))
    PASSWORD_RESET_URL = Setting[str | None](None, str, type(None))
    SIGNING_KEYS = Setting[list[Any]]([], list, tuple)
    AUDIENCE = Setting[list[str] | str | None](None, list, tuple, str, type(None))
    ACCESS_CLAIMS = Setting[str | None](None, str, type(None))
    RESOURCE_SERVERS = Setting[list[str]]([], list, tuple)
    AUTHORIZATION_SERVER = Setting[str | None](None, str, type(None))
    JWKS_URL = Setting[str | None](None, str, type(None))
    PUBLIC_KEYS = Setting[Any](None, dict, str, PathLike, type(None))
    RESOURCE_USER = Setting[str | None](None, str, type(None))

    @property
    def persistent_by_default(self) -> bool:
        """Whether "Keep me signed in" is what happens when nobody says anything."""
        return not settings.SESSION_EXPIRE_AT_BROWSER_CLOSE

    @property
    def takes_bearer_tokens(self) -> bool:
        """Whether clients that are no browsers sign in by an ``Authorization`` header."""
        return self.APP_CLIENTS or bool(self.TRUSTED_ISSUERS)

    def adopts(self, now: datetime) -> bool:
        """Tell whether a Django session that is older than tokenauth signs its person in now.

        ``now`` is ``timezone.now()``, which is naive under ``USE_TZ = False``.
        """
        until = self.ADOPT_UNTIL
        in_time = until is None or now.timestamp() < in_utc(until).timestamp()
        return self.ADOPT_DJANGO_SESSIONS and in_time


def in_utc(moment: date) -> datetime:
    """Return a date's start, or a moment; in UTC unless it says otherwise."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


conf = Conf()
