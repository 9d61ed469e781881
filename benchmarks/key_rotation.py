"""Replace the keys of access tokens while people are signed in, and look for anybody who notices.

    python -m benchmarks.key_rotation                 two minutes or so

An authorization server (gunicorn, four workers, on PostgreSQL: ``PGHOST``, ``PGPORT``, ``PGUSER``,
``PGPASSWORD``; a database of this run's own) and a resource server without a database (gunicorn,
four workers), behind one host, as a browser sees them. Ten people ask both at a time, without a
pause; access tokens live three seconds. Meanwhile the keys go from P-256 to Ed25519, RSA and P-256
again, as docs/how-to/rotate-keys.md says: for each step the workers of the first server are
replaced while they answer, so old and new ones sign at the same time. After each step somebody
comes whose browser was closed for eight hours, and holds a token of the keys before.

Exit status 1 if anybody was refused or signed out.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone
from joserfc.jwk import ECKey, OKPKey, RSAKey

from benchmarks import million  # noqa: F401  # sets Django up
from tests.browser import Browser
from tests.factories import UserFactory
from tests.live import Server
from tests.processes import gunicorn
from tests.resource import AUDIENCE, ISSUER
from tests.wsgi import HASTE
from tokenauth.models import AuthSession
from tokenauth.session import tokens

WORKERS, PEOPLE = 4, 10
#: Where ``benchmarks.issuer`` finds its keys.
KEYS_FILE = "BENCH_KEYS_FILE"
#: Seconds that each setting stays: a resource server asks for a key it does not know every ten.
STEP = 12
NIGHT = timedelta(hours=8)
#: Who is asked: the authorization server, and the resource server by two of its pages.
PAGES = ("/whoami/", "/echo/", "/api/")
THERE = ("/echo/", "/api/")

ES, ED, RSA, NEXT = (
    (key.as_pem(private=True).decode(), key.as_pem(private=False).decode())
    for key in (
        *(ECKey.generate_key(), OKPKey.generate_key()),
        *(RSAKey.generate_key(2048), ECKey.generate_key()),
    )
)
#: TOKENAUTH_SIGNING_KEYS, step by step: a new key is published before it signs, and an old one
#: stays as a public key.
STEPS = [
    [ES[0]],
    [ES[0], ED[0]],
    [ED[0], ES[1]],
    [ED[0], RSA[0], ES[1]],
    [RSA[0], ED[1], ES[1]],
    [RSA[0], NEXT[0], ED[1], ES[1]],
    [NEXT[0], RSA[1], ED[1], ES[1]],
]


class Person:
    """Somebody at a browser, in front of a proxy that knows both servers."""

    def __init__(self, user: Any, ports: dict[bool, int]) -> None:
        self.user, self.seen = user, Counter[str]()
        self.browser = Browser(Server("gunicorn", ports[False]))
        transport = self.browser.network.transport
        send = transport.handle_request

        def lead(request: httpx.Request) -> httpx.Response:
            port = ports[request.url.path in THERE]
            request.url = request.url.copy_with(port=port)
            try:
                return send(request)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                # A worker went away with the connection. Browsers try again, too.
                return send(request)

        transport.handle_request = lead  # type: ignore[method-assign]  # there is no proxy

    def hold(self, session: AuthSession) -> None:
        """Put the tokens of a session into the jar."""
        access = tokens.issue_access_token(session)[0].reveal()
        self.browser.set_cookie("__Host-access_token", access)
        refresh = session.refresh_token.reveal()
        self.browser.set_cookie("__Secure-refresh_token", refresh, path="/auth/")

    def visit(self, page: str) -> None:
        """Look at a page, and note whether it knows who is there."""
        answer = self.browser.get(page)
        bounced = " after a bounce" if answer.history else ""
        known = answer.status_code == 200 and self.is_known(page, answer)
        self.seen[f"answered{bounced}" if known else f"REFUSED by {page}"] += 1

    def is_known(self, page: str, answer: httpx.Response) -> bool:
        """Tell whether an answer is to this person."""
        if page == "/whoami/":
            return answer.text == self.user.get_username()
        return str(self.user.pk) in (answer.json().get("sub"), answer.json().get("pk"))

    def ask_until(self, stop: threading.Event) -> None:
        """Go from page to page, without a pause."""
        while not stop.is_set():
            for page in PAGES:
                self.visit(page)


@contextmanager
def people_asking(people: Sequence[Person]) -> Iterator[None]:
    """Let all of them ask while the block runs."""
    stop = threading.Event()
    threads = [threading.Thread(target=person.ask_until, args=(stop,)) for person in people]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def servers(keys_file: Path) -> Iterator[tuple[Server, dict[bool, int]]]:
    """Run both; give the first, and the port of each by whether it is the resource server."""
    size = f"--workers={WORKERS}"
    own = {"DJANGO_SETTINGS_MODULE": "benchmarks.issuer", KEYS_FILE: str(keys_file)} | HASTE
    with gunicorn(size, "--graceful-timeout=60", **own) as issuer:
        there = {
            "DJANGO_SETTINGS_MODULE": "tests.resource.standalone",
            "RESOURCE_JWKS_URL": f"http://127.0.0.1:{issuer.port}/auth/jwks.json",
        }
        with gunicorn(size, application="tests.resource.wsgi", **there) as resource:
            yield issuer, {False: issuer.port, True: resource.port}


def deploy(keys: Sequence[str], keys_file: Path, master: int) -> None:
    """Give the site other keys: here, and in new workers of the server that runs."""
    settings.TOKENAUTH_SIGNING_KEYS = keys
    keys_file.write_text(json.dumps(keys))
    if master:
        os.kill(master, signal.SIGHUP)


def sleeper(ports: dict[bool, int]) -> Person:
    """Return somebody who closed their browser eight hours ago, under the keys of today."""
    person = Person(UserFactory(), ports)
    with time_machine.travel(timezone.now() - NIGHT, tick=True):
        person.hold(AuthSession.objects.start(None, person.user))
    return person


def run(keys_file: Path) -> list[Person]:
    """Go through all steps; return everybody."""
    deploy(STEPS[0], keys_file, 0)
    with servers(keys_file) as (issuer, ports):
        people = [Person(UserFactory(), ports) for _ in range(PEOPLE)]
        for person in people:
            person.hold(AuthSession.objects.start(None, person.user))
        sleepers = []
        with people_asking(people):
            for keys in [*STEPS[1:], STEPS[-1]]:
                sleepers.append(sleeper(ports))
                time.sleep(STEP)
                deploy(keys, keys_file, issuer.pid)
                time.sleep(1)
                for person in sleepers:
                    person.visit(PAGES[len(sleepers) % len(PAGES)])
        return [*people, *sleepers]


def main() -> None:
    """Run, and print what everybody saw."""
    connection.creation.create_test_db(verbosity=0)
    settings.TOKENAUTH_ISSUER, settings.TOKENAUTH_AUDIENCE = ISSUER, [AUDIENCE]
    settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME = float(HASTE["TOKENAUTH_ACCESS_TOKEN_LIFETIME"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            everybody = run(Path(folder, "keys.json"))
        ended = AuthSession.objects.exclude(revoked_at=None).count()
        rotations = sum(AuthSession.objects.values_list("rotation", flat=True))
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    seen: Counter[str] = sum((person.seen for person in everybody), Counter())
    report: dict[str, Any] = {
        "load": round(os.getloadavg()[0], 1),
        "steps": len(STEPS),
        "rotations": rotations,
        "sessions ended": ended,
        "asked": dict(sorted(seen.items())),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.exit(bool(ended or any("REFUSED" in what for what in seen)))


if __name__ == "__main__":
    main()
