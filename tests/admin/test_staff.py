"""Staff of every kind in the admin, and what a hostile browser or a careless click can do there."""

import re

import pytest
from django.conf import settings as django_settings
from django.contrib import admin as django_admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, Permission
from django.contrib.messages import get_messages
from django.test import Client, RequestFactory
from django.urls import include, path, reverse
from django.utils.html import escape

from tests.factories import SessionFactory, UserFactory
from tokenauth.admin import AuthSessionAdmin, AuthSessionsUserAdminMixin, listing
from tokenauth.admin.staff import show_to
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        django_settings.AUTH_USER_MODEL != "auth.User", reason="the admin of Django's own user"
    ),
]

LIST = "admin:tokenauth_authsession_changelist"
NASTY = '"><script>alert(1)</script>'

NAME = get_user_model().USERNAME_FIELD
#: The only admin of a site: under another name, in another place, with people of its own kind.
the_site = django_admin.AdminSite(name="back_office")


class PeopleAdmin(AuthSessionsUserAdminMixin, UserAdmin):
    """A site's own user admin, with everything that it may bring along."""

    inlines = ()
    fieldsets = ((None, {"fields": (NAME, "is_active")}),)
    list_display = ordering = search_fields = readonly_fields = (NAME,)
    list_filter = filter_horizontal = ()
    change_form_template = "admin/change_form.html"

    def get_queryset(self, request):
        """Show nobody whose name says so."""
        return super().get_queryset(request).exclude(**{f"{NAME}__startswith": "hidden"})


the_site.register(get_user_model(), PeopleAdmin)
the_site.register(AuthSession, AuthSessionAdmin)
without_sessions = django_admin.AdminSite(name="reception")
without_sessions.register(get_user_model(), PeopleAdmin)
urlpatterns = [
    path("staff/only/", the_site.urls),
    path("desk/", without_sessions.urls),
    path("auth/", include("tokenauth.urls")),
]
own_site = pytest.mark.urls(__name__)


@pytest.fixture
def session(user):
    """A person's session."""
    return SessionFactory(user=user)


@pytest.fixture
def admin(staff):
    """The browser of somebody who may do everything."""
    return browser_of(staff)


def browser_of(person, **options):
    client = Client(headers={"user-agent": "the admin's own browser"}, **options)
    client.force_login(person)
    return client


def clerk(*codenames):
    """The browser of somebody on the staff with these permissions alone."""
    person = UserFactory(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return browser_of(person)


def page(name, *objects, site="admin"):
    """The address of a page of the admin."""
    return reverse(f"admin:{name}", args=[o.pk for o in objects], current_app=site)


def living():
    """The sessions that are active, without those of the browsers that look."""
    return set(AuthSession.objects.active().exclude(user_agent="the admin's own browser"))


# Which staff may do what


def test_who_may_only_look_is_offered_nothing_to_do(session, user):
    """No action, no box to tick, no button; not on the person's page either."""
    browser = clerk("view_authsession", "view_user")
    pages = [
        browser.get(page("tokenauth_authsession_changelist")).text,
        browser.get(page("tokenauth_authsession_change", session)).text,
        browser.get(page("auth_user_change", user)).text,
    ]
    for html in pages:
        assert not re.search("Revoke|revoke/", html.replace("<label>Revoked:", ""))
        assert 'name="action"' not in html
        assert "Sign out everywhere" not in html
        assert "deletelink" not in html


def test_who_may_only_revoke_sees_no_list_and_ends_nothing(session):
    """What one may end, one has to be able to see."""
    browser = clerk("revoke_authsession")
    assert browser.get(reverse(LIST)).status_code == 403
    data = {"action": "revoke", "_selected_action": [session.pk]}
    assert browser.post(reverse(LIST), data).status_code == 403
    assert browser.post(page("tokenauth_authsession_revoke", session)).status_code == 403
    assert living() == {session}


def test_who_may_revoke_and_look_deletes_nothing(session):
    """Revoking leaves a trace; a deletion does not."""
    browser = clerk("revoke_authsession", "view_authsession")
    delete = page("tokenauth_authsession_delete", session)
    assert delete not in browser.get(page("tokenauth_authsession_change", session)).text
    assert browser.post(delete, {"post": "yes"}).status_code == 403
    assert living() == {session}


@pytest.mark.parametrize("way", ["one", "several"])
def test_who_may_delete_people_needs_no_permission_of_ours(session, user, way):
    """By the button of the person's page, or by the action of the list of people."""
    browser = clerk("delete_user", "view_user")
    url, data = page("auth_user_delete", user), {"post": "yes"}
    if way == "several":
        url = page("auth_user_changelist")
        data |= {"action": "delete_selected", "_selected_action": [user.pk]}
    assert browser.post(url, data, follow=True).status_code == 200
    assert not get_user_model().objects.filter(pk=user.pk).exists()
    assert living() == set()


def test_a_session_that_is_gone_is_no_error(admin, session, user):
    """The person was deleted while staff looked at the list."""
    urls = [page(f"tokenauth_authsession_{p}", session) for p in ("change", "history")]
    revoke = page("tokenauth_authsession_revoke", session)
    user.delete()
    for url in urls:
        assert admin.get(url).status_code == 302
    assert admin.post(revoke).status_code == 404
    data = {"action": "revoke", "_selected_action": [session.pk]}
    assert "0 sessions were revoked." in admin.post(reverse(LIST), data, follow=True).text


# Many at once


def test_a_thousand_are_revoked_in_one_go(admin, session, django_assert_max_num_queries):
    """Selected across the pages; each is logged, in a number of queries that does not grow."""
    admin.get(reverse(LIST))
    sessions = copies(session, listing.REACH - 2)
    data = {"action": "revoke", "select_across": "1", "_selected_action": [session.pk]}
    data["confirmed"] = "yes"
    assert "Select all 1000 sessions" in admin.get(reverse(LIST)).text
    with django_assert_max_num_queries(60):
        answer = admin.post(reverse(LIST), data)
    [message] = get_messages(answer.wsgi_request)
    assert str(message) == "1000 sessions were revoked."
    assert not AuthSession.objects.active().exists()
    assert LogEntry.objects.filter(object_id__in=[s.pk for s in sessions]).count() == len(sessions)


def test_more_than_a_thousand_are_refused_as_a_whole(admin, session):
    """Nobody is told that all were ended when some were."""
    copies(session, listing.REACH)
    data = {"action": "revoke", "select_across": "1", "_selected_action": [session.pk]}
    text = admin.post(reverse(LIST), data | {"confirmed": "yes"}, follow=True).text
    assert "More than 1000 sessions are selected: nothing was revoked." in text
    assert "Select all 1" not in text
    assert len(living()) == listing.REACH + 1


def copies(session, count):
    rows = [AuthSession.objects.get(pk=session.pk) for _ in range(count)]
    for n, row in enumerate(rows):
        row.id, row.token_hash = AuthSession._meta.pk.default(), str(n)
    return AuthSession.objects.bulk_create(rows)


def test_all_that_a_search_found_are_revoked_and_no_others(admin, session):
    """Search, filter and "select all" together."""
    SessionFactory(user=UserFactory(username="alicia"))
    other, ended = SessionFactory(), SessionFactory(user=session.user)
    AuthSession.objects.filter(pk=ended.pk).revoke("user")
    data = {"action": "revoke", "select_across": "1", "_selected_action": [session.pk]}
    data["confirmed"] = "yes"
    url = f"{reverse(LIST)}?q=ali&o=6&created_at__gte=2020-01-01+00%3A00%3A00%2B00%3A00"
    assert "2 sessions were revoked." in admin.post(url, data, follow=True).text
    assert living() == {other}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "alice"}, {"active"}),
        ({"q": "alice", "status": "logout"}, {"logout"}),
        ({"q": "alice", "status": "ended", "o": "6"}, {"logout"}),
        ({"q": "ali", "status": "all", "o": "-6"}, {"active", "logout", "alicia's"}),
        ({"q": "192.0.2.9", "status": "all", "o": "5"}, {"alicia's"}),
        ({"q": "alicia", "status": "logout"}, set()),
    ],
)
def test_filters_and_search_narrow_down_together(admin, session, query, found):
    """Whatever the order."""
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.9")
    sessions = {
        "active": session,
        "logout": SessionFactory(user=session.user),
        "alicia's": SessionFactory(user=UserFactory(username="alicia"), request=request),
    }
    AuthSession.objects.filter(pk=sessions["logout"].pk).revoke("logout")
    listed = admin.get(reverse(LIST), query).context["cl"].result_list
    assert {name for name, s in sessions.items() if s in listed} == found
    assert len(listed) == len(found)


# Hostile words and hostile requests


def test_no_page_takes_a_persons_words_for_html(admin):
    """A user agent, a name, and a reason that somebody wrote into the database."""
    person = UserFactory(username=NASTY)
    request = RequestFactory().get("/", HTTP_USER_AGENT=NASTY)
    active, ended = SessionFactory.create_batch(2, user=person, request=request)
    AuthSession.objects.filter(pk=ended.pk).revoke("<b>reason")
    urls = [
        f"{reverse(LIST)}?status=all",
        f"{reverse(LIST)}?status=all&user__exact={person.pk}",
        f"{reverse(LIST)}?q={NASTY}",
        *(page("tokenauth_authsession_change", s) for s in (active, ended)),
        page("auth_user_change", person),
        page("auth_user_sign_out", person),
    ]
    for url in urls:
        html = admin.get(url).text
        assert NASTY not in html, url
        assert "<b>reason" not in html, url
        assert escape(NASTY) in html or "alert(1)" not in html, url


def test_looking_changes_nothing(admin, session, user):
    """Whatever the address says: links, prefetching browsers and crawlers may follow it."""
    admin.get(reverse(LIST))
    before = list(AuthSession.objects.order_by("pk").values())
    words = "action=revoke&confirmed=yes&select_across=1&post=yes"
    urls = [
        reverse(LIST),
        *(page(f"tokenauth_authsession_{p}", session) for p in ("change", "revoke")),
        page("auth_user_sign_out", user),
        page("auth_user_change", user),
    ]
    for url in urls:
        for method in (admin.get, admin.head, admin.options):
            method(f"{url}?{words}&_selected_action={session.pk}")
    assert list(AuthSession.objects.order_by("pk").values()) == before
    assert not LogEntry.objects.exists()


def test_every_change_needs_a_form_of_this_site(staff, session, user):
    """Another site's form ends nothing, signs out nobody and deletes nothing."""
    browser = browser_of(staff, enforce_csrf_checks=True)
    data = {"action": "revoke", "_selected_action": [session.pk], "confirmed": "yes", "post": "yes"}
    urls = [
        reverse(LIST),
        page("tokenauth_authsession_revoke", session),
        page("tokenauth_authsession_delete", session),
        page("auth_user_sign_out", user),
    ]
    for url in urls:
        assert browser.post(url, data).status_code == 403
    assert living() == {session}


@pytest.mark.parametrize(
    "query",
    [
        {"q": "\x00"},
        {"q": "a" * 5000},
        {"user__exact": "99999999999999999999"},
        {"user__exact": "\x00"},
        {"o": "99.-1.x"},
        {"p": "999"},
        {"created_at__gte": "yesterday"},
        {"status": "\x00"},
    ],
    ids=str,
)
def test_no_address_breaks_the_list(admin, session, query):
    """It is shown, or the list as it always is."""
    assert admin.get(reverse(LIST), query, follow=True).status_code == 200


# Other admin sites


@own_site
def test_a_site_whose_admin_has_another_name_works(admin, session, user):
    """Every link stays there."""
    listed = admin.get(page("tokenauth_authsession_changelist", site="back_office"))
    person = page("auth_user_change", user, site="back_office")
    assert f'href="{person}"' in listed.text
    html = admin.get(person).text
    assert page("tokenauth_authsession_change", session, site="back_office") in html
    sign_out = page("auth_user_sign_out", user, site="back_office")
    assert sign_out in html
    assert f'href="{person}"' in admin.get(sign_out).text
    revoke = page("tokenauth_authsession_revoke", session, site="back_office")
    back = page("tokenauth_authsession_change", session, site="back_office")
    assert admin.post(revoke).url == back
    assert admin.post(sign_out).url == person
    assert living() == set()


@own_site
def test_a_site_may_show_people_without_showing_sessions(admin, session, user):
    """Then nothing links to pages that are not there."""
    html = admin.get(page("auth_user_change", user, site="reception")).text
    assert "Unknown device" in html
    assert "All sessions of this user" not in html
    assert "tokenauth/authsession" not in html
    admin.post(page("auth_user_sign_out", user, site="reception"))
    assert living() == set()


@own_site
def test_whom_staff_cannot_see_they_cannot_sign_out(admin):
    """A site's own admin may show each of them some people only."""
    hidden = SessionFactory(user=UserFactory(username="hidden one"))
    url = page("auth_user_sign_out", hidden.user, site="back_office")
    assert admin.get(url).status_code == admin.post(url).status_code == 404
    assert living() == {hidden}


def test_a_person_without_a_simple_key_is_linked(rf, session, staff):
    """Django's admin writes a key such as "a_41" differently into an address."""
    session.user.pk = "a_41"
    session.user = session.user
    request = rf.get("/")
    Credentials(request).attach()
    request.user = staff
    show_to(request, django_admin.site, session)
    assert page_of_text("a_5F41") in AuthSessionAdmin(AuthSession, django_admin.site).person(
        session
    )


def page_of_text(key):
    return reverse("admin:auth_user_change", args=[key])


def test_a_group_is_deleted_as_ever(session):
    """Our rule for deletions gets in nobody's way."""
    browser, group = clerk("delete_group", "view_group"), Group.objects.create(name="g")
    browser.post(page("auth_group_delete", group), {"post": "yes"})
    assert not Group.objects.exists()
    assert living() == {session}
