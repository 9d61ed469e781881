"""The page that calls all servers, and what the authorization server says of a call."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from demo_project.views import access_lifetime
from tokenauth.conf import conf


@login_required
def servers(request: HttpRequest) -> HttpResponse:
    """Show the servers, and three ways to call them."""
    issuer = conf.ISSUER
    if f"{request.scheme}://{request.get_host()}" != issuer:
        return redirect(f"{issuer}{request.path}")  # the other servers know that name alone
    paths = ["/api/orders/", "/api/weather/", reverse("arrived"), reverse("arrived_there")]
    context = {"access_lifetime": access_lifetime(), "issuer": issuer, "paths": paths}
    return render(request, "demo/servers.html", context)


def count_queries(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Let ``request.queries`` grow with each query (a middleware, around that of tokenauth)."""

    def middleware(request: Any) -> HttpResponse:
        request.queries = []

        def count(execute: Any, sql: str, *args: Any) -> Any:
            request.queries.append(sql)
            return execute(sql, *args)

        with connection.execute_wrapper(count):
            return get_response(request)

    return middleware


def arrived(request: Any) -> HttpResponse:
    """Say what arrived here; of cookies their names alone."""
    user = request.user
    if not user.is_authenticated:
        return JsonResponse({}, status=401)
    return JsonResponse(
        {
            "server": "authorization",
            "cookies": sorted(request.COOKIES),
            "queries": len(request.queries),
            "person": f"{user.get_username()}, person {user.pk}",
            "bytes": int(request.headers.get("Content-Length") or 0),
        }
    )
