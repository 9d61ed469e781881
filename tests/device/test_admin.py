"""What staff see of sessions that are bound to their device, and of another device's key."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.device.test_pages import COLUMNS, KEY
from tests.factories import SessionFactory, UserFactory
from tokenauth.models import AuthSession

pytestmark = pytest.mark.django_db

LIST = reverse("admin:tokenauth_authsession_changelist")
SECOND_KEY = "the key of another device was shown"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.TOKENAUTH_DEVICE_BINDING = True
    cache.clear()


@pytest.fixture
def admin(client, staff):
    """The browser of somebody who may do everything."""
    client.force_login(staff)
    client.get(LIST)  # adopts
    return client


@pytest.fixture
def people():
    """The names of people by what became of their session's binding."""
    columns = {
        "unbound": {},
        "bound": {"device_key": KEY},
        "doubtful": {"device_key": KEY, "second_key_at": timezone.now()},
        "bound-ended": {"device_key": KEY, "revoked_at": timezone.now(), "revoke_reason": "user"},
    }
    for name, changes in columns.items():
        session = SessionFactory(user=UserFactory(username=name))
        AuthSession.objects.filter(pk=session.pk).update(**changes)
    return list(columns)


def url_of(name):
    session = AuthSession.objects.get(user__username=name)
    return reverse("admin:tokenauth_authsession_change", args=[session.pk])


def page_of(admin, name):
    return " ".join(admin.get(url_of(name)).content.decode().split())


def listed(admin, **query):
    """Whom a list names."""
    page = admin.get(LIST, query).content.decode()
    return set(re.findall(r'field-person">(?:<a [^>]+>)?([\w-]+)', page))


def test_the_list_marks_what_is_bound(admin, people):
    """In the last column; a browser that can't do it is no error, and gets no sign of one."""
    page = admin.get(LIST).content.decode()
    rows = re.findall(r"<tr><td class=\"action-checkbox.*?</tr>", page, re.DOTALL)
    marks = {
        name: re.search(r'field-bound">([^<]*)<', row)[1]
        for row in rows
        for name in people
        if f">{name}<" in row
    }
    assert marks == {"unbound": "-", "bound": "bound", "doubtful": "bound"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"binding": "bound"}, {"bound", "doubtful"}),
        ({"binding": "second-key"}, {"doubtful"}),
        ({"binding": "bound", "status": "all"}, {"bound", "doubtful", "bound-ended"}),
        ({"binding": "bound", "status": "ended"}, {"bound-ended"}),
        ({"binding": "bound", "q": "doubt"}, {"doubtful"}),
    ],
)
def test_the_list_is_filtered_by_the_binding(admin, people, query, found):
    """Whatever else it is narrowed down by."""
    assert listed(admin, **query) == found


def test_a_sessions_page_says_whether_it_is_bound(admin, people):
    """And nothing of another key where none was shown."""
    for name, mark in (("bound", "bound"), ("unbound", "-")):
        page = page_of(admin, name)
        assert re.search(rf'field-bound">.*?readonly">{mark}</div>', page)
        assert SECOND_KEY not in page


def test_a_sessions_page_says_what_another_devices_key_may_mean(admin, people):
    """When it was shown, in the life of the session too, and what to do."""
    page = page_of(admin, "doubtful")
    assert SECOND_KEY in page
    assert "revoke this session" in page
    assert "field-second_key_at" in page
    assert "A second device key was shown</span>" in page


def test_the_picture_says_how_many_are_bound(admin, people):
    """Of the active ones, that of whoever looks among them."""
    assert "Active sessions: 4, bound to their device: 2" in admin.get(LIST).content.decode()


def test_the_share_costs_one_query(admin, people):
    """And the filter none, until it is used."""
    with CaptureQueriesContext(connection) as made:
        admin.get(LIST)
    asked = [q["sql"] for q in made if "device_key" in q["sql"].partition("WHERE")[2]]
    assert len(asked) == 1
    assert "COUNT(" in asked[0]


def test_a_site_that_binds_nothing_shows_staff_nothing_of_it(admin, people, settings):
    """No column, no filter, no section; and what they are made of is not read."""
    settings.TOKENAUTH_DEVICE_BINDING = False
    person = AuthSession.objects.get(user__username="doubtful").user_id
    user_page = reverse("admin:auth_user_change", args=[person])
    urls = [LIST, f"{LIST}?status=all", url_of("doubtful"), user_page]
    with CaptureQueriesContext(connection) as made:
        pages = [admin.get(url).content.decode() for url in urls]
    assert not [page for page in pages if "bound to" in page.lower() or SECOND_KEY in page]
    assert not [q["sql"] for q in made if any(name in q["sql"] for name in COLUMNS)]


def test_nobody_can_ask_for_a_key_by_the_address(admin, people):
    """It is public, but it names a device."""
    guess = admin.get(LIST, {"device_key__startswith": "{"})
    assert guess.status_code == 400


def test_sessions_that_are_too_old_to_live_are_not_counted(admin, people):
    """The index is of the time when they began."""
    old = timezone.now() - timedelta(days=400)
    AuthSession.objects.filter(user__username="bound").update(created_at=old)
    assert "bound to their device: 1" in admin.get(LIST).content.decode()
