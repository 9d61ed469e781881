"""Find the device token in a ``Cookie`` header.

One cookie for each session: when somebody signs in over another person, the end of that person's
session must not take the new device token along. Nothing here touches a request or the database.
"""

from uuid import UUID

from tokenauth.conf import conf
from tokenauth.device.tokens import DeviceClaims, DeviceToken
from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Secret

from .places import Place
from .presentation import parse

NAME = "__Host-device_token_"


def device_place(sid: UUID) -> Place:
    """Return where the device token of a session is. Only https binds sessions to devices."""
    return Place(f"{NAME}{sid.hex[:8]}", "/", None, secure=True, samesite=conf.COOKIE_SAMESITE)


def device_token_in(header: Secret[str], sid: UUID) -> DeviceClaims | None:
    """Return the genuine device token of a session that came, expired or not."""
    for raw in parse(header, device_place(sid).name):
        try:
            claims = DeviceToken.read(raw)
        except InvalidToken:
            continue
        if claims.sid == sid:
            return claims
    return None


def good_device_token(header: Secret[str], sid: UUID) -> DeviceClaims | None:
    """Return the device token of a session that came, if its time is not over."""
    token = device_token_in(header, sid)
    return None if token is None or token.expired else token


def first_device_token(header: Secret[str], sid: UUID) -> DeviceClaims | None:
    """Return it if it brings the key: it was made before the session was bound."""
    token = good_device_token(header, sid)
    return token if token is not None and token.jwk else None
