"""Repeat a statement that lost against another one.

At READ COMMITTED an UPDATE waits for the other and looks again; at REPEATABLE READ, and in a
deadlock, the database gives up and asks the client to repeat it.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connections
from django.views.decorators.debug import sensitive_variables

T = TypeVar("T")

#: How often a statement is tried: twenty requests at once with one token all get through.
TRIES = 20
#: Serialization failure and deadlock: the SQL standard's codes, MySQL's and MariaDB's numbers.
SQLSTATES = {"40001", "40P01"}
NUMBERS = {1213, 1020}


# MySQL's drivers put a statement's values, a token's hash among them, into its text.
@sensitive_variables()
def insist(alias: str, statement: Callable[[], T]) -> T:
    """Return what a statement returns that changes nothing if it is repeated.

    Raises OperationalError for whatever else is wrong with the database, and inside a transaction,
    which only its owner can repeat.
    """
    for _ in range(TRIES - 1):
        try:
            return statement()
        except OperationalError as error:
            if not lost(error) or connections[alias].in_atomic_block:
                raise
    return statement()


def lost(error: OperationalError) -> bool:
    """Tell whether a statement failed only because another one was faster."""
    cause = error.__cause__
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return sqlstate in SQLSTATES or bool(NUMBERS.intersection(error.args[:1]))
