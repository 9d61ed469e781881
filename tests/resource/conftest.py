"""Fixtures: a resource server in the tests' process."""

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as site
from django.test import AsyncClient, Client

from tests.resource import COOKIE, SITE

OURS = "tokenauth.resource.middleware.ResourceServerMiddleware"


@pytest.fixture
def resource_server(settings):
    """The settings of one, on the test site; it asks no database."""
    settings.MIDDLEWARE = [
        name.replace("tokenauth.middleware.TokenAuthMiddleware", OURS) for name in site.MIDDLEWARE
    ]
    for name, value in SITE.items():
        setattr(settings, name, value)
    return settings


class PlainClient(AsyncClient):
    """Sends what a test says: its parent adds a host and an empty Cookie header of its own."""

    def _base_scope(self, **request):
        scope = super()._base_scope(**request)
        added = [(b"host", b"testserver"), (b"cookie", b"")]
        scope["headers"] = [header for header in scope["headers"] if header not in added]
        return scope


class Visitor:
    """Asks the resource server, over https as its proxy says; each time a new browser."""

    def __init__(self, mode: str, host: str) -> None:
        self.mode, self.host = mode, host

    def ask(self, path, *cookies, bearer=None, method="GET", data=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"host": self.host, "x-forwarded-proto": "https"}
        if cookies:
            headers["cookie"] = "; ".join(f"{COOKIE}={cookie}" for cookie in cookies)
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        return getattr(self, f"ask_{self.mode}")(method, path, data, headers)

    def ask_sync(self, method, path, data, headers):
        return getattr(Client(enforce_csrf_checks=True), method.lower())(
            path, data, headers=headers
        )

    def ask_async(self, method, path, data, headers):
        client = PlainClient(enforce_csrf_checks=True)
        return async_to_sync(getattr(client, method.lower()))(path, data, headers=headers)


@pytest.fixture(params=["sync", "async"])
def visitor(request, resource_server):
    """Who asks it, on the host that it shares with the authorization server."""
    return Visitor(request.param, "app.site.test")


@pytest.fixture
def sibling(visitor):
    """Who asks it on a host of its own."""
    return Visitor(visitor.mode, "api.site.test")
