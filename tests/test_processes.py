"""Server processes that want the same session at the same instant.

One gunicorn has preforked them; twenty clients hold a copy of one jar. The requests wait at the
server but for their last byte, and then those bytes go out in one go.
"""

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPResponse
from http.cookies import SimpleCookie
from urllib.parse import urlencode
from weakref import WeakSet

import pytest
import time_machine
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from tests.factories import PASSWORD, SessionFactory, StaffFactory
from tests.processes import PATIENCE, ROUNDS, an_hour_ago, expired_access_token, gunicorn
from tests.prove import tally
from tests.wsgi import PROCESS
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session import tokens
from tokenauth.session.tokens import remake_refresh_token

IS_SQLITE = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
CLIENTS = 20
CSRF_TOKEN = "c" * 32
#: The clients' connections. A round that failed leaves some, for which the next test must not pay.
OPENED: WeakSet[socket.socket] = WeakSet()
#: All ways to a refresh: a script, the end of a bounce, in place.
DOORS = [
    ("POST", "/auth/refresh/"),
    ("GET", "/auth/refresh/?next=/whoami/"),
    ("GET", "/whoami/"),
]


@pytest.fixture
def server(transactional_db):
    """Four processes, two on SQLite (in WAL mode: readers and the writer go on side by side)."""
    if IS_SQLITE:
        journal("WAL")
    workers = 2 if IS_SQLITE else 4
    with gunicorn("--preload", f"--workers={workers}", "--threads=8") as running:
        yield running
        for left in tuple(OPENED):
            left.close()
    if IS_SQLITE:
        journal("DELETE")


def journal(mode):
    with connection.cursor() as cursor:
        assert cursor.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode.lower(),)
    connection.close()


class Client:
    """One of those who hold the same cookies."""

    def __init__(self, server, jar):
        self.server = server
        self.jar = dict(jar)

    def prepare(self, method, url, data=None):
        """Connect, and send a request but for its last byte."""
        pairs = [*self.jar.items(), ("csrftoken", CSRF_TOKEN)]
        body = urlencode({"csrfmiddlewaretoken": CSRF_TOKEN} | (data or {}))
        head = [
            f"{method} {url} HTTP/1.1",
            "Host: app.site.test",
            "Connection: close",
            "X-Forwarded-Proto: https",
            "Sec-Fetch-Site: same-origin",
            "Origin: https://app.site.test",
            "Referer: https://app.site.test/",
            "Cookie: " + "; ".join(f"{name}={value}" for name, value in pairs),
        ]
        if method == "POST":
            head += ["Content-Type: application/x-www-form-urlencoded"]
            head += [f"Content-Length: {len(body)}", "", body]
        else:
            head += ["", ""]
        self.method = method
        self.message = "\r\n".join(head).encode()
        self.socket = socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE)
        OPENED.add(self.socket)
        self.socket.sendall(self.message[:-1])

    def go(self):
        """Send the last byte."""
        self.socket.sendall(self.message[-1:])

    def receive(self):
        """Take the answer, and its cookies into the jar."""
        with self.socket, HTTPResponse(self.socket, method=self.method) as answer:
            answer.begin()
            self.text = answer.read().decode()
            self.status = answer.status
            self.process = answer.headers[PROCESS]
            self.location = answer.headers["Location"]
            for header in answer.headers.get_all("Set-Cookie", []):
                for name, morsel in SimpleCookie(header).items():
                    self.jar.pop(name, None)
                    if morsel.value:
                        self.jar[name] = morsel.value
        return self


def at_once(clients):
    """Let the prepared requests of all clients through; return the clients with their answers."""
    for client in clients:
        client.go()
    return [client.receive() for client in clients]


class Race:
    """One round: twenty clients of one session whose access token has expired, and a rival."""

    def __init__(self, server, user, number):
        self.server, self.user, self.number = server, user, number
        user.refresh_from_db()
        with an_hour_ago():
            self.session = SessionFactory(user=user)
        self.jar = {
            cookies.access_name(): expired_access_token(self.session),
            cookies.refresh_name(): remake_refresh_token(self.session).reveal(),
        }
        self.clients = [Client(server, self.jar) for _ in range(CLIENTS)]
        for index, client in enumerate(self.clients):
            client.prepare(*DOORS[(index + number) % len(DOORS)])

    def run(self, *rivals):
        """Let everybody through, a rival somewhere among them; check what always holds."""
        runners = [*self.clients]
        for rival in rivals:
            runners.insert(self.number * 7 % (CLIENTS + 1), rival)
        at_once(runners)
        self.check_that_no_server_failed(runners)
        self.session.refresh_from_db()
        assert self.session.rotation <= 1
        handed_out = {client.jar.get(cookies.refresh_name()) for client in self.clients}
        if self.session.rotation:
            # Nobody gets anything but the one successor.
            assert handed_out <= {None, *self.tokens}
        else:
            assert handed_out <= {None, self.tokens[0]}
        tally("rounds")
        tally("rotations", self.session.rotation)

    def check_that_no_server_failed(self, clients):
        assert [client.text for client in clients if client.status >= 500] == []

    @property
    def tokens(self):
        """Every refresh token that the session has had."""
        return [self.jar[cookies.refresh_name()], remake_refresh_token(self.session).reveal()]

    def visit(self, method, url):
        """Let every client make a request with what it holds by now; return the clients."""
        for client in self.clients:
            client.prepare(method, url)
        at_once(self.clients)
        self.check_that_no_server_failed(self.clients)
        return self.clients

    def check_that_all_are_signed_in(self):
        """Each client is, on the same rotation, with the same refresh token."""
        for client in self.visit("GET", "/whoami/"):
            assert client.text == self.user.get_username()
        self.session.refresh_from_db()
        assert self.session.active
        assert self.session.rotation == 1
        assert {client.jar[cookies.refresh_name()] for client in self.clients} == {self.tokens[1]}

    def check_that_nobody_is_signed_in(self, reason):
        """No client is, whatever it was given."""
        assert self.session.revoke_reason == reason
        assert {client.text for client in self.visit("GET", "/whoami/")} == {"anonymous"}
        assert {client.status for client in self.visit("POST", "/auth/refresh/")} == {401}
        after = AuthSession.objects.get(pk=self.session.pk)
        assert (after.rotation, after.revoke_reason) == (self.session.rotation, reason)


@pytest.fixture
def races(server, user):
    """Round after round."""
    return (Race(server, user, number) for number in range(ROUNDS))


def test_twenty_clients_with_one_token_cost_one_rotation(races):
    """All of them get the same successor, from several processes, and are signed in."""
    processes = set()
    for race in races:
        race.run()
        processes |= {client.process for client in race.clients}
        assert {client.status for client in race.clients} <= {200, 307}
        race.check_that_all_are_signed_in()
    assert len(processes) > 1


@pytest.mark.parametrize("url", ["/auth/logout/", "/auth/api/logout/"], ids=["page", "api"])
def test_a_logout_beside_refreshes_is_final(races, server, url):
    """Whoever was faster: the session is over, and none of its tokens is good for anything."""
    for race in races:
        rival = Client(server, race.jar)
        rival.prepare("POST", url)
        race.run(rival)
        assert rival.status in {204, 302}
        race.check_that_nobody_is_signed_in("logout")


def test_a_revoke_by_staff_beside_refreshes_is_final(races, server):
    """Ended in the admin, it stays ended."""
    staff = SessionFactory(user=StaffFactory(username="root"))
    jar = {cookies.access_name(): tokens.issue_access_token(staff)[0].reveal()}
    for race in races:
        rival = Client(server, jar)
        action = {"action": "revoke", "_selected_action": race.session.pk}
        rival.prepare("POST", "/admin/tokenauth/authsession/", action)
        race.run(rival)
        assert rival.status == 302
        race.check_that_nobody_is_signed_in("admin")
    staff.refresh_from_db()
    assert staff.active


def test_a_new_password_beside_refreshes_keeps_the_changer(races, server, user):
    """Every tab of the browser that changed it is signed in; the other device is out."""
    passwords = {"old_password": PASSWORD, "new_password1": PASSWORD, "new_password2": PASSWORD}
    for race in races:
        phone = SessionFactory(user=user)
        # In every other round the changer has nothing to refresh, so somebody else does meanwhile.
        fresh = {cookies.access_name(): tokens.issue_access_token(race.session)[0].reveal()}
        rival = Client(server, race.jar | (fresh if race.number % 2 else {}))
        rival.prepare("POST", "/password/", passwords)
        race.run(rival)
        assert rival.location == "/private/"
        for tab in race.clients:
            tab.jar = dict(rival.jar)  # they are tabs of one browser
        assert {tab.text for tab in race.visit("GET", "/whoami/")} == {user.get_username()}
        race.session.refresh_from_db()
        assert race.session.revoke_reason == "replaced"
        elsewhere = Client(
            server, {cookies.access_name(): tokens.issue_access_token(phone)[0].reveal()}
        )
        for client in (rival, elsewhere):
            client.prepare("GET", "/whoami/")
        names = [client.text for client in at_once([rival, elsewhere])]
        assert names == [user.get_username(), "anonymous"]
        phone.refresh_from_db()
        assert phone.revoked_at is None
        AuthSession.objects.all().delete()  # or after a hundred rounds there is one too many


@pytest.mark.parametrize("ended", [False, True], ids=["live", "ended"])
def test_clearing_beside_refreshes_takes_only_what_is_over(races, settings, capsys, ended):
    """Sessions in use live through ``tokenauth_clear``; of one that is over nothing is left."""
    settings.TOKENAUTH_HISTORY_LIFETIME = 0
    for race in races:
        with time_machine.travel(timezone.now() - timedelta(days=400)):
            SessionFactory.create_batch(3, user=race.user)
        if ended:
            AuthSession.objects.filter(pk=race.session.pk).revoke("admin")
        with ThreadPoolExecutor(1) as background:
            clearing = background.submit(clear)
            race.clients = at_once(race.clients)
            clearing.result()
        race.check_that_no_server_failed(race.clients)
        race.session = AuthSession.objects.filter(user=race.user).order_by("created_at").last()
        tally("rounds")
        if ended:
            assert race.session is None
            assert {client.text for client in race.visit("GET", "/whoami/")} == {"anonymous"}
        else:
            assert AuthSession.objects.count() == 1
            race.check_that_all_are_signed_in()
            race.session.delete()


def clear():
    try:
        call_command("tokenauth_clear", batch_size=2)
    finally:
        connections.close_all()
