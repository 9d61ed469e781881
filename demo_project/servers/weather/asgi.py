"""The weather for ASGI servers. Each answer says which process gave it; a real site's do not."""

import os
from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from .app import app

__all__ = ["app"]


@app.middleware("http")
async def name_worker(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Put the process's id into a header."""
    response = await call_next(request)
    response.headers["X-Worker"] = str(os.getpid())
    return response
