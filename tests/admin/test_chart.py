"""The picture above the list: what happened on each of the last thirty days."""

import random
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from tests.factories import SessionFactory
from tokenauth.admin import activity, chart
from tokenauth.models import AuthSession
from tokenauth.session.endings import RevokeReason

pytestmark = pytest.mark.django_db

LIST = "admin:tokenauth_authsession_changelist"
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
#: Half a year: clocks changed on 25 October, which had 25 hours.
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_kept_numbers(monkeypatch):
    monkeypatch.setattr(activity, "SLOW", 60)  # however busy the machine is
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def admin(staff):
    """The browser of somebody who may do everything."""
    client = Client()
    client.force_login(staff)
    return client


def make(begin, end=None, reason=""):
    """Make a session of that time; without a reason it expired, without an end it lives."""
    session = SessionFactory()
    now = timezone.now()
    AuthSession.objects.filter(pk=session.pk).update(
        created_at=begin,
        expires_at=end if end and not reason else now + DAY,
        absolute_expires_at=now + 90 * DAY,
        revoked_at=end if reason else None,
        revoke_reason=reason if end else "",
    )


def test_every_day_is_counted(admin):
    """Today, the days before it, and neither tomorrow nor what is longer ago."""
    with time_machine.travel(NOON, tick=False):
        make(NOON - 40 * DAY)
        make(NOON - 29 * DAY, NOON - 10 * DAY, "reuse")
        make(NOON - 3 * DAY, NOON - 1 * DAY)
        make(NOON - 3 * DAY)
        make(NOON, NOON, "logout")
        days = activity.last_days()
    told = {30 - n: (d.sign_ins, d.active, d.thefts) for n, d in enumerate(days)}
    assert len(told) == activity.DAYS == 30
    assert told[30] == (1, 2, 0)
    assert told[29] == told[12] == (0, 2, 0)
    assert told[11] == (0, 1, 1)
    assert told[5] == (0, 1, 0)
    assert told[4] == (2, 3, 0)
    assert told[2] == (0, 2, 0)
    assert told[1] == (1, 2, 0)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", None])
def test_the_days_are_reckoned_right(settings, zone):
    """Against a count of each session on each day, through a change of the clocks."""
    chance, here = random.Random(7), zone or "Europe/Berlin"  # noqa: S311  # no secret
    settings.USE_TZ = bool(zone)
    settings.TIME_ZONE = here
    with time_machine.travel(NOON, tick=False), timezone.override(here if zone else None):
        now = timezone.now()
        for _ in range(120):
            begin = now - chance.random() * 45 * DAY
            end = begin + chance.random() * 30 * DAY
            make(begin, end if end < now else None, chance.choice(["", *RevokeReason.values]))
        sessions = list(AuthSession.objects.all())
        days = activity.last_days()
    for day in days:
        until = min(day.end, now)
        here_then = [s for s in sessions if s.created_at < day.end]
        ended = {s.pk: s.revoked_at or s.expires_at for s in sessions}
        assert day.sign_ins == sum(s.created_at >= day.begin for s in here_then)
        assert day.active == sum(ended[s.pk] > until or ended[s.pk] == day.end for s in here_then)
        thefts = [s for s in sessions if s.revoke_reason == "reuse" and s.revoked_at]
        assert day.thefts == sum(day.begin <= s.revoked_at < day.end for s in thefts)
    assert sum(day.sign_ins for day in days) > 50


def test_days_begin_at_midnight_where_one_looks():
    """Half past eleven in the evening, UTC, is tomorrow in Berlin."""
    late = NOON.replace(hour=23, minute=30)
    with time_machine.travel(late, tick=False):
        make(late)
        make(late - DAY)
        make(NOON)
        for zone, counts in [(BERLIN, [2, 1]), (UTC, [1, 2])]:
            with timezone.override(zone):
                days = activity.last_days()[-2:]
                assert [day.sign_ins for day in days] == counts
                assert days[-1].date == late.astimezone(zone).date()


def test_midnight_belongs_to_one_day():
    """The one that it begins."""
    with time_machine.travel(NOON, tick=False), timezone.override(UTC):
        make(NOON.replace(hour=0))
        assert [day.sign_ins for day in activity.last_days()][-2:] == [0, 1]


def test_a_few_queries_count_everything(django_assert_num_queries):
    """However many there are."""
    for _ in range(2):
        make(timezone.now() - DAY)
        with django_assert_num_queries(9):
            activity.last_days()


def sessions_of_two_months():
    """Begun and ended by chance, some of them in the same moment."""
    chance, now = random.Random(11), timezone.now()  # noqa: S311  # no secret
    for _ in range(60):
        begin = now - chance.random() * 60 * DAY
        end = chance.choice([begin + chance.random() * 30 * DAY, now - DAY, None])
        make(begin, end and min(now, end), chance.choice(["", *RevokeReason.values]))


@pytest.mark.parametrize("together", [1, 2, 7])
def test_no_statement_counts_more_than_so_many(monkeypatch, together):
    """And the numbers are the same."""
    with time_machine.travel(NOON, tick=False):
        sessions_of_two_months()
        expected = activity.last_days()
        monkeypatch.setattr(activity, "TOGETHER", together)
        with CaptureQueriesContext(connection) as made:
            assert activity.last_days() == expected
    assert len(made) > activity.DAYS / together


def test_what_took_long_to_count_is_kept_for_a_while(monkeypatch, django_assert_num_queries):
    """On a large site it changes little in ten minutes; on a small one it is always fresh."""
    make(timezone.now())
    for slow, queries in [(60, 9), (-1, 0)]:
        monkeypatch.setattr(activity, "SLOW", slow)
        first = activity.last_days()
        make(timezone.now())
        with django_assert_num_queries(queries):
            again = activity.last_days()
        assert (again == first) is (queries == 0)


def test_what_is_over_is_counted_once_a_day(monkeypatch, django_assert_num_queries):
    """Where that takes long: today is counted again after a while, and the rest at midnight."""
    monkeypatch.setattr(activity, "SLOW", -1)
    with time_machine.travel(NOON, tick=False) as clock:
        make(NOON - 3 * DAY)
        make(NOON - 3 * DAY, NOON + DAY / 48, "")
        before = activity.last_days()
        clock.shift(activity.KEPT + DAY / 24)
        make(timezone.now())
        make(timezone.now(), timezone.now(), "reuse")
        with django_assert_num_queries(2):
            *past, today = activity.last_days()
        assert past == before[:-1]
        assert (before[-1].active, today.active) == (2, 2)
        assert (today.sign_ins, today.thefts) == (2, 1)
        cache.clear()
        assert activity.last_days() == [*past, today]
        clock.shift(DAY)
        assert activity.last_days()[-2].sign_ins == 2


def svg_of(html):
    """The picture of a page: it is well-formed."""
    svg = re.search(r"<svg viewBox.*?</svg>", html, re.DOTALL)[0]
    return ElementTree.fromstring(svg)  # noqa: S314  # our own


def test_what_was_counted_before_rows_came_is_counted_anew(monkeypatch):
    """There are never fewer than none: an import brought sessions of before, which ended today."""
    monkeypatch.setattr(activity, "SLOW", -1)  # keep everything
    assert activity.last_days()[-1].active == 0
    now = timezone.now()
    for _ in range(3):
        make(now - 5 * DAY, now, "logout")
    make(now - 5 * DAY)
    [today] = activity.empty_days()[-1:]
    cache.delete(f"tokenauth.activity:{today.begin.isoformat()}:today")
    days = activity.last_days()
    assert [day.active for day in days[-3:]] == [4, 4, 1]
    assert min(day.active for day in days) == 0


def test_no_day_had_fewer_than_none(monkeypatch):
    """Whatever was deleted since."""
    monkeypatch.setattr(activity, "look_back", lambda days, since: [(0, -7, 0)] * len(days))
    assert {day.active for day in activity.last_days()} == {0}


def test_the_picture_stands_above_the_list(admin):
    """With a name and a description for whoever does not see it, and the numbers as a table."""
    make(timezone.now() - DAY, timezone.now(), "reuse")
    html = admin.get(reverse(LIST)).text
    assert html.index("<svg viewBox") < html.index('id="changelist"')
    svg = svg_of(html)
    named = {element.get("id"): element.text for element in svg}
    title, description = (named[name] for name in svg.get("aria-labelledby").split())
    assert svg.get("role") == "img"
    assert title == "Sessions in the last 30 days"
    assert "Active sessions: 0. Sign-ins: 1. Theft alerts: 1." in description
    table = re.search(r"<details>.*?</details>", html, re.DOTALL)[0]
    assert len(re.findall(r'<th scope="row">', table)) == activity.DAYS


def test_the_picture_obeys_the_strictest_policy(admin):
    """No script, no style in the page: what it looks like is in a file."""
    make(timezone.now())
    html = admin.get(reverse(LIST)).text
    section = re.search(
        r'<section class="tokenauth tokenauth-chart".*?</section>', html, re.DOTALL
    )[0]
    assert re.findall(r"<script|<style| style=| on\w+=", section) == []
    assert "tokenauth/admin.css" in html


def test_a_day_of_the_table_leads_to_its_sessions(admin):
    """Those that began then, whatever became of them."""
    begun = timezone.now() - 2 * DAY
    make(begun, timezone.now(), "logout")
    html = admin.get(reverse(LIST)).text
    [link, *_] = re.findall(r'<td><a href="([^"]+)">1</a></td>', html)[::-1]
    page = admin.get(link.replace("&amp;", "&"))
    assert [s.created_at for s in page.context["cl"].result_list] == [begun]


def test_no_locale_spells_a_coordinate(admin, settings):
    """Not with a comma, and not with a thousands separator."""
    settings.USE_THOUSAND_SEPARATOR = True
    make(timezone.now() - DAY)
    with translation.override("de"):
        settings.LANGUAGE_CODE = "de"
        svg = svg_of(admin.get(reverse(LIST)).text)
    for element in svg.iter():
        for name in {"x", "y", "x1", "x2", "y1", "y2", "width", "height"} & set(element.attrib):
            assert re.fullmatch(r"-?\d+", element.get(name))
        for point in element.get("points", "").split():
            assert re.fullmatch(r"\d+,\d+", point)


@pytest.mark.parametrize(
    ("values", "heights"),
    [([0, 0], []), ([1, 1000], [2, 36]), ([5, 5], [36, 36]), ([0, 4, 2], [36, 18])],
    ids=["nothing", "next-to-nothing", "all-alike", "half"],
)
def test_bars_are_as_high_as_their_values(values, heights):
    """The greatest reaches the top, nothing is nothing, and one theft among none is seen."""
    band = chart.Band("thefts", "", values, top=10)
    assert [mark.height for mark in band.bars] == heights
    assert all(mark.y + mark.height == band.bottom for mark in band.bars)


def test_a_popup_shows_the_list_alone(admin, django_assert_max_num_queries):
    """It is there to choose from."""
    assert "<svg viewBox" not in admin.get(reverse(LIST), {"_popup": "1"}).text
