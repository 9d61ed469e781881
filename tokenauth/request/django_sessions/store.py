"""Bind ``request.session`` to whoever is there, before anybody reads it.

``request.user`` comes from the tokens, ``request.session`` from whatever ``sessionid`` came beside
them. A planted or borrowed one would bring its data to another person: a second factor that
somebody else has passed, an account that somebody else began to connect (allauth: an account
takeover). So the store asks who is there first, and then lets its data count, or not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from functools import cache
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.http import HttpRequest


class Verdict(Enum):
    """What becomes of the data that came with a request."""

    COUNTS = "it is of whoever is there"
    FOREIGN = "somebody else's: reads as empty, and the first write replaces it"
    FROZEN = "nobody can tell: reads as empty, and nothing is written"
    OVER = "its session has ended: it goes"


class Owner(Protocol):
    """Who is there: the credentials of the request."""

    def resolve(self) -> None:
        """Find out."""

    async def aresolve(self) -> None:
        """See resolve()."""

    def judge(self, data: dict[str, Any]) -> Verdict:
        """Tell whether data is theirs, after resolve()."""

    def auth_keys(self) -> dict[str, str]:
        """Return what Django notes of a person who signs in; nothing for nobody."""

    def note_key(self, key: str | None) -> None:
        """Learn under which new key the data is kept."""

    def least_age(self) -> int:
        """Return for how many seconds the data must last."""

    def outlives_browser(self) -> bool | None:
        """Tell whether the sign-in does; None where nobody is signed in."""


#: The store that is just read as it came: by those who find out who is there.
_as_it_came: ContextVar[object] = ContextVar("_as_it_came", default=None)


class BoundStore(SessionBase):
    """What is put before the site's engine. Without an owner it is that engine.

    Apps make such a store themselves: allauth calls ``request.session.__class__(key)``.
    """

    owner: Owner | None = None
    verdict: Verdict | None = None
    _session_cache: dict[str, Any]
    #: Whether a view ended the data with ``flush()``.
    flushed = False
    #: Whether what was written goes nowhere.
    withheld = False
    #: Whether the view's part is over, and SessionMiddleware's begins.
    closed = False
    _saved = False

    # Judging

    @contextmanager
    def as_it_came(self) -> Iterator[None]:
        """Read without judging, inside."""
        token = _as_it_came.set(self)
        try:
            yield
        finally:
            _as_it_came.reset(token)

    @property
    def is_undecided(self) -> bool:
        """Whether it is to be found out whose the data is, before it is read."""
        return self.owner is not None and self.verdict is None and _as_it_came.get() is not self

    @property
    def is_hidden(self) -> bool:
        """Whether the data that came does not count."""
        return self.verdict in (Verdict.FOREIGN, Verdict.FROZEN)

    def judge(self) -> None:
        """Ask who is there, and let the data count or not."""
        if self.is_undecided and self.owner is not None:
            self.owner.resolve()
            with self.as_it_came():
                data = super()._get_session()  # type: ignore[misc]  # not in the stubs
            self._decide(self.owner.judge(data))

    async def ajudge(self) -> None:
        """See judge()."""
        if self.is_undecided and self.owner is not None:
            await self.owner.aresolve()
            with self.as_it_came():
                data = await super()._aget_session()  # type: ignore[misc]  # the same
            verdict = await sync_to_async(self.owner.judge)(data)
            await sync_to_async(self._decide)(verdict)

    def _decide(self, verdict: Verdict) -> None:
        if self.verdict is not None or self.owner is None:
            return  # another thread or task was faster
        self.verdict = verdict
        if verdict is Verdict.OVER:
            self.verdict = Verdict.COUNTS
            super().flush()
        counts = self.verdict is Verdict.COUNTS
        # Django's own get_user(), RemoteUserMiddleware and hijack want to find who is signed in.
        self._session_cache = self.owner.auth_keys() | (self._session_cache if counts else {})
        if self.is_hidden:
            self.modified = False  # by a middleware above, which took it for this person's

    def judge_again(self) -> None:
        """Forget the verdict on data that did not count: now it is known who is there."""
        if self.is_hidden:
            del self._session_cache
            self.verdict = None

    def rebind(self) -> None:
        """Count from now on: somebody has just signed in."""
        self.verdict, self.flushed, self.withheld = Verdict.COUNTS, False, False

    # What reads and writes

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        self.judge()
        data: dict[str, Any] = super()._get_session(no_load)  # type: ignore[misc]  # the same
        return data

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        await self.ajudge()
        data: dict[str, Any] = await super()._aget_session(no_load)  # type: ignore[misc]  # the same
        return data

    _session = property(_get_session)

    @property
    def session_key(self) -> str | None:
        """The key of data that counts: a site may keep a cart by it."""
        self.judge()
        return None if self.is_hidden else self._session_key

    @property
    def modified(self) -> bool:
        """Whether there is something to save."""
        return bool(self.__dict__.get("modified"))

    @modified.setter
    def modified(self, value: bool) -> None:
        self.__dict__["modified"] = value
        self._saved = self._saved and not value
        if value and self.verdict is Verdict.FOREIGN:
            self._session_key, self.verdict = None, Verdict.COUNTS

    def clear(self) -> None:
        """Forget the data, once it is known whose it is."""
        self.judge()
        super().clear()

    def flush(self) -> None:
        """Forget the data and its key: that signs out, as in Django."""
        self.judge()
        super().flush()
        self.flushed = True

    async def aflush(self) -> None:
        """See flush()."""
        await self.ajudge()
        await super().aflush()
        self.flushed = True

    def delete(self, session_key: str | None = None) -> None:
        """Remove what stands under the key; by default under this one's, if it counts."""
        self.judge()
        if session_key or not self.is_hidden:
            super().delete(session_key)

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await self.ajudge()
        if session_key or not self.is_hidden:
            await super().adelete(session_key)

    def create(self) -> None:
        """Take a new key, and say so before the old one can go."""
        self.judge()
        self._begin_anew()
        super().create()
        self._note_key()

    async def acreate(self) -> None:
        """See create()."""
        await self.ajudge()
        self._begin_anew()
        await super().acreate()
        await sync_to_async(self._note_key)()

    def _begin_anew(self) -> None:
        if self.owner is not None and self.verdict is not None:
            self.verdict = Verdict.COUNTS

    def _note_key(self) -> None:
        if self.owner is not None and isinstance(self, DatabaseStore):
            self.owner.note_key(self._session_key)

    @property
    def row_key(self) -> str | None:
        """The key under which a database keeps the data; None for other engines."""
        return self._session_key if isinstance(self, DatabaseStore) else None

    def save(self, must_create: bool = False) -> None:
        """Save what counts, unless that was done already."""
        if must_create or not (self._saved or self.verdict is Verdict.FROZEN):
            super().save(must_create)

    def save_first(self) -> bool:
        """Save before SessionMiddleware does; False if the data was deleted meanwhile.

        It would answer 400 then, although nothing is wrong with the request.
        """
        self.modified = True
        try:
            self.save()
        except UpdateError:
            self.withheld = True
            return False
        self._saved = True
        return True

    def let_alone(self) -> None:
        """Let SessionMiddleware save nothing of an answer that no view gave, and set no cookie."""
        self.closed = self.withheld = True

    def is_empty(self) -> bool:
        """Tell whether there is nothing to keep, and so no need for a cookie."""
        if self.closed and not self.withheld and settings.SESSION_SAVE_EVERY_REQUEST:
            self.judge()  # or what is nobody's would be saved under a new key
        if self.closed and (self.withheld or self.is_hidden):
            # SessionMiddleware lets a request alone that has no such store. It would delete the
            # cookie of an empty one, or set it: a slow answer must do neither to a newer one's.
            raise AttributeError("no session of this request's")
        return bool(super().is_empty())

    # How long it lasts

    def get_session_cookie_age(self) -> int:
        """Return for how many seconds: no less than the sign-in does."""
        least = self.owner.least_age() if self.owner else 0
        return max(super().get_session_cookie_age(), least)

    def get_expire_at_browser_close(self) -> bool:
        """Tell whether the cookie goes with the browser: as the sign-in does, unless it is said."""
        outlives = self.owner.outlives_browser() if self.owner else None
        if outlives is None or "_session_expiry" in self:
            return bool(super().get_expire_at_browser_close())
        return not outlives

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy and pickle as the engine's own store, without the person."""
        plain = object.__new__(type(self).engine)  # type: ignore[attr-defined]  # set by bound_class
        ours = ("owner", "verdict", "flushed", "withheld", "closed", "_saved")
        plain.__dict__ |= {k: v for k, v in self.__dict__.items() if k not in ours}
        return plain.__reduce_ex__(protocol)


@cache
def bound_class(engine: type[SessionBase]) -> type[BoundStore]:
    """Return the engine's store with ours before it, one class for each.

    It keeps the engine's names: Django salts the data with ``__qualname__``.
    """
    names = {"__qualname__": engine.__qualname__, "__module__": engine.__module__}
    made: type[BoundStore] = type(engine.__name__, (BoundStore, engine), names | {"engine": engine})
    return made


def bind(request: HttpRequest, owner: Owner) -> BoundStore | None:
    """Bind the request's store to its owner, in place; None where the site has no sessions.

    Whoever holds the store already, a middleware above, holds the bound one from now on. What it
    has loaded is judged like anything else.
    """
    store: Any = getattr(request, "session", None)
    if not isinstance(store, SessionBase):
        return None
    if not isinstance(store, BoundStore):
        store.__class__ = bound_class(type(store))
    assert isinstance(store, BoundStore)  # noqa: S101  # for the type checker: it has just become one
    store.owner = owner
    return store
