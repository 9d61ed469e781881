"""Refuse what is no JWT before anything of it is read.

Nothing here touches a request or the database.
"""

import re
from typing import NamedTuple

from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Secret

#: How both tokens are signed where a site has no keys of its own; and what stands in its list of
#: keys for the one that is derived from ``SECRET_KEY``.
HS256 = "HS256"
#: A longer token is refused unread: a browser drops a cookie over 4,096 bytes
#: (RFC 6265bis §5.7), and a header of 3.9 kB of ``[`` makes ``json`` recurse too deep.
MAX_TOKEN_LENGTH = 2048
#: What a browser keeps of a cookie, in bytes: its name and its value (RFC 6265bis §5.7). A token
#: with claims of the site's own may fill it.
MAX_COOKIE = 4096
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class Kind(NamedTuple):
    """Which JWTs are wanted where: one kind never passes as another (RFC 8725 §3.11)."""

    name: str
    #: What ``typ`` may be, without ``application/``; empty where it may be missing.
    types: frozenset[str]
    #: In characters.
    longest: int


ACCESS_TOKEN = Kind("an access token", frozenset({"at+jwt"}), MAX_COOKIE)
DEVICE_TOKEN = Kind("a device token", frozenset({"device+jwt"}), MAX_COOKIE)
#: By which a job shows what it is (RFC 7523 §3). Most issuers say ``JWT``, as they do of ID tokens;
#: RFC 7519 §5.1 lets them say nothing. Those of GitHub have 2 kB.
ASSERTION = Kind("an assertion", frozenset({"jwt", ""}), 8192)


def check_form(raw: Secret[str], longest: int = MAX_TOKEN_LENGTH) -> None:
    """Let pass what may be a JWT: three parts of base64url (RFC 7515 §7.1), and not too long.

    Raises InvalidToken.
    """
    if len(raw.reveal()) > longest or not COMPACT_JWS.fullmatch(raw.reveal()):
        raise InvalidToken("not a JWT")
