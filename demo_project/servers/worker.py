"""Say which process answered: a middleware of the demo's. A real site has no such thing."""

import os
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def name_worker(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Put the process's id into a header."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["X-Worker"] = str(os.getpid())
        return response

    return middleware
