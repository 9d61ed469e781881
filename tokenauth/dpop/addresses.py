"""Compare addresses as RFC 9449 §4.3 asks: normalised, without query and fragment.

Nothing here touches a request or the database.
"""

import re
from urllib.parse import unquote_to_bytes

#: Scheme, host, port and path (RFC 3986 §3). Nobody signs in by the address: there is no userinfo
#: (RFC 9110 §4.2.4).
ADDRESS = re.compile(
    r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]*))?"
    r"((?:/(?:[a-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*)?)",
    re.ASCII | re.IGNORECASE,
)
USUAL_PORTS = {"http": "80", "https": "443"}


def normalise(url: str) -> tuple[str, str, str, bytes] | None:
    """Return scheme, host, port and path as all spellings of an address have them.

    RFC 3986 §6.2.2 (case, percent-encoding, dots) and §6.2.3 (ports, empty paths). Every character
    of the path is decoded, not the unreserved ones alone: Django no longer knows which of them were
    encoded, and so ``/a;b`` and ``/a%3Bb`` are one page to it. A dot at the end of a host makes
    another host of it.

    None if it is no address of a page.
    """
    found = ADDRESS.fullmatch(re.split("[?#]", url, maxsplit=1)[0])
    if found is None:
        return None
    scheme, host, port, path = (text or "" for text in found.groups())
    scheme = scheme.lower()
    other_port = "" if port == USUAL_PORTS[scheme] else port
    return scheme, host.lower(), other_port, without_dots(unquote_to_bytes(path))


def without_dots(path: bytes) -> bytes:
    """Return a path with its segments ``.`` and ``..`` resolved (RFC 3986 §5.2.4)."""
    segments = path.split(b"/")[1:]
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            kept = kept[:-1]
        elif segment != b".":
            kept.append(segment)
    names_a_folder = segments[-1:] in ([b"."], [b".."])
    return b"/" + b"/".join([*kept, b""] if names_a_folder else kept)
