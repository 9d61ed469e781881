"""What the live server is asked about devices, and how it fails when a test wants it to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from tokenauth.device.endpoints import REFRESH, REGISTER

#: nginx maps it to a connection that is closed without an answer.
LOST = 599

View = Callable[[HttpRequest], HttpResponseBase]


@dataclass
class Upstream:
    """The requests for the two device URLs, and ``fault``, which answers them in our place."""

    fault: Callable[[HttpRequest, View], HttpResponseBase] | None = None
    asked: list[tuple[str, int, str]] = field(default_factory=list)

    def answer(self, request: HttpRequest, go_on: View) -> HttpResponseBase:
        """Answer a request, and note which URL was asked, the status, and what the key signed."""
        kind = next((url for url in (REGISTER, REFRESH) if request.path.endswith(url)), "")
        response = self.fault(request, go_on) if kind and self.fault else go_on(request)
        if kind:
            proof = request.headers.get("Secure-Session-Response", "")
            self.asked.append((kind, response.status_code, proof))
        return response

    def statuses(self, kind: str) -> list[int]:
        """Return with which statuses one of the two was answered, in order."""
        return [status for url, status, _ in self.asked if url == kind]

    @property
    def proofs(self) -> int:
        """How many refreshes were granted: a challenge that is too old costs an answer before."""
        return self.statuses(REFRESH).count(200)


def fails_with(status: int) -> Any:
    """Return a fault: the server does nothing and says so."""
    return lambda request, go_on: HttpResponse(status=status)


def loses_the_answer(request: HttpRequest, go_on: View) -> HttpResponseBase:
    """Do what was asked, and let nobody hear of it."""
    go_on(request)
    return HttpResponse(status=LOST)


upstream = Upstream()


def middleware(get_response: View) -> View:
    """Stand between the site and its browsers."""
    return lambda request: upstream.answer(request, get_response)
