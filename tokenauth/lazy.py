"""What a request carries, and what many a request never looks at."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject, empty

if TYPE_CHECKING:
    from .request.credentials import Credentials


class Lazy(SimpleLazyObject):  # type: ignore[type-arg]  # Django's takes none when it runs
    """Django's, without the detours by its own rules for attributes: they cost more than the rest.

    Each access to an attribute of its own is a call of Python's; here ``__dict__`` is the only one.
    """

    def __init__(self, func: Callable[[], Any]) -> None:
        object.__getattribute__(self, "__dict__").update(_setupfunc=func, _wrapped=empty)

    def __getattr__(self, name: str) -> Any:
        """Find out who it is if nobody has, and ask them."""
        own = object.__getattribute__(self, "__dict__")
        if own["_wrapped"] is empty:
            own["_wrapped"] = own["_setupfunc"]()
        return getattr(own["_wrapped"], name)


def credentials_of(request: Any) -> "Credentials":
    """Return the credentials of a request, which REST framework may have wrapped.

    Raises ImproperlyConfigured when the middleware is missing.
    """
    found = find_credentials(request)
    if found is None:
        raise ImproperlyConfigured(
            "tokenauth needs its middleware. Edit your MIDDLEWARE setting to replace "
            "'django.contrib.auth.middleware.AuthenticationMiddleware' with "
            "'tokenauth.middleware.TokenAuthMiddleware'."
        )
    return found


def find_credentials(request: Any) -> "Credentials | None":
    """Return the credentials of a request; None if no middleware made any."""
    plain = getattr(request, "_request", request)
    return getattr(plain, "_tokenauth", None)
