"""The real Sentry SDK, while the database fails: no event carries a token, a hash or a password.

Sentry sends the local variables of every frame on the way to an error.
"""

import json
import re
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sentry_sdk
import time_machine
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from tests.factories import PASSWORD
from tokenauth.models import AuthSession
from tokenauth.request.cookies import access_name, refresh_name
from tokenauth.secret import Secret
from tokenauth.session import tokens

pytestmark = [
    pytest.mark.django_db(transaction=True),  # what failed shall be as it is in production
    pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated"),
]

TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
#: More statements than any of these requests makes.
MOST = 30


class Memory(Transport):
    """Keeps what Sentry would send."""

    def __init__(self):
        super().__init__()
        self.told = []

    def capture_envelope(self, envelope):
        self.told += [item.payload.json for item in envelope.items if item.payload.json]


@pytest.fixture(params=[{}, {"send_default_pii": True}], ids=["by default", "send_default_pii"])
def sentry(request):
    """Sentry as a site sets it up, but for where it sends to.

    With these integrations alone: others patch threads and processes for the rest of the run.
    """
    transport = Memory()
    client = sentry_sdk.get_client()
    sentry_sdk.init(
        dsn="https://key@sentry.test/1",
        transport=transport,
        default_integrations=False,
        integrations=[DjangoIntegration(), LoggingIntegration()],
        auto_enabling_integrations=False,
        **request.param,
    )
    yield transport
    sentry_sdk.get_global_scope().set_client(client)


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@contextmanager
def failing_at(number):
    """Let the database fail at one statement, and say whether it came to that."""
    seen = []

    def fail(execute, sql, params, many, context):
        seen.append(sql)
        if len(seen) == number:
            raise OperationalError("the server closed the connection")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        yield lambda: len(seen) >= number


def sign_in(client, user):
    data = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    return client.post("/auth/login/", data, secure=True)


def api_login(client, user):
    data = {"username": user.get_username(), "password": PASSWORD}
    return client.post("/auth/api/login/", data, "application/json", secure=True)


DOORS = {
    "in place": lambda client, user: client.get("/whoami/", secure=True),
    "POST": lambda client, user: client.post("/auth/refresh/", secure=True),
    "bounce": lambda client, user: client.get("/auth/refresh/?next=/whoami/", secure=True),
    "devices": lambda client, user: client.get("/auth/sessions/", secure=True),
    "login page": sign_in,
    "api/login": api_login,
    "logout": lambda client, user: client.post("/auth/logout/", secure=True),
    "adoption": lambda client, user: client.get("/whoami/", secure=True),
}
#: Minutes since the sign-in: the access token is good, or expired; and whether it is a thief's.
VISITS = {"fresh": 2, "expired": 20}


def secrets_of(client, user):
    """Every token that the client has, its hash, and what the database holds of it."""
    held = [client.cookies[n].value for n in (access_name(), refresh_name()) if n in client.cookies]
    found = {value for value in held if value} | {str(tokens.hash_token(Secret(v))) for v in held}
    for row in AuthSession.objects.all():
        found.add(str(row.token_hash))
        found.add(tokens.remake_refresh_token(row).reveal())
    for kind in ("tokenauth_access", "tokenauth_refresh"):
        found.add(tokens.derive_backend(kind, settings.SECRET_KEY).signing_key)
    return found | {PASSWORD, settings.SECRET_KEY}


def without_what_sentry_is_told(event):
    """Leave out the request's own cookies, which ``send_default_pii`` is there to send."""
    request = {k: v for k, v in event.get("request", {}).items() if k not in ("cookies", "headers")}
    return json.dumps(event | {"request": request})


@pytest.mark.parametrize("minutes", VISITS.values(), ids=VISITS)
@pytest.mark.parametrize("door", DOORS)
def test_no_event_carries_a_secret_whichever_statement_fails(sentry, user, clock, door, minutes):
    """Refreshed in place, by a script, by a bounce; signing in and out; adopted."""
    client = Client(raise_request_exception=False)
    failed = 0
    for number in range(1, MOST):
        client.cookies.clear()
        (Client.force_login if door == "adoption" else sign_in)(client, user)
        clock.shift(timedelta(minutes=minutes))
        secrets = secrets_of(client, user)
        sentry.told.clear()
        with failing_at(number) as came_to_it:
            DOORS[door](client, user)
        told = [without_what_sentry_is_told(event) for event in sentry.told]
        secrets |= secrets_of(client, user)
        assert [secret for secret in secrets for text in told if secret in text] == []
        assert [found for text in told for found in TOKEN.findall(text)] == []
        failed += bool(told)
        if not came_to_it():
            break
    else:
        pytest.fail("there were more statements than that")
    assert failed or number == 1


def test_plain_text_that_a_site_rotates_by_is_told_by_no_frame_of_ours(sentry, user, clock):
    """``rotate()`` takes it, and wraps it at once."""
    session = AuthSession.objects.start(None, user)
    token = tokens.remake_refresh_token(session)
    try:
        with failing_at(1):
            rotate_out_of_sight(token)
    except OperationalError as error:
        sentry_sdk.capture_exception(error)
    (event,) = sentry.told
    assert token.reveal() not in json.dumps(event)
    assert session.token_hash not in json.dumps(event)


def rotate_out_of_sight(token):
    AuthSession.objects.rotate(token.reveal())
