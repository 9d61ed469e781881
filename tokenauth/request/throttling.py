"""Slow down who guesses passwords: failed logins are counted per address and per account.

Only the login is limited. Nobody is ever locked out of a session that they have.
"""

import logging
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import (
    ImproperlyConfigured,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    ValidationError,
)
from django.db import DataError
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import Throttled
from rest_framework.throttling import SimpleRateThrottle

from tokenauth.conf import Conf, conf
from tokenauth.lazy import find_credentials
from tokenauth.models import AuthSession
from tokenauth.session import devices

T = TypeVar("T")

log = logging.getLogger("tokenauth.security")

#: "10/m", "10/min", and what REST framework has no word for: "10/15m".
RATE = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,3})?([smhd])[a-z]*")
SCOPES = {"address", "account"}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: How many browsers' worth of guesses all the known browsers of one account have together.
BROWSERS = 10
#: What a look-up raises for a name that nobody can have: letters where the model wants a number, a
#: NUL on PostgreSQL; AttributeError where the manager finds nobody by a name.
NOBODY = (
    ObjectDoesNotExist,
    MultipleObjectsReturned,
    ValidationError,
    ValueError,
    TypeError,
    AttributeError,
    DataError,
)


def is_rate(rate: Any) -> bool:
    """Tell whether a site's rate can be read."""
    return isinstance(rate, str) and RATE.fullmatch(rate) is not None


def rate_of(scope: str) -> str | None:
    """Return the site's rate, else ours; None: no limit."""
    rates = conf.LOGIN_RATES
    defaults = Conf.__dict__["LOGIN_RATES"].default
    return None if rates is None else rates.get(scope, defaults[scope])


def parse(rate: str) -> tuple[int, int]:
    """Return how many in how many seconds. Raises ImproperlyConfigured."""
    match = RATE.fullmatch(rate)
    if match is None:
        raise ImproperlyConfigured(f"TOKENAUTH_LOGIN_RATES: {rate!r} is not a rate.")
    number, periods, unit = match.groups()
    return int(number), int(periods or 1) * SECONDS[unit]


class LoginThrottle(SimpleRateThrottle):
    """Count attempts in a fixed window; one that succeeds is taken back.

    Unlike REST framework's own list of times, which is read and written back, a counter misses
    none of a hundred guesses that are sent at once. At the border of two windows twice as many get
    through, which helps nobody to guess.
    """

    scope: str
    key: str | None = None
    num_requests: int | None
    duration: int | None

    def get_rate(self) -> str | None:
        """Return the rate of the scope."""
        return rate_of(self.scope)

    def parse_rate(self, rate: str | None) -> Any:
        """Return how many in how many seconds."""
        return (None, None) if rate is None else parse(rate)

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        """Return the window's key, None for what can't be told apart.

        A dump of the cache tells neither people nor addresses.
        """
        ident = self.get_ident(request)
        if not ident:
            return None
        digest = salted_hmac("tokenauth.throttling", ident, algorithm="sha256").hexdigest()
        return f"tokenauth:login:{self.scope}:{digest}:{int(self.timer()) // self.window}"

    @property
    def window(self) -> int:
        """How many seconds are counted together."""
        return self.duration or 1

    def allow_request(self, request: Any, view: Any) -> bool:
        """Count an attempt, and tell whether it may go on."""
        self.key = self.get_cache_key(request, view) if self.num_requests else None
        return self.key is None or fail_open(self.count, 0) <= (self.num_requests or 0)

    def count(self) -> int:
        """Return how many attempts this window has seen, with this one."""
        self.cache.add(self.key, 0, self.window)
        return self.change(1)

    def change(self, by: int) -> int:
        """Add to the counter and return it; 0 if it is gone, or the cache keeps nothing."""
        try:
            number = self.cache.incr(self.key, by)
        except ValueError:
            return 0
        # The caches in a database and in files forget the window as they add.
        self.cache.touch(self.key, self.window)
        return number

    def forgive(self) -> None:
        """Take back the attempt that was counted."""
        if self.key is not None:
            fail_open(lambda: self.change(-1), 0)

    def wait(self) -> float:
        """Return the seconds until the window ends."""
        return self.window - self.timer() % self.window


class AddressThrottle(LoginThrottle):
    """Limit who tries many accounts from one address."""

    scope = "address"

    def get_ident(self, request: HttpRequest | None) -> str:
        """Return the address that counts; of IPv6 the /64, which is what one customer gets."""
        text = address_of(request.META if request else {})
        address = ip_address(text) if text else None
        if isinstance(address, IPv6Address):
            return str(ip_network((address, 64), strict=False))
        return text or ""


def address_of(meta: Mapping[str, Any]) -> str | None:
    """Return the client's address; None if it is not known, which is no reason to refuse people.

    That is so behind a proxy that ``TOKENAUTH_TRUSTED_PROXY_COUNT`` doesn't count: everybody has
    the proxy's address then, and one who guesses would keep all the others out.
    """
    proxies = conf.TRUSTED_PROXY_COUNT
    address = devices.client_ip(meta, proxies) or devices.client_ip(meta, 0)
    if address and not proxies and "HTTP_X_FORWARDED_FOR" in meta:
        return address if ip_address(address).is_global else None
    return address


class AccountThrottle(LoginThrottle):
    """Limit how often one account is tried, from wherever; from a browser that knows it, by itself.

    There need be no such account.
    """

    scope = "account"

    def __init__(self, account: str, browser: str = "") -> None:
        super().__init__()
        self.account, self.browser = account, browser

    @sensitive_variables()
    def get_ident(self, request: HttpRequest | None) -> str:
        """Return the account, and the browser on a line of its own: no account has two lines."""
        return f"{self.account}\n{self.browser}" if self.account else ""


class BrowsersThrottle(AccountThrottle):
    """Limit all known browsers of an account together.

    Who knew the old password may have signed in a thousand times, to guess the new one with each.
    """

    def parse_rate(self, rate: str | None) -> Any:
        """Return how many in how many seconds."""
        number, duration = super().parse_rate(rate)
        return number * BROWSERS, duration


@sensitive_variables()
def account_throttles(request: HttpRequest | None, username: str) -> list[LoginThrottle]:
    """Return what an attempt counts against besides its address."""
    owners = owners_of_sessions(request)
    user = find_user(username)
    account = fold(username if user is None else str(user.get_username()))
    known = [str(sid) for sid, owner in owners.items() if user is not None and owner == user.pk]
    if not known:
        return [AccountThrottle(account)]
    return [AccountThrottle(account, min(known)), BrowsersThrottle(account, "all")]


@sensitive_variables()
def find_user(username: str) -> Any:
    """Return whose name it is, asked as ``ModelBackend`` asks; None if it is nobody's.

    MariaDB overlooks characters that no list of ours could keep up with: an account is one however
    it is spelt. A database that is down raises, as the login itself would.
    """
    manager: Any = get_user_model()._default_manager
    try:
        return manager.get_by_natural_key(username)
    except NOBODY:
        return None


def owners_of_sessions(request: HttpRequest | None) -> dict[UUID, Any]:
    """Return whose the sessions are, by id, of which a browser shows a genuine token, however old.

    Who does has once signed in there, so a stranger's guesses don't count against it (OWASP:
    device cookies). Asked whatever the name: the time it takes tells nothing of the account.
    """
    credentials = find_credentials(request)
    if credentials is None:
        return {}
    presented = credentials.presented
    shown = {token.sid for token in [*presented.access_tokens, *presented.refresh_tokens]}
    if not shown:
        return {}
    session = credentials.get_session()  # whom the login itself replaces
    if session is not None and shown == {session.pk}:
        return {session.pk: session.user_id}
    rows = AuthSession.objects.filter(pk__in=shown).order_by()
    return dict(rows.values_list("pk", "user"))


@sensitive_variables()
def fold(username: str) -> str:
    """Return a name without what a database may overlook when it compares.

    For names that nobody has, each spelling would have a limit of its own, and so tell that they
    are nobody's. Accounts are counted by it too: the limit of a name looks the same either way.
    """
    folded = unicodedata.normalize("NFKC", username).casefold()
    text = unicodedata.normalize("NFKD", folded)
    kept = "".join(c for c in text if c.isprintable() and not unicodedata.combining(c)).strip()
    return kept or username


def fail_open(step: Callable[[], T], otherwise: T) -> T:
    """Ask the cache; one that is down neither refuses people nor signs anybody in."""
    try:
        return step()
    except Exception:  # each cache has errors of its own
        log.exception("The cache failed: logins are not limited.")
        return otherwise


class LoginAttempt:
    """One attempt to sign in: counted at once, and taken back when it has succeeded."""

    @sensitive_variables()
    def __init__(self, request: HttpRequest | None, username: str | None = None) -> None:
        """Count it. Raises Throttled, before the password is looked at.

        One that is refused for its address does not count against the account, and costs no query.
        What names no account, a CI job's own token, counts against its address alone.
        """
        self.throttles: list[LoginThrottle] = []
        self._count(request, AddressThrottle())
        if username is not None and rate_of("account") is not None:
            for throttle in account_throttles(request, username):
                self._count(request, throttle)

    def _count(self, request: HttpRequest | None, throttle: LoginThrottle) -> None:
        self.throttles.append(throttle)
        if not throttle.allow_request(request, None):
            log.warning("A login was refused: too many have failed per %s.", throttle.scope)
            raise Throttled(math.ceil(throttle.wait()), _("Too many sign-ins have failed."))

    def succeeded(self) -> None:
        """Take it back."""
        for throttle in self.throttles:
            throttle.forgive()
