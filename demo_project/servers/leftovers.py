"""The database and the keys in Redis that belong to one run: made for it, gone after it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain

import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo


@contextmanager
def database(place: dict[str, str], name: str) -> Iterator[None]:
    """Make a database, and drop it; one of that name is of a run that was killed."""
    server = make_conninfo(dbname="postgres", **place)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    make = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(make)
    try:
        yield
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(drop)


@contextmanager
def redis_keys(url: str, issuer: str, prefix: str) -> Iterator[None]:
    """Delete what the run has written into a Redis that may be somebody else's, too."""
    try:
        yield
    finally:
        # If it has gone, so have they.
        with suppress(redis.RedisError), redis.Redis.from_url(url) as client:
            stream = f"tokenauth:revoked:{issuer}"
            around = (client.scan_iter(match=f"{name}:*") for name in (stream, prefix))
            client.delete(stream, *chain.from_iterable(around))
