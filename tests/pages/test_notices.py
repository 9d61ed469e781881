"""E-mails to the owner: a new device signed in, or a token was used twice."""

import re
from datetime import timedelta
from types import SimpleNamespace

import django
import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import transaction
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone, translation

from tests.factories import PASSWORD, UserFactory
from tests.pages.test_devices_page import AGENTS
from tokenauth.exceptions import TokenReused
from tokenauth.models import AuthSession
from tokenauth.pages import notices
from tokenauth.session import tokens

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.users]

NEW_DEVICE = "New sign-in to your account"
REUSE = "Somebody may have copied your sign-in"
TWO_PORTS = ["https://app.site.test:1", "https://app.site.test:2"]


@pytest.fixture(autouse=True)
def site(settings):
    """A site that sends notices."""
    settings.TOKENAUTH_SEND_NOTICES = True
    send_through(settings, "django.core.mail.backends.locmem.EmailBackend")
    settings.ALLOWED_HOSTS = ["app.site.test", ".other.test"]


def send_through(settings, backend):
    """Choose the e-mail backend, as each version of Django wants it."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend}}
    else:
        settings.EMAIL_BACKEND = backend


@pytest.fixture
def alice():
    if get_user_model().USERNAME_FIELD == "email":
        return UserFactory(username="alice")
    return UserFactory(username="alice", email="alice@site.test")


def request_from(device, host="app.site.test", **headers):
    return RequestFactory().get(
        "/",
        HTTP_HOST=host,
        HTTP_USER_AGENT=AGENTS[device],
        **{"REMOTE_ADDR": "192.0.2.7"} | headers,
    )


def start(user, device="Firefox on Linux", **kwargs):
    return AuthSession.objects.start(request_from(device, **kwargs), user)


def subjects():
    return [message.subject.partition(": ")[2] or message.subject for message in mail.outbox]


def html_of(message):
    ((html, mime_type),) = [(a.content, a.mimetype) for a in message.alternatives]
    assert mime_type == "text/html"
    return html


# A new device


def test_the_first_sign_in_ever_sends_nothing(alice):
    """Whoever has just made the account knows."""
    start(alice)
    assert subjects() == []


def test_a_new_device_sends_a_notice_to_its_owner(alice):
    """To the address of the account, and to nobody else."""
    start(alice)
    start(alice, "Edge on Windows")
    assert subjects() == [NEW_DEVICE]
    assert mail.outbox[0].recipients() == ["alice@site.test"]


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, 0),
        ({"reason": "logout", "ended": 30}, 0),
        ({"reason": "logout", "ended": 100}, 1),
        ({"expired": 30}, 0),
        ({"expired": 100}, 1),
        ({"reason": "reuse", "ended": 1}, 1),
        ({"reason": "mismatch", "ended": 1}, 1),
    ],
    ids=[
        "active",
        "ended",
        "ended-long-ago",
        "expired",
        "expired-long-ago",
        "stolen",
        "mismatched",
    ],
)
def test_a_device_is_known_for_as_long_as_the_history(alice, changes, sent):
    """But who had a stolen session may have been the thief."""
    session = start(alice, "Edge on Windows")
    now = timezone.now()
    columns = {}
    if "ended" in changes:
        ended = now - timedelta(days=changes["ended"])
        columns = {"revoked_at": ended, "revoke_reason": changes["reason"]}
    if "expired" in changes:
        columns = {"expires_at": now - timedelta(days=changes["expired"])}
    AuthSession.objects.filter(pk=session.pk).update(**{"persistent": True} | columns)
    start(alice, "Edge on Windows")
    assert len(mail.outbox) == sent


@pytest.mark.parametrize("known", [True, False])
def test_asking_whether_a_device_is_new_parses_no_old_one(
    alice, monkeypatch, django_assert_num_queries, known
):
    """Two queries, and nothing for each sign-in that somebody ever made."""
    start(alice, "Edge on Windows")
    session = start(alice, "Edge on Windows" if known else "Chrome on Android")
    monkeypatch.setattr("tokenauth.session.devices.read", None)
    with django_assert_num_queries(1 if known else 2):
        assert notices.is_new_device(session) is not known


def test_another_persons_device_is_not_known(alice):
    """Each account has its own."""
    start(UserFactory(), "Edge on Windows")
    start(alice)
    assert subjects() == []
    start(alice, "Edge on Windows")
    assert subjects() == [NEW_DEVICE]


def test_an_adopted_session_is_no_sign_in(alice):
    """The switch of a live site to tokenauth writes to nobody."""
    start(alice)
    AuthSession.objects.start(request_from("Edge on Windows"), alice, adopted_from="x" * 64)
    assert subjects() == []


def test_both_doors_send_it(client, alice):
    """The login page and the API; what came by one is known at the other."""
    start(alice)
    data = {"username": alice.get_username(), "password": PASSWORD}
    for name, device in (("login", "Edge on Windows"), ("api_login", "Chrome on Android")):
        for _ in range(2):
            client.post(
                reverse(f"tokenauth:{name}"),
                data,
                secure=True,
                headers={"User-Agent": AGENTS[device], "Host": "app.site.test"},
            )
    assert subjects() == [NEW_DEVICE, NEW_DEVICE]


# A theft


def steal(user, request=None):
    """Let a spent refresh token of the user's come back."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        session = start(user)
        spent = tokens.remake_refresh_token(session).reveal()
        clock.shift(timedelta(minutes=20))
        session = AuthSession.objects.rotate(spent, request_from("Firefox on Linux"))
        session.confirm()
        clock.shift(timedelta(minutes=20))
        with pytest.raises(TokenReused):
            AuthSession.objects.rotate(spent, request or request_from("Firefox on Linux"))
    return spent


def test_a_theft_sends_a_notice(alice):
    """Once: the session is over."""
    steal(alice)
    assert subjects() == [REUSE]
    assert "used from two places" in mail.outbox[0].body


def test_a_notice_of_theft_names_both_who_used_the_token(alice):
    """Either may be the thief: the owner knows which device and which place are theirs."""
    steal(alice, request_from("Chrome on Android", REMOTE_ADDR="203.0.113.9"))
    (message,) = mail.outbox
    for line in (
        "Device: Firefox on Linux",
        "IP address: 192.0.2.7",
        "Device in the second place: Chrome on Android",
        "IP address of the second place: 203.0.113.9",
    ):
        assert line in message.body.splitlines()
        label, value = line.split(": ")
        assert re.search(f">{label}</th><td>{value}</td>", html_of(message))


def test_a_notice_of_theft_says_what_is_known_of_the_second_use(alice):
    """Without an address it names none."""
    steal(alice, request_from("Unknown device", REMOTE_ADDR=""))
    (message,) = mail.outbox
    assert "Device in the second place: Unknown device" in message.body
    assert "IP address of" not in message.body + html_of(message)


# What it says


def test_a_notice_says_what_the_owner_needs_to_judge(alice):
    """Who, which device, from where, when, what to do; as text and as HTML."""
    start(alice)
    start(alice, "Edge on Windows")
    (message,) = mail.outbox
    when = timezone.localtime().strftime("%Y")
    for body in (message.body, html_of(message)):
        for word in (
            alice.get_username(),
            "Edge on Windows",
            "192.0.2.7",
            when,
            "change your password",
        ):
            assert word in body
        assert "https://app.site.test/auth/sessions/" in body
    assert message.subject == f"app.site.test: {NEW_DEVICE}"


def test_no_notice_tells_a_secret(alice):
    """No token, no hash, no key; which session it is opens nothing."""
    spent = steal(alice)
    start(alice, "Edge on Windows")
    sessions = AuthSession.objects.all()
    secrets = {spent} | {s.token_hash for s in sessions} | {s.auth_hash for s in sessions}
    for message in mail.outbox:
        everything = message.message().as_string() + message.body + html_of(message)
        assert not [secret for secret in secrets if secret in everything]
        assert all("?" not in link for link in re.findall(r"https?://\S+", message.body))


def test_a_name_is_only_ever_text(alice):
    """Neither markup in the HTML nor entities in the text."""
    alice.username = alice.email = "<b>&co@site.test"
    message = notices.compose(
        "new_device", AuthSession(user=alice), notices.site_of(None), "a@b.test"
    )
    assert "Account: <b>&co" in message.body
    assert "&lt;b&gt;&amp;co" in html_of(message)
    assert "Device: Unknown device" in message.body
    assert "IP address" not in message.body


@pytest.mark.parametrize(
    ("host", "name", "secure", "link"),
    [
        ("app.site.test", "app.site.test", True, "https://app.site.test"),
        ("app.site.test:8000", "app.site.test", False, "http://app.site.test"),
        ("evil.other.test", "", True, ""),
        ("evil.test", "", True, ""),
    ],
    ids=["spelt-out", "with-a-port", "by-a-wildcard", "not-allowed"],
)
def test_a_link_leads_to_a_host_that_the_site_spells_out(settings, host, name, secure, link):
    """A thief with the password could name any other, and phish the owner with our own e-mail."""
    settings.TOKENAUTH_COOKIE_SECURE = secure
    site = notices.site_of(request_from("Edge on Windows", host=host))
    assert site == {"site_name": name, "origin": link}


def test_a_notice_of_a_new_device_leads_to_the_page_that_ends_it(alice):
    """It asks who one is, and then whether that was oneself."""
    start(alice)
    session = start(alice, "Edge on Windows")
    (message,) = mail.outbox
    link = f"https://app.site.test/auth/sessions/{session.pk}/revoke/"
    assert f"This was not me: sign that device out: {link}" in message.body
    assert f'<a href="{link}">This was not me: sign that device out</a>' in html_of(message)


@pytest.mark.parametrize("kind", ["new device", "theft"])
def test_a_notice_leads_to_a_new_password(settings, alice, kind):
    """Where the site has such a page; on another host perhaps."""
    settings.TOKENAUTH_PASSWORD_CHANGE_URL = "https://id.site.test/password/"
    if kind == "theft":
        steal(alice)
    else:
        start(alice)
        start(alice, "Edge on Windows")
    (message,) = mail.outbox
    assert "Change your password: https://id.site.test/password/" in message.body
    assert '<a href="https://id.site.test/password/">Change your' in html_of(message)


def test_a_notice_names_a_place_as_the_site_knows_it(settings, alice):
    """Of both who used a stolen token."""
    settings.TOKENAUTH_ADDRESS_LABEL = f"{__name__}.label"
    steal(alice, request_from("Chrome on Android", REMOTE_ADDR="203.0.113.9"))
    (message,) = mail.outbox
    assert "IP address: 192.0.2.7 (Town of 192.0.2.7)" in message.body
    assert "IP address of the second place: 203.0.113.9 (Town of 203.0.113.9)" in message.body


def label(address):
    """What a site may know of an address."""
    return f"Town of {address}"


def test_without_a_link_a_notice_still_reads_well(alice):
    """Outside a request, as in a shell."""
    AuthSession.objects.start(None, alice)
    start(alice, host="evil.other.test")
    (message,) = mail.outbox
    assert message.subject == NEW_DEVICE
    assert "http" not in message.body + re.sub(r"xmlns\S+", "", html_of(message))


def test_the_sites_framework_names_the_site(monkeypatch):
    """Where it is installed, it is the one to ask."""
    site = SimpleNamespace(domain="shop.test", name="The\nShop")
    model = SimpleNamespace(objects=SimpleNamespace(get_current=lambda request: site))
    monkeypatch.setattr(notices.apps, "is_installed", lambda name: name == "django.contrib.sites")
    monkeypatch.setattr(notices.apps, "get_model", {"sites.Site": model}.get)
    assert notices.site_of(None) == {
        "site_name": "The Shop",
        "origin": "https://shop.test",
    }


@pytest.mark.parametrize("error", [ObjectDoesNotExist, ImproperlyConfigured])
def test_a_sites_framework_that_does_not_know_stops_no_notice(monkeypatch, alice, error):
    """Without SITE_ID, it fails for a host that has no row, and without a request."""

    def get_current(request):
        raise error("no Site")

    model = SimpleNamespace(objects=SimpleNamespace(get_current=get_current))
    real = notices.apps.get_model
    monkeypatch.setattr(notices.apps, "is_installed", lambda name: name == "django.contrib.sites")
    monkeypatch.setattr(
        notices.apps,
        "get_model",
        lambda name, **kwargs: model if name == "sites.Site" else real(name, **kwargs),
    )
    for device in ("Firefox on Linux", "Edge on Windows"):
        start(alice, device)
    assert subjects() == [NEW_DEVICE]
    assert "https://app.site.test/auth/sessions/" in mail.outbox[0].body


@pytest.mark.parametrize(
    ("allowed", "host", "found"),
    [
        ("App.Site.test", "app.site.test", "app.site.test"),
        ("[2001:db8::1]", "[2001:db8::1]", "[2001:db8::1]"),
        (".site.test", "app.site.test", ""),
        ("*", "app.site.test", ""),
    ],
)
@pytest.mark.parametrize("port", ["", ":8000"])
def test_only_a_host_that_the_site_spells_out_is_linked(settings, allowed, host, found, port):
    """As Django reads it, in either case; the port that was asked may be anybody's."""
    settings.ALLOWED_HOSTS = [allowed]
    assert notices.host_of(RequestFactory().get("/", HTTP_HOST=host + port)) == found


@pytest.mark.parametrize(
    ("origins", "asked", "found"),
    [
        (["https://App.site.test:8443"], "app.site.test", "app.site.test:8443"),
        (["https://app.site.test:8443"], "app.site.test:6666", "app.site.test:8443"),
        (["https://app.site.test"], "app.site.test:6666", "app.site.test"),
        (["https://other.test:1", "https://*.site.test:2"], "app.site.test:2", "app.site.test"),
        (TWO_PORTS, "app.site.test:2", "app.site.test:2"),
        (TWO_PORTS, "app.site.test:3", "app.site.test:1"),
        (["https://[2001:db8::1]:8443"], "[2001:db8::1]:6666", "[2001:db8::1]:8443"),
    ],
    ids=["given", "another", "none", "of-others", "either", "neither", "ipv6"],
)
def test_a_links_port_comes_from_the_sites_settings(settings, origins, asked, found):
    """A site on another port than usual has to list it for CSRF anyway."""
    settings.ALLOWED_HOSTS = ["app.site.test", "[2001:db8::1]"]
    settings.CSRF_TRUSTED_ORIGINS = origins
    assert notices.host_of(RequestFactory().get("/", HTTP_HOST=asked)) == found


@pytest.mark.parametrize(
    ("own", "active", "found"),
    [
        ("de", "fr", "de"),
        ("de-at", "fr", "de"),
        ("tlh", "fr", "fr"),
        ("", "fr", "fr"),
        (None, "fr", "fr"),
        (None, None, "en-us"),
    ],
)
def test_the_language_is_the_persons(own, active, found):
    """If the user model knows it; else the request's, else the site's."""

    class Person:
        language = own

    with translation.override(active):
        assert notices.language_of(Person()) == found


def test_the_language_is_active_while_a_notice_is_written(alice, monkeypatch):
    """And only then."""
    alice.language = "de"
    seen = []
    monkeypatch.setattr(
        notices,
        "compose",
        lambda *args: seen.append(translation.get_language()) or mail.EmailMessage(),
    )
    start(alice)
    start(alice, "Edge on Windows")
    assert seen == ["de"]
    assert translation.get_language() == "en-us"


# When it does not work


@pytest.mark.parametrize("kind", ["new-device", "theft"])
def test_nothing_is_sent_unless_the_site_asked_for_it(settings, alice, kind):
    """Off is the default."""
    del settings.TOKENAUTH_SEND_NOTICES
    if kind == "theft":
        steal(alice)
    else:
        start(alice)
        start(alice, "Edge on Windows")
    assert subjects() == []


def test_who_has_no_address_gets_nothing(alice):
    """It is no error."""
    setattr(alice, alice.get_email_field_name(), "")
    start(alice)
    start(alice, "Edge on Windows")
    assert subjects() == []


def test_what_is_rolled_back_is_not_told(alice):
    """A notice goes out once it is true for good."""
    start(alice)

    def sign_in_and_fail():
        with transaction.atomic():
            start(alice, "Edge on Windows")
            assert subjects() == []
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        sign_in_and_fail()
    assert subjects() == []
    with transaction.atomic():
        start(alice, "Edge on Windows")
        assert subjects() == []
    assert subjects() == [NEW_DEVICE]


class BrokenBackend:
    """A mail server that is gone."""

    def __init__(self, *args, **kwargs):
        pass

    def send_messages(self, messages):
        raise ConnectionRefusedError("the mail server is gone")


def test_a_mail_server_that_fails_breaks_no_login(client, settings, alice, caplog):
    """It is logged, and the person is in."""
    start(alice)
    send_through(settings, f"{__name__}.BrokenBackend")
    data = {"username": alice.get_username(), "password": PASSWORD}
    headers = {"User-Agent": AGENTS["Edge on Windows"], "Host": "app.site.test"}
    answer = client.post(reverse("tokenauth:login"), data, secure=True, headers=headers)
    assert answer.status_code == 302
    session = AuthSession.objects.first()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "tokenauth.security"]
    assert line == f"The notice 'new_device' of session {session.pk} could not be sent."
