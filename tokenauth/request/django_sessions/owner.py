"""Tell the request's Django session whose it is: the person that the tokens name, or nobody."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase

from tokenauth.models import AuthSession

from . import adoption, keys
from .store import Verdict, bind

if TYPE_CHECKING:
    from tokenauth.request.credentials import Credentials


class Owner:
    """Who is there, as ``request.session`` asks it. See ``django_sessions.store``."""

    def __init__(self, credentials: "Credentials") -> None:
        self.credentials = credentials

    def resolve(self) -> None:
        """Find out who it is."""
        self.credentials.resolve()

    async def aresolve(self) -> None:
        """See resolve()."""
        await self.credentials.aresolve()

    def judge(self, data: dict[str, Any]) -> Verdict:
        """Tell whether data is this person's."""
        sid, session = data.get(keys.SID_KEY), self.credentials.session
        if session is not None:
            # A slow adopter wrote back what it had read, without the sid.
            late = not sid and session.adopted_from in adoption.marks_of(self.credentials.request)
            return Verdict.COUNTS if late or sid == str(session.pk) else Verdict.FOREIGN
        if self.credentials.unknown:
            return Verdict.FROZEN
        if sid:
            return Verdict.OVER if AuthSession.objects.is_over(sid) else Verdict.FOREIGN
        return self.judge_unnoted(data)

    def judge_unnoted(self, data: dict[str, Any]) -> Verdict:
        """Tell whether data counts that names no session of ours, where nobody is signed in.

        It is anonymous, or of a sign-in that is older than tokenauth and still to be adopted.
        """
        if SESSION_KEY not in data or self.credentials.adoptable is not None:
            return Verdict.COUNTS
        return Verdict.OVER if self.credentials.barred else Verdict.FOREIGN

    def auth_keys(self) -> dict[str, str]:
        """Return what Django's session says of the person; nothing for nobody."""
        session = self.credentials.session
        return keys.auth_keys(session) if session else {}

    def note_key(self, key: str | None) -> None:
        """Write down that the Django session of this person has a new key."""
        if self.credentials.session is not None:
            self.credentials.session.note_django_session(key)

    def least_age(self) -> int:
        """Return for how many seconds the sign-in lasts."""
        session = self.credentials.session
        return session.seconds_left if session else 0

    def outlives_browser(self) -> bool | None:
        """Tell whether the sign-in outlives the browser; None for nobody."""
        return self.credentials.session.persistent if self.credentials.session else None


def is_ceded(credentials: "Credentials") -> bool:
    """Tell whether another app has put a Django session of its own on the request, or a person.

    Allauth does so for its headless app client, by ``X-Session-Token``: that request speaks for
    that session alone. Our cookies sign nobody in there, where no CSRF token is asked for.
    """
    store = keys.store_of(credentials.request)
    if store is credentials.store or not isinstance(store, SessionBase):
        return "_cached_user" in credentials.request.__dict__
    ours = credentials.store
    if ours is not None and store._session_key == ours._session_key is not None:
        # The same data: allauth loads it anew after it has saved.
        credentials.store = bind(credentials.request, Owner(credentials))
        return False
    return True
