"""Set and delete the cookie of the device token."""

from uuid import UUID

from django.http import HttpResponseBase

from tokenauth.conf import conf
from tokenauth.request import cookies
from tokenauth.request.jar.device import device_place
from tokenauth.secret import Secret


def put_device_token(response: HttpResponseBase, sid: UUID, raw: Secret[str]) -> None:
    """Set it. It goes a grace period before its token does, which may be on its way for as long."""
    max_age = conf.DEVICE_TOKEN_LIFETIME - conf.GRACE_PERIOD
    cookies.put(response, device_place(sid), raw, int(max_age.total_seconds()))
    cookies.forbid_caching(response)


def delete_device_token(response: HttpResponseBase, sid: UUID) -> None:
    """Delete that of one session. A browser with the key makes a new one for its next request."""
    cookies.put(response, device_place(sid), None, 0)
    cookies.forbid_caching(response)
