"""Keep tokens, hashes and keys out of what reports of an error tell.

Sentry and its like send the local variables of every function on the way to an error, ours and
Django's. What a secret is wrapped in here is all that they find.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Secret(Generic[T]):
    """A value that only ``reveal()`` tells.

    It stands in a closure: no ``vars()`` shows it, and nothing pickles it into a queue or a cache.
    """

    __slots__ = ("reveal",)

    def __init__(self, value: T) -> None:
        self.reveal: Callable[[], T] = lambda: value

    def __repr__(self) -> str:
        return "<Secret>"


def conceal(value: T | Secret[T]) -> Secret[T]:
    """Wrap what a caller has in plain."""
    return value if isinstance(value, Secret) else Secret(value)


class Masked(str):
    """Text for code of others, which takes only a ``str``: it is one, but its repr is silent.

    Where it is printed or written, it is plain text.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<Masked>"
