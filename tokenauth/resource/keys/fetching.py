"""Fetch a key set over HTTP, and believe nothing of what comes back.

The standard library does it: one small GET in minutes is no reason for a dependency.
"""

import json
import re
import time
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

#: Seconds that a fetch may take, and that a request may wait for one.
TIMEOUT = 2
#: A set of a hundred RSA keys is smaller.
MAX_BYTES = 64 * 1024
CHUNK = 8 * 1024
#: In the place of a document that is the one we have.
UNCHANGED: Any = object()
MAX_AGE = re.compile(r"\bmax-age=(\d{1,9})\b", re.IGNORECASE)


class FetchError(Exception):
    """No key set came; the message says why, for the log."""


@dataclass(frozen=True)
class Answer:
    """What came: a JSON document, or UNCHANGED."""

    document: Any
    etag: str
    #: For how many seconds the sender says that it is good.
    max_age: int | None


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme and authority: what tells one origin from another."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


class SameOrigin(HTTPRedirectHandler):
    """Follow no redirect to somewhere else: whoever answers there could sign anybody in."""

    def redirect_request(  # noqa: PLR0917  # urllib's own signature
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """Refuse, or let urllib go on."""
        if origin_of(newurl) != origin_of(req.full_url):
            raise FetchError("it redirects to another origin")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> OpenerDirector:
    """Return what opens http and https addresses, and no others: no files, no ``data:``."""
    director = OpenerDirector()
    for handler in (
        *(ProxyHandler, HTTPHandler, HTTPSHandler, UnknownHandler),
        *(SameOrigin, HTTPDefaultErrorHandler, HTTPErrorProcessor),
    ):
        director.add_handler(handler())
    return director


def fetch(url: str, etag: str = "") -> Answer:
    """Return the JSON document at ``url``, unless it is the one of this ``etag``.

    Raises FetchError.
    """
    headers = {"Accept": "application/json", "User-Agent": "tokenauth"}
    request = Request(url, headers=headers | ({"If-None-Match": etag} if etag else {}))  # noqa: S310  # the opener knows no other scheme
    try:
        with opener().open(request, timeout=TIMEOUT) as response:
            document = json.loads(read(response))
            return Answer(document, response.headers.get("ETag", ""), max_age_of(response.headers))
    except HTTPError as error:
        if error.code == 304 and etag:
            return Answer(UNCHANGED, etag, max_age_of(error.headers))
        raise FetchError(f"it answers with status {error.code}") from None
    except URLError as error:
        raise FetchError(f"it cannot be reached: {error.reason}") from None
    except (ValueError, RecursionError):
        raise FetchError("it answers with something else than JSON") from None
    except (OSError, HTTPException) as error:
        raise FetchError(f"it cannot be reached: {str(error) or type(error).__name__}") from None


def read(response: Any) -> bytes:
    """Return a body that is neither too long nor too slow.

    The time-out of a socket is for one piece: a server that drips would hold it for hours.
    """
    body, end = b"", time.monotonic() + TIMEOUT
    while chunk := response.read1(CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            raise FetchError(f"it answers with more than {MAX_BYTES:,} bytes")
        if time.monotonic() > end:
            raise FetchError(f"it takes longer than {TIMEOUT} seconds")
    return body


def max_age_of(headers: Message) -> int | None:
    """Return for how many seconds an answer is fresh (RFC 9111 §5.2.2.1), None if it is silent."""
    found = MAX_AGE.search(headers.get("Cache-Control", ""))
    return int(found[1]) if found else None
