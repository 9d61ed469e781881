"""Settle a request's token before the view, load the person when first used."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import add_never_cache_headers

from tokenauth.device import asking
from tokenauth.exceptions import Unavailable
from tokenauth.request import bounce, loops

from . import expiry
from .credentials import Credentials, Flow, in_a_thread


class ResourceServerMiddleware(AuthenticationMiddleware):
    """Take the place of Django's AuthenticationMiddleware on a server without our database.

    A subclass of it, so that ``admin.E408`` and ``auth.E013`` are content. Both modes run one body,
    as in ``tokenauth.middleware``: only what it yields leaves the event loop.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self,
        get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]],
    ) -> None:
        self.get_response: Any = get_response
        self.is_async = iscoroutinefunction(get_response)
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
                return done.value  # type: ignore[no-any-return]  # what flow() returns
            result = step.block() if step else self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        flow, result = self.flow(request), None
        while True:
            try:
                step = flow.send(result)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # what flow() returns
            result = await (step.wait() if step else self.get_response(request))

    def process_request(self, request: HttpRequest) -> None:
        """Give the request its lazy user; unlike Django's, without a need for sessions."""
        Credentials(request).attach()

    def flow(self, request: HttpRequest) -> Flow[HttpResponseBase]:
        """Say what happens to a request, in order."""
        credentials = Credentials(request)
        credentials.attach()
        trace, was_asked = loops.take(request), asking.was_asked(request)
        try:
            yield from credentials.settle()
        except Unavailable:
            yield in_a_thread(partial(bounce.drain, request, bounce.MAX_UNUSED_BODY))
            return unavailable()
        if credentials.needs_proof and not was_asked:
            page = asking.reload_page(request, is_worth_it=asking.may_prove(request))
            if page is not None:
                return page
        if credentials.expired is not None and not credentials.by_header:
            url = expiry.way_to_refresh(request, trace, credentials.expired["exp"])
            if url is not None:
                yield in_a_thread(partial(bounce.drain, request))
                return bounce.redirect(url)
        if credentials.by_header and credentials.claims is not None:
            # No other site can make a browser send this header, and the cookies don't count.
            request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # Django's own, for its test client
        response: HttpResponseBase = yield None
        credentials.finish(response)
        if trace.note:
            response.headers.setdefault("Referrer-Policy", "same-origin")
        return response


def unavailable() -> HttpResponse:
    """Return what a person gets of whom nobody can say now who they are."""
    response = HttpResponse("Service Unavailable", status=503, content_type="text/plain")
    response["Retry-After"] = "2"
    add_never_cache_headers(response)
    return response
