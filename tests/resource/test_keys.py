"""The keys of an authorization server, fetched over HTTP from a real one."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.resource import AUDIENCE, ISSUER, JWKS, KEYS, new_keys, token
from tests.resource.issuer import (
    PATH,
    Clock,
    drip,
    hang,
    issuer,
    nobody,
    publish,
    reply,
    until,
)
from tokenauth.exceptions import InvalidToken, UnknownKey
from tokenauth.resource.credentials import Unavailable, verified
from tokenauth.resource.keys import fetching, published
from tokenauth.resource.keys.fetching import FetchError, fetch
from tokenauth.resource.keys.published import PublishedKeys
from tokenauth.resource.keys.verifying import Verifier
from tokenauth.secret import Secret

HUGE = b'{"keys": [' + b" " * fetching.MAX_BYTES + b"]}"


@pytest.fixture
def server():
    with issuer() as running:
        yield running


@pytest.fixture
def clock(monkeypatch):
    """What the keys' ages are counted by."""
    clock = Clock()
    monkeypatch.setattr(published, "time", clock)
    return clock


@pytest.fixture
def keys(server, clock):
    """What a resource server has of this issuer: nothing yet."""
    read = partial(Verifier.from_jwks, issuer=ISSUER, audience=AUDIENCE)
    return PublishedKeys(server.origin + PATH, read)


def subject(keys, raw):
    """Whose token it is, as a request finds out; an error tells why nobody's."""
    flow = verified(keys, Secret(raw))
    try:
        step = next(flow)
        while True:
            step = flow.send(step.block())
    except StopIteration as done:
        return done.value["sub"]


def fetched(keys):
    """Wait for what goes on in the background."""
    return until(lambda: keys._flight is None or not keys._flight.thread.is_alive())


# What comes back


def test_a_key_set_is_fetched_once(server, keys):
    """By the first request that needs it, at its address; the next need nothing."""
    assert [subject(keys, token(sub="7")), subject(keys, token(sub="8"))] == ["7", "8"]
    assert [path for path, _ in server.asked] == [PATH]


def redirects(handler):
    """Lead to the keys by way of another path of the same origin."""
    if handler.path == PATH:
        handler.send(302, Location="/keys.json")
    else:
        publish(JWKS)(handler)


def test_a_redirect_within_the_origin_is_followed(server, keys):
    """A site may have moved its include."""
    server.answer = redirects
    assert subject(keys, token()) == "7"
    assert [path for path, _ in server.asked] == [PATH, "/keys.json"]


BAD = {
    "status": (reply(500, b'{"keys": []}'), "status 500"),
    "not-found": (reply(404), "status 404"),
    "not-modified-unasked": (reply(304), "status 304"),
    "html": (reply(200, b"<!doctype html><h1>Sign in</h1>"), "something else than JSON"),
    "empty": (reply(200), "something else than JSON"),
    "not-utf-8": (reply(200, b'"\xff"'), "something else than JSON"),
    "deep": (reply(200, b"[" * 60_000), "something else than JSON"),
    "huge": (reply(200, HUGE), "more than 65,536 bytes"),
    "file": (reply(302, Location="file:///etc/passwd"), "status 302"),
    "data": (reply(302, Location="data:application/json,{}"), "status 302"),
    "other-port": (reply(302, Location="http://127.0.0.1:1/keys"), "to another origin"),
    "other-host": (reply(307, Location="http://localhost/keys"), "to another origin"),
    "other-scheme": (reply(301, Location="https://127.0.0.1/keys"), "to another origin"),
    "elsewhere": (reply(308, Location="//evil.test/keys"), "to another origin"),
    "round-and-round": (reply(302, Location=PATH), "status 302"),
    "no-http": (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n"), "cannot be reached"),
    "cut-off": (lambda handler: None, "cannot be reached"),
}


@pytest.mark.parametrize(("answer", "flaw"), BAD.values(), ids=BAD)
def test_what_is_no_key_set_is_refused_with_a_reason(server, answer, flaw):
    """Whatever an authorization server, or what stands in its place, may say."""
    server.answer = answer
    with pytest.raises(FetchError, match=flaw):
        fetch(server.origin + PATH)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,{}"])
def test_nothing_but_http_is_opened(url):
    """A file would be read, and its text perhaps logged."""
    with pytest.raises(FetchError, match="cannot be reached: unknown url type"):
        fetch(url)


def test_an_answer_in_drops_is_not_waited_for(server, monkeypatch):
    """Each drop comes in time for a socket's time-out, which begins anew with it."""
    monkeypatch.setattr(fetching, "TIMEOUT", 0.5)
    server.answer = drip
    with pytest.raises(FetchError, match="takes longer than"):
        fetch(server.origin + PATH)


def test_a_server_that_is_not_there_is_told_as_such():
    """Connection refused."""
    with nobody() as origin, pytest.raises(FetchError, match="cannot be reached"):
        fetch(origin + PATH)


WRONG = {
    "null": None,
    "list": [JWKS],
    "no-keys": {"keys": []},
    "keys-of-a-wrong-type": {"keys": "all"},
    "symmetric": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]},
    "key-of-a-wrong-type": {"keys": [{"kty": "EC", "crv": 5, "x": [], "y": None}]},
    "short-rsa": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]},
}


@pytest.mark.parametrize("document", WRONG.values(), ids=WRONG)
def test_a_wrong_set_is_logged_and_the_old_keys_stay(server, keys, clock, caplog, document):
    """JSON that is no key set, or has a key of a wrong type."""
    assert subject(keys, token()) == "7"
    server.answer = publish(document)
    clock.shift(published.FRESH + 1)
    assert subject(keys, token()) == "7"
    assert fetched(keys)
    assert subject(keys, token(sub="8")) == "8"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "The keys of 127.0.0.1 could not be fetched" in record.message
    assert "The old ones stay" in record.message


@pytest.mark.parametrize(("answer", "flaw"), BAD.values(), ids=BAD)
def test_a_bad_answer_is_logged_and_the_old_keys_stay(server, keys, clock, caplog, answer, flaw):
    """The same for what is no JSON at all."""
    assert subject(keys, token()) == "7"
    server.answer = answer
    clock.shift(published.FRESH + 1)
    assert subject(keys, token()) == "7"
    assert fetched(keys)
    assert subject(keys, token(sub="8")) == "8"
    assert flaw in caplog.text


def test_an_error_that_nobody_thought_of_costs_no_keys(keys, clock, caplog, monkeypatch):
    """It is logged with its traceback."""
    assert subject(keys, token()) == "7"
    monkeypatch.setattr(published, "fetch", lambda *args: 1 / 0)
    clock.shift(published.FRESH + 1)
    assert subject(keys, token()) == "7"
    assert fetched(keys)
    assert subject(keys, token()) == "7"
    assert "ZeroDivisionError" in caplog.text


# When it is fetched again


def test_the_same_set_is_not_sent_twice(server, keys, clock):
    """By ETag; what was verified stays so."""
    server.answer = publish(JWKS, ETag='"1"')
    assert subject(keys, token()) == "7"
    first = keys.verifier()
    for _ in range(2):
        clock.shift(published.FRESH + 1)
        keys.verifier()
        assert fetched(keys)
    assert keys.verifier() is first
    assert [headers.get("If-None-Match") for _, headers in server.asked] == [None, '"1"', '"1"']


@pytest.mark.parametrize(
    ("said", "fresh"),
    [
        (None, published.FRESH),
        ("public, max-age=600", 600),
        ("max-age=1", published.LEAST_FRESH),
        ("max-age=99999999", published.MOST_FRESH),
        ("no-store", published.FRESH),
        ("max-age=soon", published.FRESH),
    ],
)
def test_the_server_says_how_long_its_keys_are_fresh(server, keys, clock, said, fresh):
    """Within bounds: a slip of the pen asks it at each request, or never again."""
    server.answer = publish(JWKS, **({"Cache_Control": said} if said else {}))
    assert subject(keys, token()) == "7"
    clock.shift(fresh - 2)
    assert subject(keys, token()) == "7"
    assert fetched(keys)
    assert len(server.asked) == 1
    clock.shift(3)
    assert subject(keys, token()) == "7"
    assert until(lambda: len(server.asked) == 2)


def test_a_key_that_was_taken_away_counts_no_more(server, keys, clock):
    """Nor do the tokens that it has verified before."""
    known = token()
    assert subject(keys, known) == "7"
    server.answer = publish(new_keys().public.as_jwks())
    clock.shift(published.FRESH + 1)
    assert subject(keys, known) == "7"  # for the last time
    assert fetched(keys)
    with pytest.raises(UnknownKey):
        subject(keys, known)


def test_a_new_key_is_fetched_when_it_is_needed(server, keys, clock):
    """The first token that names it waits for the fetch, and counts."""
    assert subject(keys, token()) == "7"
    newer = new_keys()
    server.answer = publish({"keys": [*newer.public.as_jwks()["keys"], *JWKS["keys"]]})
    clock.shift(published.UNKNOWN_INTERVAL + 1)
    assert subject(keys, token(newer, sub="8")) == "8"
    assert subject(keys, token(sub="9")) == "9"
    assert len(server.asked) == 2


def test_all_who_bring_a_new_key_at_once_are_let_in_by_one_fetch(server, keys, clock):
    """A worker that was idle while the keys changed."""
    assert subject(keys, token()) == "7"
    newer = new_keys()

    def slowly(handler):
        time.sleep(0.2)
        publish(newer.public.as_jwks())(handler)

    server.answer = slowly
    clock.shift(published.FRESH + 1)
    raw = token(newer, sub="8")
    with ThreadPoolExecutor(20) as pool:
        assert [*pool.map(lambda _: subject(keys, raw), range(20))] == ["8"] * 20
    assert len(server.asked) == 2


def test_unknown_keys_by_the_thousand_cost_one_fetch_for_each_interval(server, keys, clock):
    """Anybody can name a key."""
    assert subject(keys, token()) == "7"
    strange = new_keys()
    for round_ in range(3):
        clock.shift(published.UNKNOWN_INTERVAL + 0.5)
        for number in range(300):
            with pytest.raises(UnknownKey):
                subject(keys, token(strange, jti=f"{number}"))
        assert len(server.asked) == 2 + round_


def test_garbage_asks_for_nothing(server, keys):
    """What is no JWT is refused before any key is looked for."""
    for raw in ("", "garbage", "a.b", "x" * 5000):
        with pytest.raises(InvalidToken):
            subject(keys, raw)
    assert server.asked == []


# A server that is away


def test_valid_tokens_count_while_the_server_is_away(server, keys, clock, caplog):
    """For an hour; it is asked ever more rarely, and then no more than once in a minute."""
    assert subject(keys, token()) == "7"
    server.answer = reply(503)
    clock.shift(published.FRESH + 1)
    asked = len(server.asked)
    for _ in range(3600 // 5):
        assert subject(keys, token()) == "7"
        assert fetched(keys)
        clock.shift(5)
    assert 60 <= len(server.asked) - asked <= 70
    assert "next try in 60 s" in caplog.text
    server.answer = publish(JWKS)
    clock.shift(published.LAST_PAUSE)
    subject(keys, token())
    assert fetched(keys)
    assert keys._failures == 0


def test_keys_count_for_a_day_while_no_others_can_be_had(server, keys, clock):
    """Whoever keeps a server from its issuer does not keep a stolen key alive for ever."""
    assert subject(keys, token()) == "7"
    server.answer = reply(503)
    clock.shift(published.STALE_LIMIT - 1)
    assert subject(keys, token()) == "7"
    assert fetched(keys)
    clock.shift(2)
    with pytest.raises(Unavailable):
        subject(keys, token())
    server.answer = publish(JWKS)
    clock.shift(published.LAST_PAUSE)
    assert subject(keys, token()) == "7"


def test_without_any_keys_nobody_can_say(server, keys, clock):
    """That is not the same as a bad token. The server is not asked by each request."""
    server.answer = reply(500)
    for _ in range(20):
        with pytest.raises(Unavailable):
            subject(keys, token())
    assert len(server.asked) == 1
    clock.shift(published.FIRST_PAUSE + 0.1)
    server.answer = publish(JWKS)
    assert subject(keys, token()) == "7"


@pytest.mark.parametrize("answer", [hang, drip], ids=["hang", "drip"])
def test_whoever_has_a_known_key_does_not_wait_for_a_server_that_hangs(server, keys, clock, answer):
    """Not even the request that finds the keys stale."""
    assert subject(keys, token()) == "7"
    server.answer = answer
    clock.shift(published.FRESH + 1)
    started = time.monotonic()
    assert [subject(keys, token(sub=f"{n}")) for n in range(50)] == [f"{n}" for n in range(50)]
    assert time.monotonic() - started < 1
    assert until(lambda: len(server.asked) == 2)


@pytest.mark.parametrize("answer", [hang, drip], ids=["hang", "drip"])
def test_all_wait_for_a_server_that_hangs_at_the_same_time_and_once(
    server, keys, answer, monkeypatch
):
    """Nobody for longer than the time-out, and nobody behind anybody else."""
    monkeypatch.setattr(published, "FIRST_PAUSE", 60)  # longer than this test on a busy machine
    server.answer = answer

    def ask(_):
        started = time.monotonic()
        with pytest.raises(Unavailable):
            subject(keys, token())
        return time.monotonic() - started

    with ThreadPoolExecutor(20) as pool:
        assert max(pool.map(ask, range(20))) < fetching.TIMEOUT + 1
        assert max(pool.map(ask, range(20))) < fetching.TIMEOUT + 1
    assert ask(None) < 1
    assert len(server.asked) == 1


def test_no_more_wait_than_there_are_seats(server, keys, monkeypatch):
    """Each may cost a thread. The others are told at once that nobody can say."""
    monkeypatch.setattr(published, "MAX_WAITING", 1)
    server.answer = hang
    flight = keys.flight()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        subject(keys, token())
    assert time.monotonic() - started < 1
    flight.wait()
    assert keys.flight() in (flight, None)


def test_a_fetch_that_never_ends_is_given_up(server, keys, clock, monkeypatch):
    """And what it brings in the end counts no more than what came since."""
    monkeypatch.setattr(fetching, "TIMEOUT", 30)  # of its socket
    late = new_keys()

    def at_last(handler):
        handler.server.leave.wait(30)
        publish(late.public.as_jwks())(handler)

    server.answer = at_last
    lost = keys.flight()
    assert until(lambda: server.asked)
    server.answer = publish(JWKS)
    clock.shift(published.GIVEN_UP + 1)
    assert subject(keys, token()) == "7"
    server.leave.set()
    assert until(lambda: not lost.thread.is_alive())
    assert subject(keys, token()) == "7"
    with pytest.raises(UnknownKey):
        subject(keys, token(late))


def test_no_key_and_no_address_is_logged(server, keys, clock, caplog):
    """An address may have a password in it, a set a private key."""
    key = JWKS["keys"][0] | {"d": "c2VjcmV0LWtleQ"}
    server.answer = publish({"keys": [key]})
    keys.url += "?password=hidden"
    with pytest.raises(Unavailable):
        subject(keys, token())
    assert "is private" in caplog.text
    assert "c2VjcmV0" not in caplog.text
    assert "hidden" not in caplog.text
    assert KEYS.public.kids[0] in caplog.text
