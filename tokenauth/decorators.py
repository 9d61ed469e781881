"""Say of a view what the middleware can't know."""

from collections.abc import Callable
from typing import Any, TypeVar

from .request import bounce

View = TypeVar("View", bound=Callable[..., Any])


def never_bounced(view: View) -> View:
    """Keep requests for this view from being redirected to the refresh URL.

    For whoever takes a redirect for an error: a gateway (nginx's ``auth_request``), a webhook's
    caller, a ``fetch`` with ``redirect: "error"``. With an expired access token the view is run as
    for nobody. On a class: ``method_decorator(never_bounced, name="dispatch")``. Among other
    decorators it is the outermost.
    """
    setattr(view, bounce.NEVER, True)
    return view
