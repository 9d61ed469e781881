"""Stand beside other transactions: those of other requests, and one around our own.

A statement that lost against another one is repeated.

At READ COMMITTED an UPDATE waits for the other and looks again; at REPEATABLE READ, and in a
deadlock, the database gives up and asks the client to repeat it.

A middleware above ours may have opened one around the whole request (django-reversion's does, and
Django's old TransactionMiddleware). On a 400 it would take a rotation back whose token the browser
has, or the end of a session whose token was stolen.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.views.decorators.debug import sensitive_variables

T = TypeVar("T")

log = logging.getLogger("tokenauth.security")

#: How often a statement is tried: twenty requests at once with one token all get through.
TRIES = 20
#: Serialization failure and deadlock: the SQL standard's codes, MySQL's and MariaDB's numbers.
SQLSTATES = {"40001", "40P01"}
NUMBERS = {1213, 1020}
#: Seconds to wait for a row, or SQLite's whole file, that a transaction around us has locked.
PATIENCE = 10


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


def run_apart(alias: str, door: Callable[[], T]) -> T:
    """Return what a door returns, whose writes no transaction around it can take back.

    Where there is one, the door runs in a thread, and so on a connection, of its own. Raises
    OperationalError when that transaction stands in its way.
    """
    if not is_in_transaction(connections[alias]):
        return door()
    warn()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenauth")
    try:
        return pool.submit(copy_context().run, close_after, door).result(PATIENCE)
    except TimeoutError:
        raise OperationalError("a transaction around the request stands in the way") from None
    finally:
        pool.shutdown(wait=False)


def close_after(door: Callable[[], T]) -> T:
    """Leave no connection behind: nobody would close those of this thread."""
    try:
        return door()
    finally:
        connections.close_all()


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a transaction is open that another connection can stand beside.

    Not beside a TestCase's, which holds all that the test has made, nor beside a database in
    memory.
    """
    if not connection.in_atomic_block:
        return False
    blocks: list[Any] = connection.atomic_blocks
    in_test = any(block._from_testcase for block in blocks)
    in_memory = getattr(connection, "is_in_memory_db", bool)()
    return not (in_test or in_memory)


@cache
def warn() -> None:
    """Say once in a process what to edit."""
    log.warning(
        "A refresh token came inside a transaction, and is rotated on a connection of its own: "
        "a rollback would sign the person out. Edit MIDDLEWARE: move what opens a transaction for "
        "each request below tokenauth.middleware.TokenAuthMiddleware, or use ATOMIC_REQUESTS."
    )
