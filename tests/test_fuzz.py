"""Whatever anybody sends: no error, nobody signed in, nothing written, none of our cookies set.

Hypothesis makes the cookies, ``next``, the ``Cookie`` header's bytes, bodies and user agents; for
the cookies it starts from genuine tokens, which it changes, cuts, splices and swaps.
"""

import json
import logging
import os
import re
from urllib.parse import quote, quote_from_bytes

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.factories import PASSWORD, SessionFactory, UserFactory
from tests.processes import an_hour_ago, expired_access_token
from tests.prove import tally
from tests.test_hostile import ACCESS, AUTH_URLS, OURS, REFRESH
from tokenauth.models import AuthSession
from tokenauth.session import tokens

EXAMPLES = int(os.environ.get("TOKENAUTH_FUZZ_EXAMPLES", "500"))
REQUESTS = st.sampled_from(
    [
        *AUTH_URLS,
        ("post", "/auth/login/"),
        ("post", "/auth/api/login/"),
        ("get", "/whoami/"),
        ("post", "/api/ping/"),
    ]
)
pytestmark = pytest.mark.django_db


def fuzz(share, **strategies):
    """Try this share (in percent) of all examples."""

    def decorate(test):
        profile = settings(
            max_examples=max(1, EXAMPLES * share // 100),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        return profile(given(**strategies)(test))

    return decorate


# What is genuine


@pytest.fixture(autouse=True)
def patience(caplog, settings):
    """Let ten thousand attempts through to where they might do harm, and don't log them all."""
    caplog.set_level(logging.CRITICAL)
    settings.TOKENAUTH_LOGIN_RATES = {"address": "999999/s", "account": "999999/s"}


@pytest.fixture
def genuine(db):
    """Every kind of token, of two people: fresh, expired, and of a session that was ended."""
    world = {ACCESS: [], REFRESH: []}
    for name in ("alice", "mallory"):
        with an_hour_ago():
            session = SessionFactory(user=UserFactory(username=name))
        ended = SessionFactory(user=session.user)
        for owner in (session, ended):
            world[ACCESS] += [
                tokens.issue_access_token(owner)[0].reveal(),
                expired_access_token(owner),
            ]
            world[REFRESH].append(tokens.remake_refresh_token(owner).reveal())
        AuthSession.objects.filter(pk=ended.pk).revoke("admin")
    return world


def dump():
    """Return all rows of sessions and of people."""
    models = (AuthSession, get_user_model())
    return [list(model.objects.order_by("pk").values()) for model in models]


#: What takes a browser elsewhere: a scheme, or slashes of either kind and then a host.
ELSEWHERE = re.compile(r"[\0- ]*([a-z][a-z0-9+.-]*:|[/\\]{2,}[^/\\?#])", re.IGNORECASE)


def assert_stays_here(response):
    """Read the redirect as browsers do."""
    location = response.get("Location", "")
    assert not set("\t\r\n") & set(location)
    assert not ELSEWHERE.match(location)


@pytest.fixture
def send(genuine):
    """A function that sends what was made up, and checks what must hold."""
    before = dump()

    def send_and_check(method, *args, cookies="", **extra):
        # The last word belongs to WSGI: a str of bytes.
        extra["HTTP_COOKIE"] = cookies if isinstance(cookies, str) else cookies.decode("latin-1")
        response = getattr(Client(), method)(*args, **extra)
        tally("examples")
        assert response.status_code < 500
        assert not OURS & set(response.cookies)
        assert_stays_here(response)
        assert not response.wsgi_request.user.is_authenticated
        assert dump() == before
        return response

    return send_and_check


# Tokens


ANY_LETTER = st.characters(max_codepoint=255) | st.sampled_from("AQgwz_-.5")
LATIN_1 = st.text(st.characters(max_codepoint=255), max_size=300)
BASE64 = st.text("ABCXYZabcxyz019-_=.+/", max_size=200)
PLACE = st.integers(0, 10_000)


@st.composite
def spoiled(draw, genuine):
    """Return something that looks more or less like a token, and is none."""
    every = [token for kind in genuine.values() for token in kind]
    token = draw(st.sampled_from(every))
    place = draw(PLACE) % len(token)
    parts = [draw(st.sampled_from(every)).split(".") for _ in range(3)]
    changed = {
        "flip": lambda: token[:place] + draw(ANY_LETTER) + token[place + 1 :],
        "insert": lambda: token[:place] + draw(LATIN_1 | BASE64) + token[place:],
        "delete": lambda: token[:place] + token[place + draw(st.integers(1, 40)) :],
        "head": lambda: token[:place],
        "tail": lambda: token[place:],
        "splice": lambda: ".".join(parts[index][index] for index in range(3)),
        "made up": lambda: draw(LATIN_1 | BASE64),
        "swap": lambda: token,  # genuine, in the wrong cookie: in the right one it is let go
    }
    return changed[draw(st.sampled_from([*changed]))]()


@st.composite
def jars(draw, genuine):
    """Return a ``Cookie`` header of tokens none of which is what its name says."""
    pairs = []
    for name in draw(st.lists(st.sampled_from([ACCESS, REFRESH]), min_size=1, max_size=4)):
        value = draw(spoiled(genuine))
        assume(value.partition(";")[0].strip(" \t") not in genuine[name])
        pairs.append((name, value))
    pairs += draw(st.lists(st.tuples(LATIN_1, LATIN_1), max_size=2))
    return "; ".join(f"{name}={value}" for name, value in draw(st.permutations(pairs)))


@fuzz(40, data=st.data(), request=REQUESTS)
def test_no_spoiled_token_gets_anybody_in(send, genuine, data, request):
    """Changed, cut, spliced of two, in the other's cookie, several at once."""
    send(*request, cookies=data.draw(jars(genuine)))


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
def test_the_last_bits_of_a_token_count_too(send, genuine, name):
    """Base64 of 32 bytes ends in a letter of which two bits are padding: they must be zero."""
    for token in genuine[name]:
        twin = token[:-1] + chr(ord(token[-1]) + 1)  # its neighbour in the alphabet
        for request in [("get", "/whoami/"), ("post", "/auth/refresh/")]:
            send(*request, cookies=f"{name}={twin}")


@fuzz(
    15,
    request=REQUESTS,
    pieces=st.lists(st.binary(max_size=60) | st.sampled_from([*map(str.encode, OURS), b"=", b";"])),
)
def test_no_bytes_for_a_cookie_header_get_anybody_in(send, request, pieces):
    """Also not with our cookies' names strewn in."""
    send(*request, cookies=b"".join(pieces))


NAMES = LATIN_1.filter(lambda name: not any(ours in name for ours in OURS))


@fuzz(10, before=st.lists(NAMES, max_size=3), after=st.lists(NAMES, max_size=3))
def test_no_cookies_around_it_put_a_genuine_token_out(genuine, before, after):
    """Whatever other cookies there are, who is signed in stays so."""
    own = f"{ACCESS}={genuine[ACCESS][0]}"
    rows = dump()
    response = Client().get("/whoami/", HTTP_COOKIE="; ".join([*before, own, *after]))
    tally("examples")
    assert response.content == b"alice"
    assert not OURS & set(response.cookies)
    assert dump() == rows


# Everything else


HOSTS = ["//evil.test", "/\\evil.test", "https:evil.test", "/%09/evil.test", "///evil.test", "/\t/"]
TARGETS = st.text(max_size=80) | st.lists(
    st.sampled_from(
        [*HOSTS, "/", "\\", "@", ":", "?", "#", "\r\n", "\0", "%2F", "..", "é", "\ud800"]
    )
).map("".join)


@fuzz(
    10,
    target=TARGETS.map(lambda text: quote(text.encode("utf-8", "surrogatepass")))
    | TARGETS.map(lambda text: text.encode("utf-8", "replace").decode("latin-1"))
    | st.binary(max_size=60).map(quote_from_bytes),
    url=st.sampled_from(["refresh", "login", "logout"]),
    method=st.sampled_from(["get", "post", "put", "head"]),
)
def test_no_next_leads_elsewhere(send, target, url, method):
    """Nor does it make an error, quoted or not."""
    send(method, f"/auth/{url}/", QUERY_STRING=f"next={target}")


@pytest.mark.parametrize("target", ["//", "/\\", "//?a", "//%23a"])
def test_two_slashes_are_no_path_on_this_host(genuine, target):
    """Browsers find a host missing there, and show an error instead of a page."""
    cookies = f"{ACCESS}={genuine[ACCESS][0]}"
    response = Client().get(f"/auth/refresh/?next={target}", HTTP_COOKIE=cookies)
    assert response.status_code == 400


@fuzz(5, target=TARGETS)
def test_no_next_leads_a_person_elsewhere(genuine, target):
    """Nor when somebody who is signed in comes to the refresh URL with it."""
    cookies = f"{ACCESS}={genuine[ACCESS][0]}"
    query = f"next={quote(target.encode('utf-8', 'surrogatepass'))}"
    response = Client().get("/auth/refresh/", QUERY_STRING=query, HTTP_COOKIE=cookies)
    tally("examples")
    assert response.status_code in {307, 400}
    assert_stays_here(response)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
LOGINS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("username", "password", "remember", "next"), JSON)
)
BODIES = (
    (JSON | LOGINS).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=200)
    | st.integers(1, 100_000).map(lambda depth: b"[" * depth)
)
TYPES = [
    "application/json",
    "application/json; charset=utf-7",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "text/plain",
    "",
]


@fuzz(
    15,
    body=BODIES,
    content_type=st.sampled_from(TYPES[:1] * 4 + TYPES),
    url=st.sampled_from(["api/login", "api/logout", "refresh", "login", "logout"]),
)
def test_no_body_gets_anybody_in(send, body, content_type, url):
    """JSON of any form, and what is none, as any type of content."""
    send("generic", "POST", f"/auth/{url}/", body, content_type=content_type)


@fuzz(5, agent=st.lists(LATIN_1 | st.sampled_from(["\0", "x" * 600]), max_size=4).map("".join))
def test_any_user_agent_may_sign_in(genuine, agent):
    """The session starts, and the list of devices shows it."""
    client = Client(HTTP_USER_AGENT=agent, HTTP_X_FORWARDED_FOR=agent)
    login = {"username": "alice", "password": PASSWORD}
    assert client.post("/auth/api/login/", login).status_code == 200
    session = AuthSession.objects.latest("created_at")
    cookies = f"{ACCESS}={tokens.issue_access_token(session)[0].reveal()}"
    for url in ("/auth/sessions/", "/auth/api/sessions/", "/auth/refresh/?next=/"):
        assert client.get(url, HTTP_COOKIE=cookies).status_code in {200, 307}
    tally("examples")
    session.delete()
