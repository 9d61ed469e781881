"""The FastAPI app of the demo, and of the page about FastAPI: who is there, by a token alone."""

import asyncio
import importlib
import sys
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.conftest import leave_out
from tests.resource import JWKS, KEYS, OTHER_SID, SID, claims, new_keys, token
from tests.resource.issuer import issuer, publish, reply
from tokenauth.secret import Secret
from tokenauth.session.revocations import stream
from tokenauth.session.revocations.stream import Entry
from tokenauth.session.revocations.telling import Teller

COOKIE = "__Host-access_token"
AUDIENCE = "https://app.site.test/api/weather/"
PACKAGE = "demo_project.servers.weather"
PATH = "/api/weather/"
OURS = {"Sec-Fetch-Site": "same-origin"}
HOUR = 3600


@pytest.fixture
async def weather(redis, monkeypatch):
    """The app, who issues tokens for it, and the Redis between the two."""
    try:
        importlib.import_module("fastapi")
    except ImportError:
        leave_out("FastAPI is not installed: pip install --group servers")
    with issuer() as server:
        monkeypatch.setenv("TOKENAUTH_ISSUER", server.origin)
        monkeypatch.setenv("TOKENAUTH_AUDIENCE", AUDIENCE)
        monkeypatch.setenv("TOKENAUTH_REVOCATIONS", redis.url)
        monkeypatch.delenv("TOKENAUTH_ACCESS_COOKIE", raising=False)
        app = importlib.import_module(f"{PACKAGE}.app")
        remember(redis, server.origin)
        transport = httpx.ASGITransport(app.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="https://app.site.test"
        ) as client:
            yield SimpleNamespace(client=client, server=server, redis=redis)
        await app.revocations.close()
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]


def remember(redis, origin):
    """Say that the stream is complete, as the authorization server does."""
    with redis.client as client:
        client.set(stream.epoch_of(origin), "1")


def tell(weather, sid, before=None):
    teller = Teller(Secret(weather.redis.url), weather.server.origin)
    teller.tell([Entry(sid, before, int(time.time()) + HOUR)])
    teller.client.close()


def made(weather, keys=KEYS, **more):
    """A token for the app."""
    names = {"iss": weather.server.origin, "aud": [AUDIENCE], "username": "alice"}
    return token(keys, **names | more)


def expired(weather, **more):
    now = int(time.time())
    return made(weather, iat=now - 2 * HOUR, exp=now - HOUR, **more)


async def ask(weather, cookie=None, *, bearer=None, method="GET", path=PATH, headers=(), **body):
    headers = dict(headers or OURS)
    if cookie is not None:
        headers["Cookie"] = f"{COOKIE}={cookie}"
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    return await weather.client.request(method, path, headers=headers, **body)


def refuses(answer):
    """Whether an answer says that the token does not count (RFC 6750 §3.1)."""
    return answer.status_code == 401 and answer.headers["WWW-Authenticate"].endswith(
        'error="invalid_token"'
    )


async def test_the_app_knows_who_is_there(weather):
    """By a cookie or a header, whatever the method, and it has asked nobody but for the keys."""
    for method in ("GET", "PUT", "POST"):
        answer = await ask(weather, made(weather), method=method)
        assert answer.json()["person"] == "alice, person 7"
        assert answer.headers["Vary"] == "Authorization, Cookie"
    app = await ask(weather, bearer=made(weather, client_id="app"), method="PUT")
    assert app.json()["person"] == "alice, person 7"
    assert [path for path, _ in weather.server.asked] == ["/auth/jwks.json"]


async def test_nobody_is_told_how_to_come(weather):
    """Without a token there is none to call bad."""
    answer = await ask(weather)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def by_secret(weather):
    """A token that is signed with what everybody knows: the public key."""
    header = {"alg": "HS256", "typ": "at+jwt", "kid": JWKS["keys"][0]["kid"]}
    names = {"iss": weather.server.origin, "aud": [AUDIENCE]}
    return jwt.encode(header, claims(**names), OctKey.import_key(str(JWKS)))


def of_another_type(weather):
    header = {"alg": "ES256", "typ": "JWT", "kid": JWKS["keys"][0]["kid"]}
    names = {"iss": weather.server.origin, "aud": [AUDIENCE]}
    return jwt.encode(header, claims(**names), KEYS._first.reveal())


FORGED = {
    "another issuer": lambda weather: made(weather, iss="https://other.test"),
    "another audience": lambda weather: made(weather, aud=["https://other.test"]),
    "a part of the audience": lambda weather: made(weather, aud=AUDIENCE + "more"),
    "another key": lambda weather: made(weather, new_keys()),
    "another algorithm": by_secret,
    "another type": of_another_type,
    "no session": lambda weather: made(weather, sid=None),
    "bound to a key": lambda weather: made(weather, cnf={"jkt": "x"}),
    "no JWT": lambda weather: "a.b.c",
    "nothing": lambda weather: "",
}


@pytest.mark.parametrize("kind", FORGED)
async def test_a_token_that_is_not_for_it_is_refused(weather, kind):
    """Whichever way it comes; it is not worth a refresh."""
    raw = FORGED[kind](weather)
    assert refuses(await ask(weather, raw))
    assert refuses(await ask(weather, bearer=raw))


async def test_a_browsers_token_counts_in_its_cookie_and_an_apps_in_its_header(weather):
    """And the header decides alone."""
    browsers, apps = made(weather), made(weather, client_id="app")
    assert refuses(await ask(weather, bearer=browsers))
    assert refuses(await ask(weather, apps))
    assert refuses(await ask(weather, browsers, bearer="a.b.c"))
    assert (await ask(weather, "a.b.c", bearer=apps)).status_code == 200


@pytest.mark.parametrize("site", ["same-site", "cross-site", "none"])
async def test_no_other_site_writes_in_somebodys_name(weather, site):
    """A browser sends the cookie whoever asks; reading is safe, and a header is sent on purpose."""
    headers = {"Sec-Fetch-Site": site}
    raw, apps = made(weather), made(weather, client_id="app")
    assert (await ask(weather, raw, method="POST", headers=headers)).status_code == 403
    assert (await ask(weather, raw, headers=headers)).status_code == 200
    assert (await ask(weather, bearer=apps, method="POST", headers=headers)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_an_expired_token_is_refreshed_on_the_way(weather, method):
    """With the address to come back to, and which token it was."""
    raw = expired(weather)
    body = {"content": bytes(1_000_000)} if method != "GET" else {}
    answer = await ask(weather, raw, method=method, path=f"{PATH}?a=b%26c&_rt=1&d", **body)
    place = urlsplit(answer.headers["Location"])
    query = parse_qs(place.query)
    assert (answer.status_code, place.path, place.netloc) == (307, "/auth/refresh/", "")
    assert query["next"] == [f"{PATH}?a=b%26c&d"]
    assert abs(int(query["_exp"][0]) - time.time() + HOUR) < HOUR / 2
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_body_is_read_before_its_sender_is_sent_away(weather):
    """Or a server may reset the connection of an upload."""
    read = []

    async def body():
        for _ in range(3):
            read.append(1)
            yield b"abc"

    headers = OURS | {"Content-Length": "9"}
    answer = await ask(weather, expired(weather), method="POST", headers=headers, content=body())
    assert (answer.status_code, len(read)) == (307, 3)


async def chunks():
    yield b"a"


@pytest.mark.parametrize(
    "call",
    [
        {"path": f"{PATH}?_rt={{now}}"},
        {"path": f"{PATH}?_rt=1~{{now}}"},
        {"path": f"{PATH}?_rn=3-1-1.signature"},
        {"path": f"{PATH}?long={'a' * 3000}"},
        {"method": "POST", "content": chunks()},
        {"method": "POST", "content": bytes(5_300_000)},
    ],
    ids=["just tried", "tried by another server", "noted", "long", "streamed", "big"],
)
async def test_what_would_go_round_in_vain_is_not_sent(weather, call):
    """A script that gets this 401 refreshes by itself."""
    path = call.get("path", PATH).replace("{now}", str(int(time.time())))
    assert refuses(await ask(weather, expired(weather), **call | {"path": path}))


async def test_an_app_refreshes_by_itself(weather):
    """Its token comes in a header, and no redirect could renew that."""
    assert refuses(await ask(weather, bearer=expired(weather, client_id="app")))


async def test_an_ended_session_is_refused(weather):
    """All of it, or its tokens up to a moment; a browser may have a newer one."""
    now = int(time.time())
    raw, other = made(weather), made(weather, sid=OTHER_SID)
    assert [(await ask(weather, each)).status_code for each in (raw, other)] == [200, 200]
    tell(weather, SID)
    tell(weather, OTHER_SID, before=now - 1)
    await forget_soon()
    assert [(await ask(weather, each)).status_code for each in (raw, other)] == [307, 200]
    assert refuses(await ask(weather, bearer=made(weather, client_id="app")))
    old = made(weather, sid=OTHER_SID, iat=now - 5)
    assert (await ask(weather, old)).status_code == 307


async def forget_soon():
    """Let what was read be older than it may be."""
    await asyncio.sleep(sys.modules[f"{PACKAGE}.revocations"].INTERVAL)


async def test_while_nobody_knows_whose_session_has_ended_nobody_gets_in(weather):
    """Redis is away, or has lost its memory and the authorization server has yet to tell again."""
    raw = made(weather)
    assert (await ask(weather, raw)).status_code == 200
    weather.redis.stop()
    await forget_soon()
    away = await ask(weather, raw)
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")
    weather.redis.start()
    await forget_soon()
    assert (await ask(weather, raw)).status_code == 503
    tell(weather, SID)
    remember(weather.redis, weather.server.origin)
    await forget_soon()
    assert (await ask(weather, raw)).status_code == 307


async def test_what_was_told_is_known_after_redis_found_an_older_copy(weather):
    """Another epoch: it is read from the beginning."""
    raw = made(weather)
    with weather.redis.client as client:
        client.xadd(stream.stream_of(weather.server.origin), {"told": "all"})
    assert (await ask(weather, raw)).status_code == 200
    with weather.redis.client as client:
        client.delete(stream.stream_of(weather.server.origin))
        entry = Entry(SID, None, int(time.time()) + HOUR)
        client.xadd(stream.stream_of(weather.server.origin), entry.fields, id="1-1")
        client.set(stream.epoch_of(weather.server.origin), "2")
    await forget_soon()
    assert (await ask(weather, raw)).status_code == 307


@pytest.mark.parametrize(
    "answer",
    [reply(500), reply(200, b"["), publish({"keys": []})],
    ids=["broken", "no JSON", "no keys"],
)
async def test_known_keys_count_while_the_authorization_server_is_away(
    weather, monkeypatch, answer
):
    """Before there are any nobody can say who is there."""
    tokens = sys.modules[f"{PACKAGE}.tokens"]
    weather.server.answer = answer
    assert (await ask(weather, made(weather))).status_code == 503
    monkeypatch.setattr(tokens, "INTERVAL", 0)
    weather.server.answer = publish(JWKS)
    assert (await ask(weather, made(weather))).status_code == 200
    monkeypatch.setattr(tokens, "MAX_AGE", 0)
    weather.server.answer = answer
    assert (await ask(weather, made(weather))).status_code == 200


async def test_a_new_key_is_fetched_and_unknown_ones_cost_one_fetch(weather, monkeypatch):
    """Whoever names keys of their own makes nobody ask for them again and again."""
    assert (await ask(weather, made(weather))).status_code == 200
    for _ in range(5):
        assert refuses(await ask(weather, made(weather, new_keys())))
    assert len(weather.server.asked) == 1
    monkeypatch.setattr(sys.modules[f"{PACKAGE}.tokens"], "INTERVAL", 0)
    newer = new_keys()
    weather.server.answer = publish({"keys": JWKS["keys"] + newer.public.as_jwks()["keys"]})
    assert (await ask(weather, made(weather, newer))).status_code == 200


async def test_a_key_that_was_taken_away_counts_no_more(weather, monkeypatch):
    """From when the keys that are known are too old."""
    tokens = sys.modules[f"{PACKAGE}.tokens"]
    assert (await ask(weather, made(weather))).status_code == 200
    weather.server.answer = publish(new_keys().public.as_jwks())
    monkeypatch.setattr(tokens, "INTERVAL", 0)
    assert (await ask(weather, made(weather))).status_code == 200
    monkeypatch.setattr(tokens, "MAX_AGE", 0)
    assert refuses(await ask(weather, made(weather)))
