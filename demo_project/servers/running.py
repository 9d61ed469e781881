"""Run nginx, the authorization server and two resource servers, until somebody ends them."""

import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from io import StringIO
from pathlib import Path

from django.core.management import call_command
from django.core.management.base import CommandError

from . import requirements
from .processes import Process, Processes

HERE = Path(__file__).parent
#: Seconds until all must answer.
PATIENCE = 300
#: What each answers to nobody, when it is there.
SIGNS_OF_LIFE = {"/auth/jwks.json": 200, "/api/orders/": 401, "/api/weather/": 401}
#: Their logs are shown, and hold what a person should know.
QUIET = ("--log-level=warning",)
GUNICORN = (sys.executable, "-m", "gunicorn", "--workers=2", "--no-control-socket", *QUIET)
UVICORN = (sys.executable, "-m", "uvicorn", "--workers=2", "--no-access-log", *QUIET)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Needs:
    """What must be on this machine."""

    nginx: str
    #: Where it is, and who we are there.
    postgresql: dict[str, str]
    #: The address of a Redis, or the program to start one.
    redis: str | None
    redis_server: str

    @classmethod
    def find(cls) -> "Needs":
        """Look for everything before anything is started. Raises CommandError."""
        requirements.check_packages()
        nginx = requirements.find_program("nginx")
        redis = requirements.find_redis()
        redis_server = "" if redis else requirements.find_program("redis-server")
        return cls(nginx, requirements.find_postgresql(), redis, redis_server)


@dataclass(frozen=True)
class Site:
    """What all servers of one run are told."""

    port: int
    folder: Path
    redis: str

    @property
    def issuer(self) -> str:
        """The one origin, and who signs."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        """What is this run's alone, in PostgreSQL and in Redis."""
        return f"tokenauth_servers_{self.port}"

    def environment(self, audience: str) -> dict[str, str]:
        """Return what a server is told."""
        return {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "TOKENAUTH_ISSUER": self.issuer,
            "TOKENAUTH_AUDIENCE": audience,
            "TOKENAUTH_REVOCATIONS": self.redis,
        }

    def authorization(self, needs: Needs, lifetime: int) -> dict[str, str]:
        """Return what the authorization server is told."""
        audience = f"{self.issuer}/api/orders/ {self.issuer}/api/weather/"
        return self.environment(audience) | {
            **{f"PG{name.upper()}": value for name, value in needs.postgresql.items()},
            "DJANGO_SETTINGS_MODULE": "demo_project.servers.authorization",
            "DEMO_DATABASE_NAME": self.name,
            "DEMO_CACHE_PREFIX": self.name,
            "DEMO_LIFETIME": str(lifetime),
            "DEMO_STATIC_ROOT": str(self.folder / "static"),
            "TOKENAUTH_SIGNING_KEY": str(self.folder / "es256.pem"),
        }

    def orders(self) -> dict[str, str]:
        """Return what the orders are told."""
        settings = {"DJANGO_SETTINGS_MODULE": "demo_project.servers.orders.settings"}
        return self.environment(f"{self.issuer}/api/orders/") | settings

    def weather(self) -> dict[str, str]:
        """Return what the weather is told."""
        plain_http = {"TOKENAUTH_ACCESS_COOKIE": "access_token"}
        return self.environment(f"{self.issuer}/api/weather/") | plain_http


def run(port: int, lifetime: int, say: Say) -> None:
    """Start all, say what to try and what comes in, end all.

    ``lifetime`` is that of an access token in seconds. Raises CommandError where something is
    missing, Died when a process ends by itself, and Stopped.
    """
    needs = Needs.find()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenauth-")))
        processes = Processes(folder)
        redis = needs.redis or stack.enter_context(own_redis(processes, needs.redis_server))
        site = Site(port, folder, redis)
        make_room(stack, site, needs)
        authorization = site.authorization(needs, lifetime)
        prepare = [sys.executable, "-m", "demo_project.servers.prepare"]
        processes.run_to_its_end("prepare", prepare, authorization)
        started = [
            stack.enter_context(processes.run(name, command, env))
            for name, command, env in programs(site, needs, authorization)
        ]
        await_life(processes, port)
        say(guide(site, lifetime, started))
        tell(processes, [folder / "requests.log", *(process.log for process in started)], say)


@contextmanager
def own_redis(processes: Processes, program: str) -> Iterator[str]:
    """Run a Redis that nobody else can reach; give its address."""
    socket = processes.folder / "redis.sock"
    where = ["--port", "0", "--unixsocket", str(socket), "--dir", str(processes.folder)]
    with processes.run("redis-server", [program, *where, "--save", ""], {}):
        while not socket.exists():
            processes.pause()
        yield f"unix://{socket}"


def make_room(stack: ExitStack, site: Site, needs: Needs) -> None:
    """Make the key and the database; let nothing of either, nor of what is in Redis, stay."""
    from . import leftovers  # noqa: PLC0415  # after Needs.find()

    key = str(site.folder / "es256.pem")
    call_command("tokenauth_key", out=key, stderr=StringIO())
    stack.enter_context(leftovers.redis_keys(site.redis, site.issuer, site.name))
    stack.enter_context(leftovers.database(needs.postgresql, site.name))


def programs(
    site: Site, needs: Needs, authorization: dict[str, str]
) -> Iterator[tuple[str, list[str | Path], Mapping[str, str]]]:
    """Give the name, the command and the environment of each server."""
    folder, package = site.folder, "demo_project.servers"
    for name, module, env in (
        ("authorization", "wsgi", authorization),
        ("orders", "orders.wsgi", site.orders()),
    ):
        yield name, [*GUNICORN, f"--bind=unix:{folder}/{name}.sock", f"{package}.{module}"], env
    weather = [*UVICORN, f"--uds={folder}/weather.sock", f"{package}.weather.asgi:app"]
    yield "weather", [*weather], site.weather()
    conf = folder / "nginx.conf"
    conf.write_text((HERE / "nginx.conf").read_text() % {"folder": folder, "port": site.port})
    yield "nginx", [needs.nginx, "-c", conf, "-e", "stderr"], {}


def await_life(processes: Processes, port: int) -> None:
    """Wait until all answer. Raises CommandError if one never does, Stopped and Died."""
    end = time.monotonic() + PATIENCE
    while silent := [path for path in SIGNS_OF_LIFE if status(port, path) != SIGNS_OF_LIFE[path]]:
        if time.monotonic() > end:
            raise CommandError(f"No good answer within {PATIENCE} seconds: {', '.join(silent)}")
        processes.pause()


def status(port: int, path: str) -> int | None:
    """Return how nginx answers a request, None if it does not."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None


def guide(site: Site, lifetime: int, started: list[Process]) -> str:
    """Return what to try."""
    pids = ", ".join(f"{process.name} {process.popen.pid}" for process in started)
    text = (HERE / "guide.txt").read_text()
    return text.format(issuer=site.issuer, port=site.port, lifetime=lifetime, pids=pids)


def tell(processes: Processes, logs: list[Path], say: Say) -> None:
    """Say what is new in the logs. Raises Stopped and Died."""
    with ExitStack() as stack:
        opened = [stack.enter_context(log.open(errors="replace")) for log in logs]
        for log in opened:
            log.seek(0, 2)  # the end: what came so far was our own
        while True:
            for log in opened:
                for line in iter(log.readline, ""):
                    say(line.rstrip())
            processes.pause()
