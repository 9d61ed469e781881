"""Say which device a request came from, out of its headers. Pure.

Headers are anybody's words: they are cut, cleaned and shown, never trusted.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal

from django.utils.translation import gettext as _

Kind = Literal["desktop", "phone", "tablet", ""]

MAX_USER_AGENT_LENGTH = 512
#: Systems of phones; what is sold as a tablet says so in the name of its device.
PHONES = {"iOS", "Android", "KaiOS", "Windows Phone", "BlackBerry OS", "Firefox OS"}


def user_agent(meta: Mapping[str, Any]) -> str:
    """Return the user agent of ``request.META``, cut and without the NULs PostgreSQL rejects."""
    return str(meta.get("HTTP_USER_AGENT", "")).replace("\x00", "")[:MAX_USER_AGENT_LENGTH]


def client_ip(meta: Mapping[str, Any], trusted_proxies: int) -> str | None:
    """Return the client's address, or None when there is no valid one.

    Each proxy appends the address it saw to ``X-Forwarded-For``: with ``trusted_proxies`` of our
    own in front, only the entry that many from the right was written by one of them; what stands
    left of it anybody can send.
    """
    if not trusted_proxies:
        return clean_ip(str(meta.get("REMOTE_ADDR", "")))
    forwarded = str(meta.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    return clean_ip(forwarded[-trusted_proxies]) if len(forwarded) >= trusted_proxies else None


def clean_ip(text: str) -> str | None:
    """Return an address without brackets, port and zone; None if it is not one."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def describe(agent: str) -> str:
    """Return a user agent in words, like "Firefox on Linux"; empty if it says nothing."""
    from ua_parser import parse  # noqa: PLC0415  # its rules take longer to load than the rest of us

    result = parse(agent)
    browser = result.user_agent.family if result.user_agent else ""
    system = result.os.family if result.os else ""
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system


def kind_of(agent: str) -> Kind:
    """Return which kind of device a user agent belongs to; empty if it says nothing of use."""
    from ua_parser import parse  # noqa: PLC0415  # see above

    result = parse(agent)
    device = result.device
    name = f"{device.family} {device.brand}" if device else ""
    if any(word in name for word in ("Tablet", "iPad", "Kindle")):
        return "tablet"
    if result.os is None or "TV" in name:
        return ""
    return "phone" if result.os.family in PHONES else "desktop"
