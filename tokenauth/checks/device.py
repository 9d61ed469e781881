"""Look at what binding sessions to devices needs."""

from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from tokenauth.conf import conf

from .settings import type_errors

#: Chrome proves a key anew when its cookie has two minutes left, and six times in nine at most.
SHORTEST = timedelta(minutes=4)
#: How long, besides two grace periods, a first token must be there to be shown between them.
TO_SHOW_IT = timedelta(minutes=3)
LONGEST = timedelta(hours=1)


def check_device_binding(**kwargs: Any) -> list[CheckMessage]:
    """Find what would leave sessions unbound, or sign their people out."""
    if any(type_errors()) or not conf.DEVICE_BINDING:
        return []
    return [*device_errors(), *lifetime_warnings()]


def device_errors() -> Iterator[CheckMessage]:
    """Find what can't go together with device binding."""
    if find_spec("joserfc") is None:
        yield Error(
            "TOKENAUTH_DEVICE_BINDING needs joserfc, which is not installed.",
            hint="Run pip install 'django-tokenauth[keys]', or remove TOKENAUTH_DEVICE_BINDING.",
            id="tokenauth.E048",
        )
    if conf.COOKIE_DOMAIN:
        yield Error(
            "Sessions of several hosts can't be bound to devices.",
            hint="Edit TOKENAUTH_COOKIE_DOMAIN or TOKENAUTH_DEVICE_BINDING: remove one. A browser "
            "shows its device token to the one host that registered it.",
            id="tokenauth.E049",
        )
    if conf.DEVICE_TOKEN_LIFETIME < 3 * conf.GRACE_PERIOD:
        yield Error(
            "No session is ever bound to a device: its first device token ends too early.",
            hint="Edit TOKENAUTH_DEVICE_TOKEN_LIFETIME: at least three times "
            "TOKENAUTH_GRACE_PERIOD. The token has to be shown once when it is older than that.",
            id="tokenauth.E050",
        )


def lifetime_warnings() -> Iterator[CheckMessage]:
    """Find device tokens that are too short for browsers, or too long to be of use."""
    lifetime, grace = conf.DEVICE_TOKEN_LIFETIME, conf.GRACE_PERIOD
    if lifetime < max(grace + SHORTEST, 2 * grace + TO_SHOW_IT):
        yield CheckWarning(
            "Device tokens end so early that Chrome will refuse to make more of them.",
            hint="Edit TOKENAUTH_DEVICE_TOKEN_LIFETIME: ten minutes are usual. A browser proves "
            "its key anew two minutes before the end, and six times in nine minutes at most; then "
            "its person is signed out until it may again. And one that is busy shows no first "
            "token long enough to have its session bound.",
            id="tokenauth.W036",
        )
    if lifetime > LONGEST:
        yield CheckWarning(
            "A copy of the cookies is of use for over an hour, though sessions are bound.",
            hint="Edit TOKENAUTH_DEVICE_TOKEN_LIFETIME: ten minutes are usual.",
            id="tokenauth.W037",
        )
    if not conf.COOKIE_SECURE:
        yield CheckWarning(
            "No session is bound to a device over plain http.",
            hint="Serve the site over https, and set TOKENAUTH_COOKIE_SECURE = True.",
            id="tokenauth.W038",
        )
