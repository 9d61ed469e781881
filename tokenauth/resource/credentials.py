"""Settle who sends a request, by its access token alone: one ``Credentials`` for each."""

import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import cache, partial
from operator import itemgetter
from threading import Lock
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

from tokenauth.conf import conf
from tokenauth.device.asking import tell_script
from tokenauth.dpop import answers as dpop
from tokenauth.exceptions import InvalidProof, InvalidToken, NonceNeeded, Unavailable, UnknownKey
from tokenauth.lazy import Lazy
from tokenauth.request import cookies
from tokenauth.secret import Secret
from tokenauth.session.jwt.access_claims import BROWSER
from tokenauth.session.jwt.form import MAX_COOKIE, check_form

from . import revocations
from .keys.published import Source, source
from .keys.verifying import Verifier
from .users import ResourceUser, user_of

Claims = Mapping[str, Any]
T = TypeVar("T")


class Step(NamedTuple):
    """What has to be waited for: a function, and what is awaited in its place on an event loop."""

    block: Callable[[], Any]
    wait: Callable[[], Awaitable[Any]]


#: Yields its steps, and is sent what they come to; ``None`` once where the view belongs.
Flow = Generator[Step | None, Any, T]


def in_a_thread(block: Callable[[], Any]) -> Step:
    """Return a step that leaves the event loop alone."""
    return Step(block, sync_to_async(block))


class Arrangement(NamedTuple):
    """What the settings come to: read once, because each request needs it."""

    cookie: str
    keys: Source[Verifier]
    told: revocations.Revocations | None
    #: Whether a function of the site's own says who a person is: it may ask a database.
    finds_people: bool


@cache
def arranged() -> Arrangement:
    """Return the same until a test changes a setting. Raises ImproperlyConfigured."""
    try:
        keys, told = source(), revocations.configured()
    except ValueError as flaw:
        raise ImproperlyConfigured(f"TOKENAUTH_PUBLIC_KEYS: {flaw}") from None
    return Arrangement(cookies.access_name(), keys, told, bool(conf.RESOURCE_USER))


#: One thread arranges: each has the same keys, and they are fetched once.
arranging = Lock()


def arrangement() -> Arrangement:
    """See arranged()."""
    with arranging:
        return arranged()


def forget(**kwargs: Any) -> None:
    """Arrange anew."""
    arranged.cache_clear()


setting_changed.connect(forget, dispatch_uid="tokenauth.resource.forget")


class Credentials:
    """What a request brought, and who it turned out to be."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.arrangement = arrangement()
        scheme, bearer = bearer_of(request)
        #: Whether an ``Authorization`` header came, which then decides alone; and if it is DPoP's.
        self.by_header, self.by_dpop = bearer is not None, scheme == "dpop"
        self.presented = [bearer] if bearer is not None else self._in_cookies()
        self.flaw: InvalidProof | None = None  #: of the proof that came with it
        #: Whether a session is bound to a device, and nothing came that proves it is there.
        self.needs_proof = False
        #: The claims of the token that counts, and of one that a refresh would replace.
        self.claims: Claims | None = None
        self.expired: Claims | None = None
        #: Whether anybody asked who this is.
        self.accessed = False
        self._user: Any = None

    def attach(self) -> None:
        """Give the request its lazy ``user``, ``auser`` and ``claims``."""
        request: Any = self.request
        request._tokenauth_resource = self
        request.user = Lazy(self.get_user)
        request.auser = self.aget_user
        request.claims = Lazy(self.get_claims)

    def _in_cookies(self) -> list[Secret[str]]:
        """Return what came in cookies of the access token's name."""
        header = self.request.META.get("HTTP_COOKIE", "")
        return cookies.parse(Secret(header), self.arrangement.cookie)

    def settle(self) -> Flow[None]:
        """Find out which token counts; yield what has to be waited for.

        One that is refused may be older than a new sign-in: a refresh can tell.

        Raises Unavailable.
        """
        keys, told, now = self.arrangement.keys, self.arrangement.told, time.time()
        alive: list[Claims] = []
        ended: list[Claims] = []
        for raw in self.presented:
            try:
                claims = yield from verified(keys, raw)
            except InvalidToken:
                continue
            if (claims["client_id"] == BROWSER) is self.by_header:
                continue
            if not (yield from self._is_shown(raw, claims)):
                continue
            if "jkt" in claims and not (yield from self._is_on_its_device(claims)):
                self.needs_proof = True
                continue
            is_good = claims["exp"] > now
            is_over = is_good and told is not None and (yield from is_refused(told, claims))
            (ended if is_over else alive).append(claims)
        self.needs_proof = self.needs_proof and not alive
        newest = newest_of(alive or ended)
        if newest and alive and newest["exp"] > now:
            self.claims = newest
        else:
            self.expired = newest

    def _is_shown(self, raw: Secret[str], claims: Claims) -> Flow[bool]:
        """Tell whether the client holds the key that a token is bound to, if it is to one."""
        if not self.by_dpop or "cnf" not in claims:
            return self.by_dpop is ("cnf" in claims)
        from tokenauth.dpop.proving import flaw_of  # noqa: PLC0415  # few sites have such clients

        thumbprint = claims["cnf"].get("jkt")
        self.flaw = yield in_a_thread(partial(flaw_of, self.request, raw, thumbprint))
        return self.flaw is None

    def _is_on_its_device(self, claims: Claims) -> Flow[bool]:
        """Tell whether a device token came of the key that a token's session is bound to."""
        from tokenauth.request.jar.device import device_place  # noqa: PLC0415  # few sites bind

        sid, header = UUID(claims["sid"]), Secret(self.request.META.get("HTTP_COOKIE", ""))
        for raw in cookies.parse(header, device_place(sid).name):
            try:
                token = yield from verified(self.arrangement.keys, raw, Verifier.device_claims_of)
            except InvalidToken:
                continue
            if (token.sid, token.jkt) == (sid, claims["jkt"]) and not token.expired:
                return True
        return False

    def get_user(self) -> Any:
        """Return the person, or Django's AnonymousUser."""
        self.accessed = True
        if self._user is None:
            self._user = self._find_user(self.claims) if self.claims else AnonymousUser()
        return self._user

    def _find_user(self, claims: Claims) -> Any:
        return user_of(copied(claims)) if self.arrangement.finds_people else ResourceUser(claims)

    async def aget_user(self) -> Any:
        """See get_user()."""
        if self._user is None and self.claims and self.arrangement.finds_people:
            return await sync_to_async(self.get_user)()
        return self.get_user()

    def get_claims(self) -> dict[str, Any]:
        """Return a copy of what the token that counts says; empty for nobody."""
        self.accessed = True
        return copied(self.claims or {})  # type: ignore[no-any-return]  # a dict's copy is a dict

    @property
    def challenge(self) -> str:
        """What a 401 tells the client (RFC 6750 §3): whether it had better refresh."""
        came_in_vain = bool(self.presented) and self.claims is None
        if came_in_vain and self.by_dpop:
            return dpop.challenge(self.flaw)
        return 'Bearer realm="api"' + (', error="invalid_token"' if came_in_vain else "")

    def finish(self, response: HttpResponseBase) -> None:
        """Say what the response depends on, and in a 401 why."""
        if self.accessed and "Vary" not in response.headers:
            response.headers["Vary"] = "Authorization, Cookie"  # a third of what patching costs
        elif self.accessed:
            patch_vary_headers(response, ("Authorization", "Cookie"))
        if response.status_code == 401 and self.needs_proof:
            tell_script(response, "Bearer")
        elif response.status_code == 401:
            response.headers.setdefault("WWW-Authenticate", self.challenge)
        if isinstance(self.flaw, NonceNeeded):
            response.headers[dpop.NONCE] = dpop.fresh_nonce()


def copied(value: Any) -> Any:
    """Return JSON values that a view may change: the next request gets what the token says."""
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return [copied(part) for part in value] if isinstance(value, list) else value


def bearer_of(request: HttpRequest) -> tuple[str, Secret[str] | None]:
    """Return by which scheme a token came, and what (RFC 6750 §2.1, RFC 9449 §7.1); or no token."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    scheme = scheme.lower()
    return scheme, Secret(token.strip()) if scheme in ("bearer", "dpop") else None


def verified(
    keys: Source[Verifier],
    raw: Secret[str],
    read: Callable[[Verifier, Secret[str]], Any] = Verifier.claims_of,
) -> Flow[Any]:
    """Return what a genuine token says, as ``read`` reads it; yield what has to be waited for.

    Raises InvalidToken, and Unavailable where there are no keys.
    """
    verifier = keys.verifier()
    if verifier is not None:
        try:
            return read(verifier, raw)
        except UnknownKey:
            pass
    check_form(raw, MAX_COOKIE)
    flight = keys.flight()
    if flight is not None:
        yield in_a_thread(flight.wait)
    newer = keys.verifier()
    if newer is None:
        raise Unavailable("there are no keys")
    return read(newer, raw)


def newest_of(tokens: list[Claims]) -> Claims | None:
    """Return the newest token, and nobody's if they are of two sessions."""
    if len(tokens) > 1 and len({claims["sid"] for claims in tokens}) > 1:
        return None
    return max(tokens, key=itemgetter("exp"), default=None)


def is_refused(told: revocations.Revocations, claims: Claims) -> Flow[bool]:
    """Tell whether a token's session has ended, as far as this process knows.

    Raises Unavailable where it knows nothing, and the site would rather refuse.
    """
    sid, iat = claims["sid"], claims["iat"]
    refused: bool = yield Step(partial(told.refuses, sid, iat), partial(told.arefuses, sid, iat))
    if not refused and told.is_down and conf.REVOCATIONS_DOWN == "refuse":
        raise Unavailable("nobody knows whose session has ended")
    return refused


def find_credentials(request: Any) -> Credentials | None:
    """Return the credentials of a request, which REST framework may have wrapped."""
    found: Credentials | None = getattr(
        getattr(request, "_request", request), "_tokenauth_resource", None
    )
    return found
