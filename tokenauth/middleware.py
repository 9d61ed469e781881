"""Settle credentials before the view, load the user when first used, write cookies after it."""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase

from tokenauth.lazy import credentials_of

from .request import bounce, cookies, loops, refresh, settlement
from .request.credentials import Credentials
from .request.django_sessions import following, keys

T = TypeVar("T")

#: A step of the flow that waits for the database or the request's body.
Step = Callable[[], Any]
#: Yields its steps, and ``None`` once where the view belongs.
Flow = Generator[Step | None, Any, T]


class TokenAuthMiddleware(AuthenticationMiddleware):
    """Take the place of Django's AuthenticationMiddleware, for sync and async servers alike.

    A subclass of it, so that ``admin.E408`` and ``auth.E013`` are content. Put it where Django's
    stood: after SessionMiddleware, if the site has that.

    Both modes run one body, a generator: the tokens are verified where it runs, and only what it
    yields leaves the event loop (``MiddlewareMixin`` would cost every request two thread hops).
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self,
        get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]],
    ) -> None:
        self.get_response: Any = get_response
        self.is_async = iscoroutinefunction(get_response)
        self.loads_session = self.is_async and keys.are_read_at_once()
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Drive the flow, here or on the event loop."""
        if self.is_async:
            return self.__acall__(request)
        flow, result = self.flow(request), None
        while True:
            try:
                step = flow.send(result)
            except StopIteration as done:
                response: HttpResponseBase = done.value
                return response
            try:
                result = step() if step else self.get_response(request)
            except CancelledError:
                # From an ASGI server, through a middleware below that is not async: see __acall__.
                following.abandon(credentials_of(request))
                raise

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        flow, result = self.flow(request), None
        while True:
            try:
                step = flow.send(result)
            except StopIteration as done:
                response: HttpResponseBase = done.value
                return response
            try:
                result = await (sync_to_async(step)() if step else self.get_response(request))
            except CancelledError:
                # The browser went away. A logout() counts all the same, as Django's does.
                await sync_to_async(following.abandon)(credentials_of(request))
                raise

    def process_request(self, request: HttpRequest) -> None:
        """Give the request its lazy user; unlike Django's, without a need for sessions."""
        Credentials(request).attach()

    def flow(self, request: HttpRequest) -> Flow[HttpResponseBase]:
        """Say what happens to a request, in order."""
        credentials = Credentials(request)
        credentials.attach()
        if credentials.bearer is not None:
            credentials.heed_header()
        trace = loops.take(request)
        response: HttpResponseBase | None = yield from self.receive(credentials, trace)
        if response is not None:
            if credentials.store is not None:
                credentials.store.let_alone()
            return response
        if refresh.is_refresh(request.path):
            credentials.answers_at_once = True
            response = yield partial(refresh.answer, credentials, trace)
        else:
            response = yield None
        yield from self.finish(credentials, response)
        if trace.note:
            response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def receive(
        self, credentials: Credentials, trace: loops.Trace
    ) -> Flow[HttpResponseBase | None]:
        """Settle who it is as far as that must be before the view; return the answer of no view."""
        if credentials.presented.rivals:
            yield credentials.part_rivals
        if credentials.binds:
            answer: HttpResponseBase | None = yield from binding().intervene(credentials)
            if answer is not None:
                return answer
        if refresh.is_refresh(credentials.request.path):
            return None
        bounced = yield from self.admit(credentials, trace)
        if bounced is None and self.loads_session and credentials.store is not None:
            yield credentials.store.judge
        return bounced

    def finish(self, credentials: Credentials, response: HttpResponseBase) -> Flow[None]:
        """Carry out what the request came to."""
        if settlement.is_due(credentials):
            yield partial(settlement.settle, credentials, response)
        device = binding() if credentials.binds else None
        if device is not None and device.is_due(credentials):
            yield partial(device.settle, credentials)
        settlement.write(credentials, response)
        if device is not None:
            device.finish(credentials, response)

    def admit(self, credentials: Credentials, trace: loops.Trace) -> Flow[HttpResponseBase | None]:
        """Refresh what has expired, here or by a bounce; return the bounce."""
        request, access = credentials.request, credentials.presented.access
        if not credentials.needs_refresh or credentials.needs_proof:
            return None
        token = refresh_token_here(request, credentials)
        if token is not None:
            yield partial(credentials.refresh, token)
            return None
        if access is None:
            return None
        worth = (yield partial(loops.redeem, request, trace.note, access)) if trace.note else None
        if worth is loops.Worth.PASS:
            credentials.accept_late()
            return None
        has_tried = worth is loops.Worth.STOP or trace.just_tried
        url = bounce.refresh_url(request.get_full_path(), trace, access.exp)
        if not has_tried and bounce.can_bounce(request, url):
            bounced: HttpResponseBase = yield partial(refresh.send_away, credentials, url)
            return bounced
        if has_tried:
            credentials.tried = trace.marker()
            yield credentials.sweep
        # Under the include, and after a bounce, the browser has had its chance to refresh.
        credentials.unknown = not (has_tried or bounce.brings_refresh_cookie(request.path))
        return None


def binding() -> Any:
    """Return what binds sessions to devices. It needs joserfc, which is optional.

    Raises ImproperlyConfigured.
    """
    try:
        from .device import binding  # noqa: PLC0415  # few sites bind any
    except ImportError:
        raise ImproperlyConfigured(
            "TOKENAUTH_DEVICE_BINDING needs joserfc: pip install 'django-tokenauth[keys]'."
        ) from None
    return binding


def refresh_token_here(request: HttpRequest, credentials: Credentials) -> cookies.Presented | None:
    """Return the refresh token that may be rotated in place, if one came."""
    is_browser = "Sec-Fetch-Site" in request.headers
    return credentials.presented.refresh_at(request.path, in_browser=is_browser)
