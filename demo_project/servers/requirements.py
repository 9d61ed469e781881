"""Find what the servers need on this machine, or say what to install."""

import os
import shutil
from importlib.util import find_spec

from django.core.management.base import CommandError

#: Of the dependency group "servers"; by the names under which they are imported.
PACKAGES = ("fastapi", "gunicorn", "httpx", "joserfc", "psycopg", "redis", "uvicorn")
#: How a program is installed on Debian and Ubuntu, and on macOS.
INSTALL = {
    "nginx": "apt install nginx-light, or brew install nginx",
    "redis-server": "apt install redis-server, or brew install redis",
    "PostgreSQL": "apt install postgresql, or brew install postgresql",
}
REDIS = "redis://127.0.0.1:6379/0"


def check_packages() -> None:
    """Raise CommandError if Python packages are missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"Not installed: {', '.join(missing)}. "
            "Try: make servers, or pip install --group servers"
        )


def find_program(name: str) -> str:
    """Return the path of a program. Raises CommandError."""
    # Debian puts nginx where only root looks.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise CommandError(f"{name} was not found. Install it: {INSTALL[name]}")
    return found


def find_postgresql() -> dict[str, str]:
    """Return where PostgreSQL is and who we are there, but for the password.

    Raises CommandError if it does not let us in.
    """
    import psycopg  # noqa: PLC0415  # after check_packages()
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415  # the same

    place = {
        "host": os.environ.get("PGHOST") or "127.0.0.1",
        "port": os.environ.get("PGPORT") or "5432",
        "user": os.environ.get("PGUSER") or "postgres",
    }
    try:
        psycopg.connect(make_conninfo(dbname="postgres", connect_timeout=10, **place)).close()
    except psycopg.OperationalError as error:
        raise CommandError(
            f"PostgreSQL lets nobody in: {str(error).strip()}\n"
            f"Start it, or install it ({INSTALL['PostgreSQL']}), or say in PGHOST, PGPORT, PGUSER "
            "and PGPASSWORD where it is, and who may make databases there."
        ) from None
    return place


def find_redis() -> str | None:
    """Return the address of a Redis that answers; None if one has to be started.

    Raises CommandError if REDIS_URL names one that does not answer.
    """
    import redis  # noqa: PLC0415  # after check_packages()

    given = os.environ.get("REDIS_URL")
    try:
        with redis.Redis.from_url(given or REDIS, socket_connect_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError):  # without its text: the URL may have a password
        if given:
            raise CommandError("No Redis answers at REDIS_URL: start it, or unset that.") from None
        return None
    return given or REDIS
