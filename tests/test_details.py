"""Details of the pages and the admin that only a stranger would try."""

import re
from datetime import timedelta

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django import VERSION
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.auth.views import PasswordChangeView
from django.core import mail
from django.http import HttpResponse, HttpResponseNotModified, HttpResponseRedirect
from django.template import RequestContext, Template
from django.test import AsyncClient, Client, RequestFactory
from django.urls import include, path, reverse
from django.utils import timezone

from tests import urls
from tests.factories import PASSWORD, SessionFactory, StaffFactory, UserFactory
from tokenauth.admin import AuthSessionAdmin, AuthSessionsUserAdminMixin
from tokenauth.models import AuthSession
from tokenauth.views import awhy_signed_out

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
LIST = "/admin/tokenauth/authsession/"


def page(request):
    return HttpResponse("A page.")


def sign_in(client, person):
    data = {"username": person.get_username(), "password": PASSWORD, "remember": "on"}
    assert client.post("/auth/login/", data, secure=True).status_code == 302


def session_of(person, agent=FIREFOX, **columns):
    request = RequestFactory().get("/", HTTP_USER_AGENT=agent, REMOTE_ADDR="192.0.2.7")
    session = SessionFactory(user=person, request=request)
    AuthSession.objects.filter(pk=session.pk).update(**columns)
    return session


def clerk(*codenames):
    """The browser of somebody on the staff with these permissions alone."""
    person = UserFactory(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(person)
    return client


# "Was this you?"


def test_nobody_is_told_that_a_strangers_living_sign_in_has_ended(client):
    """Who opens the e-mail's link while signed in as somebody else must not be reassured."""
    session = session_of(UserFactory(username="alice"))
    sign_in(client, UserFactory(username="bob"))
    url = reverse("tokenauth:session_revoke", args=[session.pk])
    text = client.get(url, secure=True, follow=True).text
    assert AuthSession.objects.active().filter(pk=session.pk).exists()
    assert "has ended already" not in text


class WithPasswordChange:
    """A site that has Django's page for a new password."""

    urlpatterns = [
        *urls.urlpatterns,
        path("new-password/", PasswordChangeView.as_view(), name="password_change"),
    ]


def test_who_is_told_to_change_the_password_at_once_is_led_there(client, user, settings):
    """The advice after "That was not me" stands on a page that links to the page for it."""
    settings.ROOT_URLCONF = WithPasswordChange
    sign_in(client, user)
    session = session_of(user)
    url = reverse("tokenauth:session_revoke", args=[session.pk])
    text = client.post(url, {"unknown": "yes"}, secure=True, follow=True).text
    assert "Change it now" in text
    assert "/new-password/" in text


def test_pressing_the_button_twice_is_no_page_that_was_not_found(client, user):
    """Who is frightened presses twice; the second answer is the one that is shown."""
    sign_in(client, user)
    session = session_of(user)
    url = reverse("tokenauth:session_revoke", args=[session.pk])
    statuses = [client.post(url, {"unknown": "yes"}, secure=True).status_code for _ in range(2)]
    assert statuses == [302, 302]


# The pinned theft


def alarms(client):
    text = client.get("/auth/sessions/", secure=True).text
    return re.findall(r'<section class="tokenauth-theft".*?</section>', text, re.DOTALL)


def test_a_theft_stays_pinned_however_many_sessions_end_after_it(client, user):
    """A script that signs in and out, or the thief himself, pushes it off the list of 20."""
    sign_in(client, user)
    now = timezone.now()
    session_of(user, revoked_at=now - timedelta(hours=2), revoke_reason="reuse")
    for _ in range(20):
        session_of(user, revoked_at=now - timedelta(hours=1), revoke_reason="logout")
    assert len(alarms(client)) == 1


def test_who_has_no_password_is_not_told_to_change_it(client, user):
    """They sign in elsewhere: for a month nothing that they can do takes the alarm away."""
    user.set_unusable_password()
    user.save()
    client.force_login(user)
    session_of(user, revoked_at=timezone.now(), revoke_reason="reuse")
    assert not any("Until you change your password" in alarm for alarm in alarms(client))


# Links to the site's own pages


class OtherHost:
    """The URLconf of another host of the site: it has our pages, but not that for passwords."""

    urlpatterns = [path("auth/", include("tokenauth.urls"))]


class WithNamedPages:
    """ROOT_URLCONF."""

    urlpatterns = [*urls.urlpatterns, path("secret/", page, name="own_password")]


def other_host(get_response):
    """Choose the URLconf by the host, as django-hosts does."""

    def middleware(request):
        if request.get_host().startswith("other."):
            request.urlconf = OtherHost
        return get_response(request)

    return middleware


@pytest.fixture
def two_hosts(settings):
    """A site with a URLconf for each of two hosts."""
    settings.ROOT_URLCONF = WithNamedPages
    settings.MIDDLEWARE = [f"{__name__}.other_host", *settings.MIDDLEWARE]
    settings.TOKENAUTH_PASSWORD_RESET_URL = "own_password"  # the name of a page
    settings.TOKENAUTH_PASSWORD_CHANGE_URL = "own_password"  # the same


@pytest.mark.usefixtures("two_hosts")
def test_a_named_page_for_passwords_is_looked_up_in_root_urlconf(client):
    """As those that are found are, and as the system check does; or the login page is a 500."""
    response = client.get("/auth/login/", secure=True, headers={"host": "other.site.test"})
    assert response.status_code == 200


@pytest.mark.usefixtures("two_hosts")
@pytest.mark.django_db(transaction=True)
def test_a_notice_is_sent_from_a_host_that_lacks_the_named_page(client, settings):
    """Or nobody hears of a new device, nor of a theft: the log alone says so."""
    settings.ALLOWED_HOSTS = ["other.site.test"]
    settings.TOKENAUTH_SEND_NOTICES = True
    if VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    person = UserFactory(email="alice@site.test")
    session_of(person, agent="another")
    mail.outbox.clear()
    data = {"username": person.get_username(), "password": PASSWORD}
    where = {"secure": True, "headers": {"host": "other.site.test", "user-agent": FIREFOX}}
    assert client.post("/auth/login/", data, **where).status_code == 302
    assert len(mail.outbox) == 1


# why_signed_out


async def async_login(request):
    """A login page of the site's own, asynchronous, that asks who is there as one should."""
    request.why_signed_out = await awhy_signed_out(request)
    template = "{% load tokenauth %}{% why_signed_out as why %}{{ why }}|Sign in."
    return HttpResponse(Template(template).render(RequestContext(request)))


class WithAsyncLogin:
    """A site with it."""

    urlpatterns = [path("accounts/login/", async_login), *urls.urlpatterns]


@pytest.mark.django_db(transaction=True)
def test_an_async_login_page_can_tell_why(settings):
    """It works for strangers, and is a 500 for just those who were signed out."""
    settings.ROOT_URLCONF, settings.LOGIN_URL = WithAsyncLogin, "/accounts/login/"
    person = UserFactory(username="alice")
    client = AsyncClient(headers={"x-forwarded-proto": "https"})
    first = Client()
    sign_in(first, person)
    AuthSession.objects.all().revoke("admin")
    client.cookies = first.cookies
    response = async_to_sync(client.get)("/accounts/login/")
    assert "staff of this site ended your session" in response.content.decode()


# Dead cookies on redirects

HOPS = 7


def hop(request, number):
    """A redirect of the site's own: a language, a tenant, a slash, an old address."""
    return HttpResponseRedirect(f"/hop/{number - 1}/") if number else HttpResponse("There.")


class WithHops:
    """A site with a chain of them."""

    urlpatterns = [path("hop/<int:number>/", hop), *urls.urlpatterns]


def bounced(client, url, **kwargs):
    """Follow by hand, with the refresh cookie where its path allows; return the URLs."""
    seen = []
    jar = dict(client.cookies)
    while url is not None and len(seen) < 60:
        seen.append(url)
        under = url.startswith("/auth/")
        pairs = [(n, m.value) for n, m in jar.items() if m.value and (under or "refresh" not in n)]
        cookie = "; ".join(f"{name}={value}" for name, value in pairs)
        response = Client(headers={"cookie": cookie}).get(url, secure=True, **kwargs)
        jar.update(response.cookies)
        url = response.headers.get("Location")
    return seen


def test_a_chain_of_redirects_costs_a_dead_session_one_bounce(settings):
    """Browsers follow 20 redirects, Safari 16; each hop costs three while dead cookies stay."""
    settings.ROOT_URLCONF = WithHops
    client = Client()
    sign_in(client, UserFactory())
    AuthSession.objects.all().revoke("admin")
    with time_machine.travel(timezone.now() + timedelta(minutes=20), tick=True):
        seen = bounced(client, f"/hop/{HOPS}/")
    redirects = len(seen) - 1
    assert redirects <= HOPS + 4, seen


@pytest.mark.parametrize(
    ("location", "marked"),
    [
        ("/there/", True),
        ("/there/?page=2#part", True),
        ("https://testserver/there/", True),
        ("https://id.site.test/", False),
        ("app:back", False),
        (None, False),
    ],
    ids=["path", "query", "this-host", "another-host", "an-app", "not-modified"],
)
def test_only_a_page_of_this_host_is_told_that_a_refresh_was_tried(settings, location, marked):
    """And it keeps its own query and fragment."""
    answer = HttpResponseNotModified()
    if location is not None:
        answer = HttpResponse(status=302, headers={"Location": location})
    settings.ROOT_URLCONF = type(
        "Urls", (), {"urlpatterns": [path("page/", lambda request: answer), *urls.urlpatterns]}
    )
    client = Client()
    sign_in(client, UserFactory())
    AuthSession.objects.all().revoke("admin")
    with time_machine.travel(timezone.now() + timedelta(minutes=20), tick=True):
        raw = f"__Host-access_token={client.cookies['__Host-access_token'].value}"
        back = f"/page/?_rt={int(timezone.now().timestamp())}"
        response = Client(headers={"cookie": raw, "host": "testserver"}).get(back, secure=True)
    assert response.status_code == (304 if location is None else 302)
    found = response.headers.get("Location", "")
    assert ("_rt=" in found) is marked
    assert re.sub(r"[?&]_rt=[\d~]+", "", found) == (location or "")


def to_provider(request):
    """A page that needs a person, on a site whose login page is at an identity provider's."""
    return HttpResponseRedirect("https://id.site.test/login")


class WithProvider:
    """A site with it."""

    urlpatterns = [path("page/", to_provider), *urls.urlpatterns]


def test_a_dead_session_does_not_cost_a_bounce_each_time(settings):
    """Where every page leads a stranger to another host no page sweeps the cookies away."""
    settings.ROOT_URLCONF = WithProvider
    client = Client()
    sign_in(client, UserFactory())
    AuthSession.objects.all().revoke("admin")
    later = timezone.now() + timedelta(minutes=20)
    jar = dict(client.cookies)
    costs = []
    for minute in range(3):
        with time_machine.travel(later + timedelta(minutes=minute), tick=True):
            url, steps = "/page/", 0
            while url.startswith("/"):
                under = url.startswith("/auth/")
                pairs = [
                    (n, m.value)
                    for n, m in jar.items()
                    if m.value and (under or "refresh" not in n)
                ]
                cookie = "; ".join(f"{name}={value}" for name, value in pairs)
                response = Client(headers={"cookie": cookie}).get(url, secure=True)
                jar.update(response.cookies)
                url, steps = response["Location"], steps + 1
            costs.append(steps)
    assert costs[-1] == 1, costs


# The admin


def test_signing_a_person_out_tells_no_devices_to_who_may_not_see_sessions():
    """A right to revoke is none to view: the page before it names browsers and systems."""
    person = UserFactory()
    session_of(person)
    helper = clerk("view_user", "revoke_authsession")
    assert helper.get(LIST).status_code == 403
    name = "admin:auth_user_sign_out"
    assert "Firefox" not in helper.get(reverse(name, args=[person.pk])).text


def test_the_list_names_nobody_who_has_no_session_to_who_may_not_see_people():
    """By counting up ``user__exact`` who may see sessions alone reads every username."""
    person = UserFactory(username="secret-name")
    helper = clerk("view_authsession")
    assert helper.get(reverse("admin:auth_user_changelist")).status_code == 403
    assert "secret-name" not in helper.get(LIST, {"user__exact": person.pk}).text


def test_a_person_is_no_link_to_a_page_that_staff_may_not_open():
    """As the way to the users below an empty list is none."""
    person = UserFactory()
    session_of(person)
    helper = clerk("view_authsession")
    url = reverse("admin:auth_user_change", args=[person.pk])
    assert helper.get(url).status_code == 403
    assert f'href="{url}"' not in helper.get(LIST).text


def test_a_network_is_found_however_its_zeros_are_written():
    """As on PostgreSQL, and as a whole address is."""
    session = session_of(UserFactory(), ip_address="2001:db8:85a3::8a2e:370:7334")
    client = Client()
    client.force_login(StaffFactory())
    for term in ("2001:db8:85a3:", "2001:0db8:85a3:"):
        found = client.get(LIST, {"q": term}).context["cl"].result_list
        assert [s.pk for s in found] == [session.pk], term


def test_who_signs_in_again_before_revoking_lands_on_a_page():
    """The address of the button takes no GET, and the admin's login page leads there."""
    session = session_of(UserFactory())
    staff = StaffFactory()
    client = Client()
    url = reverse("admin:tokenauth_authsession_revoke", args=[session.pk])
    response = client.post(url)
    assert response.status_code == 302
    data = {"username": staff.get_username(), "password": PASSWORD}
    response = client.post(response["Location"], data, secure=True, follow=True)
    assert response.status_code == 200


def test_ones_own_session_is_marked_on_ones_own_page():
    """As in the list, and on its own page."""
    staff = StaffFactory()
    client = Client()
    client.force_login(staff)
    client.get(LIST)
    html = client.get(reverse("admin:auth_user_change", args=[staff.pk])).text
    assert "this session" in html


@pytest.mark.parametrize("place", ["str", "list", "page", "revoke", "sign-out"])
def test_the_admin_works_where_the_username_is_no_text(monkeypatch, place):
    """A number, a UUID or another model's object: ``USERNAME_FIELD`` may name any unique field."""
    person = UserFactory()
    session = session_of(person)
    client = Client()
    client.force_login(StaffFactory())
    client.get(LIST)
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")
    monkeypatch.setattr(get_user_model(), "__str__", lambda user: f"Number {user.pk}")
    if place == "str":
        session = AuthSession.objects.select_related("user").get(pk=session.pk)
        assert "Firefox on Linux" in str(session)
    elif place == "revoke":
        url = reverse("admin:tokenauth_authsession_revoke", args=[session.pk])
        assert client.post(url).status_code == 302
    else:
        url = {
            "list": LIST,
            "page": reverse("admin:tokenauth_authsession_change", args=[session.pk]),
            "sign-out": reverse("admin:auth_user_sign_out", args=[person.pk]),
        }[place]
        assert client.get(url).status_code == 200


class ClosedSessions(AuthSessionAdmin):
    """A site's own: who may see sessions is for it to say."""

    def has_view_permission(self, request, obj=None):
        return False


class PeopleAdmin(AuthSessionsUserAdminMixin, admin.ModelAdmin):
    fields = ("is_staff",)


closed_site = admin.AdminSite(name="closed")
closed_site.register(AuthSession, ClosedSessions)
closed_site.register(get_user_model(), PeopleAdmin)


class WithClosedSite:
    """A site whose admin keeps sessions to itself."""

    urlpatterns = [path("closed/", closed_site.urls), *urls.urlpatterns]


def test_a_persons_page_shows_what_the_sites_own_admin_of_sessions_would(settings):
    """The list answers 403, and the page of a person shows the same rows."""
    settings.ROOT_URLCONF = WithClosedSite
    person = UserFactory()
    session_of(person)
    client = Client()
    client.force_login(StaffFactory())
    assert client.get("/closed/tokenauth/authsession/").status_code == 403
    assert "Firefox on Linux" not in client.get(f"/closed/auth/user/{person.pk}/change/").text


# Address labels

CALLS = []


def label(address):
    CALLS.append(address)
    return "Berlin"


def test_an_address_is_labelled_once_for_each_row(client, user, settings):
    """The site's function may look into a file, or ask a service."""
    sign_in(client, user)
    for _ in range(5):
        session_of(user, revoked_at=timezone.now(), revoke_reason="logout")
    settings.TOKENAUTH_ADDRESS_LABEL = f"{__name__}.label"
    CALLS.clear()
    client.get("/auth/sessions/", secure=True)
    assert len(CALLS) <= 6


def broken(address):
    CALLS.append(address)
    raise OSError("no such file")


def test_a_function_that_fails_is_not_asked_for_each_row(settings):
    """It may take seconds each time, and writes a traceback each time: the chart's cache is not."""
    person = UserFactory()
    for _ in range(10):
        session_of(person)
    client = Client()
    client.force_login(StaffFactory())
    client.get(LIST)
    settings.TOKENAUTH_ADDRESS_LABEL = f"{__name__}.broken"
    CALLS.clear()
    client.get(LIST)
    assert len(CALLS) <= 2  # the tenfold address, and that of the staff's own session
