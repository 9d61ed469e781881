"""What a URL says of the bounces before: the loop marker and the note."""

import pytest
import time_machine
from django.http import QueryDict
from django.test import AsyncRequestFactory, RequestFactory

from tokenauth.request import loops
from tokenauth.request.loops import Trace

NOON = 1_772_366_400


@pytest.fixture(autouse=True)
def noon():
    """Markers and notes carry the time."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def request(query="", method="GET"):
    """A request whose query stands there as it is."""
    made = RequestFactory().generic(method, "/private/")
    made.META["QUERY_STRING"] = query
    return made


# The loop marker


@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory], ids=["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("query", "left"),
    [
        (f"_rt={NOON}", ""),
        (f"a=1&_rt={NOON}", "a=1"),
        (f"_rt={NOON}&a=%20+&&b", "a=%20+&&b"),
        (f"a=1&_rt={NOON - 900}&b=2&_rt={NOON}", "a=1&b=2"),
        (f"_rt={NOON - 14}", ""),
        (f"_rt={NOON + 14}", ""),
        (f"_rt={NOON - 900}~{NOON}", ""),
        (f"_rt={NOON}~{NOON + 900}", ""),
    ],
)
def test_a_fresh_marker_is_seen_and_taken_out(factory, query, left):
    """The view never sees it, and the rest of the query stays byte for byte."""
    made = factory().get(f"/private/?{query}")
    assert "_rt" in made.GET
    assert (loops.take(made).just_tried, made.META["QUERY_STRING"]) == (True, left)
    assert QueryDict(left) == made.GET


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("a=1", "a=1"),
        ("a=_rt", "a=_rt"),
        (f"a_rt={NOON}&_rtx=1", f"a_rt={NOON}&_rtx=1"),
        (f"_rt={NOON - 15}", ""),
        (f"_rt={NOON + 15}", ""),
        ("_rt", ""),
        ("_rt=", ""),
        ("_rt=x", ""),
        (f"_rt=-{NOON}", ""),
        (f"_rt={NOON - 60}~{NOON + 60}", ""),
        ("_rt=~~", ""),
        (f"_rt={NOON}.0", ""),
        ("_rt=%D9%A1", ""),
        ("_rt=\u0661", ""),
        ("_rt=\u00b2", ""),
        (f"_rt={'9' * 5000}", ""),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_anything_else_is_no_fresh_marker(query, left):
    """Old, impossible or foreign values stop no bounce and make no error."""
    made = request(query)
    assert (loops.take(made).just_tried, made.META["QUERY_STRING"]) == (False, left)


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("/", f"/?_rt={NOON}"),
        ("/private/?a=1", f"/private/?a=1&_rt={NOON}"),
        ("/private/#part", f"/private/?_rt={NOON}"),
    ],
)
def test_a_marker_goes_into_the_query(url, result):
    """A fragment never reaches a server, so a marker behind one would not either."""
    assert loops.add(url, {"_rt": Trace().marker()}) == result
    assert loops.take(request(result.partition("?")[2])).just_tried is True


@pytest.mark.parametrize("url", ["/", "/private/?a=1", "/private/#part"])
def test_where_there_is_nothing_to_say_a_url_stays_as_it_is(url):
    """To the last byte."""
    assert loops.add(url, {}) == url


@pytest.mark.parametrize(
    ("query", "marker"),
    [
        ("", f"{NOON}"),
        (f"_rt={NOON}", f"{NOON}"),
        (f"_rt={NOON - 900}", f"{NOON - 900}~{NOON}"),
        (f"_rt={NOON - 900}~{NOON - 5}", f"{NOON - 900}~{NOON - 5}~{NOON}"),
        ("_rt=1~2~3~4~5~6", f"4~5~6~{NOON}"),
    ],
)
def test_a_marker_tells_the_time_of_every_server_on_the_way(query, marker):
    """By one of them at least a server with a clock of its own knows when it was."""
    assert loops.take(request(query)).marker() == marker
