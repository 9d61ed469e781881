"""Know a request that was bounced already, so that none goes round for ever.

The way back from the refresh URL may say so in its query, in words that no view sees:

- ``_rt``, the *loop marker*: when a refresh was tried, by the clock of each server on the way. It
  stops a bounce for some seconds only, because it stays in the address bar, or in a form's action.
- ``_rn``, a signed *note* for a request with a long body. Proxies and ASGI servers hand over a
  body when it is whole, so an upload may take longer than the token lives that it was sent back
  with. For that one request the note lets it count; and it stops a bounce however slow the network
  is. It is worthless without the cookie, and used once. On the way there another one says which
  refresh token was current at the departure.
"""

import time
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from uuid import UUID

from django.core.cache import cache
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest

from tokenauth.session.tokens import Claims

MARKER = "_rt"
#: Seconds for which a marker stops the next bounce.
MARKER_LIFETIME = 15
#: How many servers' clocks a marker tells.
MAX_TIMES = 4
NOTE = "_rn"
#: Seconds that a big file on a slow line may take: so long after a token's end a note lets it
#: count, and so long after the departure it tells what was current then.
NOTE_LIFETIME = 60 * 60
#: Seconds for which a note stops a bounce, and for which it is remembered as used.
NOTE_MEMORY = 24 * 60 * 60
#: Bytes of a body, and seconds on the way from one server to the next, from which on a note is
#: worth while: the addresses of ordinary forms stay clean.
LONG, SLOW = 64 * 1024, 5
#: What notes begin with: sent there with this rotation; sent back in vain; or with a new token.
DEPARTURE, TRIED, REFRESHED = 1, 2, 3


@dataclass(frozen=True)
class Trace:
    """What a request's URL said of the bounces before. Times are seconds since the epoch."""

    times: tuple[int, ...] = ()
    note: str = ""

    @property
    def just_tried(self) -> bool:
        """Whether a refresh was tried in the last seconds.

        By any of the clocks: a server whose own is apart knows the time that it gave itself.
        """
        now = time.time()
        return any(abs(now - moment) < MARKER_LIFETIME for moment in self.times)

    @property
    def took_long(self) -> bool:
        """Whether the request was long on its way from the last server that it names."""
        return bool(self.times) and abs(time.time() - self.times[-1]) >= SLOW

    def marker(self) -> str:
        """Return the marker that goes on from here: what it said, and now."""
        times = dict.fromkeys([*self.times, int(time.time())])
        return "~".join(map(str, [*times][-MAX_TIMES:]))


NO_TRACE = Trace()


def take(request: HttpRequest) -> Trace:
    """Take marker and note out of the query before the view sees them."""
    query = request.META.get("QUERY_STRING", "")
    if MARKER not in query and NOTE not in query:
        return NO_TRACE
    trace, request.META["QUERY_STRING"] = split(query)
    request.__dict__.pop("GET", None)
    return trace


def take_time(request: HttpRequest, name: str) -> bool:
    """Take a word out of the query before the view sees it; tell if it says a time just past."""
    query = request.META.get("QUERY_STRING", "")
    if f"{name}=" not in query:
        return False
    pairs = [part.partition("=") for part in query.split("&")]
    request.META["QUERY_STRING"] = "&".join("".join(pair) for pair in pairs if pair[0] != name)
    request.__dict__.pop("GET", None)
    times = [int(value) for key, _, value in pairs if key == name and is_number(value)]
    return any(abs(time.time() - moment) < MARKER_LIFETIME for moment in times)


def split(query: str) -> tuple[Trace, str]:
    """Return what a query says of the bounces before, and the rest of it, byte for byte."""
    pairs = [part.partition("=") for part in query.split("&")]
    rest = ["".join(pair) for pair in pairs if pair[0] not in (MARKER, NOTE)]
    marks = [mark for name, _, value in pairs if name == MARKER for mark in value.split("~")]
    times = [int(mark) for mark in marks if is_number(mark)]
    notes = [value for name, _, value in pairs if name == NOTE]
    return Trace(tuple(times[-MAX_TIMES:]), notes[-1] if notes else ""), "&".join(rest)


def is_number(text: str) -> bool:
    """Tell whether a text is a number, as of seconds since the epoch."""
    return text.isascii() and text.isdigit() and len(text) < 15


def add(url: str, words: dict[str, str]) -> str:
    """Return a path with these words in its query, where a server sees them: before any ``#``."""
    if not words:
        return url
    url = url.partition("#")[0]
    query = "&".join(f"{name}={value}" for name, value in words.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"


# The note


class Worth(Enum):
    """What a note is worth to the request that brings it."""

    NOTHING = "none of ours, or used already"
    STOP = "this request was bounced, and must not be again"
    PASS = "its access token counts though it has expired"  # noqa: S105  # no password


def length_of(request: HttpRequest) -> int:
    """Return how many bytes of a body a request announces."""
    text = request.META.get("CONTENT_LENGTH", "")
    return int(text) if is_number(text) else 0


def write_note(request: HttpRequest, url: str, came: Claims, given: Claims | None) -> str:
    """Return the note for a request on its way back to ``url``.

    ``came`` is the access token that it brought, ``given`` the one that it will bring instead.
    """
    text = f"{TRIED}-0-{int(time.time())}"
    if given is not None:
        text = f"{REFRESHED}-{given.rot}-{given.exp}"
    return signer_of(request, url, came.sid).sign(text)


def write_departure(request: HttpRequest, sid: UUID, rotation: int) -> str:
    """Return the note for a request on its way to the refresh URL."""
    text = f"{DEPARTURE}-{rotation}-{int(time.time())}"
    return signer_of(request, request.get_full_path(), sid).sign(text)


def read_departure(request: HttpRequest, url: str, note: str, access: Claims | None) -> int | None:
    """Return which rotation was current when the request was sent here from ``url``.

    None if the note is none of ours or an hour old. Used twice it tells the same.
    """
    if access is None:
        return None
    kind, rotation, moment = read(signer_of(request, url, access.sid), note)
    is_recent = abs(time.time() - moment) < NOTE_LIFETIME
    return rotation if kind == DEPARTURE and is_recent else None


def read(signer: Signer, note: str) -> tuple[int, int, int]:
    """Return the kind, the rotation and the time that a note says; zeros if it is none of ours."""
    try:
        kind, rotation, moment = map(int, signer.unsign(note).split("-"))
    except (BadSignature, ValueError):
        return 0, 0, 0
    return kind, rotation, moment


def signer_of(request: HttpRequest, url: str, sid: UUID) -> Signer:
    """Return what signs a note for one session, method and URL."""
    return Signer(salt=f"tokenauth.note {sid} {request.method} {url}", sep=".")


def redeem(request: HttpRequest, note: str, access: Claims) -> Worth:
    """Use a note up, and return what it is worth beside the access token that came."""
    kind, rot, exp = read(signer_of(request, request.get_full_path(), access.sid), note)
    is_recent = abs(time.time() - exp) < NOTE_MEMORY
    first = use_up(note) if kind in (REFRESHED, TRIED) and is_recent else False
    if first is False:
        return Worth.NOTHING
    in_time = kind == REFRESHED and time.time() < exp + NOTE_LIFETIME
    fits = access.rot >= rot and access.exp >= exp
    return Worth.PASS if first and in_time and fits else Worth.STOP


def use_up(note: str) -> bool | None:
    """Tell whether a note is used for the first time; None if the cache can't say.

    A cache that is down answers ``add`` with an error, or with False and holds nothing.
    """
    key = f"tokenauth.note.{sha256(note.encode()).hexdigest()}"
    try:
        if cache.add(key, 1, NOTE_MEMORY):
            return True
        return False if cache.get(key) else None
    except Exception:  # noqa: BLE001  # each cache has its own errors
        return None
