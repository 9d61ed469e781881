"""Cut long lists of primary keys into what one statement can take."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

#: Values bound by one statement: SQLite takes at most 999 on old versions.
BATCH = 500


def batched(keys: Iterable[Any]) -> Iterable[list[Any]]:
    """Return primary keys in lists that one statement can take."""
    left = iter(keys)
    return iter(lambda: list(islice(left, BATCH)), [])
