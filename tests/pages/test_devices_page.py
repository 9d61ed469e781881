"""Your devices: what a person sees of their sessions, and what they can do about them."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.middleware import RemoteUserMiddleware
from django.contrib.auth.views import PasswordChangeView
from django.test import RequestFactory
from django.urls import path, reverse
from django.utils import timezone

from tests import urls
from tests.factories import PASSWORD, SessionFactory, UserFactory
from tokenauth.models import AuthSession
from tokenauth.pages.views import PER_PAGE
from tokenauth.pages.wording import AT_MOST, ENDINGS, GREETINGS, ago
from tokenauth.session.devices import kind_of
from tokenauth.session.endings import RevokeReason

pytestmark = pytest.mark.django_db

AGENTS = {
    "Firefox on Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "Safari on iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) "
    "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
    "Chrome on Android": "Mozilla/5.0 (Linux; Android 14; SM-X900) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36",
    "Edge on Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36 Edg/150.0",
    "Unknown device": "no browser, <b>and no name</b>",
}


class ProxyUserMiddleware(RemoteUserMiddleware):
    header = "HTTP_REMOTE_USER"


class WithPasswordChange:
    """A site that has Django's page for a new password."""

    urlpatterns = [
        *urls.urlpatterns,
        path("new-password/", PasswordChangeView.as_view(), name="password_change"),
    ]


@pytest.fixture
def alice(client, user):
    """The person whose browser ``client`` is."""
    data = {"username": "alice", "password": PASSWORD, "remember": "on"}
    client.post(
        reverse("tokenauth:login"), data, secure=True, HTTP_USER_AGENT=AGENTS["Firefox on Linux"]
    )
    return user


def session_on(device, user, *, address="192.0.2.7", ended=None, reason="", **columns):
    """Give a person a session on a device, which ended as long ago as ``ended``."""
    request = RequestFactory().get("/", HTTP_USER_AGENT=AGENTS[device], REMOTE_ADDR=address)
    session = SessionFactory(user=user, request=request)
    if ended is not None:
        columns |= {"revoked_at": timezone.now() - ended, "revoke_reason": reason}
    AuthSession.objects.filter(pk=session.pk).update(**columns)
    return session


def devices_page(client):
    return client.get(reverse("tokenauth:session_list"), secure=True).text


def rows(page):
    return re.findall(r'<tr role="row">\s*<th scope="row".*?</tr>', page, re.DOTALL)


def ended_items(page):
    details = re.search(r"<details.*?</details>", page, re.DOTALL)
    return re.findall(r"<li.*?</li>", details[0], re.DOTALL) if details else []


def text(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_this_device_is_first_and_marked(client, alice):
    """Also when another was seen since."""
    for device in ("Edge on Windows", "Safari on iPhone"):
        session_on(device, alice, last_seen_at=timezone.now() + timedelta(minutes=1))
    found = rows(devices_page(client))
    assert [("Firefox on Linux" in row, "This device" in row) for row in found] == [
        (True, True),
        (False, False),
        (False, False),
    ]


def test_a_device_is_told_by_name_icon_address_and_times(client, alice):
    """What somebody needs to know it by."""
    signed_in = timezone.localtime() - timedelta(days=12)
    seen = timezone.localtime() - timedelta(hours=3)
    session_on("Safari on iPhone", alice, created_at=signed_in, last_seen_at=seen)
    row = rows(devices_page(client))[1]
    assert "Safari on iPhone" in text(row)
    assert 'role="img" aria-label="Phone"' in row
    assert "192.0.2.7" in text(row)
    time = rf'<time datetime="{seen:%Y-%m-%dT%H:%M:%S}[^"]*" title="[^"]+">3 hours ago'
    assert re.search(time, row)
    assert f'<time datetime="{signed_in:%Y-%m-%dT%H:%M:%S}' in row


@pytest.mark.parametrize(
    ("device", "kind", "label"),
    [
        ("Firefox on Linux", "desktop", "Computer"),
        ("Edge on Windows", "desktop", "Computer"),
        ("Safari on iPhone", "phone", "Phone"),
        ("Chrome on Android", "tablet", "Tablet"),
        ("Unknown device", "", "Other device"),
    ],
)
def test_an_icon_says_which_kind_of_device(client, alice, device, kind, label):
    """In words for who can't see it; nothing rather than something wrong."""
    session_on(device, alice)
    assert kind_of(AGENTS[device]) == kind
    row = rows(devices_page(client))[-1]
    assert f'aria-label="{label}"' in row
    assert device in text(row)


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (
            "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Version/17.0 Safari/604.1",
            "tablet",
        ),
        ("Mozilla/5.0 (Linux; Android 10; K) Chrome/150.0.0.0 Mobile Safari/537.36", "phone"),
        ("Mozilla/5.0 (Android 14; Tablet; rv:150.0) Gecko/150.0 Firefox/150.0", "tablet"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) Version/6.0 TV Safari/538.1", ""),
        ("curl/8.5.0", ""),
        ("", ""),
    ],
    ids=["ipad", "reduced-android", "android-tablet", "tv", "curl", "nothing"],
)
def test_kinds_of_devices(agent, kind):
    """As ua-parser's device and system tell."""
    assert kind_of(agent) == kind


def test_no_raw_user_agent_is_shown(client, alice):
    """It is anybody's words, and nobody reads it."""
    session_on("Unknown device", alice)
    page = devices_page(client)
    assert "no browser" not in page
    assert "Mozilla" not in page


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=61), "1 hour ago"),
        (timedelta(days=15, hours=5), "2 weeks ago"),
    ],
)
def test_times_are_told_by_their_largest_unit(age, words):
    """Never "0 minutes ago"."""
    assert ago(timezone.now() - age) == words


def test_every_button_says_what_it_signs_out(client, alice):
    """All say "Sign out"; a screen reader hears of which device."""
    session_on("Edge on Windows", alice)
    page = devices_page(client)
    assert 'aria-label="Sign out Edge on Windows"' in page
    assert 'aria-label="Sign out Firefox on Linux"' in page


def test_who_is_alone_is_told_so(client, alice):
    """There is nothing to sign out everywhere else."""
    page = devices_page(client)
    assert "on this device and nowhere else" in page
    assert len(rows(page)) == 1
    assert "everywhere else" not in page
    session_on("Edge on Windows", alice)
    assert "Sign out everywhere else" in devices_page(client)


def test_an_old_django_session_is_listed_at_once(client, user):
    """Or a test's force_login: it has been adopted by the time the page is made."""
    client.force_login(user)
    page = devices_page(client)
    assert len(rows(page)) == 1
    assert "This device" in rows(page)[0]


@pytest.fixture
def by_the_proxy(settings, user):
    """Headers with which a proxy signs a person in, in the very request that brings them."""
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.ProxyUserMiddleware"]
    return {"Remote-User": user.get_username()}


def test_who_has_no_session_yet_sees_no_table(client, by_the_proxy):
    """There is a page all the same."""
    page = client.get(reverse("tokenauth:session_list"), secure=True, headers=by_the_proxy).text
    assert "on this device and nowhere else" in page
    assert rows(page) == []


def test_who_has_no_session_yet_ends_all(client, user, by_the_proxy):
    """All of them are elsewhere."""
    sessions = [session_on("Edge on Windows", user) for _ in range(2)]
    client.post(reverse("tokenauth:session_revoke_others"), secure=True, headers=by_the_proxy)
    assert not AuthSession.objects.active().filter(pk__in=[s.pk for s in sessions]).exists()


def test_one_device_is_signed_out_and_named(client, alice):
    """The page says which; the others stay."""
    other = session_on("Edge on Windows", alice)
    url = reverse("tokenauth:session_revoke", args=[other.pk])
    page = client.post(url, secure=True, follow=True).text
    assert "Signed out of Edge on Windows." in page
    assert len(rows(page)) == 1
    assert "You signed this device out from another one." in page


def test_a_device_without_a_name_is_signed_out(client, alice):
    """The sentence stays one."""
    url = reverse("tokenauth:session_revoke", args=[session_on("Unknown device", alice).pk])
    assert "Signed out of an unknown device." in client.post(url, secure=True, follow=True).text


@pytest.mark.parametrize(("others", "sentence"), [(1, "1 device."), (3, "3 devices.")])
def test_everything_else_is_signed_out(client, alice, others, sentence):
    """And this device stays."""
    for _ in range(others):
        session_on("Edge on Windows", alice)
    page = client.post(reverse("tokenauth:session_revoke_others"), secure=True, follow=True).text
    assert f"Signed out of {sentence}" in page
    assert len(rows(page)) == 1


@pytest.mark.parametrize("name", ["session_revoke", "session_revoke_others"])
def test_who_must_sign_in_before_pressing_a_button_finds_it_again(client, user, name):
    """The page was open for long: its form cannot be sent by signing in, but be shown again."""
    args = [session_on("Edge on Windows", user).pk] if name == "session_revoke" else []
    login = client.post(reverse(f"tokenauth:{name}", args=args), secure=True).url
    data = {"username": user.get_username(), "password": PASSWORD}
    page = client.post(login, data, secure=True, follow=True)
    assert page.redirect_chain == [(reverse("tokenauth:session_list"), 302)]
    assert "Edge on Windows" in page.text or not args


def test_messages_are_not_needed(client, alice, settings):
    """The pages work without django.contrib.messages."""
    other = session_on("Edge on Windows", alice)
    messages = "django.contrib.messages"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if messages not in name]
    for url in (
        reverse("tokenauth:session_revoke", args=[other.pk]),
        reverse("tokenauth:session_revoke_others"),
    ):
        assert client.post(url, secure=True).status_code == 302


# What has ended


@pytest.mark.parametrize("reason", RevokeReason.values)
def test_what_ended_is_folded_away_with_its_reason(client, alice, reason):
    """In words that are meant for the owner."""
    session_on("Edge on Windows", alice, ended=timedelta(hours=3), reason=reason)
    page = devices_page(client)
    (item,) = ended_items(page)
    assert "Edge on Windows" in text(item)
    assert str(ENDINGS[reason]) in text(item)
    assert re.search(r'<time datetime="[^"]+" title="[^"]+">3 hours ago', item)
    assert '<details class="tokenauth-ended">' in page


def test_a_reason_of_the_sites_own_stands_for_itself(client, alice):
    """A view of the site may revoke for a reason that we have no words for."""
    session_on("Edge on Windows", alice, ended=timedelta(hours=1), reason="fraud")
    assert "fraud" in client.get(reverse("tokenauth:session_list"), secure=True).text


def test_an_expiry_is_an_end_too(client, alice):
    """Nobody ended it."""
    past = timezone.now() - timedelta(days=2)
    session_on("Edge on Windows", alice, expires_at=past)
    (item,) = ended_items(devices_page(client))
    assert "It expired." in text(item)
    assert "2 days ago" in item


@pytest.mark.parametrize(("days", "shown"), [(29, 1), (31, 0)])
def test_only_what_ended_lately_is_shown(client, alice, days, shown):
    """The last 30 days, whenever it began."""
    session_on("Edge on Windows", alice, ended=timedelta(days=days), reason="admin")
    assert len(ended_items(devices_page(client))) == shown


def test_no_more_than_twenty_are_shown_the_last_first(client, alice):
    """A page, not an archive."""
    for hours in range(1, AT_MOST + 3):
        ended = {"ended": timedelta(hours=hours), "reason": "logout"}
        session_on("Edge on Windows", alice, address=f"192.0.2.{hours}", **ended)
    items = ended_items(devices_page(client))
    assert len(items) == AT_MOST == 20
    assert ["192.0.2.1" in items[0], "192.0.2.20" in items[-1]] == [True, True]


def test_nobody_sees_anybody_elses(client, alice):
    """Neither live ones nor ended ones."""
    other = UserFactory()
    session_on("Edge on Windows", other)
    session_on("Edge on Windows", other, ended=timedelta(hours=1), reason="admin")
    assert "Edge" not in devices_page(client)


def alarms(page):
    return re.findall(r'<section class="tokenauth-theft".*?</section>', page, re.DOTALL)


def test_a_theft_stands_above_the_list_with_a_way_to_a_new_password(client, alice, settings):
    """What happened, where, when, and what to do; a link where the site has the page."""
    session_on("Edge on Windows", alice, ended=timedelta(hours=1), reason="reuse")
    session_on("Edge on Windows", alice, ended=timedelta(hours=1), reason="admin")
    page = devices_page(client)
    (alarm,) = alarms(page)
    assert page.index(alarm) < page.index("<table")
    assert "Edge on Windows · 192.0.2.7 · 1 hour ago" in text(alarm)
    assert f"{ENDINGS['reuse']} Until you change your password" in text(alarm)
    assert "<a" not in alarm
    settings.ROOT_URLCONF = WithPasswordChange
    (alarm,) = alarms(devices_page(client))
    assert '<a href="/new-password/">Change your password</a>' in alarm


def test_a_new_password_takes_the_alarm_away(client, alice):
    """It goes on standing among what has ended."""
    session_on("Edge on Windows", alice, ended=timedelta(hours=1), reason="reuse")
    alice.set_password(PASSWORD)
    alice.save()
    client.force_login(alice)
    page = devices_page(client)
    assert alarms(page) == []
    (item,) = ended_items(page)
    assert str(ENDINGS["reuse"]) in text(item)


# Several sign-ins of one browser


def test_the_sign_ins_of_one_browser_stand_together(client, alice):
    """The one seen last, or this one, and the others folded below it, each with its button."""
    for n in range(3):
        address = f"2001:db8::{n}"
        session_on("Edge on Windows", alice, address=address)
    session_on("Firefox on Linux", alice)
    page = devices_page(client)
    here, edge = rows(page)
    assert ["This device" in here, "Edge on Windows" in edge] == [True, True]
    assert "1 more sign-in with Firefox on Linux" in text(page)
    assert "2 more sign-ins with Edge on Windows" in text(page)
    folded = re.findall(r'class="tokenauth-others-here">.*?</td>', page, re.DOTALL)
    assert [item.count("<form") for item in folded] == [1, 2]
    assert page.count("/revoke/") == 4


def test_one_of_several_sign_ins_is_ended(client, alice):
    """Its button names the moment, which is what tells it from the others."""
    older = session_on("Edge on Windows", alice, last_seen_at=timezone.now() - timedelta(hours=1))
    session_on("Edge on Windows", alice)
    page = devices_page(client)
    assert 'aria-label="Sign out Edge on Windows, signed in ' in page
    client.post(reverse("tokenauth:session_revoke", args=[older.pk]), secure=True)
    assert "more sign-in" not in devices_page(client)


def test_a_line_breaks_between_the_groups_of_an_address(client, alice, settings):
    """And what the site knows of it stands behind."""
    settings.TOKENAUTH_ADDRESS_LABEL = f"{__name__}.label"
    session_on("Edge on Windows", alice, address="2001:db8::7")
    assert "2001:<wbr>db8:<wbr>:<wbr>7 (&lt;Berlin&gt;)" in rows(devices_page(client))[1]


def label(address):
    """What a site may know of an address."""
    return "<Berlin>"


# "Was this you?", where an e-mail leads


def ask_page(client, session, **options):
    url = reverse("tokenauth:session_revoke", args=[session.pk])
    return client.get(url, secure=True, **options)


def test_a_link_asks_whether_it_was_the_person(client, alice):
    """It says who is signed in where, and ends nothing by itself."""
    session = session_on("Edge on Windows", alice)
    page = ask_page(client, session)
    assert "Was this you?" in page.text
    assert "Edge on Windows" in text(page.text)
    assert "192.0.2.7" in text(page.text)
    assert "using now" not in page.text
    assert AuthSession.objects.active().filter(pk=session.pk).exists()


def test_this_device_is_called_so_where_it_is_asked_about(client, alice):
    """Its button signs out whoever asks."""
    assert "using now" in ask_page(client, AuthSession.objects.get()).text


def test_who_was_not_the_person_is_signed_out_and_a_new_password_advised(client, alice):
    """Whoever it was knew the password."""
    session = session_on("Edge on Windows", alice)
    url = reverse("tokenauth:session_revoke", args=[session.pk])
    page = client.post(url, {"unknown": "yes"}, secure=True, follow=True).text
    assert "Signed out of Edge on Windows." in page
    assert "knows your password. Change it now." in page
    assert AuthSession.objects.get(pk=session.pk).revoke_reason == RevokeReason.USER


def test_a_link_to_what_has_ended_reassures_nobody(client, alice):
    """Nobody else's is there at all, and neither has a page; it does not say which of the two."""
    ended = session_on("Edge on Windows", alice, ended=timedelta(hours=1), reason="admin")
    for session in (ended, session_on("Edge on Windows", UserFactory())):
        page = ask_page(client, session, follow=True)
        assert "This account has no such sign-in" in page.text
        assert "Your devices" in page.text


def test_who_follows_a_link_signs_in_first_and_comes_back(client, user):
    """The e-mail is read on another device, perhaps."""
    session = session_on("Edge on Windows", user)
    answer = ask_page(client, session)
    url = reverse("tokenauth:session_revoke", args=[session.pk])
    assert answer.headers["Location"] == f"{reverse('tokenauth:login')}?next={url}"


def test_every_reason_has_its_words():
    """A new reason is told too; who signed out needs no greeting."""
    assert set(ENDINGS) == set(RevokeReason)
    assert set(RevokeReason) - set(GREETINGS) == {RevokeReason.LOGOUT}


@pytest.mark.parametrize("count", [1, 15])
def test_the_page_costs_five_queries(client, alice, django_assert_num_queries, count):
    """Who, what is live and how much, what was stolen, what has ended: however many."""
    for _ in range(count):
        session_on("Edge on Windows", alice)
        session_on("Edge on Windows", alice, ended=timedelta(hours=1), reason="reuse")
    with django_assert_num_queries(5):
        devices_page(client)


# Many


@pytest.fixture
def many(client, alice, settings):
    """Two hundred devices, each seen an hour later than the one before, and after this one."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = None
    (columns,) = AuthSession.objects.values()
    for n in range(200):
        columns |= {"id": uuid4(), "device": f"Browser {n:03}"}
        columns["last_seen_at"] += timedelta(hours=1)
        AuthSession.objects.create(**columns)


def page_of(client, number):
    return client.get(reverse("tokenauth:session_list"), {"page": number}, secure=True).text


def listed(page):
    """The devices of a page, in its order; this one is "this"."""
    found = ["this" if "This device" in row else text(row) for row in rows(page)]
    return [name if name == "this" else re.search(r"Browser (\d+)", name)[1] for name in found]


def test_many_devices_are_told_page_by_page(client, many):
    """Each once, the last seen first, but this one before all."""
    pages = [listed(page_of(client, n)) for n in range(1, 10)]
    assert [len(page) for page in pages] == [PER_PAGE] * 8 + [1]
    assert [name for page in pages for name in page] == [
        "this",
        *(f"{n:03}" for n in reversed(range(200))),
    ]


@pytest.mark.parametrize(
    ("number", "links"),
    [
        (1, {"next": "2"}),
        (4, {"prev": "3", "next": "5"}),
        (9, {"prev": "8"}),
        (77, {"prev": "8"}),
        ("x", {"next": "2"}),
    ],
)
def test_a_page_leads_to_the_ones_beside_it(client, many, number, links):
    """A number that is none, or of a page that is gone, breaks nothing."""
    nav = re.search(
        r'<nav class="tokenauth-pages" aria-label="[^"]+">.*?</nav>',
        page_of(client, number),
        re.DOTALL,
    )[0]
    assert dict(re.findall(r'<a rel="(\w+)" href="\?page=(\d+)">', nav)) == links
    assert re.search(r"Page \d of 9", text(nav))


def test_few_devices_are_on_one_page(client, alice):
    """With nothing that leads to another."""
    assert "<nav" not in devices_page(client)


def test_everything_else_can_be_signed_out_from_any_page(client, many):
    """Also from the last, which may list a single device."""
    page = page_of(client, 9)
    assert len(rows(page)) == 1
    assert "Sign out everywhere else" in page
    assert "nowhere else" not in page


def test_looking_at_devices_parses_none(client, many, monkeypatch):
    """That was done when they signed in: one person's page must not keep a worker busy."""
    monkeypatch.setattr("tokenauth.session.devices.read", None)
    assert len(rows(devices_page(client))) == PER_PAGE
