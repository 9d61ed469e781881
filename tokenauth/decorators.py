"""Say of a view what the middleware can't know, and what it wants of who is there."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial, wraps
from typing import Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest

from .mixins import RecentLoginRequiredMixin, demand_device_proof, demand_recent_login
from .request import bounce
from .stepup.recency import FIVE_MINUTES, ONE_MINUTE, duration_of

__all__ = [
    "RecentLoginRequiredMixin",
    "device_proof_required",
    "never_bounced",
    "recent_login_required",
]

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

    return guarded_by(partial(demand_recent_login, max_age=length), view)


@overload
def device_proof_required(
    view: View, *, max_age: timedelta | float = ..., otherwise: timedelta | float | None = ...
) -> View: ...


@overload
def device_proof_required(
    view: None = None,
    *,
    max_age: timedelta | float = ...,
    otherwise: timedelta | float | None = ...,
) -> Callable[[View], View]: ...


def device_proof_required(
    view: Callable[..., Any] | None = None,
    *,
    max_age: timedelta | float = ONE_MINUTE,
    otherwise: timedelta | float | None = FIVE_MINUTES,
) -> Any:
    """Run a view only for browsers that proved their device key at most ``max_age`` ago.

    A duration, or seconds. The others are made to prove it, which their person does not notice; the
    request then goes on, a form with its files. Chrome makes six proofs in nine minutes at most.
    Where the session is bound to no device, as in other browsers, a login counts that is as recent
    as ``otherwise``: see ``recent_login_required``. None refuses.

    Raises ValueError for a duration that is not above zero.
    """
    length, fallback = duration_of(max_age), None if otherwise is None else duration_of(otherwise)
    return guarded_by(partial(demand_device_proof, max_age=length, otherwise=fallback), view)


def guarded_by(demand: Callable[..., Any], view: Callable[..., Any] | None) -> Any:
    """Return the view, behind what ``demand`` of a request returns; of None, what does that."""
    if view is None:
        return partial(guarded_by, demand)
    guarded: Callable[..., Any] = view
    if iscoroutinefunction(view):

        @wraps(view)
        async def aguard(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            asked = await sync_to_async(demand)(request)
            return await guarded(request, *args, **kwargs) if asked is None else asked

        return aguard

    @wraps(view)
    def guard(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        asked = demand(request)
        return guarded(request, *args, **kwargs) if asked is None else asked

    return guard
