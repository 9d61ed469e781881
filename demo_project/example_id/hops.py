"""What the picture of a sign-in shows: who spoke to whom, when, and the names of what was sent.

Never the values. They are noted where they happen: the first hop in the state that waits for the
browser's return, the back channel's on the request, all of them in the Django session at the end.
(On the request means in its ``__dict__``: its class has no attributes of ours.)
"""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.http import HttpRequest
from requests import Response

#: In the Django session: the last sign-in by Example ID.
KEY = "example_id_hops"
DISCOVERY = "/.well-known/openid-configuration"


def begin(request: HttpRequest) -> dict[str, Any]:
    """Return what is known when a browser is sent away."""
    return {"at": time.time(), "path": request.path}


def asked(request: HttpRequest) -> Callable[..., None]:
    """Return a hook for a back channel that notes on the request what went over it."""

    def note(response: Response, *args: Any, **kwargs: Any) -> None:
        request.__dict__.setdefault("example_id_calls", []).append(call(response))

    return note


def call(response: Response) -> dict[str, Any]:
    """Return what was asked and answered: names alone."""
    sent = response.request
    parts = urlsplit(sent.url or "")
    form = parse_qs(sent.body) if isinstance(sent.body, str) else {}
    names = [*form, *(name for name in sent.headers if name == "Authorization")]
    return {
        "at": time.time(),
        "method": sent.method,
        "host": parts.netloc,
        "path": parts.path,
        "sent": names,
        "answered": names_in(response),
    }


def names_in(response: Response) -> list[str]:
    """Return the names of what an answer in JSON holds."""
    try:
        answer = response.json()
    except json.JSONDecodeError:
        return []
    return [*answer] if isinstance(answer, dict) else []


def arrive(request: HttpRequest, state: dict[str, Any]) -> None:
    """Note what is known when the browser is back, and the provider has been asked."""
    calls = request.__dict__.get("example_id_calls", [])
    request.__dict__["example_id_hops"] = {
        "process": state.get("process"),
        "began": state.get("began"),
        "back": {
            "path": request.path,
            "at": request.__dict__["example_id_at"],
            "brought": [*request.GET],
        },
        "calls": calls,
    }
