"""The admin: staff see every session and end any of them; nobody reads a token there."""

import re

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from tests.factories import SessionFactory, UserFactory
from tokenauth import tokens
from tokenauth.models import AuthSession
from tokenauth.sessions import RevokeReason

pytestmark = [pytest.mark.django_db, pytest.mark.users]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
LIST = "admin:tokenauth_authsession_changelist"


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


def revoke(client, *sessions):
    """Choose "Revoke selected sessions" in the list."""
    data = {"action": "revoke", "_selected_action": [session.pk for session in sessions]}
    return client.post(reverse(LIST), data, follow=True)


def end(session, **fields):
    AuthSession.objects.filter(pk=session.pk).update(**fields)


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
    assert f'<td class="field-state">{state}</td>' in admin.get(reverse(LIST)).text


def test_an_unknown_device_is_shown_as_it_called_itself(admin, user):
    """Better a raw name than an empty cell."""
    request = RequestFactory().get("/", HTTP_USER_AGENT="toaster <b>")
    SessionFactory(user=user, request=request)
    assert "toaster &lt;b&gt;" in admin.get(reverse(LIST)).text


def test_the_list_needs_as_many_queries_for_two_rows_as_for_twenty(
    admin, session, django_assert_max_num_queries
):
    """The users are joined."""
    admin.get(reverse(LIST))
    with django_assert_max_num_queries(50) as few:
        admin.get(reverse(LIST))
    SessionFactory.create_batch(18)
    with django_assert_max_num_queries(len(few)):
        admin.get(reverse(LIST))


def test_the_detail_page_can_be_read_and_not_written(admin, session, user):
    """An editable user would be an account hand-over."""
    html = admin.get(detail(session)).text
    for shown in (user.get_username(), FIREFOX, "192.0.2.7", "ModelBackend"):
        assert shown in html
    fields = re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', html)
    assert set(fields) <= {"csrfmiddlewaretoken", "next"}
    other = UserFactory()
    assert admin.post(detail(session), {"user": other.pk}).status_code == 403
    assert AuthSession.objects.get(pk=session.pk).user == user


def test_no_session_can_be_added(admin):
    """A session starts by signing in."""
    assert admin.get(reverse("admin:tokenauth_authsession_add")).status_code == 403
    assert reverse("admin:tokenauth_authsession_add") not in admin.get(reverse(LIST)).text


def test_no_page_tells_a_token_or_a_hash(admin, session):
    """Not the list, not the detail, not the deletion, not the answer to the action."""
    access, _ = tokens.issue_access_token(session)
    secrets = [access, tokens.remake_refresh_token(session), session.token_hash, session.auth_hash]
    delete = reverse("admin:tokenauth_authsession_delete", args=[session.pk])
    pages = [admin.get(url) for url in (reverse(LIST), detail(session), delete)]
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
    admin.post(f"{reverse(LIST)}?o=1.2&revoke_reason__exact=", data)
    assert set(AuthSession.objects.active()) == set(AuthSession.objects.filter(user=staff))


@pytest.mark.parametrize("permitted", [True, False], ids=["permitted", "not-permitted"])
def test_revoking_has_a_permission_of_its_own(session, permitted):
    """Who may look may not yet end; who may is offered it."""
    browser = clerk("view_authsession", *(["revoke_authsession"] if permitted else []))
    assert ("Revoke selected" in browser.get(reverse(LIST)).text) is permitted
    revoke(browser, session)
    assert AuthSession.objects.get(pk=session.pk).active is not permitted


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


def test_who_may_only_delete_users_may_not_delete_a_session(session, user):
    """A deletion leaves no trace: it has a permission of its own."""
    browser = clerk(f"delete_{user._meta.model_name}", "view_authsession")
    url = reverse("admin:tokenauth_authsession_delete", args=[session.pk])
    assert browser.post(url, {"post": "yes"}).status_code == 403
    assert AuthSession.objects.filter(pk=session.pk).exists()
