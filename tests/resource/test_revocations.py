"""What a process of a resource server knows of sessions that have ended, and for how long."""

import asyncio
import logging
import threading
import time
from unittest import mock

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import NoPermissionError

from tests.processes import run_python
from tests.redis_server import give_rights
from tokenauth.resource import revocations
from tokenauth.resource.revocations import Revocations, configured
from tokenauth.secret import Secret
from tokenauth.session.revocations import stream
from tokenauth.session.revocations.stream import Entry

ISSUER = "https://example.com"
STREAM, EPOCH = stream.stream_of(ISSUER), stream.epoch_of(ISSUER)
LATER = 2**40


class Clock:
    """One that only moves when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuer(redis):
    """What the authorization server says, to a stream that is complete."""
    with redis.client as client:
        client.set(EPOCH, "one")

        def tell(sid, before=None, until=LATER):
            client.xadd(STREAM, Entry(sid, before, until).fields)

        tell.client = client
        yield tell


@pytest.fixture
def reader(redis, clock):
    return Revocations(redis.url, ISSUER, 0.25, clock)


@pytest.fixture
def commands(reader, monkeypatch):
    """How often the reader has asked Redis."""
    asked = []
    fetch = reader._fetch
    monkeypatch.setattr(reader, "_fetch", lambda since: asked.append(since) or fetch(since))
    return asked


def pages_of(monkeypatch, size):
    monkeypatch.setattr(stream, "PAGE", size)


# What is refused


def test_the_tokens_of_an_ended_session_are_refused_and_no_others(reader, issuer):
    """Whenever they were issued."""
    issuer("ended")
    assert reader.refuses("ended", 10**12)
    assert not reader.refuses("other", 0)


def test_tokens_from_after_the_moment_that_was_told_count(reader, issuer):
    """Who is reactivated and refreshes gets in again."""
    issuer("suspended", before=500)
    assert [reader.refuses("suspended", iat) for iat in (499, 500, 501)] == [True, True, False]


def test_what_was_told_last_counts(reader, issuer):
    """A person may be deactivated twice, and then deleted."""
    issuer("twice", before=500)
    issuer("twice", before=600)
    assert reader.refuses("twice", 600)
    issuer("twice")
    reader._due = 0
    assert reader.refuses("twice", 601)


def test_other_entries_in_the_stream_are_passed_over(reader, issuer):
    """The issuer writes some that are about no session."""
    issuer.client.xadd(STREAM, {"epoch": "one"})
    issuer("ended")
    assert reader.refuses("ended", 1)
    assert not reader.is_down


# When Redis is asked


def test_most_requests_ask_nobody(reader, issuer, clock, commands):
    """Only one in each interval does."""
    for _ in range(10):
        reader.refuses("ended", 1)
    issuer("ended")
    assert not reader.refuses("ended", 1)
    clock.now += 0.24
    assert not reader.refuses("ended", 1)
    assert len(commands) == 1
    clock.now += 0.02
    assert reader.refuses("ended", 1)
    assert len(commands) == 2


@pytest.mark.parametrize("count", [6, 7])
def test_everything_is_read_at_the_start_page_by_page(reader, issuer, commands, monkeypatch, count):
    """Also where the last page is full."""
    pages_of(monkeypatch, 3)
    for n in range(count):
        issuer(f"ended {n}")
    assert all(reader.refuses(f"ended {n}", 1) for n in range(count))
    assert len(commands) == 3


def test_others_go_on_with_what_is_known_while_one_reads(reader, issuer, clock, commands):
    """No request waits behind another one's."""
    issuer("known")
    assert reader.refuses("known", 1)
    clock.now += 0.3
    with reader._lock:
        assert reader.refuses("known", 1)
        assert asyncio.run(reader.arefuses("known", 1))
    assert len(commands) == 1


def test_after_a_pause_others_wait_for_the_one_that_reads(reader, issuer, clock, commands):
    """What they know is old, and will be good in a moment."""
    reader.refuses("ended", 1)
    issuer("ended")
    clock.now += 3600
    answers = []
    with reader._lock:
        other = threading.Thread(target=lambda: answers.append(reader.refuses("ended", 1)))
        other.start()
        time.sleep(0.05)
        assert answers == []
        reader._read()
    other.join()
    assert answers == [True]
    assert len(commands) == 2


async def test_async_requests_wait_without_blocking_the_others(reader, issuer, commands):
    """What is due is read in a thread; if nothing is, there is no thread."""
    issuer("ended")
    with mock.patch.object(asyncio, "to_thread", wraps=asyncio.to_thread) as to_thread:
        assert await reader.arefuses("ended", 1)
        assert not await reader.arefuses("other", 1)
    assert to_thread.call_count == len(commands) == 1


def test_what_is_over_is_forgotten(reader, issuer, clock):
    """Its last token has expired; memory is for those who have one."""
    issuer("over", until=int(time.time()) + 5)
    issuer("not over", until=int(time.time()) + 3600)
    assert reader.refuses("over", 1)
    clock.now += revocations.TIDY
    with time_machine.travel(time.time() + 60):
        reader.refuses("over", 1)
    assert list(reader._told) == ["not over"]
    assert reader.refuses("not over", 1)


# Redis is away


def test_it_is_down_until_it_has_read_once(reader, issuer):
    """It knows nothing before."""
    assert reader.is_down
    reader.refuses("any", 1)
    assert not reader.is_down


def test_after_four_intervals_without_a_good_read_it_is_down(reader, issuer, clock, redis):
    """What it knew is still refused; one good read, and it is up."""
    issuer("ended")
    reader.refuses("ended", 1)
    redis.stop()
    clock.now += 0.99
    assert reader.refuses("ended", 1)
    assert not reader.is_down
    clock.now += 0.02
    assert reader.refuses("ended", 1)
    assert reader.is_down
    redis.start()
    with redis.client as client:
        client.set(EPOCH, "two")
    clock.now += 0.51
    assert reader.refuses("ended", 1)
    assert not reader.is_down


def test_a_redis_that_is_away_is_asked_less_often_but_often(reader, clock, redis, commands):
    """A first failure may be a hiccup."""
    redis.stop()
    for _ in range(100):
        reader.refuses("any", 1)
        clock.now += 0.05
    gaps = 5 / len(commands)
    assert 0.4 < gaps < 0.6


def test_a_redis_that_hangs_costs_no_request_more_than_the_time_out(issuer, redis):
    """And those beside it nothing, once that is known."""
    reader = Revocations(redis.impatient_url, ISSUER)
    with redis.hanging():
        begin = time.monotonic()
        reader.refuses("any", 1)
    assert stream.TIMEOUT <= time.monotonic() - begin < 30
    assert reader.is_down


@pytest.mark.parametrize("wrote", [{"sid": "x", "until": "soon"}, {"sid": "x", "before": "noon"}])
def test_what_nobody_of_ours_wrote_is_a_failure_and_no_error(reader, issuer, wrote):
    """A request is answered all the same."""
    issuer.client.xadd(STREAM, wrote)
    assert not reader.refuses("any", 1)
    assert reader.is_down


# Redis has lost its memory


def test_without_an_epoch_it_is_down_but_refuses_what_it_hears(reader, issuer, clock):
    """The issuer is still telling again what was lost."""
    reader.refuses("any", 1)
    issuer.client.delete(EPOCH)
    issuer("ended")
    clock.now += 1.01
    assert reader.refuses("ended", 1)
    assert reader.is_down


def test_under_a_new_epoch_everything_is_read_again(reader, issuer, clock, redis):
    """Also what Redis numbers as older than what was read before."""
    issuer("before")
    assert reader.refuses("before", 1)
    redis.restart()
    with redis.client as client:
        client.xadd(STREAM, Entry("told again", None, LATER).fields, id="5-1")
        client.set(EPOCH, "two")
    clock.now += 0.3
    assert reader.refuses("told again", 1)
    assert reader.refuses("before", 1)
    assert not reader.is_down


def test_a_stream_too_long_for_one_request_is_read_in_several(reader, issuer, clock, monkeypatch):
    """Each goes on where the one before stopped; it is down until all is read."""
    pages_of(monkeypatch, 1)
    monkeypatch.setattr(revocations, "PATIENCE", 0.5)
    fetch = reader._fetch

    def slow(since):
        clock.now += 0.3
        return fetch(since)

    monkeypatch.setattr(reader, "_fetch", slow)
    for n in range(3):
        issuer(f"ended {n}")
    assert not reader.refuses("ended 2", 1)
    assert reader.is_down
    assert reader.refuses("ended 2", 1)
    assert not reader.is_down


def test_an_outage_is_logged_once_and_its_end(reader, issuer, clock, redis, caplog):
    """With what is wrong, and never the URL's password."""
    caplog.set_level(logging.DEBUG)
    reader.refuses("any", 1)
    redis.stop()
    for _ in range(5):
        clock.now += 1
        reader.refuses("any", 1)
    redis.start()
    with redis.client as client:
        client.set(EPOCH, "two")
    clock.now += 1
    reader.refuses("any", 1)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("token")]
    assert logged == [
        "Revocations cannot be read: ConnectionError.",
        "Revocations can be read again.",
    ]


# Who may read


def test_a_user_who_may_only_read_is_enough(issuer, redis, clock):
    """Who can write there can sign people out. The lines are those of the how-to."""
    give_rights(redis)
    issuer("ended")
    reader = Revocations(redis.url_of("reader", "another-password"), ISSUER, 0.25, clock)
    assert reader.refuses("ended", 1)
    assert not reader.is_down
    with pytest.raises(NoPermissionError):
        reader._client.delete(EPOCH)


def test_a_user_who_may_not_read_is_told_of_in_the_log(issuer, redis, caplog):
    """In the server's own words."""
    rules = "on >secret resetkeys resetchannels -@all"
    issuer.client.execute_command("ACL", "SETUSER", "nobody", *rules.split())
    reader = Revocations(redis.url_of("nobody", "secret"), ISSUER)
    assert not reader.refuses("ended", 1)
    assert "NoPermissionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_wrong_password_is_a_failure_and_stands_in_no_log(redis, caplog):
    """Nor in any repr."""
    caplog.set_level(logging.DEBUG)
    url = redis.url_of("default", "wrong-password")
    reader = Revocations(url, ISSUER)
    assert not reader.refuses("any", 1)
    assert reader.is_down
    shown = caplog.text + repr(reader) + repr(vars(reader))
    assert "AuthenticationError" in caplog.text
    assert "wrong-password" not in shown


# Settings


@pytest.mark.parametrize("url", ["http://:p4ss@host", "redis://:p4ss/word@host", "p4ss"])
def test_an_impossible_url_is_an_error_without_the_url(url):
    """Its password may be in it, and it says what to edit."""
    with pytest.raises(ImproperlyConfigured, match="TOKENAUTH_REVOCATIONS is no address") as caught:
        Revocations(Secret(url), ISSUER)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "p4ss" not in str(caught.value)


def test_without_redis_py_the_error_says_what_to_install():
    """It is an extra."""
    with (
        mock.patch.dict("sys.modules", {"redis": None}),
        pytest.raises(ImproperlyConfigured, match=r"pip install 'django-tokenauth\[redis\]'"),
    ):
        Revocations("redis://127.0.0.1", ISSUER)


def test_a_process_has_one_reader_by_its_settings(settings):
    """None where there is no Redis."""
    assert configured() is None
    settings.TOKENAUTH_REVOCATIONS = "redis://127.0.0.1:1"
    settings.TOKENAUTH_ISSUER = ISSUER
    settings.TOKENAUTH_REVOCATION_INTERVAL = 2
    first = configured()
    assert configured() is first
    assert (first._stream, first._interval) == (STREAM, 2)


def test_it_works_where_there_is_no_database(redis, issuer):
    """Nor a model, nor simplejwt."""
    issuer("ended")
    run_python(
        "import os, sys; from django.conf import settings;"
        "settings.configure(TOKENAUTH_REVOCATIONS=os.environ['URL'],"
        f" TOKENAUTH_ISSUER={ISSUER!r}, INSTALLED_APPS=['tokenauth.resource']);"
        "import django; django.setup();"
        "from tokenauth.resource.revocations import configured;"
        "assert configured().refuses('ended', 1) and not configured().is_down;"
        "loaded = {'tokenauth.models', 'rest_framework_simplejwt', 'django.contrib.auth.models'};"
        "assert not loaded & {*sys.modules}",
        {"URL": redis.url},
    )
