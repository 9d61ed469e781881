"""The admin: staff see every session and end any of them; nobody reads a token there."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.contrib import admin as django_admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django.urls import include, path, resolve, reverse
from django.utils import timezone

from tests.factories import SessionFactory, UserFactory
from tokenauth.admin import (
    AuthSessionAdmin,
    AuthSessionsUserAdminMixin,
    listing,
    searching,
)
from tokenauth.admin.staff import NAMED
from tokenauth.admin.users import NEWEST, SessionsUserAdmin, extend_default_user_admin
from tokenauth.models import AuthSession
from tokenauth.session import tokens
from tokenauth.session.endings import RevokeReason

pytestmark = [pytest.mark.django_db, pytest.mark.users]

DAY = timedelta(days=1)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
LIST = "admin:tokenauth_authsession_changelist"

#: A site with an admin of its own, for whichever user model is on.
own_site = django_admin.AdminSite(name="own")
own_site.register(AuthSession, AuthSessionAdmin)


class PeopleAdmin(AuthSessionsUserAdminMixin, django_admin.ModelAdmin):
    fields = ("is_staff",)


own_site.register(get_user_model(), PeopleAdmin)
urlpatterns = [path("own/", own_site.urls), path("", include("tests.urls"))]


@pytest.fixture
def session(user):
    """A person's session on some device."""
    device = {"HTTP_USER_AGENT": FIREFOX, "REMOTE_ADDR": "192.0.2.7"}
    return SessionFactory(user=user, request=RequestFactory().get("/", **device))


@pytest.fixture
def admin(staff):
    """The browser of somebody who may do everything."""
    return browser_of(staff)


def browser_of(person):
    client = Client(headers={"user-agent": "the admin's own browser"})
    client.force_login(person)
    return client


def clerk(*codenames):
    """The browser of somebody on the staff with these permissions alone."""
    person = UserFactory(is_staff=True)
    permissions = Permission.objects.filter(codename__in=codenames)
    assert len(permissions) == len(codenames)
    person.user_permissions.set(permissions)
    return browser_of(person)


def detail(session):
    return reverse("admin:tokenauth_authsession_change", args=[session.pk])


def revoke(client, *sessions, **data):
    """Choose "Revoke selected sessions" in the list, and be sure."""
    data = {"confirmed": "yes"} | data
    data |= {"action": "revoke", "_selected_action": [session.pk for session in sessions]}
    return client.post(reverse(LIST), data, follow=True)


def listed(client, **query):
    """The sessions of the list, in its order."""
    return list(client.get(reverse(LIST), query).context["cl"].result_list)


def own_session(client):
    """The session by which a browser is signed in."""
    client.get(reverse(LIST))  # adopts the Django session of force_login()
    return AuthSession.objects.get(user_agent="the admin's own browser")


def logged(session):
    """What the admin's history says of a session."""
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=session.pk)]


def end(session, **fields):
    AuthSession.objects.filter(pk=session.pk).update(**fields)


# The list


def test_the_list_shows_who_where_and_whether_it_lives(admin, session, user):
    """User, device, address and status of every session."""
    html = admin.get(reverse(LIST)).text
    for shown in (user.get_username(), "Firefox on Linux", "192.0.2.7", "active"):
        assert shown in html


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "active"),
        ({"expires_at": timezone.now()}, "expired"),
        *[({"revoked_at": timezone.now(), "revoke_reason": r}, r.label) for r in RevokeReason],
    ],
    ids=["active", "expired", *RevokeReason.values],
)
def test_the_status_is_told_in_words(admin, session, fields, state):
    """An ended session says why."""
    end(session, **fields)
    page = admin.get(reverse(LIST), {"status": "all"})
    assert f'<td class="field-state">{state}</td>' in page.text


def test_an_unknown_device_is_shown_as_it_called_itself(admin, user):
    """Better a raw name than an empty cell."""
    request = RequestFactory().get("/", HTTP_USER_AGENT="toaster <b>")
    SessionFactory(user=user, request=request)
    assert "toaster &lt;b&gt;" in admin.get(reverse(LIST)).text


def test_a_device_that_calls_itself_by_many_words_is_cut(admin, user):
    """In the list; its own page has all of them."""
    request = RequestFactory().get("/", HTTP_USER_AGENT="toaster " * 50)
    session = SessionFactory(user=user, request=request)
    assert "toaster " * 8 not in admin.get(reverse(LIST)).text
    assert "toaster " * 40 in admin.get(detail(session)).text


def test_the_staff_parse_no_device(admin, session, monkeypatch):
    """Neither in the list nor on a session's page: one person's must not keep a worker busy."""
    admin.get(reverse(LIST))
    monkeypatch.setattr("tokenauth.session.devices.read", None)
    for url in (reverse(LIST), detail(session)):
        assert "Firefox on Linux" in admin.get(url).text


@pytest.mark.parametrize("reason", [RevokeReason.REUSE, RevokeReason.MISMATCH])
def test_the_page_of_a_stolen_session_shows_the_evidence(admin, session, reason):
    """Device and address of the session, and of who brought the token."""
    end(
        session,
        revoked_at=timezone.now(),
        revoke_reason=reason,
        reuse_ip_address="203.0.113.9",
        reuse_user_agent=PHONE,
    )
    html = admin.get(detail(session)).text
    assert "Brought the token that ended it" in html
    assert ("One of the two is the owner" in html) is (reason == RevokeReason.REUSE)
    assert ("was a backup restored" in html) is (reason == RevokeReason.MISMATCH)
    for shown in ("Firefox on Linux", "192.0.2.7", "Safari on iPhone", "203.0.113.9", PHONE):
        assert shown in html


def test_the_page_of_any_other_session_speaks_of_no_evidence(admin, session):
    """There is none."""
    end(session, revoked_at=timezone.now(), revoke_reason=RevokeReason.ADMIN)
    assert "Brought the token" not in admin.get(detail(session)).text


def test_evidence_without_headers_is_shown_as_unknown(admin, session):
    """Whoever steals a token may send no user agent."""
    end(session, revoked_at=timezone.now(), revoke_reason=RevokeReason.REUSE)
    html = admin.get(detail(session)).text
    assert "Brought the token that ended it" in html
    assert "Unknown device" in html


def timeline(client, session):
    """What a session's page says that happened."""
    html = client.get(detail(session)).text
    events = re.search(r'<ol class="tokenauth tokenauth-timeline">.*?</ol>', html, re.DOTALL)[0]
    return re.findall(r"</time> <span>([^<]+)</span>", events)


def test_a_sessions_page_tells_its_life_in_order(admin, session):
    """From the sign-in, over what lies between, to the end that is to come."""
    assert timeline(admin, session) == ["Signed in", "Expires"]
    end(session, rotation=1)
    assert timeline(admin, session) == ["Signed in", "Refreshed 1 time", "Expires"]
    seen = session.rotated_at + timedelta(minutes=5)
    end(session, rotation=3, last_seen_at=seen, expires_at=timezone.now() - DAY)
    between = ["Refreshed 3 times", "Last seen"]
    assert timeline(admin, session) == ["Signed in", *between, "Expired"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("admin", "Ended: ended by staff"),
        (
            "reuse",
            "Ended (theft: used from two places): a token came from Safari on iPhone, 203.0.113.9",
        ),
    ],
)
def test_a_sessions_life_ends_with_what_ended_it(admin, session, reason, told):
    """A theft with who brought the token."""
    evidence = {"reuse_ip_address": "203.0.113.9", "reuse_user_agent": PHONE}
    end(session, revoked_at=timezone.now(), revoke_reason=reason, **evidence)
    assert timeline(admin, session)[-1] == told


def test_pages_name_a_session_by_person_and_device(admin, session):
    """Where Django says what one looks at, in the history, and among the recent actions."""
    name = f"{session.user.get_username()}, Firefox on Linux"
    assert f"<title>{name} | View session" in admin.get(detail(session)).text
    revoke(admin, session)
    assert LogEntry.objects.get(object_id=session.pk).object_repr == name
    history = reverse("admin:tokenauth_authsession_history", args=[session.pk])
    for url in (history, reverse("admin:index")):
        assert name in admin.get(url).text


def test_a_session_names_nobody_whom_it_would_have_to_ask_for(session):
    """A name costs no query: not even in an event loop."""
    lone = AuthSession.objects.get(pk=session.pk)
    assert str(lone) == "Firefox on Linux"
    assert str(AuthSession()) == "Unknown device"


def test_an_empty_list_offers_nothing_to_do(admin):
    """No action for no session, and "Show all" only where not all are shown."""
    empty = admin.get(reverse(LIST), {"q": "nobody"}).text
    assert 'name="action"' not in empty
    assert "Show all" in empty
    every = admin.get(reverse(LIST)).text
    assert 'name="action"' in every
    assert "Show all" not in every


@pytest.mark.parametrize("reason", ["ended", "admin", "all"])
@pytest.mark.parametrize("narrowed", [{}, {"o": "5"}, {"q": "alice"}, {"user__exact": None}])
def test_what_was_never_a_session_is_not_listed(admin, session, user, reason, narrowed):
    """Signing somebody out everywhere leaves a row that keeps their old Django sessions out."""
    AuthSession.objects.end_everywhere([user.pk], RevokeReason.ADMIN)
    query = {name: value or user.pk for name, value in narrowed.items()}
    found = [row.pk for row in listed(admin, status=reason, **query) if row.user == user]
    assert found == [session.pk]
    assert AuthSession.objects.filter(user=user).count() == 2


def test_ones_own_session_is_marked(admin, session):
    """Nobody should have to guess which of them they sit in."""
    own = own_session(admin)
    rows = admin.get(reverse(LIST)).text.split("<tr>")
    marked = [row for row in rows if "active (this session)" in row]
    assert len(marked) == 1
    assert str(own.pk) in marked[0]


@pytest.mark.parametrize(
    ("ago", "text"),
    [(timedelta(hours=3, minutes=20), "3 hours ago"), (timedelta(seconds=40), "just now")],
)
def test_times_are_told_shortly_and_exactly(admin, session, ago, text):
    """How long ago, and on which day; the rest for who points at it."""
    own = own_session(admin)
    end(own, last_seen_at=timezone.now() - 2 * DAY)
    end(session, last_seen_at=timezone.now() - ago)
    html = admin.get(reverse(LIST)).text
    assert re.search(f'<time datetime="[^"]+" title="[^"]+">{text}</time>', html)


STATUSES = [
    ("active", {}),
    ("expired", {"expires_at": timezone.now() - timedelta(days=1)}),
    *[(r, {"revoked_at": timezone.now(), "revoke_reason": r}) for r in RevokeReason.values],
]


@pytest.mark.parametrize("status", [status for status, _ in STATUSES])
def test_the_list_is_filtered_by_status(admin, status):
    """Each status, and each reason, by itself; first of all what is active."""
    own, sessions = own_session(admin), {}
    for name, fields in STATUSES:
        sessions[name] = SessionFactory()
        end(sessions[name], **fields)
    own_too = {own} if status == "active" else set()
    assert set(listed(admin, status=status)) == {sessions[status]} | own_too


@pytest.mark.parametrize("query", [{}, {"status": "nonsense"}], ids=["none", "nonsense"])
def test_what_is_active_is_listed_first_of_all(admin, session, query):
    """And the filter says so."""
    own, ended = own_session(admin), SessionFactory()
    end(ended, revoked_at=timezone.now(), revoke_reason="user")
    assert set(listed(admin, **query)) == {session, own}
    page = admin.get(reverse(LIST), query)
    assert re.search(r'<a href="[^"]*" aria-current="page">Active</a>', page.text)
    everything = set(AuthSession.objects.all())
    assert set(listed(admin, status="ended")) == {ended}
    assert set(listed(admin, status="all")) == everything


def test_what_was_revoked_never_expires(admin, session):
    """It has one reason, and that is no longer its age."""
    end(session, revoked_at=timezone.now(), revoke_reason="user", expires_at=timezone.now())
    assert listed(admin, status="expired") == []
    assert listed(admin, status="user") == [session]


@pytest.mark.parametrize(
    ("status", "column"),
    [
        ("active", "created_at"),
        ("all", "created_at"),
        ("ended", "revoked_at"),
        ("user", "revoked_at"),
        ("expired", "expires_at"),
    ],
)
def test_the_list_is_filtered_by_time(admin, status, column):
    """What lives by when it began, what ended by when it did; sorted by that."""
    own_session(admin)
    fields = dict(STATUSES).get("user" if status == "ended" else status, {})
    sessions = SessionFactory.create_batch(4)
    for days, session in zip([9, 3, 2, 1], sessions, strict=True):
        when = timezone.now() - days * DAY
        end(session, **fields | {column: when})
    begin = (timezone.now() - 7 * DAY).isoformat()
    query = {"status": status, f"{column}__gte": begin, f"{column}__lt": timezone.now().isoformat()}
    assert [s for s in listed(admin, **query) if s in sessions] == sessions[:0:-1]


@pytest.mark.parametrize(
    ("status", "times"),
    [
        ("active", ["signed in"]),
        ("reuse", ["how it ended", "ended"]),
        ("ended", ["how it ended", "ended"]),
        ("expired", ["expires"]),
        ("all", ["signed in"]),
    ],
)
def test_each_status_offers_the_times_that_it_has(admin, session, status, times):
    """And no "No date", which would list nothing."""
    html = admin.get(reverse(LIST), {"status": status}).text
    offered = [" ".join(title.split()) for title in re.findall(r"<summary>([^<]+)", html)]
    assert offered[1:] == [f"By {title}" for title in times]
    assert "No date" not in html


def test_another_status_leaves_behind_what_it_has_no_use_for(admin, session):
    """Its list would be narrowed down by a time that it does not show."""
    query = {"created_at__gte": "2020-01-01 00:00:00+00:00", "o": "5", "q": "ali"}
    html = admin.get(reverse(LIST), query).text
    links = dict(re.findall(r'<a href="\?([^"]*)">(Ended|Expired|All)</a>', html))
    kept = {title: "created_at" in link for link, title in links.items()}
    assert kept == {"All": True, "Ended": False, "Expired": False}
    assert all("q=ali" in link for link in links)


def test_what_was_ended_says_when_it_was(admin, session):
    """When it would have expired is of no interest any more."""
    end(session, revoked_at=timezone.now() - timedelta(days=2), revoke_reason="user")
    page = admin.get(reverse(LIST), {"status": "ended"}).text
    assert "field-revoked" in page
    assert "field-expires" not in page
    assert "field-revoked" not in admin.get(reverse(LIST)).text


def test_what_ended_last_stands_first(admin, session):
    """Whenever it was last seen."""
    ended = SessionFactory.create_batch(3)
    for n, over in enumerate(ended):
        when = timezone.now() - n * DAY
        seen = timezone.now() - 9 * DAY + n * DAY
        end(over, revoked_at=when, revoke_reason="user", last_seen_at=seen)
    for query in ({"status": "ended"}, {"status": "user"}):
        assert listed(admin, **query) == ended


@pytest.mark.parametrize(
    ("query", "long", "short"),
    [
        ({}, ["Signed in", "Expires"], "Expires"),
        ({"status": "all"}, ["Signed in"], "Expires"),
        ({"status": "ended"}, ["Ended"], "Ended"),
        ({"status": "user"}, ["Ended"], "Ended"),
        ({"status": "expired"}, ["Expires"], "Expires"),
        ({"created_at__gte": "2020-01-01 00:00Z"}, ["Signed in"], "Expires"),
        ({"q": "ali"}, ["Signed in"], "Expires"),
        ({"status": "ended", "q": "ali"}, ["Signed in"], "Ended"),
    ],
    ids=str,
)
def test_only_columns_that_sort_the_list_can_be_clicked(
    admin, user, monkeypatch, query, long, short
):
    """A click on another heading of a long list would change nothing; a short one has them all."""
    for _, fields in STATUSES * 2:
        end(SessionFactory(user=user), **fields)

    def headings():
        html = admin.get(reverse(LIST), query).text
        return re.findall(r'<div class="text"><a [^>]*>([^<]+)</a>', html)

    assert headings() == ["Last seen", "Signed in", short]
    monkeypatch.setattr(listing, "REACH", 1)
    assert headings() == long


def test_the_list_is_narrowed_to_a_person(admin, session):
    """By the links of their page; the filter names them."""
    SessionFactory()
    query = {"user__exact": session.user.pk}
    assert listed(admin, **query) == [session]
    assert "By user" in re.sub(r"\s+", " ", admin.get(reverse(LIST), query).text)
    for nobody in ("x", ""):
        assert admin.get(reverse(LIST), {"user__exact": nobody}).url.endswith("?e=1")


def test_the_list_of_a_person_who_is_gone_is_empty(admin, session):
    """A link may be older than that: it leads to nobody else's, least of all to revoke them."""
    gone = UserFactory()
    query = {"status": "all", "user__exact": gone.pk}
    gone.delete()
    assert listed(admin, **query) == []
    data = {"action": "revoke", "select_across": "1", "_selected_action": [session.pk]}
    admin.post(reverse(LIST, query=query), data)
    session.refresh_from_db()
    assert session.active


@pytest.mark.parametrize(
    ("order", "short", "long"),
    [
        ("", "-created_at", "-created_at"),
        ("4", "last_seen_at", "-created_at"),
        ("-4", "-last_seen_at", "-created_at"),
        ("5", "created_at", "-created_at"),
        ("6", "expires_at", "expires_at"),
        ("-6", "-expires_at", "-expires_at"),
        ("99", "-created_at", "-created_at"),
    ],
)
@pytest.mark.parametrize("reach", [1000, 3])
def test_a_long_list_is_sorted_by_what_has_an_index(
    admin, session, monkeypatch, order, short, long, reach
):
    """The newest first: the oldest have ended, and whoever looks for others waded through them."""
    own_session(admin)
    monkeypatch.setattr(listing, "REACH", reach)
    now = timezone.now()
    for n in (1, 2, 3):
        times = {"created_at": now - n * DAY, "last_seen_at": now - (n * 5 % 7) * DAY}
        end(SessionFactory(), expires_at=now + n * DAY, **times)
    query = {"o": order} if order else {}
    first = short if reach > 5 else long
    assert listed(admin, **query) == list(AuthSession.objects.active().order_by(first))
    html = admin.get(reverse(LIST), query).text
    arrows = re.findall(r'class="toggle (\w+)"', html)
    assert arrows == ["descending" if first.startswith("-") else "ascending"]


@pytest.mark.parametrize("status", ["ended", "expired", "all"])
def test_what_was_found_is_sorted_by_when_it_was_last_seen(admin, user, status):
    """A person's sessions, or those at an address: there are few enough."""
    fields, now = dict(STATUSES).get("user" if status == "ended" else status, {}), timezone.now()
    sessions = SessionFactory.create_batch(3, user=user)
    for session, hours in zip(sessions, (2, 3, 1), strict=True):
        end(session, **fields, last_seen_at=now - timedelta(hours=hours))
    query = {"status": status, "q": user.get_username(), "o": "-4"}
    assert listed(admin, **query) == [sessions[2], sessions[0], sessions[1]]


def test_what_expired_last_stands_first(admin, session):
    """When they were last seen would have the active ones stand before them."""
    ended = [SessionFactory() for _ in range(3)]
    for n, late in enumerate(ended):
        end(late, expires_at=timezone.now() - DAY * (n + 1), last_seen_at=timezone.now() + DAY * n)
    assert listed(admin, status="expired") == ended


@pytest.mark.parametrize(
    ("term", "found"),
    [
        *((term, True) for term in ("ali", " alice ", "192.0.2.7", "192.0.2.", "192.0.")),
        *((term, False) for term in ("lice", "192.0.2", "192.", "192.0.3.", "192.0.2.7.")),
    ],
)
def test_people_and_addresses_are_found(admin, session, term, found):
    """A name by its beginning, an address by whole groups: that is what an index can do."""
    SessionFactory(request=RequestFactory().get("/", REMOTE_ADDR="198.51.100.8"))
    assert listed(admin, q=term) == [session] * found


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("2001:db8:85a3:", True),
        ("2001:DB8:", True),
        ("2001:db8:85a4:", False),
        ("2001:db8:85a", False),
        ("fffff:db8:", False),
        ("2001::", False),
    ],
)
def test_the_beginning_of_a_longer_address_is_found(admin, session, term, found):
    """Whole groups, in whichever case."""
    end(session, ip_address="2001:db8:85a3:8d3:1319:8a2e:370:7348")
    assert listed(admin, q=term) == [session] * found


def test_a_network_of_many_sessions_is_searched_as_a_range(admin, session, monkeypatch):
    """They are too many to be named one by one."""
    monkeypatch.setattr(searching, "FEW", 0)
    assert listed(admin, q="192.0.2.") == [session]


def test_who_finds_nothing_is_told_where_else_to_look(admin, session):
    """Ended ones are hidden; by e-mail, people are found among the users."""
    end(session, revoked_at=timezone.now(), revoke_reason="user")
    html = admin.get(reverse(LIST), {"q": "ali"}).text
    assert "Sessions that have ended are hidden:" in html
    assert re.search(r'href="\?q=ali&amp;status=all">look among all</a>', html)
    has_people = django_admin.site.is_registered(get_user_model())
    assert ('?q=ali">search them for “ali”</a>' in html) is has_people
    everywhere = admin.get(reverse(LIST), {"q": "nobody", "status": "all"}).text
    assert ["are hidden" in everywhere, "Nothing is listed" in everywhere] == [False, True]


def test_who_may_not_see_people_is_not_sent_there(session):
    """Nor where the site's list of people can't be searched, or there is none."""
    html = clerk("view_authsession").get(reverse(LIST), {"q": "nobody"}).text
    assert ["Nothing is listed" in html, "among the users" in html] == [True, False]


def test_the_search_says_what_it_takes(admin):
    """The user model's own name for a name."""
    model = get_user_model()
    name = model._meta.get_field(model.USERNAME_FIELD).verbose_name
    help_text = f"The beginning of the {name} (as it is written), or of an IP address: 203.0.113."
    assert help_text in admin.get(reverse(LIST)).text


def test_a_username_that_is_no_text_is_found_as_a_whole(admin, session, monkeypatch):
    """People may sign in with a number; what is none is not found."""
    monkeypatch.setattr(searching, "username_field", lambda: get_user_model()._meta.pk)
    assert listed(admin, q=str(session.user.pk)) == [session]
    assert listed(admin, q="x") == []


@pytest.mark.parametrize("field", ["ip_address", "revoke_reason", "user__email"])
def test_an_address_filters_by_nothing_that_no_link_does(admin, session, field):
    """Nor would an index serve it."""
    assert admin.get(reverse(LIST), {f"{field}__startswith": "a"}).status_code == 400


@pytest.mark.parametrize("field", ["token_hash", "auth_hash", "adopted_from", "user__password"])
def test_no_hash_can_be_guessed_by_filtering(admin, session, field):
    """Whoever asks often enough how it begins has read it."""
    assert admin.get(reverse(LIST), {f"{field}__startswith": "a"}).status_code == 400


def test_the_list_needs_as_many_queries_for_two_rows_as_for_two_thousand(
    admin, session, django_assert_max_num_queries
):
    """The users are joined, and the picture counts."""
    admin.get(reverse(LIST))
    with django_assert_max_num_queries(50) as few:
        admin.get(reverse(LIST))
    rows = [AuthSession.objects.get(pk=session.pk) for _ in range(2000)]
    for n, row in enumerate(rows):
        row.pk, row.token_hash = None, str(n)
        row.id = AuthSession._meta.pk.default()
    AuthSession.objects.bulk_create(rows)
    with django_assert_max_num_queries(len(few)):
        page = admin.get(reverse(LIST))
    assert len(page.context["cl"].result_list) == 100
    assert "There are more." in page.text


def test_nothing_counts_the_whole_table(admin, session, django_assert_max_num_queries):
    """Neither the pages nor the filters."""
    assert "Show counts" not in admin.get(reverse(LIST)).text
    with django_assert_max_num_queries(50) as made:
        admin.get(reverse(LIST), {"_facets": "True"})
    counts = [query["sql"] for query in made.captured_queries if "COUNT" in query["sql"]]
    assert [sql for sql in counts if "LIMIT" not in sql and not is_picture(sql)] == []


def is_picture(sql):
    """Whether it counts a few days, by their indexes."""
    return re.search(r"AS .part.", sql)


@pytest.mark.parametrize(("reach", "cut"), [(2, True), (3, False)], ids=["cut", "whole"])
def test_the_list_leads_to_so_many_and_no_more(admin, session, monkeypatch, reach, cut):
    """It says so, and does not offer to select what it did not count."""
    SessionFactory()
    own_session(admin)
    monkeypatch.setattr(listing, "REACH", reach)
    monkeypatch.setattr(AuthSessionAdmin, "list_per_page", 1)
    page = admin.get(reverse(LIST))
    assert page.context["cl"].result_count == reach
    assert ("There are more." in page.text) is cut
    assert ('class="question' in page.text) is not cut
    assert "0 of 1 selected" in page.text


# The detail


def test_the_detail_page_can_be_read_and_not_written(admin, session, user):
    """An editable user would be an account hand-over."""
    html = admin.get(detail(session)).text
    for shown in (user.get_username(), FIREFOX, "192.0.2.7", "ModelBackend"):
        assert shown in html
    fields = re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', html)
    assert set(fields) <= {"csrfmiddlewaretoken", "next", "_selected_action"}
    other = UserFactory()
    assert admin.post(detail(session), {"user": other.pk}).status_code == 403
    assert AuthSession.objects.get(pk=session.pk).user == user


def test_no_session_can_be_added(admin):
    """A session starts by signing in."""
    assert admin.get(reverse("admin:tokenauth_authsession_add")).status_code == 403
    assert reverse("admin:tokenauth_authsession_add") not in admin.get(reverse(LIST)).text


def test_no_page_tells_a_token_or_a_hash(admin, session):
    """Not the list, not the detail, not the deletion, not the answer to the action."""
    access = tokens.issue_access_token(session)[0].reveal()
    secrets = [
        access,
        tokens.remake_refresh_token(session).reveal(),
        session.token_hash,
        session.auth_hash,
    ]
    pages = [admin.get(url) for url in (reverse(LIST), detail(session))]
    pages.append(revoke(admin, session))
    pages.append(admin.get(reverse(LIST), {"o": "1.2", "all": ""}))
    for page in pages:
        assert page.status_code == 200
        assert [secret for secret in secrets if secret in page.text] == []


# Revoke


def test_revoking_takes_effect_on_the_very_next_request(admin, user):
    """The browser that had the session lands on the login page."""
    browser = browser_of(user)
    assert browser.get("/private/").status_code == 200
    session = AuthSession.objects.get(user=user)
    assert "1 session was revoked." in revoke(admin, session).text
    assert browser.get("/private/").status_code == 302
    session.refresh_from_db()
    assert session.revoke_reason == RevokeReason.ADMIN


def test_several_sessions_are_revoked_and_counted(admin, session):
    """Those that had ended already are not counted, nor is anyone else's touched."""
    others = SessionFactory.create_batch(3)
    end(others[0], revoked_at=timezone.now(), revoke_reason="user")
    page = revoke(admin, session, *others[:2])
    assert "2 sessions were revoked." in page.text
    assert AuthSession.objects.filter(pk=others[2].pk).active().exists()
    assert AuthSession.objects.get(pk=others[0].pk).revoke_reason == "user"


def test_all_sessions_of_the_list_can_be_revoked(admin, staff, session):
    """Also those on further pages, and the list's joins and order do not get in the way."""
    SessionFactory.create_batch(3)
    data = {"action": "revoke", "select_across": "1", "_selected_action": [session.pk]}
    data |= {"confirmed": "yes"}
    admin.post(f"{reverse(LIST)}?o=1.2&status=active", data)
    assert set(AuthSession.objects.active()) == set(AuthSession.objects.filter(user=staff))


def test_each_session_that_was_revoked_is_logged(admin, session):
    """By whom, in the history of each; not those that had ended before."""
    over, more = SessionFactory(), SessionFactory()
    end(over, revoked_at=timezone.now() - DAY, revoke_reason="user")
    revoke(admin, session, over, more)
    assert logged(session) == logged(more) == ["Revoked."]
    assert logged(over) == []
    assert LogEntry.objects.get(object_id=session.pk).user.is_superuser


def test_nobody_is_credited_with_what_a_colleague_revoked(admin, session):
    """Not even in the same microsecond."""
    own_session(admin)
    with time_machine.travel(timezone.now(), tick=False):
        AuthSession.objects.filter(pk=SessionFactory().pk).revoke(RevokeReason.ADMIN)
        assert "1 session was revoked." in revoke(admin, session).text
    assert LogEntry.objects.count() == 1


def test_what_ended_before_is_not_revoked_again(admin, session):
    """Nor logged, nor counted."""
    end(session, revoked_at=timezone.now(), revoke_reason="user")
    data = {"action": "revoke", "_selected_action": [session.pk]}
    page = admin.post(f"{reverse(LIST)}?status=user", data, follow=True)
    assert "0 sessions were revoked." in page.text
    assert logged(session) == []


def test_more_than_the_list_leads_to_is_not_revoked(admin, session, monkeypatch):
    """The shell can; a web page would take too long, and promised less."""
    SessionFactory()
    monkeypatch.setattr(listing, "REACH", 1)
    page = revoke(admin, session, select_across="1")
    assert "More than 1 sessions are selected: nothing was revoked." in page.text
    assert AuthSession.objects.get(pk=session.pk).active


def test_several_are_ended_only_after_a_question_that_names_them(admin, session):
    """How many, and whose; who goes back has ended nothing."""
    ended, other = SessionFactory(), SessionFactory()
    end(ended, revoked_at=timezone.now(), revoke_reason="user")
    chosen = {"action": "revoke", "_selected_action": [session.pk, other.pk, ended.pk]}
    asked = admin.post(reverse(LIST), chosen).text
    assert "2 active sessions will end at once." in asked
    assert "You will be signed out." not in asked
    names = re.findall(r"<li>([^<]+)</li>", asked)
    people = [s.user.get_username() for s in (session, other)]
    assert sorted(names) == sorted(
        [f"{people[0]}, Firefox on Linux", f"{people[1]}, Unknown device"]
    )
    assert AuthSession.objects.get(pk=session.pk).active


def test_of_many_the_question_names_the_people(admin, session):
    """With how many each has, the most first, and no longer than a page."""
    busy = UserFactory()
    mine = SessionFactory.create_batch(3, user=busy)
    sessions = [session, *mine, *SessionFactory.create_batch(NAMED)]
    chosen = {"action": "revoke", "_selected_action": [s.pk for s in sessions]}
    asked = admin.post(reverse(LIST), chosen).text
    names = re.findall(r"<li>([^<]+)</li>", asked)
    assert names[0] == f"{busy.get_username()}: 3"
    assert (len(names), names[-1]) == (NAMED + 1, "2 more people")


def test_as_many_people_as_the_question_names_leave_out_none(admin, session):
    """It says "more" only of somebody."""
    sessions = [session, *SessionFactory.create_batch(NAMED, user=session.user)]
    chosen = {"action": "revoke", "_selected_action": [s.pk for s in sessions]}
    asked = admin.post(reverse(LIST), chosen).text
    assert re.findall(r"<li>([^<]+)</li>", asked) == [f"{session.user.get_username()}: 11"]


def test_revoking_ones_own_session_warns_first(admin, session):
    """The list asks; who says yes is out on the next click."""
    own = own_session(admin)
    asked = admin.post(
        reverse(LIST), {"action": "revoke", "_selected_action": [own.pk, session.pk]}
    )
    assert "2 active sessions will end at once." in asked.text
    assert "The session by which you are signed in is among them." in asked.text
    assert "You will be signed out." in asked.text
    assert set(AuthSession.objects.active()) == {own, session}
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', asked.text)
    answer = {"_selected_action": [v for n, v in fields if n == "_selected_action"]}
    admin.post(reverse(LIST), dict(fields) | answer)
    assert not AuthSession.objects.active().exists()
    assert "/login/" in admin.get(reverse(LIST)).url


@pytest.mark.parametrize("permitted", [True, False], ids=["permitted", "not-permitted"])
def test_revoking_has_a_permission_of_its_own(session, permitted):
    """Who may look may not yet end; who may is offered it."""
    browser = clerk("view_authsession", *(["revoke_authsession"] if permitted else []))
    assert ("Revoke selected" in browser.get(reverse(LIST)).text) is permitted
    revoke(browser, session)
    assert AuthSession.objects.get(pk=session.pk).active is not permitted


def revoke_url(session):
    return reverse("admin:tokenauth_authsession_revoke", args=[session.pk])


def test_the_detail_page_has_a_button_that_revokes(admin, session):
    """One click, logged, and the page says what became of it."""
    assert f'formaction="{revoke_url(session)}"' in admin.get(detail(session)).text
    page = admin.post(revoke_url(session), follow=True)
    assert page.redirect_chain == [(detail(session), 302)]
    assert "1 session was revoked." in page.text
    assert "ended by staff" in page.text
    assert "formaction" not in page.text
    assert logged(session) == ["Revoked."]


@pytest.mark.skipif(
    not hasattr(django_admin, "ActionLocation"), reason="came with Django 6.1, beside our button"
)
def test_django_offers_the_action_on_the_page_too(admin, session):
    """It ends that session, and asks before it ends one's own."""
    chosen = {"CHANGE_FORM-action": "revoke", "_selected_action": session.pk}
    page = admin.post(detail(session), chosen, follow=True)
    assert "1 session was revoked." in page.text
    own = own_session(admin)
    asked = admin.post(detail(own), chosen | {"_selected_action": own.pk}).text
    assert "You will be signed out." in asked
    assert AuthSession.objects.get(pk=own.pk).active
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', asked))
    admin.post(detail(own), fields)
    assert AuthSession.objects.get(pk=own.pk).revoke_reason == "admin"


def test_the_button_warns_before_it_ends_ones_own_session(admin):
    """It asks once."""
    own = own_session(admin)
    assert "active (this session)" in admin.get(detail(own)).text
    asked = admin.post(revoke_url(own)).text
    assert "This is the session by which you are signed in." in asked
    assert "You will be signed out." in asked
    assert AuthSession.objects.get(pk=own.pk).active
    admin.post(revoke_url(own), {"confirmed": "yes"})
    assert AuthSession.objects.get(pk=own.pk).revoke_reason == "admin"


@pytest.mark.parametrize(
    "codenames", [(), ("view_authsession",), ("revoke_authsession",)], ids=["none", "view", "end"]
)
def test_only_who_may_see_and_revoke_has_the_button(session, codenames):
    """Neither permission is enough alone."""
    browser = clerk(*codenames)
    assert "formaction" not in browser.get(detail(session)).text
    assert browser.post(revoke_url(session)).status_code == 403
    assert AuthSession.objects.get(pk=session.pk).active


def test_the_button_takes_a_post_of_this_site(staff, session):
    """A link revokes nothing, nor does another site's form, nor what is not there."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(staff)
    assert browser.get(revoke_url(session)).url == detail(session)
    assert browser.post(revoke_url(session)).status_code == 403
    assert AuthSession.objects.get(pk=session.pk).active
    gone = revoke_url(AuthSession(pk=AuthSession._meta.pk.default()))
    assert browser_of(staff).post(gone).status_code == 404


def test_revoking_stands_outside_transactions(session):
    """ATOMIC_REQUESTS would keep a lost statement from being repeated."""
    for url in (reverse(LIST), revoke_url(session)):
        assert resolve(url).func._non_atomic_requests == {"default"}


def test_no_bulk_deletion_is_offered(admin, session):
    """Deleting ends sessions without a trace."""
    assert "delete_selected" not in admin.get(reverse(LIST)).text
    data = {"action": "delete_selected", "_selected_action": [session.pk], "post": "yes"}
    admin.post(reverse(LIST), data)
    assert AuthSession.objects.filter(pk=session.pk).exists()


# Who may


def test_staff_without_our_permissions_see_nothing(session):
    """Other staff, and people who are no staff, get no list, no detail, no action."""
    for browser, status in [(clerk(), 403), (browser_of(UserFactory()), 302)]:
        for url in (reverse(LIST), detail(session)):
            assert browser.get(url).status_code == status
        revoke(browser, session)
    assert AuthSession.objects.get(pk=session.pk).active


def user_url(page, user):
    return reverse(f"admin:{user._meta.app_label}_{user._meta.model_name}_{page}", args=[user.pk])


@pytest.mark.skipif(
    settings.AUTH_USER_MODEL != "auth.User", reason="the tests' own user model has no admin page"
)
def test_staff_without_our_permissions_can_delete_a_user(session, user):
    """Their sessions go with them (simplejwt #266)."""
    model = user._meta.model_name
    browser = clerk(f"delete_{model}", f"view_{model}")
    page = browser.post(user_url("delete", user), {"post": "yes"}, follow=True)
    assert page.status_code == 200
    assert not type(user).objects.filter(pk=user.pk).exists()
    assert not AuthSession.objects.filter(pk=session.pk).exists()


def test_nobody_deletes_a_session(admin, session, user):
    """It would end without a trace: who may delete people may not, nor may who may do all."""
    browser = clerk(f"delete_{user._meta.model_name}", "view_authsession")
    url = reverse("admin:tokenauth_authsession_delete", args=[session.pk])
    for client in (browser, admin):
        assert client.post(url, {"post": "yes"}).status_code == 403
        assert "Delete" not in client.get(detail(session)).text
    assert AuthSession.objects.filter(pk=session.pk).exists()


# A person's page

own_admin = pytest.mark.urls(__name__)


def page_of(person, page="change", site="own"):
    opts = person._meta
    name = f"admin:{opts.app_label}_{opts.model_name}_{page}"
    return reverse(name, args=[person.pk], current_app=site)


@own_admin
def test_a_persons_page_shows_their_newest_sessions(admin, user):
    """So many and no more, and where the others are."""
    for n in range(NEWEST + 2):
        end(
            SessionFactory(user=user),
            ip_address=f"192.0.2.{n}",
            last_seen_at=timezone.now() - n * DAY,
        )
    SessionFactory(request=RequestFactory().get("/", REMOTE_ADDR="198.51.100.9"))
    html = admin.get(page_of(user)).text
    shown = set(re.findall(r"192\.0\.2\.\d+|198\.51\.100\.9", html))
    assert shown == {f"192.0.2.{n}" for n in range(NEWEST)}
    every = reverse(LIST, current_app="own")
    assert f'href="{every}?status=all&amp;user__exact={user.pk}"' in html


@own_admin
def test_a_persons_page_tells_what_became_of_each_session(admin, session, user):
    """Device, and status with its reason."""
    for _, fields in STATUSES[1:3]:
        end(SessionFactory(user=user), **fields)
    html = admin.get(page_of(user)).text
    assert "Firefox on Linux" in html
    for status in ("active", "expired", "signed out"):
        assert re.search(f"<td[^>]*>{status}</td>", html)


@own_admin
def test_a_persons_page_without_sessions_says_so(admin, user):
    """And the page of nobody yet has none."""
    assert "0 active sessions" in admin.get(page_of(user)).text
    opts = user._meta
    add = reverse(f"admin:{opts.app_label}_{opts.model_name}_add", current_app="own")
    assert "Sign out everywhere" not in admin.get(add).text


@own_admin
def test_a_person_can_be_saved_while_their_sessions_end(admin, session, user):
    """What is for the eye only has nothing to say when the form comes back."""
    assert "auth_sessions" not in admin.get(page_of(user)).text
    session.delete()
    answer = admin.post(page_of(user), {"is_staff": "on"})
    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.is_staff


@own_admin
def test_a_person_is_signed_out_everywhere(admin, session, user):
    """Asked first; then at once, and logged with the person and each session."""
    others = [SessionFactory(user=user), SessionFactory()]
    assert page_of(user, "sign_out") in admin.get(page_of(user)).text
    asked = admin.get(page_of(user, "sign_out"))
    assert user.get_username() in asked.text
    assert "You will be signed out." not in asked.text
    assert AuthSession.objects.get(pk=session.pk).active
    page = admin.post(page_of(user, "sign_out"), follow=True)
    assert page.redirect_chain == [(page_of(user), 302)]
    assert "2 sessions were revoked." in page.text
    assert not AuthSession.objects.active().filter(user=user).exists()
    assert AuthSession.objects.get(pk=others[1].pk).active
    assert logged(session) == logged(others[0]) == ["Revoked."]
    assert logged(user) == ["Signed out everywhere."]


@own_admin
def test_signing_oneself_out_everywhere_warns(admin, staff):
    """Everywhere is here, too."""
    own_session(admin)
    assert "You will be signed out." in admin.get(page_of(staff, "sign_out")).text
    admin.post(page_of(staff, "sign_out"), {"confirmed": "yes"})
    assert "/login/" in admin.get(page_of(staff)).url


@own_admin
@pytest.mark.parametrize(
    ("ours", "inline", "button"),
    [
        ([], False, False),
        (["view_authsession"], True, False),
        (["revoke_authsession"], False, False),
        (["view_authsession", "revoke_authsession"], True, True),
    ],
    ids=["neither", "view", "revoke", "both"],
)
def test_a_persons_sessions_are_for_who_may_see_them(session, user, ours, inline, button):
    """Who may only look at people sees none, and ends none."""
    browser = clerk(f"view_{user._meta.model_name}", *ours)
    html = browser.get(page_of(user)).text
    assert ("Firefox on Linux" in html) is inline
    assert ("Sign out everywhere" in html) is button
    status = browser.get(page_of(user, "sign_out")).status_code
    assert status == (200 if "revoke_authsession" in ours else 403)


@own_admin
def test_who_may_not_see_people_signs_none_out(session, user):
    """However much they may revoke; and nobody signs out who is not there."""
    browser = clerk("view_authsession", "revoke_authsession")
    assert browser.post(page_of(user, "sign_out")).status_code == 403
    assert AuthSession.objects.get(pk=session.pk).active


@own_admin
def test_nobody_is_signed_out_who_is_not_there(admin):
    """Deleted meanwhile."""
    gone = UserFactory()
    url = page_of(gone, "sign_out")
    gone.delete()
    assert admin.post(url).status_code == 404


@own_admin
def test_a_persons_page_tells_no_token_or_hash(admin, session, user):
    """As all the others."""
    access = tokens.issue_access_token(session)[0].reveal()
    secrets = [
        access,
        tokens.remake_refresh_token(session).reveal(),
        session.token_hash,
        session.auth_hash,
    ]
    for page in ("change", "sign_out"):
        text = admin.get(page_of(user, page)).text
        assert [secret for secret in secrets if secret in text] == []


stock_users = pytest.mark.skipif(
    settings.AUTH_USER_MODEL != "auth.User", reason="Django's user admin is for Django's user model"
)


@stock_users
def test_djangos_own_user_admin_has_the_sessions(admin, session, user):
    """Without a line in the site's code."""
    assert "Firefox on Linux" in admin.get(page_of(user, site="admin")).text


@stock_users
def test_what_a_site_registered_stays_the_sites():
    """Ours takes the place of Django's own class, and of no other; in whatever order."""

    class SiteUserAdmin(UserAdmin):
        pass

    for registered, expected in [
        (UserAdmin, SessionsUserAdmin),
        (SiteUserAdmin, SiteUserAdmin),
        (SessionsUserAdmin, SessionsUserAdmin),
    ]:
        site = django_admin.AdminSite()
        extend_default_user_admin(site)
        assert not site.is_registered(User)
        site.register(User, registered)
        extend_default_user_admin(site)
        assert type(site.get_model_admin(User)) is expected
        site.unregister(User)  # as sites do before they register their own
        site.register(User, SiteUserAdmin)
