"""Measure what a request costs a resource server, above a bare Django request.

    python -m benchmarks.resource
    python -m benchmarks.resource --redis redis://127.0.0.1:6379

The token was seen before, as all but a browser's first in fifteen minutes are. The columns take
turns, so that whatever else the machine does falls on all of them; microseconds are of CPU, the
best of the rounds (a busy machine makes the others slower, by up to twice). With ``--redis`` the
revocations are read there, as often as by default. The async columns are the middleware and a view
alone, on one event loop.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import django
from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.utils.module_loading import import_string

EACH = 200
COOKIE = "__Host-access_token"
OURS = "tokenauth.resource.middleware.ResourceServerMiddleware"
ISSUER, AUDIENCE = "https://example.com/", "https://api.example.com/"


def silent(request: HttpRequest) -> HttpResponse:
    """Ask nothing."""
    return HttpResponse("Hello")


def greeting(request: Any) -> HttpResponse:
    """Ask who is there."""
    return HttpResponse(f"Hello {request.user.pk}")


async def async_silent(request: HttpRequest) -> HttpResponse:
    """See silent()."""
    return HttpResponse("Hello")


async def async_greeting(request: Any) -> HttpResponse:
    """See greeting()."""
    return HttpResponse(f"Hello {(await request.auser()).pk}")


urlpatterns = [path("silent/", silent), path("greeting/", greeting)]


def set_up(redis: str) -> None:
    """Make this process a resource server without a database."""
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="benchmarks",  # noqa: S106  # signs nothing
        INSTALLED_APPS=[
            *("django.contrib.auth", "django.contrib.contenttypes"),
            *("rest_framework", "tokenauth.resource"),
        ],
        TOKENAUTH_AUTHORIZATION_SERVER=f"{ISSUER}auth/",
        TOKENAUTH_ISSUER=ISSUER,
        TOKENAUTH_AUDIENCE=AUDIENCE,
        **({"TOKENAUTH_REVOCATIONS": redis} if redis else {}),
    )
    django.setup()


def make_token() -> str:
    """Make keys, publish them in the settings, and return a token."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # of the extra "keys"
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # the same
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    from tokenauth.session.jose.keys import SigningKeys  # noqa: PLC0415  # the same

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keys = SigningKeys([pem.decode()])
    settings.TOKENAUTH_PUBLIC_KEYS = keys.public.as_jwks()
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": [ISSUER, AUDIENCE],
        "sub": "7",
        "client_id": "browser",
        "iat": now,
        "exp": now + 3600,
        "jti": "0",
        "rot": 3,
        "auth_time": now,
        "sid": "0b7c2f1e-5d0a-4f2e-9a3b-0c1d2e3f4a5b",
    }
    return keys.sign(claims).reveal()


def prepare_redis(url: str) -> None:
    """Tell the reader that Redis has all there is to know, as an authorization server does."""
    from redis import Redis  # noqa: PLC0415  # of the extra "redis"

    from tokenauth.session.revocations import stream  # noqa: PLC0415  # after set_up()

    Redis.from_url(url).set(stream.epoch_of(ISSUER), "benchmark", ex=3600)


Column = Callable[[int], float]


def sync_column(middleware: bool, view: str, token: str) -> Column:
    """Return what times a number of requests through Django's own handler."""
    handler = handler_of(middleware)
    factory = RequestFactory()
    headers = {"cookie": f"csrftoken=abc; {COOKIE}={token}"}

    def run(number: int) -> float:
        requests = [factory.get(view, headers=headers) for _ in range(number)]
        started = time.process_time()
        for request in requests:
            handler.get_response(request)
        return (time.process_time() - started) / number * 1e6

    return run


def handler_of(middleware: bool) -> Any:
    """Return Django's handler, with our middleware or with none."""
    settings.MIDDLEWARE = [OURS] if middleware else []
    handler = import_string("django.core.handlers.base.BaseHandler")()
    handler.load_middleware()
    return handler


def async_column(middleware: bool, view: Callable[..., Any], token: str) -> Column:
    """Return the same for the middleware around an async view, on one event loop."""
    headers = {"cookie": f"csrftoken=abc; {COOKIE}={token}"}
    factory = RequestFactory()
    kind = import_string(OURS)

    async def bare(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = await view(request)
        return response

    markcoroutinefunction(bare)
    called = kind(bare) if middleware else bare

    async def visit(number: int) -> float:
        requests = [factory.get("/silent/", headers=headers) for _ in range(number)]
        started = time.process_time()
        for request in requests:
            await called(request)
        return (time.process_time() - started) / number * 1e6

    return lambda number: asyncio.run(visit(number))


def measure(columns: dict[str, Column], rounds: int) -> dict[str, float]:
    """Let the columns take turns; return the best round of each in microseconds."""
    for column in columns.values():
        column(20)
    found: dict[str, list[float]] = {name: [] for name in columns}
    for _ in range(rounds):
        for name, column in columns.items():
            found[name].append(column(EACH))
    return {name: min(times) for name, times in found.items()}


def main() -> int:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redis", default="", help="read revocations there")
    parser.add_argument("--rounds", type=int, default=100, help=f"of {EACH} requests each (100)")
    options = parser.parse_args()
    set_up(options.redis)
    token = make_token()
    if options.redis:
        prepare_redis(options.redis)
    # An async view that nobody asks has no user to be asked for: there the bare one is silent.
    found = measure(
        {
            "bare": sync_column(False, "/silent/", token),
            "silent": sync_column(True, "/silent/", token),
            "asks": sync_column(True, "/greeting/", token),
            "async bare": async_column(False, async_silent, token),
            "async silent": async_column(True, async_silent, token),
            "async asks": async_column(True, async_greeting, token),
        },
        options.rounds,
    )
    above = {
        name: {
            "µs": round(found[name] - found[floor], 1),
            "÷ bare": round(found[name] / found[floor], 2),
        }
        for name, floor in (
            *(("silent", "bare"), ("asks", "bare")),
            *(("async silent", "async bare"), ("async asks", "async bare")),
        )
    }
    rounded = {name: round(value, 1) for name, value in found.items()}
    result = {"load": os.getloadavg()[0], "measured, µs": rounded, "above": above}
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
