"""What a proxy is told: who is there, or where to send them."""

from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone

from tests.factories import PASSWORD, SessionFactory
from tokenauth.api.gateway import in_header
from tokenauth.models import AuthSession
from tokenauth.session.tokens import remake_refresh_token

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
GATEWAY = "/auth/gateway/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def alice(user, clock):
    """A browser in which Alice has signed in; a proxy passes on what it sends."""
    client = Client()
    client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    return client


def ask(client, asked="/app/?a=1&b=2", **options):
    """Ask as a proxy does, which does not send the refresh cookie to where it does not belong."""
    cookie = "; ".join(f"{m.key}={m.value}" for m in client.cookies.values() if m["path"] == "/")
    return Client().get(GATEWAY, headers={"cookie": cookie, "x-original-uri": asked} | options)


@pytest.mark.users
def test_a_proxy_is_told_who_is_there(alice, user, django_assert_num_queries):
    """In a header, at the price of one query, for nobody to keep."""
    with django_assert_num_queries(1):
        answer = ask(alice)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["X-Auth-User"] == str(user.pk)
    assert "no-store" in answer["Cache-Control"]
    assert "Content-Type" not in answer.headers
    assert not answer.cookies


def test_an_async_server_tells_the_same(alice, user):
    """Whose session it is, and nobody's without the cookie."""
    client = AsyncClient()
    get = async_to_sync(client.get)  # whose database connection is the test's own
    assert_nobody(get(GATEWAY))
    client.cookies.load({ACCESS: alice.cookies[ACCESS].value})
    answer = get(GATEWAY)
    assert (answer.status_code, answer["X-Auth-User"]) == (204, str(user.pk))


def assert_nobody(answer):
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Cookie realm="api"'
    assert "no-store" in answer["Cache-Control"]
    assert "X-Auth-User" not in answer.headers


def be_revoked(user):
    AuthSession.objects.revoke("admin")


def be_disabled(user):
    user.is_active = False
    user.save()


def get_a_new_password(user):
    user.set_password("another")
    user.save()


@pytest.mark.parametrize("end", [be_revoked, be_disabled, get_a_new_password])
def test_whoever_may_not_be_here_is_nobody(alice, user, end):
    """At once, as on every page."""
    end(user)
    assert_nobody(ask(alice))


@pytest.mark.parametrize("path", ["/auth/", "/"])
def test_a_lone_refresh_token_is_nobody(settings, user, path):
    """A sibling domain could have planted it, or the proxy's page."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = path
    token = remake_refresh_token(SessionFactory(user=user)).reveal()
    name = REFRESH if path == "/auth/" else "__Host-refresh_token"
    assert_nobody(Client().get(GATEWAY, headers={"cookie": f"{name}={token}"}))
    assert AuthSession.objects.get().rotation == 0


def test_a_django_session_is_nobody(client, user):
    """It is adopted by Django's pages."""
    client.force_login(user)
    assert_nobody(client.get(GATEWAY))


def test_the_clients_own_header_is_no_answer(alice):
    """It is the proxy's to strip; we do not repeat it."""
    assert_nobody(Client().get(GATEWAY, headers={"x-auth-user": "1"}))


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "head", "options"])
def test_a_proxy_asks_by_get_alone(alice, method):
    """Whatever it was sent."""
    assert getattr(alice, method)(GATEWAY).status_code == 405


@pytest.mark.parametrize(
    ("pk", "header"),
    [
        (7, "7"),
        ("a@b.test", "a@b.test"),
        ("é", "%C3%A9"),
        ("1\r\nX-Auth-User: 2", "1%0D%0AX-Auth-User:%202"),
        ("50%", "50%25"),
    ],
)
def test_no_primary_key_breaks_the_header(pk, header):
    """What is not plain is quoted."""
    assert in_header(SimpleNamespace(pk=pk).pk) == header


def test_where_the_refresh_cookie_comes_along_it_is_refreshed(settings, clock, user):
    """With both cookies in the answer, for the proxy to pass on."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    client = Client()
    client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    clock.shift(timedelta(minutes=16))
    answer = ask(client)
    assert answer.status_code == 204
    assert {ACCESS, "__Host-refresh_token"} <= set(answer.cookies)
    assert AuthSession.objects.get().rotation == 1


# Where to


def sent_to(answer):
    """The path and the query of the address where the proxy may send the person."""
    url = urlsplit(answer["X-Auth-Redirect"])
    return url.path, {name: values[0] for name, values in parse_qs(url.query).items()}


def test_who_is_to_refresh_is_sent_to_do_so(alice, clock):
    """And back to the very address, once."""
    clock.shift(timedelta(minutes=16))
    path, query = sent_to(ask(alice))
    assert (path, query["next"]) == ("/auth/refresh/", "/app/?a=1&b=2")
    back = alice.get(ask(alice)["X-Auth-Redirect"])
    assert (back.status_code, back["Location"]) == (307, "/app/?a=1&b=2")
    assert ask(alice).status_code == 204


def test_who_has_tried_is_sent_to_the_login_page(alice, clock):
    """No loop: the way back says so, and the address is clean again after it."""
    clock.shift(timedelta(minutes=16))
    tried = f"/app/?a=1&_rt={int(timezone.now().timestamp())}&b=2"
    assert sent_to(ask(alice, tried)) == ("/auth/login/", {"next": "/app/?a=1&b=2"})
    clock.shift(timedelta(minutes=1))
    assert sent_to(ask(alice, tried))[0] == "/auth/refresh/"


@pytest.mark.parametrize("header", ["x-original-uri", "x-forwarded-uri"])
def test_nobody_is_sent_to_the_login_page(header):
    """By what nginx is told to send, or by what Traefik and Caddy do."""
    answer = Client().get(GATEWAY, headers={header: "/app/"})
    assert sent_to(answer) == ("/auth/login/", {"next": "/app/"})


@pytest.mark.parametrize(
    "asked", ["", "app/", "//evil.test/", "https://evil.test/", "/" + "a" * 3000]
)
def test_what_is_no_address_here_leads_nowhere(asked):
    """The proxy shows the 401."""
    answer = Client().get(GATEWAY, headers={"x-original-uri": asked})
    assert_nobody(answer)
    assert "X-Auth-Redirect" not in answer.headers
