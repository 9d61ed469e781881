"""What nobody sends by accident: forged tokens, planted cookies, other sites, odd headers.

Whatever comes, the answer is a clean one: never a 500, nobody signed in, nothing of ours set or
deleted, and nobody locked out.
"""

import base64
import json
import re
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import pytest
import time_machine
from django.conf import settings
from django.test import Client, RequestFactory
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rest_framework_simplejwt import tokens as bearer
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken

from tests.factories import PASSWORD, SessionFactory, UserFactory
from tokenauth.models import AuthSession
from tokenauth.session import tokens

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
OURS = {ACCESS, REFRESH}

AUTH_URLS = [
    ("get", "/auth/login/"),
    ("post", "/auth/logout/"),
    ("post", "/auth/refresh/"),
    ("get", "/auth/refresh/"),
    ("get", "/auth/refresh/?next=/"),
    ("post", "/auth/refresh/?next=/"),
    ("get", "/auth/sessions/"),
    ("post", f"/auth/sessions/{UUID(int=7)}/revoke/"),
    ("post", "/auth/sessions/revoke-others/"),
    ("post", "/auth/api/logout/"),
    ("get", "/auth/api/session/"),
    ("get", "/auth/api/sessions/"),
    ("delete", f"/auth/api/sessions/{UUID(int=7)}/"),
    ("post", "/auth/api/sessions/revoke-others/"),
]
PAGES = [
    ("get", "/"),
    ("get", "/private/"),
    ("get", "/whoami/"),
    ("get", "/async/whoami/"),
    ("get", "/api/ping/"),
    ("post", "/api/ping/"),
    ("get", "/api/open/"),
    ("get", "/admin/"),
]

pytestmark = pytest.mark.django_db
LATIN_1 = st.text(st.characters(max_codepoint=255))
few = examples(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Jar:
    """The ``Cookie`` header of a browser, byte for byte; requests that bring it."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.header = "; ".join(f"{name}={value}" for name, value in pairs)

    def send(self, method, url, data=None, headers=None, **extra):
        headers = {"cookie": self.header} | (headers or {})
        return getattr(Client(), method)(url, data, headers=headers, **extra)

    def who(self):
        return self.send("get", "/whoami/").content.decode()


def pair(session):
    """Return both genuine tokens of a session."""
    access = tokens.issue_access_token(session)[0].reveal()
    return {ACCESS: access, REFRESH: tokens.remake_refresh_token(session).reveal()}


def untouched(response):
    return not OURS & set(response.cookies)


def sign_in(jar, user, method="form"):
    data = {"username": user.get_username(), "password": PASSWORD}
    if method == "form":
        return jar.send("post", "/auth/login/", data)
    return jar.send("post", "/auth/api/login/", data, content_type="application/json")


@pytest.fixture
def session(user):
    """A session of Alice's."""
    return SessionFactory(user=user)


@pytest.fixture
def mallory():
    """A session of somebody who wants Alice in it."""
    return SessionFactory(user=UserFactory(username="mallory"))


@pytest.fixture
def later():
    """A function that lets time pass: by default, until the access tokens have expired."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield lambda minutes=20: clock.shift(timedelta(minutes=minutes))


# Forged tokens


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header, payload):
    """Return a JWT of these two JSON texts, with a signature of the right length."""
    return f"{b64(header)}.{b64(payload)}.{b64(b'0' * 32)}"


def with_claims(key=None, **claims):
    """Return a maker of tokens under the site's own key (or another's) with these claims."""

    def make(token_type):
        good = {"token_type": token_type, "sid": SID, "rot": 0, "iat": 1, "exp": 9999999999}
        payload = {name: value for name, value in (good | claims).items() if value is not ...}
        return tokens.derive_backend(token_type, key or settings.SECRET_KEY).encode(payload)

    return make


HEADER = b'{"alg":"HS256","typ":"JWT"}'
SID = str(UUID(int=7))
CLAIMS = {"token_type": "tokenauth_access", "sid": SID, "rot": 0, "iat": 1, "exp": 9999999999}
PAYLOAD = json.dumps(CLAIMS).encode()
NOT_TOKENS = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "words": "garbage",
    "quotes": '"a.b.c"',
    "percent": "%00.%FF.%u0000",
    "latin-1": "\xe9.\xff.\x80",
    "NUL": "a\x00b.c.d",
    "7 kB": "a" * 7000,
    "7 kB in three parts": ".".join(["a" * 2333] * 3),
    "brackets": "[" * 3900,
    "header of brackets": forged(b"[" * 1400, b"{}"),
    "header of braces": forged(b'{"a":' * 280, b"{}"),
    "payload of brackets": forged(HEADER, b"[" * 1400),
    "header that is a list": forged(b"[]", PAYLOAD),
    "header that is null": forged(b"null", PAYLOAD),
    "header that is a number": forged(b"1e999", PAYLOAD),
    "header with lone surrogate": forged(b'{"alg":"\\ud800","typ":"JWT"}', PAYLOAD),
    "kid with lone surrogate": forged(b'{"alg":"HS256","kid":"\\ud800"}', PAYLOAD),
    "kid that is a list": forged(b'{"alg":"HS256","kid":[]}', PAYLOAD),
    "crit": forged(b'{"alg":"HS256","crit":["b64"],"b64":false}', PAYLOAD),
    "alg none": jwt.encode(CLAIMS, None, algorithm="none") + "AAAA",
    "alg none unsigned": jwt.encode(CLAIMS, None, algorithm="none"),
    "alg None": forged(b'{"alg":"None"}', PAYLOAD),
    "alg RS256": forged(b'{"alg":"RS256"}', PAYLOAD),
    "alg HS512": forged(b'{"alg":"HS512"}', PAYLOAD),
    "alg that is a list": forged(b'{"alg":[]}', PAYLOAD),
    "no alg": forged(b"{}", PAYLOAD),
    "guessed signature": forged(HEADER, PAYLOAD),
    "not UTF-8": forged(b"\xff\xfe", b"\xff\xfe"),
}
MAKERS = {
    "other key": with_claims(key="another site's"),
    "sid a list": with_claims(sid=[]),
    "sid null": with_claims(sid=None),
    "sid missing": with_claims(sid=...),
    "sid with NUL": with_claims(sid="\x00" * 36),
    "sid with surrogate": with_claims(sid="\ud800" * 32),
    "sid too long": with_claims(sid="f" * 999),
    "rot negative": with_claims(rot=-1),
    "rot too big": with_claims(rot=2**63),
    "rot a bool": with_claims(rot=True),
    "rot a float": with_claims(rot=0.0),
    "rot a string": with_claims(rot="0"),
    "rot missing": with_claims(rot=...),
    "exp a string": with_claims(exp="tomorrow"),
    "exp null": with_claims(exp=None),
    "exp missing": with_claims(exp=...),
    "exp infinite": with_claims(exp=float("inf")),
    "exp not a number": with_claims(exp=float("nan")),
    "iat a list": with_claims(iat=[1]),
    "iat missing": with_claims(iat=...),
    "nbf infinite": with_claims(nbf=float("inf")),
    "type a list": with_claims(token_type=[]),
    "type of simplejwt": with_claims(token_type="access"),
    "type missing": with_claims(token_type=...),
}


def check_that_nobody_gets_in(jar, user):
    """Visit everything with this jar; sign in and out with it in the end."""
    for method, url in [*AUTH_URLS, *PAGES]:
        response = jar.send(method, url)
        assert response.status_code < 500, url
        assert untouched(response), url
        assert "_auth_user_id" not in response.client.session
    assert jar.who() == "anonymous"
    assert jar.send("get", "/auth/api/session/").json()["user"] is None
    for method in ("form", "api"):
        response = sign_in(jar, user, method)
        assert {name for name in OURS if response.cookies[name].value} == OURS
    assert jar.send("post", "/auth/logout/").status_code == 302
    assert jar.send("post", "/auth/api/logout/").status_code == 204


PLACES = {"access": [ACCESS], "refresh": [REFRESH], "both": [ACCESS, REFRESH]}
everywhere = pytest.mark.parametrize("names", PLACES.values(), ids=PLACES)


@everywhere
@pytest.mark.parametrize("value", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_what_is_no_token_of_ours_signs_nobody_in(names, value, user):
    """In either cookie and in both."""
    check_that_nobody_gets_in(Jar(*[(name, value) for name in names]), user)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("name", "token_type"), [(ACCESS, "tokenauth_access"), (REFRESH, "tokenauth_refresh")]
)
def test_a_token_that_says_nonsense_signs_nobody_in(name, token_type, make, user):
    """Also where its signature is good: all but the first are under the site's own key."""
    check_that_nobody_gets_in(Jar((name, make(token_type))), user)


def stripped(token):
    return token.rpartition(".")[0] + "."


def tampered(token):
    """Change one character in the middle of the signature."""
    return token[:-20] + ("A" if token[-20] != "A" else "B") + token[-19:]


def as_none(token):
    return ".".join([b64(b'{"alg":"none"}'), token.split(".")[1], ""])


def promoted(token):
    """Say more rotations, under the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{b64(json.dumps(claims | {'rot': 5}).encode())}.{signature}"


SPOILED = {
    "half": lambda token: token[: len(token) // 2],
    "without its end": lambda token: token[:-8],
    "without its start": lambda token: token[1:],
    "without signature": stripped,
    "alg none": as_none,
    "tampered signature": tampered,
    "tampered claims": promoted,
    "doubled": lambda token: token * 2,
    "upper case": str.upper,
    "quoted": lambda token: f'"{token}"',
    "with a space": lambda token: token[:40] + " " + token[40:],
    "padded": lambda token: token + "=",
}


@everywhere
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_token_signs_nobody_in(names, spoil, session, user):
    """A genuine one, truncated or changed; its session is not touched."""
    genuine = pair(session)
    check_that_nobody_gets_in(Jar(*[(name, spoil(genuine[name])) for name in names]), user)
    check_unchanged(session)


def check_unchanged(session):
    before = {name: value for name, value in vars(session).items() if not name.startswith("_")}
    session.refresh_from_db()
    assert {name: vars(session)[name] for name in before} == before


@everywhere
def test_a_swapped_token_signs_nobody_in(names, session, user):
    """The access token is no refresh token, nor the other way round."""
    swapped = dict(zip(OURS, reversed([pair(session)[name] for name in OURS]), strict=True))
    check_that_nobody_gets_in(Jar(*[(name, swapped[name]) for name in names]), user)
    check_unchanged(session)


@everywhere
@pytest.mark.parametrize("kind", [bearer.AccessToken, bearer.RefreshToken])
def test_a_bearer_token_of_the_sites_own_signs_nobody_in(names, kind, user):
    """It is no cookie of ours, though simplejwt made it."""
    check_that_nobody_gets_in(Jar(*[(name, str(kind.for_user(user))) for name in names]), user)


@everywhere
def test_a_token_under_the_secret_key_itself_signs_nobody_in(names, session, user):
    """Each type has a key of its own."""
    claims = CLAIMS | {"sid": str(session.pk)}
    types = {ACCESS: "tokenauth_access", REFRESH: "tokenauth_refresh"}
    pairs = [
        (name, jwt.encode(claims | {"token_type": types[name]}, settings.SECRET_KEY))
        for name in names
    ]
    check_that_nobody_gets_in(Jar(*pairs), user)
    check_unchanged(session)


def authenticate_bearer(token):
    request = RequestFactory().get("/", headers={"authorization": f"Bearer {token}"})
    return JWTAuthentication().authenticate(request)


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
def test_our_tokens_are_no_bearer_tokens(name, session):
    """They would skip revocation and CSRF; the site's own bearer token does pass."""
    with pytest.raises(InvalidToken):
        authenticate_bearer(pair(session)[name])
    assert authenticate_bearer(bearer.AccessToken.for_user(session.user))[0] == session.user


@few
@given(pairs=st.lists(st.tuples(st.sampled_from([ACCESS, REFRESH]), LATIN_1), max_size=4))
def test_no_cookie_header_makes_an_error(pairs):
    """Any bytes at all."""
    jar = Jar(*pairs)
    for method, url in [*AUTH_URLS[:6], *PAGES[:3]]:
        response = jar.send(method, url)
        assert response.status_code < 500
        assert untouched(response)
    assert jar.who() == "anonymous"


@few
@given(data=st.data())
def test_no_change_to_a_token_gets_anybody_in(data, session):
    """Whichever character of the header, the claims or the signature is another."""
    name = data.draw(st.sampled_from([ACCESS, REFRESH]))
    token = pair(session)[name]
    place = data.draw(st.integers(0, len(token) - 2))  # the last holds two bits of padding
    letter = data.draw(st.sampled_from("AQgwz_-.5").filter(lambda letter: letter != token[place]))
    jar = Jar((name, token[:place] + letter + token[place + 1 :]))
    assert jar.who() == "anonymous"
    assert untouched(jar.send("post", "/auth/refresh/"))
    check_unchanged(session)


# Planted cookies


SPACES = {"NBSP": "\xa0", "NEL": "\x85", "FS": "\x1c", "EN SPACE": "\xe2\x80\x82", "VT": "\x0b"}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_unicode_space_before_a_name_is_no_way_around_the_prefix(space, mallory, session, user):
    """Browsers let a sibling host plant such a name, and Django takes it for the real one."""
    planted = [(space + name, token) for name, token in pair(mallory).items()]
    check_that_nobody_gets_in(Jar(*planted), user)
    own = [*pair(session).items()]
    for jar in (Jar(*planted, *own), Jar(*own, *planted)):
        assert jar.who() == user.get_username()


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("value", ["genuine", "garbage", "a.b.c", ""])
def test_a_planted_refresh_token_beside_the_real_one_is_ignored(
    first, value, session, mallory, later
):
    """Of two cookies of one name the access token's session decides."""
    twin = (REFRESH, pair(mallory)[REFRESH] if value == "genuine" else value)
    own = [*pair(session).items()]
    later()
    jar = Jar(twin, *own) if first else Jar(*own, twin)
    for url in ("/whoami/", "/auth/sessions/", "/auth/api/session/"):
        assert jar.send("get", url).status_code == 200
        assert jar.send("post", "/auth/refresh/").status_code == 200
        assert session.user.get_username() in jar.who()
    check_unchanged(mallory)
    session.refresh_from_db()
    assert (session.rotation, session.revoked_at) == (1, None)


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_access_tokens_of_two_sessions_are_nobodys(first, session, mallory, user):
    """One of them was planted, and nothing tells which."""
    pairs = [(ACCESS, pair(one)[ACCESS]) for one in (session, mallory)]
    check_that_nobody_gets_in(Jar(*(pairs if first else reversed(pairs))), user)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("get", "/auth/login/"),
        ("get", "/auth/sessions/"),
        ("get", "/auth/refresh/?next=/whoami/"),
        ("get", "/auth/api/session/"),
        ("get", "/auth/api/sessions/"),
        ("post", "/auth/sessions/revoke-others/"),
        ("post", "/auth/api/sessions/revoke-others/"),
    ],
)
def test_a_planted_lone_refresh_token_signs_nobody_in(method, url, mallory):
    """Under the include a sibling host can put one into the browser of a signed-out person."""
    before = mallory.rotation
    response = Jar((REFRESH, pair(mallory)[REFRESH])).send(method, url)
    assert response.status_code < 500
    assert untouched(response)
    assert "mallory" not in response.content.decode()
    mallory.refresh_from_db()
    assert (mallory.rotation, mallory.revoked_at) == (before, None)


@pytest.mark.parametrize("page", ["/whoami/", "/private/", "/auth/sessions/"])
def test_a_planted_lone_refresh_token_signs_nobody_in_on_a_page_of_the_sites_own(page, mallory):
    """No browser would send the cookie that we set there; a client without paths may."""
    jar = Jar((REFRESH, pair(mallory)[REFRESH]))
    response = jar.send("get", page, headers={"sec-fetch-site": "none"})
    assert "mallory" not in response.content.decode()
    assert untouched(response)
    assert jar.who() == "mallory"


# Other hosts


ELSEWHERE = {
    "two slashes": "//evil.test",
    "three slashes": "///evil.test",
    "backslash": "/\\evil.test",
    "backslashes": "\\\\evil.test",
    "https": "https://evil.test/",
    "https without slashes": "https:evil.test",
    "own host as user": "https://testserver@evil.test/",
    "own host as subdomain": "https://testserver.evil.test/",
    "javascript": "javascript:alert(1)",
    "data": "data:text/html,hello",
    "tab": "/\t/evil.test",
    "newline": "/\n/evil.test",
    "carriage return": "\r//evil.test",
    "tab first": "\t//evil.test",
    "space first": " //evil.test",
    "NUL first": "\x00//evil.test",
    "NUL": "/\x00/evil.test",
    "encoded": "%2F%2Fevil.test",
    "at": "@evil.test",
    "ideographic full stop": "//evil\u3002test",
    "bad port": "//evil.test:port",
    "bad IPv6": "//[evil.test",
    "response splitting": "/\r\nSet-Cookie: a=b",
    "5,000 characters": "//evil.test/" + "a" * 5000,
}
elsewhere = pytest.mark.parametrize("target", ELSEWHERE.values(), ids=ELSEWHERE)


def check_stays_here(response):
    """A browser takes backslashes for slashes, and drops tabs, newlines and leading spaces."""
    assert response.status_code < 500
    assert "a" not in response.cookies
    location = response.headers.get("Location", "/")
    location = re.sub(r"[\t\r\n]", "", location).replace("\\", "/").lstrip("\x00 ")
    parts = urlsplit(location)
    assert parts.netloc in ("", "testserver")
    assert parts.scheme in ("", "http", "https")
    assert not location.startswith("//")


@elsewhere
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "stranger"])
@pytest.mark.parametrize("in_body", [True, False], ids=["body", "query"])
def test_signing_in_and_out_sends_nobody_elsewhere(target, signed_in, in_body, session, user):
    """However ``next`` is written, and wherever it stands."""
    jar = Jar(*(pair(session).items() if signed_in else ()))
    data = {"username": user.get_username(), "password": PASSWORD}
    for url in ("/auth/login/", "/auth/logout/"):
        extra = {"query_params": {"next": target}} if not in_body else {}
        check_stays_here(jar.send("get", url, **extra))
        response = jar.send("post", url, data | ({"next": target} if in_body else {}), **extra)
        assert response.status_code == 302
        check_stays_here(response)


@elsewhere
@pytest.mark.parametrize("method", ["get", "post", "put"])
def test_refreshing_sends_nobody_elsewhere(target, method, session):
    """What is not a path on this host is refused, and nothing is spent."""
    response = Jar(*pair(session).items()).send(
        method, "/auth/refresh/", query_params={"next": target}
    )
    assert response.status_code == 400
    assert untouched(response)
    check_unchanged(session)


@pytest.mark.parametrize(
    "target", ["/", "/@evil.test", "/a?next=https://evil.test", "/%2F%2Fevil.test", "/é/?q=%00"]
)
def test_a_path_of_this_host_is_no_other_host(target, session):
    """Odd ones too lead back to where they came from."""
    response = Jar(*pair(session).items()).send(
        "get", "/auth/refresh/", query_params={"next": target}
    )
    assert response.status_code == 307
    check_stays_here(response)


@few
@given(target=st.text(alphabet="/\\:@.%?#\t\n\r\x00 ae2F\u3002\u2028", max_size=12))
def test_no_target_leads_elsewhere(target):
    """In whatever order the dangerous characters come."""
    for url in ("/auth/refresh/", "/auth/login/"):
        check_stays_here(Jar().send("post", url, query_params={"next": target}))


# Odd headers


AGENTS = {
    "NUL": "Mozilla\x00/5.0",
    "10 kB": "a" * 10_000,
    "NUL in 10 kB": "\x00a" * 5000,
    "latin-1": "\xff\xfe\x80",
    "markup": "<script>alert(1)</script>",
    "empty": "",
    "emoji": "\U0001f984" * 600,
}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_a_session_survives_any_user_agent(agent, user, later):
    """Signing in, refreshing and looking at the devices."""
    headers = {"user-agent": agent}
    client = Client(headers=headers)
    client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    later()
    response = client.get("/auth/sessions/")
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()
    session = AuthSession.objects.get()
    assert session.rotation == 1
    assert "\x00" not in session.user_agent
    assert len(session.user_agent) <= 512


FORWARDED = {
    "garbage": ("garbage", None),
    "empty": ("", None),
    "comma": (",", None),
    "NUL": ("1.2.3.4\x00", None),
    "10 kB": ("1" * 10_000, None),
    "out of range": ("1.2.3.999", None),
    "unknown": ("unknown", None),
    "script": ("<script>", None),
    "spoofed": ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
    "spoofed with garbage": ("<script>, 1.2.3.4", "1.2.3.4"),
    "port": ("1.2.3.4:5678", "1.2.3.4"),
    "IPv6": ("2001:db8::1", "2001:db8::1"),
    "IPv6 with port": ("[2001:db8::1]:5678", "2001:db8::1"),
    "IPv6 with zone": ("fe80::1%eth0", "fe80::1"),
    "mapped": ("::ffff:1.2.3.4", "1.2.3.4"),
}


@pytest.mark.parametrize(("header", "address"), FORWARDED.values(), ids=FORWARDED)
def test_an_invalid_forwarded_address_is_none(header, address, user, settings):
    """Only what our own proxy wrote counts, and only if it is an address."""
    settings.TOKENAUTH_TRUSTED_PROXY_COUNT = 1
    response = Client(headers={"x-forwarded-for": header}).post(
        "/auth/login/", {"username": user.get_username(), "password": PASSWORD}
    )
    assert response.status_code == 302
    assert AuthSession.objects.get().ip_address == address


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, "6.6.6.6", "127.0.0.1"),
        (2, "6.6.6.6", None),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.1", "1.2.3.4"),
    ],
)
def test_a_forwarded_address_is_believed_as_far_as_proxies_are_trusted(
    proxies, header, address, user, settings
):
    """By default not at all."""
    settings.TOKENAUTH_TRUSTED_PROXY_COUNT = proxies
    sign_in(Jar(), user)
    Client(headers={"x-forwarded-for": header}).post(
        "/auth/login/", {"username": user.get_username(), "password": PASSWORD}
    )
    assert AuthSession.objects.latest("created_at").ip_address == address


BODIES = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"1e999",
    "string": b'"name"',
    "cut off": b'{"username": "alice", "passw',
    "not UTF-8": b'{"username": "\xff\xfe"}',
    "brackets": b"[" * 100_000,
    "braces": b'{"username":' * 50_000,
    "username an object": b'{"username": {"a": 1}, "password": "x"}',
    "username with surrogate": b'{"username": "\\ud800", "password": "x"}',
    "password with surrogate": b'{"username": "alice", "password": "\\ud800"}',
    "username with NUL": b'{"username": "\\u0000", "password": "x"}',
    "password with NUL": b'{"username": "alice", "password": "\\u0000"}',
    "password of 1 MB": b'{"username": "alice", "password": "%s"}' % (b"x" * 1_000_000),
    "remember a list": b'{"username": "alice", "password": "x", "remember": [[]]}',
}


@pytest.mark.users
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_login_is_refused(body, user):
    """In the API's form, and nobody is signed in."""
    response = Jar().send("post", "/auth/api/login/", body, content_type="application/json")
    assert response.status_code == 400
    assert set(response.json()) == {"detail", "code"}
    assert untouched(response)


# Other sites


FOREIGN = {
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site": {"sec-fetch-site": "same-site"},
    "sibling": {"sec-fetch-site": "same-site", "origin": "http://sibling.testserver"},
    "Origin": {"origin": "https://evil.test"},
    "Origin null": {"origin": "null"},
    "Origin empty": {"origin": ""},
    "Origin of garbage": {"origin": "http://[evil"},
    "Origin of this host over another scheme": {"origin": "https://testserver"},
    "navigation": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
}
OWN = {
    "no browser": {},
    "same-origin": {"sec-fetch-site": "same-origin", "origin": "http://testserver"},
    "typed": {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    "Origin alone": {"origin": "http://testserver"},
}
OPEN = ["/auth/api/login/", "/auth/api/logout/", "/auth/refresh/", "/auth/refresh/?next=/"]
foreign = pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
own = pytest.mark.parametrize("headers", OWN.values(), ids=OWN)


def post_as(headers, url, jar, user):
    data = {"username": user.get_username(), "password": PASSWORD}
    return jar.send("post", url, data, headers, content_type="application/json")


@foreign
@pytest.mark.parametrize("url", OPEN)
@pytest.mark.parametrize("cookies", [True, False], ids=["cookies", "no cookies"])
def test_what_another_site_sends_is_refused(headers, url, cookies, session, later):
    """It signs nobody in, out or on and deletes nothing, with cookies or without.

    A navigation may lead through the refresh URL, which does nothing while a token is good.
    """
    jar = Jar(*(pair(session).items() if cookies else ()))
    later(minutes=2)
    response = post_as(headers, url, jar, session.user)
    navigates = "sec-fetch-mode" in headers or "sec-fetch-site" not in headers
    if "next" in url and navigates:
        assert response.status_code == 307
    else:
        assert (response.status_code, response.json()["code"]) == (403, "cross_site")
    assert untouched(response)
    check_unchanged(session)
    assert AuthSession.objects.count() == 1


@own
@pytest.mark.parametrize("url", OPEN)
def test_what_this_site_sends_passes(headers, url, session, later):
    """So does what no browser sends."""
    jar = Jar(*pair(session).items())
    later()
    response = post_as(headers, url, jar, session.user)
    assert response.status_code in (200, 204, 307)
    assert not untouched(response)


def test_a_trusted_origin_passes(session, settings):
    """One that the site has named, for browsers without fetch metadata."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.partner.test"]
    headers = {"origin": "https://app.partner.test"}
    jar = Jar(*pair(session).items())
    assert post_as(headers, "/auth/refresh/", jar, session.user).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("get", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 307),
        ("get", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ("get", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ("post", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ("get", {"origin": "https://pay.test"}, 307),
        ("post", {"origin": "https://pay.test"}, 307),
        ("post", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 307),
    ],
)
def test_a_link_from_another_site_may_lead_through_the_refresh_url(
    method, headers, status, session, later
):
    """All that a navigation can do is refresh; an image or a script is something else."""
    jar = Jar(*pair(session).items())
    later()
    response = jar.send(method, "/auth/refresh/?next=/private/", headers=headers)
    assert response.status_code == status
    session.refresh_from_db()
    assert session.rotation == (status == 307)


@pytest.mark.parametrize("url", ["/auth/login/", "/auth/logout/", "/auth/sessions/revoke-others/"])
@foreign
def test_a_form_of_another_site_does_nothing(url, headers, session):
    """The pages want Django's CSRF token."""
    cookie = Jar(*pair(session).items()).header
    client = Client(enforce_csrf_checks=True, headers=headers | {"cookie": cookie})
    data = {"username": session.user.get_username(), "password": PASSWORD}
    response = client.post(url, data)
    assert response.status_code == 403
    assert untouched(response)
    check_unchanged(session)


@foreign
@pytest.mark.parametrize(("method", "url"), [*AUTH_URLS, ("post", "/django-logout/")])
def test_a_form_of_another_site_that_brings_no_cookies_deletes_none(method, url, headers, session):
    """Lax cookies stay at home, but a browser honours the answer's deletions."""
    assert untouched(Jar().send(method, url, headers=headers))
    check_unchanged(session)
