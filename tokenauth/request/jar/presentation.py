"""Find the tokens in a ``Cookie`` header, and choose which of them to believe.

Nothing here touches a request or the database.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Secret
from tokenauth.session.tokens import Claims

from .places import (
    ACCESS,
    REFRESH,
    Kind,
    Place,
    domains_of,
    include_path,
    is_public,
    is_under,
)

#: Sessions whose access tokens one browser may hold and be helped: each costs a query.
MAX_RIVALS = 3


def parse(header: Secret[str], name: str) -> list[Secret[str]]:
    """Return each distinct value that a raw ``Cookie`` header gives to ``name``.

    ``request.COOKIES`` won't do: of two cookies of one name it keeps only the last, which a
    sibling subdomain can plant, and it takes a Unicode space before a name for none.
    """
    values = {}
    for part in header.reveal().split(";"):
        if name in part:
            found, _, value = part.partition("=")
            if found.strip(" \t") == name:
                values[value.strip(" \t")] = Secret(value.strip(" \t"))
    return [*values.values()]


class Presented(NamedTuple):
    """A genuine token that came in a cookie."""

    raw: Secret[str]
    claims: Claims
    place: Place

    @property
    def sid(self) -> UUID:
        """The session that it is of."""
        return self.claims.sid


class Presentation:
    """The genuine tokens in a request's ``Cookie`` header, and which of them to believe.

    What does not verify is ignored: it may be a clock, a rolling deploy, or planted.
    """

    def __init__(self, header: Secret[str]) -> None:
        self.header = header
        #: Sessions found ended, whose access tokens came beside another's.
        self.over: set[UUID] = set()

    def read(self, kind: Kind, place: Place) -> list[Presented]:
        """Return the tokens that came under the name of a place, expired or not."""
        found = []
        for raw in parse(self.header, place.name):
            try:
                found.append(Presented(raw, kind.token.read(raw), place))
            except InvalidToken:
                continue
        return found

    def read_today(self, kind: Kind) -> list[Presented]:
        """Return the tokens under today's name; most requests to most sites bring none."""
        is_there = kind.name_given() in self.header.reveal()
        return self.read(kind, kind.place()) if is_there else []

    def read_former(self, kind: Kind) -> list[Presented]:
        """Return the tokens under former names that were issued before the change.

        Who steals into a browser later can make no such token, but may have kept an old one.
        """
        found: list[Presented] = []
        for place, changed in kind.former():
            if place.name != kind.place().name:
                tokens = self.read(kind, place)
                found += [token for token in tokens if token.claims.iat <= changed]
        return found

    @cached_property
    def access_tokens(self) -> list[Presented]:
        """Every access token; those under former names only if there is nothing of today's.

        Among these a planted one never counts beside one that can't be planted.
        """
        today = self.read_today(ACCESS)
        former = [] if today else self.read_former(ACCESS)
        if not former:
            return today
        sids = {token.sid for token in self.refresh_tokens}
        safe = [token for token in former if not token.place.is_plantable]
        return safe or [token for token in former if not sids or token.sid in sids]

    @cached_property
    def refresh_tokens(self) -> list[Presented]:
        """Every refresh token under today's name."""
        return self.read_today(REFRESH)

    @cached_property
    def former_refresh_tokens(self) -> list[Presented]:
        """Every refresh token under a former name."""
        return self.read_former(REFRESH)

    @cached_property
    def access(self) -> Claims | None:
        """The access token that counts."""
        token = self.access_token
        return token.claims if token else None

    @property
    def access_token(self) -> Presented | None:
        """The newest access token, and nobody's if they name two sessions."""
        counting = self.access_tokens
        if self.over:
            counting = [token for token in counting if token.sid not in self.over]
        if len(counting) > 1 and len({token.sid for token in counting}) > 1:
            return None
        return max(counting, key=lambda token: token.claims.exp, default=None)

    @property
    def rivals(self) -> set[UUID]:
        """The sessions of the access tokens, if they name two or three."""
        if len(self.access_tokens) < 2:
            return set()
        sids = {token.sid for token in self.access_tokens}
        return sids if 1 < len(sids) <= MAX_RIVALS else set()

    def leave_out(self, sid: UUID) -> None:
        """Let the access tokens of this session count no more."""
        self.over.add(sid)
        self.__dict__.pop("access", None)

    @property
    def paired(self) -> Presented | None:
        """The refresh token of the access token's session.

        A planted one is of another session, so it never counts.
        """
        if self.access is None:
            return None
        tokens = [*self.refresh_tokens, *self.former_refresh_tokens]
        same = [token for token in tokens if token.sid == self.access.sid]
        return max(same, key=lambda token: token.claims.rot, default=None)

    @property
    def single(self) -> Presented | None:
        """The refresh token of a browser that has no access token, if it has only one.

        Of those under former names it is one that nobody can have planted.
        """
        tokens = self.refresh_tokens or [
            token for token in self.former_refresh_tokens if not token.place.is_plantable
        ]
        if self.access_tokens or len({token.sid for token in tokens}) != 1:
            return None
        return max(tokens, key=lambda token: token.claims.rot)

    @property
    def held(self) -> Claims | None:
        """What the browser holds of a session, good or expired: the access token, or a lone one."""
        return self.access or (self.single.claims if self.single else None)

    @property
    def refresh(self) -> Presented | None:
        """The refresh token that counts where a lone one may."""
        return self.paired or self.single

    def refresh_at(self, path: str, *, in_browser: bool) -> Presented | None:
        """Return the refresh token that may be rotated on this page.

        A lone one could be planted by a sibling domain, to put a person who is signed out into
        somebody else's account. So it signs nobody in under the include; nor, in a browser, under a
        name that a sibling may give to a cookie: all but those with the prefix ``__Host-``. Nor is
        any rotated where the answer is for everybody's cache.
        """
        if is_public(path):
            return None
        token = self.refresh
        if token is None or token is self.paired:
            return token
        is_planted = in_browser and token.place.is_plantable
        return None if is_planted or is_under(path, include_path()) else token

    def left_behind(
        self, kind: Kind, sids: Collection[UUID], host: Callable[[], str]
    ) -> Iterator[Place]:
        """Give the places, other than today's, where tokens of these sessions may have come from.

        None where a token of another session has come under the name: it may be that one's.
        """
        today = kind.place()
        places = [place for place, _ in kind.former()]
        if len({token.sid for token in self.read(kind, today)}) > 1 and today.is_plantable:
            places += [today._replace(domain=domain) for domain in domains_of(host())]
        for place in {place.key: place for place in places if place.key != today.key}.values():
            found = {token.sid for token in self.read(kind, place)}
            if found and found <= set(sids):
                yield place
