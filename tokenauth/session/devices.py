"""Say which device a request came from, out of its headers. Pure.

Headers are anybody's words: they are cut, cleaned and shown, never trusted.
"""

import logging
import time
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from tokenauth.conf import conf

from .jwt.access_claims import BROWSER

if TYPE_CHECKING:
    from ua_parser import Result

log = logging.getLogger("tokenauth")

Kind = Literal["desktop", "phone", "tablet", ""]

MAX_USER_AGENT_LENGTH = 512
MAX_DEVICE_LENGTH = 255
#: What is parsed of it. Some of ua-parser's rules take quadratic time: written to be slow, 512
#: characters keep it busy three times as long as 256, in which browsers say who they are.
MAX_PARSED_LENGTH = 256
#: For how many seconds a function that failed is not asked for a label.
PAUSE = 60
#: Until when, by its path (seconds of ``time.monotonic()``).
_asked_again_at: dict[str, float] = {}
#: Words in a browser's name that say what the system says once more.
VARIANTS = {"Mobile", "iOS", "WebView", "UI/WKWebView"}
#: Devices that people call by name rather than by their system.
BY_NAME = {"iPhone", "iPad", "iPod"}
#: Systems of phones; what is sold as a tablet says so in the name of its device.
PHONES = {"iOS", "Android", "KaiOS", "Windows Phone", "BlackBerry OS", "Firefox OS"}


class Client(NamedTuple):
    """What a session is of: a browser unless it says otherwise."""

    kind: str = BROWSER
    name: str = ""
    #: Of the key that it has to show proof of with each use (RFC 9449).
    key_thumbprint: str | None = None

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns that say so."""
        kind, name, thumbprint = self
        return {"client": kind, "client_name": name, "key_thumbprint": thumbprint}


A_BROWSER = Client()


def origin_of(request: HttpRequest | None) -> dict[str, str | None]:
    """Return where a request came from and what its client calls itself."""
    meta = request.META if request else {}
    return {
        "ip_address": client_ip(meta, conf.TRUSTED_PROXY_COUNT),
        "user_agent": user_agent(meta),
    }


def device_of(
    request: HttpRequest | None, described: str = "", name: str = ""
) -> dict[str, str | None]:
    """Return the columns that say which device a request came from.

    The words are left out when they are those of ``described``, the row's user agent: parsing is
    slow. A client that has told its ``name`` goes by that.
    """
    columns = origin_of(request)
    agent = str(columns["user_agent"])
    if name:
        return columns | {"device": name}
    if agent == described:
        return columns
    return columns | {"device": describe(agent), "device_kind": kind_of(agent)}


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


def label_of(address: str | None) -> str:
    """Return what the site knows of an address, a city or an office; empty if nothing.

    The site's function (``TOKENAUTH_ADDRESS_LABEL``) may look into a file that is gone: then the
    page has no labels, the log says why, and the function is left alone for a while.
    """
    path = conf.ADDRESS_LABEL
    if not (address and path) or time.monotonic() < _asked_again_at.get(path, 0):
        return ""
    try:
        return str(import_string(path)(address) or "")
    except Exception:  # each site has errors of its own
        _asked_again_at[path] = time.monotonic() + PAUSE
        log.warning("%s could not label an address.", path, exc_info=True)
        return ""


def describe(agent: str) -> str:
    """Return a user agent in words, like "Safari on iPhone"; empty if it says nothing.

    In English: it is stored, for readers of any language (``translated``).
    """
    result = read(agent)
    return " on ".join(filter(None, [browser_of(result), system_of(result)]))[:MAX_DEVICE_LENGTH]


def browser_of(result: "Result") -> str:
    """Return a browser by the name that people know: "Safari", and not "Mobile Safari"."""
    family = result.user_agent.family if result.user_agent else ""
    return " ".join(word for word in family.split() if word not in VARIANTS) or family


def system_of(result: "Result") -> str:
    """Return the system, or the device where that is what people say."""
    if result.device and result.device.family in BY_NAME:
        return result.device.family
    family = result.os.family if result.os else ""
    return "macOS" if family == "Mac OS X" else family


def translated(device: str) -> str:
    """Return a stored device in the language that is active."""
    browser, on, system = device.rpartition(" on ")
    if not on:
        return device
    return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}


def kind_of(agent: str) -> Kind:
    """Return which kind of device a user agent belongs to; empty if it says nothing of use."""
    result = read(agent)
    device = result.device
    name = f"{device.family} {device.brand}" if device else ""
    if any(word in name for word in ("Tablet", "iPad", "Kindle")):
        return "tablet"
    if result.os is None or "TV" in name:
        return ""
    return "phone" if result.os.family in PHONES else "desktop"


def read(agent: str) -> "Result":
    """Parse the beginning of a user agent: once, for the parser remembers the last ones."""
    import ua_parser  # noqa: PLC0415  # its rules take longer to load than the rest of us

    try:
        return ua_parser.parse(agent[:MAX_PARSED_LENGTH])
    except ValueError:  # "; Karbonn ; Build" fits a rule that then finds no name
        return ua_parser.Result(None, None, None, agent)
