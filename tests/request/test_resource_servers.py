"""The refresh URL, for resource servers on other hosts of the site."""

from datetime import timedelta
from urllib.parse import quote

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from tests.factories import PASSWORD
from tokenauth.models import AuthSession

API = "https://api.site.test"
VISIT = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
SCRIPT = {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "origin": API}
CORS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def resource_servers(settings):
    settings.TOKENAUTH_RESOURCE_SERVERS = [API, "http://localhost:8001"]


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def alice(user, clock):
    """A browser in which Alice signed in a while ago: her access token has expired."""
    client = Client()
    client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    clock.shift(timedelta(minutes=16))
    return client


def go(client, target, method="get", headers=VISIT):
    url = f"/auth/refresh/?next={quote(target)}"
    return getattr(client, method)(url, headers=headers, secure=True)


# The way back


@pytest.mark.parametrize("target", [f"{API}/", f"{API}/a/b?c=d&e=/", "http://localhost:8001/a"])
def test_a_person_is_refreshed_and_sent_back_to_a_resource_server(alice, target):
    """Both cookies are set on the way; the address stays clean."""
    answer = go(alice, target)
    assert (answer.status_code, answer["Location"]) == (307, target)
    assert {"__Host-access_token", "__Secure-refresh_token"} <= answer.cookies.keys()
    assert AuthSession.objects.get().rotation == 1
    assert not any(name in answer for name in CORS)


def test_who_cannot_be_refreshed_is_sent_back_with_a_marker(clock):
    """So that the resource server answers itself: no loop."""
    answer = go(Client(), f"{API}/a?b=c")
    assert (answer.status_code, answer.cookies) == (307, {})
    assert answer["Location"].startswith(f"{API}/a?b=c&_rt=")


@pytest.mark.parametrize(
    "target",
    [
        API,
        f"{API}?a=b",
        f"{API}#/",
        f"{API}:443/",
        f"{API}:8443/",
        f"{API}./",
        f"{API}@evil.test/",
        f"{API}\\@evil.test/",
        f"{API}.evil.test/",
        f"{API}\t.evil.test/",
        f"{API}/\n",
        f" {API}/",
        "https://user@api.site.test/",
        "https://user:pass@api.site.test/",
        "https:api.site.test/",
        "https:/api.site.test/",
        "//api.site.test/",
        "///api.site.test/",
        "http://api.site.test/",
        "HTTPS://api.site.test/",
        "https://API.site.test/",
        "https://app.site.test/",
        "https://evil.test/",
        "http://localhost/",
        "http://localhost:8002/",
        "http://localhost:80010/",
        "http://localhost:8001",
    ],
    ids=repr,
)
def test_next_is_an_exact_origin_of_the_list_or_nothing(alice, target):
    """Another port, a user, a last dot: all are other places, or may be to some browser."""
    answer = go(alice, target)
    assert (answer.status_code, answer.json()["code"]) == (400, "unsafe_next")
    assert "Location" not in answer
    assert AuthSession.objects.get().rotation == 0


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("post", VISIT),
        ("put", VISIT),
        ("head", VISIT),
        ("get", SCRIPT),
        ("get", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}),
        ("get", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
    ],
    ids=["post", "put", "head", "script", "own-script", "image"],
)
def test_nothing_but_a_person_is_sent_to_a_resource_server(alice, method, headers):
    """A body would go to another server, a script's redirect breaks at CORS."""
    answer = go(alice, f"{API}/", method, headers)
    assert answer.status_code == 400
    assert AuthSession.objects.get().rotation == 0


def test_without_a_list_next_leads_nowhere_else(alice, settings):
    """As ever."""
    del settings.TOKENAUTH_RESOURCE_SERVERS
    assert go(alice, f"{API}/").status_code == 400
    assert go(alice, "/a/").status_code == 307


# A script's refresh


def post(client, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/auth/refresh/", headers=SCRIPT | headers, secure=True)


def test_a_script_of_a_resource_server_refreshes(alice):
    """It may read the answer, which names it and nobody else; no cache keeps it."""
    answer = post(alice)
    assert answer.status_code == 200
    assert answer.json()["access_expires_in"] > 890
    assert [answer[name] for name in CORS] == [API, "true"]
    assert "Origin" in answer["Vary"]
    assert "no-store" in answer["Cache-Control"]
    assert AuthSession.objects.get().rotation == 1


def test_a_script_is_told_that_nobody_is_signed_in(clock):
    """An error that it can read."""
    answer = post(Client())
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert [answer[name] for name in CORS] == [API, "true"]


def test_a_script_of_another_origin_needs_the_pair(alice):
    """A lone refresh token may be planted; the site's own page may use it."""
    alice.cookies.pop("__Host-access_token")
    assert post(alice).status_code == 401
    own = {"sec-fetch-site": "same-origin"}
    assert alice.post("/auth/refresh/", headers=own, secure=True).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": f"{API}:443"},
        {"origin": f"{API}/"},
        {"origin": "https://API.site.test"},
        {"origin": "http://api.site.test"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": ""},
    ],
    ids=str,
)
def test_no_other_script_refreshes_or_reads(alice, headers):
    """Not by an origin that is nearly listed, nor by one that is, from another site."""
    answer = post(alice, **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert not any(name in answer for name in CORS)
    assert AuthSession.objects.get().rotation == 0


@pytest.mark.parametrize("url", ["/auth/api/login/", "/auth/api/logout/"])
def test_a_resource_server_signs_nobody_in_or_out(alice, url):
    """The list is for refreshing alone."""
    answer = alice.post(url, headers=SCRIPT, secure=True)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert "Access-Control-Allow-Origin" not in answer


def ask_first(origin=API, **headers):
    asked = {"origin": origin, "access-control-request-method": "POST"} | headers
    return Client().options("/auth/refresh/", headers=asked, secure=True)


def test_a_browser_that_asks_first_is_given_leave():
    """To POST, with the headers that scripts of a site send."""
    answer = ask_first()
    assert (answer.status_code, answer.content) == (204, b"")
    assert [answer[name] for name in CORS] == [API, "true"]
    assert answer["Access-Control-Allow-Methods"] == "POST"
    assert "X-CSRFToken" in answer["Access-Control-Allow-Headers"]
    assert answer["Access-Control-Max-Age"] == "600"


def test_nobody_else_is_given_leave(settings):
    """An OPTIONS that asks for none is a wrong method, as before."""
    assert ask_first("https://evil.test").status_code == 405
    assert Client().options("/auth/refresh/", headers=SCRIPT, secure=True).status_code == 405
    del settings.TOKENAUTH_RESOURCE_SERVERS
    assert ask_first().status_code == 405
    assert "Access-Control-Allow-Origin" not in ask_first()
