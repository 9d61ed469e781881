"""What class-based views inherit from."""

from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.generic import View

from .stepup.recency import FIVE_MINUTES, duration_of


def demand_recent_login(request: HttpRequest, max_age: timedelta) -> HttpResponse | None:
    """Return what asks for a recent login; None for a person who has one."""
    from .pages import reauthentication  # noqa: PLC0415  # with models, which resource servers lack

    return reauthentication.demand_recent_login(request, max_age)


def demand_device_proof(
    request: HttpRequest, max_age: timedelta, otherwise: timedelta | None
) -> HttpResponse | None:
    """Return what asks for a proof of the device key; None for a browser that made one."""
    from .pages import device_proof  # noqa: PLC0415  # the same

    return device_proof.demand_device_proof(request, max_age, otherwise)


class RecentLoginRequiredMixin(View):
    """Like ``recent_login_required``, for a class: ``max_age`` is a duration, or seconds.

    It stands before the other classes.
    """

    max_age: timedelta | float = FIVE_MINUTES

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Ask, where the proof is too old."""
        length = duration_of(self.max_age)
        if self.view_is_async:
            return self._adispatch(length, request, *args, **kwargs)
        asked = demand_recent_login(request, length)
        return super().dispatch(request, *args, **kwargs) if asked is None else asked

    async def _adispatch(
        self, length: timedelta, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        asked = await sync_to_async(demand_recent_login)(request, length)
        if asked is not None:
            return asked
        answer: Any = super().dispatch(request, *args, **kwargs)
        response: HttpResponseBase = await answer
        return response
