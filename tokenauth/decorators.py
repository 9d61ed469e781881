"""Say of a view what the middleware can't know, and what it wants of who is there."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest

from .mixins import RecentLoginRequiredMixin, demand_recent_login
from .request import bounce
from .stepup.recency import FIVE_MINUTES, duration_of

__all__ = ["RecentLoginRequiredMixin", "never_bounced", "recent_login_required"]

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


@overload
def recent_login_required(view: View, *, max_age: timedelta | float = ...) -> View: ...


@overload
def recent_login_required(
    view: None = None, *, max_age: timedelta | float = ...
) -> Callable[[View], View]: ...


def recent_login_required(
    view: Callable[..., Any] | None = None, *, max_age: timedelta | float = FIVE_MINUTES
) -> Any:
    """Run a view only for people who have proved who they are at most ``max_age`` ago.

    A duration, or seconds. Others are asked by our page ``reauthenticate/``, and go on from there;
    a form that they sent waits. A ``fetch`` gets 401 with the code
    ``insufficient_user_authentication`` (RFC 9470). Who is not signed in is sent to the login page.

    ``@recent_login_required``, or ``@recent_login_required(max_age=60)``, on a sync or async view;
    a class has RecentLoginRequiredMixin.

    Raises ValueError for a ``max_age`` that is not above zero.
    """
    length = duration_of(max_age)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(view):

            @wraps(view)
            async def aguarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                asked = await sync_to_async(demand_recent_login)(request, length)
                return await view(request, *args, **kwargs) if asked is None else asked

            return aguarded

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            asked = demand_recent_login(request, length)
            return view(request, *args, **kwargs) if asked is None else asked

        return guarded

    return decorate if view is None else decorate(view)
