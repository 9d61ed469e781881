"""Beside allauth: its pages, and docs/how-to/allauth.md, whose settings the site has.

An app with models and receivers of its own can't be taken out of a process again. So these tests
run in one of their own, with ``tests.settings_allauth``; here each says what came of it there.
"""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx
import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.apps import apps
from django.contrib.auth import authenticate, get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from tests import settings_allauth, urls
from tests.factories import PASSWORD, UserFactory
from tests.processes import ROOT
from tokenauth import shortcuts
from tokenauth.decorators import recent_login_required
from tokenauth.models import AuthSession

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
NEW = "another-pass-2"
INSIDE = apps.is_installed("allauth")


def recent_view(request):
    """A page for those who have signed in lately."""
    note = request.POST.get("note")
    return HttpResponse(f"Here it is done: {note}" if note else "Here it is done.")


def leave(request):
    """A page that ends one's account, say; or one that starts a session by itself."""
    if "stay" in request.POST:
        user = authenticate(request, username="alice", password=PASSWORD)
        shortcuts.sign_in(request, user)
    else:
        shortcuts.sign_out(request)
    return HttpResponse("Done.")


if INSIDE:
    from allauth.account.decorators import reauthentication_required
    from allauth.headless.contrib.rest_framework.authentication import XSessionTokenAuthentication
    from allauth.mfa.models import Authenticator
    from allauth.mfa.totp.internal import auth as totp
    from allauth.socialaccount.models import SocialAccount
    from allauth.usersessions.models import UserSession
    from fido2.cose import ES256
    from fido2.utils import websafe_decode, websafe_encode
    from fido2.webauthn import (
        Aaguid,
        AttestationObject,
        AttestedCredentialData,
        AuthenticatorData,
        CollectedClientData,
    )

    class AppLogin(APIView):
        """An app's sign-in, by whom allauth says who it is."""

        authentication_classes = [XSessionTokenAuthentication]
        permission_classes = [IsAuthenticated]

        def post(self, request):
            """Give the app its tokens."""
            backend = "allauth.account.auth_backends.AuthenticationBackend"
            return Response(shortcuts.sign_in_app(request._request, request.user, backend=backend))

    #: The page's urls before the test site's, which are the same in part.
    page = {}
    exec(settings_allauth.blocks("python")[1], page)  # noqa: S102  # our own page
    of_page = [pattern for pattern in page["urlpatterns"] if pattern is not ...]
    recent = path("recent/", recent_login_required(recent_view))
    left = path("leave/", reauthentication_required(leave))
    app_login = path("app-login/", AppLogin.as_view())
    urlpatterns = [*of_page, recent, left, app_login, *urls.urlpatterns]

    class OurLogin:
        """A site without the page's lines that lead away from our login page."""

        urlpatterns = of_page[2:]

    class NoPages:
        """A site that has allauth's API alone."""

        urlpatterns = [
            recent,
            *(p for p in of_page if "allauth.urls" not in str(p)),
            path("login/", urls.views.home, name="account_login"),
            *urls.urlpatterns,
        ]


# The process with allauth


def beside_allauth(test):
    """Run a test where allauth is installed; elsewhere say what came of it there."""
    if INSIDE:
        says = any("server" in mark.args for mark in getattr(test, "pytestmark", ()))
        wsgi = pytest.mark.parametrize("server", ["wsgi"], indirect=True)
        return test if says else wsgi(test)

    def outcome(outcomes):
        found = [text for name, text in outcomes if name.partition("[")[0] == test.__name__]
        assert found
        if any(found):
            pytest.fail("\n".join(found), pytrace=False)

    outcome.__name__, outcome.__doc__ = test.__name__, test.__doc__
    return outcome


@pytest.fixture(scope="session")
def outcomes(request, tmp_path_factory):
    """The name of each test that ran, and what was wrong. The workers of xdist share one run."""
    worker = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if worker else folder
    report = folder / "allauth.xml"
    with (folder / "allauth.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not report.exists():
            file = Path(__file__)
            wanted = {f"{file}::{i.name}" for i in request.session.items if i.path == file}
            run(report, sorted(wanted))
    cases = ET.parse(report).iter("testcase")  # noqa: S314  # pytest's own file
    return [(case.get("name"), "\n".join(case.itertext()).strip()) for case in cases]


def run(report, wanted):
    env = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    env["TOKENAUTH_TEST_DATABASE_NAME"] += "_allauth"
    env.pop("TOKENAUTH_TEST_USER_MODEL", None)
    options = ["-n0", "-pno:cacheprovider", "--ds=tests.settings_allauth", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, *wanted]
    done = subprocess.run(  # noqa: S603  # our own words
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert report.exists(), done.stdout + done.stderr


# People


@pytest.fixture(autouse=True)
def rates():
    """Nobody was counted before: allauth limits how often one may try."""
    cache.clear()


@pytest.fixture
def alice(transactional_db):
    return UserFactory(username="alice", email="alice@site.test")


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


def sign_in(browser, user="alice", password=PASSWORD, **fields):
    """Fill in allauth's login page."""
    return browser.post_form("/accounts/login/", {"login": user, "password": password} | fields)


def who(browser):
    return browser.get("/whoami/").text


def tokens(browser):
    return [name for name in (ACCESS, REFRESH) if browser.cookie(name)]


def reasons():
    """How each session ended, the first first; "" for those that live."""
    return [*AuthSession.objects.order_by("created_at").values_list("revoke_reason", flat=True)]


# The site


@beside_allauth
def test_the_allauth_page_installs(server):
    """Neither Django nor allauth nor tokenauth finds an error in its settings."""
    assert [message for message in run_checks() if message.is_serious()] == []


@beside_allauth
def test_allauths_backend_costs_no_query_more(server, browser, alice):
    """One, for session and user together."""
    sign_in(browser)
    with server.count_queries() as queries:
        assert who(browser) == "alice"
    assert len(queries) == 1


# Signing up, in and out


@beside_allauth
def test_signing_up_starts_a_session(browser, transactional_db):
    """By allauth's page: one row and both cookies."""
    fields = {"username": "alice", "email": "a@site.test", "password1": NEW, "password2": NEW}
    browser.post_form("/accounts/signup/", fields)
    assert who(browser) == "alice"
    assert tokens(browser) == [ACCESS, REFRESH]
    assert reasons() == [""]
    assert AuthSession.objects.get().persistent


@beside_allauth
@pytest.mark.parametrize("server", ["wsgi", "asgi"], indirect=True)
def test_allauths_login_page_starts_a_session_and_its_logout_page_ends_it(browser, alice):
    """One row, both cookies; then no access token, and a refresh token that is worth nothing."""
    sign_in(browser)
    assert who(browser) == "alice"
    assert tokens(browser) == [ACCESS, REFRESH]
    assert reasons() == [""]
    browser.post_form("/accounts/logout/", {})
    assert who(browser) == "anonymous"
    assert tokens(browser) == [REFRESH]  # which is sent to no page of allauth's
    assert browser.fetch("POST", "/auth/refresh/").status_code == 401
    assert tokens(browser) == []
    assert reasons() == ["logout"]


@beside_allauth
def test_a_failed_login_starts_nothing(browser, alice):
    """No row, no cookies."""
    assert "not correct" in sign_in(browser, password="wrong").text
    assert tokens(browser) == []
    assert reasons() == []


@beside_allauth
@pytest.mark.parametrize(
    ("setting", "fields", "persistent"),
    [
        (None, {"remember": "on"}, True),
        (None, {}, False),
        (True, {}, True),
        (False, {"remember": "on"}, False),
    ],
)
def test_allauths_remember_me_decides_whether_the_cookies_outlive_the_browser(
    browser, alice, settings, setting, fields, persistent
):
    """The box on its page, or ACCOUNT_SESSION_REMEMBER for everybody."""
    settings.ACCOUNT_SESSION_REMEMBER = setting
    sign_in(browser, **fields)
    assert [bool(browser.cookie(name).expires) for name in (ACCESS, REFRESH)] == [persistent] * 2
    assert AuthSession.objects.get().persistent is persistent


@beside_allauth
@pytest.mark.parametrize(("own", "days"), [(False, 14), (True, 180)])
def test_allauths_cookie_age_is_the_absolute_end(browser, alice, settings, own, days):
    """Of who ticked the box: Django's two weeks, or what the page sets."""
    if not own:
        del settings.ACCOUNT_SESSION_COOKIE_AGE
    sign_in(browser, remember="on")
    left = AuthSession.objects.get().absolute_expires_at - timezone.now()
    assert round(left / timedelta(days=1)) == days


@beside_allauth
def test_a_sign_in_by_allauth_is_refreshed_for_months(browser, alice, clock):
    """On allauth's pages as on any other."""
    sign_in(browser, remember="on")
    for _ in range(8):
        clock.shift(timedelta(days=20))
        assert browser.get("/accounts/email/").url.path == "/accounts/email/"
    assert AuthSession.objects.get().rotation == 8


# Passwords


def reset_password(browser):
    """Ask for the e-mail and follow its link, in one browser or another."""
    browser.post_form("/accounts/password/reset/", {"email": "alice@site.test"})
    link = re.search(r"https?://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)[1]
    form = browser.get(link)
    return browser.post_form(form.url.path, {"password1": NEW, "password2": NEW})


@beside_allauth
@pytest.mark.parametrize("signs_in", [False, True])
def test_a_password_reset_ends_every_session(browser, new_browser, alice, settings, signs_in):
    """Also of the browser in which it was reset, which signs in anew, or is signed in at once."""
    settings.ACCOUNT_LOGIN_ON_PASSWORD_RESET = signs_in
    other = new_browser()
    for each in (browser, other):
        sign_in(each)
    reset_password(browser)
    assert who(other) == "anonymous"
    assert who(browser) == ("alice" if signs_in else "anonymous")
    sign_in(browser, password=NEW)
    assert who(browser) == "alice"


@beside_allauth
@pytest.mark.parametrize("signs_in", [False, True])
def test_usersessions_takes_the_reason_from_a_new_password(
    browser, new_browser, alice, settings, signs_in
):
    """At the person's next sign-in it ends what is older, and then nobody knows why."""
    settings.ACCOUNT_LOGIN_ON_PASSWORD_RESET = signs_in
    sign_in(browser)
    reset_password(new_browser())
    page = browser.get("/private/").text
    assert ("the password of your account has changed" in page) is not signs_in


@beside_allauth
def test_who_resets_the_password_without_a_session_signs_in_with_the_new_one(browser, alice):
    """The link alone starts nothing."""
    reset_password(browser)
    assert reasons() == []
    sign_in(browser, password=NEW)
    assert reasons() == [""]


@beside_allauth
@pytest.mark.parametrize("signs_out", [False, True])
def test_a_password_change_keeps_this_browser_alone(
    browser, new_browser, alice, settings, signs_out
):
    """In a new session; or not even this one, with ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE."""
    settings.ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = signs_out
    other = new_browser()
    for each in (browser, other):
        sign_in(each)
    fields = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    browser.post_form("/accounts/password/change/", fields)
    assert who(other) == "anonymous"
    assert who(browser) == ("anonymous" if signs_out else "alice")
    # The other one is suspended: it ends when its time is over.
    assert reasons() == (["logout", ""] if signs_out else ["replaced", "", ""])


@beside_allauth
def test_our_pages_and_e_mails_find_allauths_password_pages(browser, new_browser, alice, settings):
    """By their names, without a setting."""
    settings.TOKENAUTH_SEND_NOTICES = True
    settings.ALLOWED_HOSTS = ["app.site.test"]  # no wildcard: links lead there
    other = new_browser()
    other.client.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0) Chrome/153.0 Safari/537.36"
    for each in (browser, other):
        sign_in(each)
    assert 'href="/accounts/password/change/"' in browser.get("/auth/sessions/").text
    assert "/accounts/password/change/" in mail.outbox[-1].body


@beside_allauth
def test_our_login_page_finds_allauths_reset_page(browser, alice, settings):
    """Where a site keeps our login page."""
    settings.ROOT_URLCONF = OurLogin
    assert 'href="/accounts/password/reset/"' in browser.get("/auth/login/").text


# Why


@beside_allauth
@pytest.mark.parametrize("minutes", [1, 16], ids=["valid", "expired"])
def test_allauths_login_page_says_why(browser, alice, clock, minutes):
    """On the next click after staff ended the session, whatever became of the access token."""
    sign_in(browser)
    AuthSession.objects.revoke("admin")
    clock.shift(timedelta(minutes=minutes))
    page = browser.get("/private/")
    assert page.url.path == "/accounts/login/"
    assert "staff of this site ended your session" in page.text
    assert "staff of this site" not in browser.get("/accounts/login/").text


# Second factors


def totp_code(secret):
    return totp.format_hotp_value(
        totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time()))
    )


@pytest.fixture
def secret(alice):
    """Alice's app for codes."""
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(alice, secret)
    return secret


@beside_allauth
def test_no_session_starts_before_the_second_factor(browser, secret):
    """A password alone gives neither row nor cookies; what was said of the browser is kept."""
    assert sign_in(browser).url.path == "/accounts/2fa/authenticate/"
    assert (who(browser), tokens(browser), reasons()) == ("anonymous", [], [])
    browser.post_form("/accounts/2fa/authenticate/", {"code": totp_code(secret)})
    assert (who(browser), tokens(browser), reasons()) == ("alice", [ACCESS, REFRESH], [""])
    assert AuthSession.objects.get().persistent is False


@beside_allauth
def test_no_other_login_page_forgets_the_second_factor(browser, secret, alice):
    """Ours, our API and the admin's lead to allauth's, or are gone."""
    alice.is_staff = True
    alice.save()
    assert browser.get("/auth/login/?next=/private/").url.path == "/accounts/login/"
    assert browser.get("/admin/").url.path == "/accounts/login/"
    credentials = {"username": "alice", "password": PASSWORD}
    assert browser.fetch("POST", "/auth/api/login/", json=credentials).status_code == 410
    assert reasons() == []


# "Login with ..."


@beside_allauth
def test_a_social_login_starts_a_session(browser, transactional_db):
    """The first time it signs up, the second time it signs in."""
    for _ in range(2):
        form = browser.post_form("/accounts/dummy/login/?next=/private/", {})
        assert form.url.path == "/accounts/dummy/authenticate/"
        fields = {"id": "7", "username": "alice", "email": "a@site.test"}
        page = browser.post_form(str(form.url.copy_with(scheme=None, host=None)), fields)
        assert "Hello alice" in page.text
        assert tokens(browser) == [ACCESS, REFRESH]
        browser.post_form("/accounts/logout/", {})
    assert SocialAccount.objects.count() == 1
    assert reasons() == ["logout"] * 2


# Reauthentication


def add_address(browser, address):
    """Do what allauth may ask a proof for."""
    return browser.post_form("/accounts/email/", {"action_add": "", "email": address})


@beside_allauth
def test_allauths_reauthentication_works(browser, alice, settings, clock):
    """It asks for the password, also after a refresh, and then does what was asked for."""
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    sign_in(browser)
    clock.shift(timedelta(minutes=16))
    asked = add_address(browser, "b@site.test")
    assert asked.url.path == "/accounts/reauthenticate/"
    browser.post_form(str(asked.url.raw_path, "ascii"), {"password": PASSWORD})
    assert alice.emailaddress_set.filter(email="b@site.test").exists()


@beside_allauth
def test_allauths_reauthentication_starts_a_session(browser, new_browser, alice, settings):
    """A copy of the cookies gains nothing, nor do other sessions."""
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    sign_in(browser)
    copy, other = new_browser(), new_browser()
    copy.paste_cookies(browser.copy_cookies())
    sign_in(other)
    before = browser.value("sessionid")
    asked = add_address(browser, "b@site.test")
    browser.post_form(str(asked.url.raw_path, "ascii"), {"password": PASSWORD})
    assert browser.value("sessionid") != before
    assert add_address(browser, "e@site.test").url.path == "/accounts/email/"
    assert add_address(copy, "c@site.test").url.path == "/accounts/login/"
    assert add_address(other, "d@site.test").url.path == "/accounts/reauthenticate/"
    assert sorted(reasons()) == ["", "", "replaced"]


def new_code(clock, secret):
    """A code that is good for half a minute from now."""
    clock.shift(timedelta(seconds=30 - time.time() % 30))
    return totp_code(secret)


def type_password(browser, asked, clock, secret):
    assert asked.url.path == "/accounts/reauthenticate/"
    return browser.post_form(str(asked.url.raw_path, "ascii"), {"password": PASSWORD})


def type_code(browser, asked, clock, secret):
    assert "/accounts/2fa/reauthenticate/" in asked.text
    then = asked.url.params["next"]
    form = str(httpx.URL("/accounts/2fa/reauthenticate/", params={"next": then}))
    return browser.post_form(form, {"code": new_code(clock, secret)})


class Passkey:
    """A security key in software: it signs as a browser's does (WebAuthn §6.3.3)."""

    def __init__(self, user, origin):
        self.key, self.id, self.origin = ec.generate_private_key(ec.SECP256R1()), b"k" * 16, origin
        public = ES256.from_cryptography_key(self.key.public_key())
        made = AttestedCredentialData.create(Aaguid.NONE, self.id, public)
        attested = AttestationObject.create("none", self.data(made), {})
        said = CollectedClientData.create("webauthn.create", b"c" * 32, origin)
        credential = self.credential(clientDataJSON=said, attestationObject=attested)
        Authenticator.objects.create(
            user=user, type="webauthn", data={"name": "Key", "credential": credential}
        )

    def data(self, made=None):
        """What it says of itself, with the user's touch; of a new key, the key."""
        flags = AuthenticatorData.FLAG.UP | (AuthenticatorData.FLAG.AT if made else 0)
        rp = hashlib.sha256(urlsplit(self.origin).hostname.encode()).digest()
        return AuthenticatorData.create(rp, flags, 1, made or b"")

    def credential(self, **parts):
        """What a browser's script sends."""
        name = websafe_encode(self.id)
        response = {key: websafe_encode(part) for key, part in parts.items()}
        common = {"type": "public-key", "clientExtensionResults": {}}
        return common | {"id": name, "rawId": name, "response": response}

    def sign(self, challenge):
        """The answer to a challenge."""
        data = self.data()
        said = CollectedClientData.create("webauthn.get", challenge, self.origin)
        signature = self.key.sign(data + said.hash, ec.ECDSA(hashes.SHA256()))
        return self.credential(clientDataJSON=said, authenticatorData=data, signature=signature)


def touch_passkey(browser, asked, clock, secret):
    key = Passkey(get_user_model().objects.get(username="alice"), str(browser.origin))
    then = asked.url.params["next"]
    form = str(httpx.URL("/accounts/2fa/webauthn/reauthenticate/", params={"next": then}))
    page = browser.get(form)
    options = json.loads(re.search(r'id="js_data"[^>]*>(.*?)</script>', page.text, re.DOTALL)[1])
    challenge = websafe_decode(options["request_options"]["publicKey"]["challenge"])
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    return browser.send_form(form, token | {"credential": json.dumps(key.sign(challenge))})


def late_sign_in(browser, clock, secret):
    """Sign in with both factors, longer ago than a recent login was."""
    sign_in(browser, remember="on")
    browser.post_form("/accounts/2fa/authenticate/", {"code": new_code(clock, secret)})
    clock.shift(timedelta(minutes=6))


@beside_allauth
@pytest.mark.parametrize("prove", [type_password, type_code, touch_passkey])
def test_allauth_proves_a_recent_login(browser, alice, secret, clock, prove):
    """By each means; then the page that wanted it is shown, in a session of its own."""
    late_sign_in(browser, clock, secret)
    page = prove(browser, browser.get("/recent/?a=1"), clock, secret)
    assert (page.text, page.url.raw_path) == ("Here it is done.", b"/recent/?a=1")
    assert reasons() == ["replaced", ""]
    first, second = AuthSession.objects.order_by("created_at")
    assert second.authenticated_at - first.authenticated_at >= timedelta(minutes=6)
    assert (first.persistent, second.persistent) == (True, True)


@beside_allauth
@pytest.mark.parametrize("prove", [type_password, type_code, touch_passkey])
def test_a_form_waits_while_allauth_asks(browser, alice, secret, clock, prove):
    """In the Django session, the last one alone; it is shown before it is sent."""
    late_sign_in(browser, clock, secret)
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    browser.send_form("/recent/", token | {"note": "the first"})
    asked = browser.send_form("/recent/?a=1", token | {"note": "the last"})
    assert "the last" not in str(asked.url)
    assert browser.get("/auth/reauthenticate/").url.path == "/accounts/reauthenticate/"  # waits
    shown = prove(browser, asked, clock, secret)
    assert shown.url.path == "/auth/reauthenticate/"
    assert "the last</dd>" in shown.text
    assert "the first" not in shown.text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown.text)[1]
    fields = {"csrfmiddlewaretoken": token, "note": "the last"}
    assert browser.send_form("/recent/?a=1", fields).text == "Here it is done: the last"
    assert "the last" not in browser.get("/auth/reauthenticate/").text  # it was shown once


@beside_allauth
def test_a_form_waits_no_longer_than_ten_minutes_for_allauth(browser, alice, secret, clock):
    """Then it is to be sent again."""
    late_sign_in(browser, clock, secret)
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    asked = browser.send_form("/recent/", token | {"note": "kept"})
    clock.shift(timedelta(minutes=11))
    shown = type_password(browser, asked, clock, secret)
    assert "could not be kept that long" in shown.text


@beside_allauth
@pytest.mark.parametrize("case", ["in a cookie", "too much"])
def test_what_cannot_wait_for_allauth_is_said_to_be_lost(
    browser, alice, secret, clock, settings, monkeypatch, case
):
    """A session in a cookie is too small, and read by who holds it."""
    if case == "in a cookie":
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        # allauth.usersessions has 40 characters for a session's key, which is the cookie here.
        note = type(apps.get_model("usersessions", "UserSession").objects)
        monkeypatch.setattr(note, "create_from_request", lambda *args: None)
    late_sign_in(browser, clock, secret)
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    note = "x" * (66_000 if case == "too much" else 10)
    page = browser.send_form("/recent/", token | {"note": note})
    assert page.status_code == 403
    assert "was not kept" in page.text
    assert 'href="/accounts/reauthenticate/?next=' in page.text


def give_password(browser, page, then="/recent/"):
    """Send our own page's form, whether or not it is there."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    fields = {"csrfmiddlewaretoken": token, "password": PASSWORD, "next": then}
    return browser.send_form("/auth/reauthenticate/", fields)


@beside_allauth
def test_where_allauth_has_no_page_ours_asks(browser, alice, clock, settings):
    """A site with its API alone."""
    sign_in(browser)
    clock.shift(timedelta(minutes=6))
    settings.ROOT_URLCONF = NoPages
    page = browser.get("/recent/")
    assert page.url.path == "/auth/reauthenticate/"
    assert give_password(browser, page).text == "Here it is done."


@beside_allauth
@pytest.mark.parametrize("case", ["pages", "no pages"])
def test_a_password_is_no_proof_where_allauth_takes_none(browser, alice, clock, settings, case):
    """Who has no other means signs in again."""
    settings.ACCOUNT_REAUTHENTICATION_METHODS = ["mfa"]
    sign_in(browser)
    clock.shift(timedelta(minutes=6))
    if case == "no pages":
        settings.ROOT_URLCONF = NoPages
    page = browser.get("/recent/")
    assert "Sign out and in again" in page.text
    again = give_password(browser, page)
    assert "Sign out and in again" in again.text
    assert reasons() == [""]


@beside_allauth
@pytest.mark.parametrize("pages", [True, False])
def test_who_has_another_means_proves_nothing_by_a_password(
    browser, alice, secret, clock, settings, pages
):
    """They are sent to where the site asks for it, if it has such a page."""
    settings.ACCOUNT_REAUTHENTICATION_METHODS = ["mfa"]
    late_sign_in(browser, clock, secret)
    browser.get("/recent/")
    if not pages:
        settings.ROOT_URLCONF = NoPages
    form = browser.get("/form/")
    page = give_password(browser, form)
    assert (page.url.path == "/accounts/2fa/reauthenticate/") is pages
    assert ("Sign out and in again" in page.text) is not pages
    assert reasons() == [""]


@beside_allauth
@pytest.mark.parametrize(
    ("fields", "whom", "ends"),
    [({}, "anonymous", ["logout"]), ({"stay": "on"}, "alice", ["replaced", ""])],
)
def test_what_allauth_goes_on_with_may_sign_out_or_in(browser, alice, fields, whom, ends):
    """It runs the view that was interrupted in the request of the proof: its word counts."""
    sign_in(browser)
    asked = browser.post_form("/leave/", fields, page="/form/")
    assert asked.url.path == "/accounts/reauthenticate/"
    left = browser.post_form(str(asked.url.raw_path, "ascii"), {"password": PASSWORD})
    assert (left.text, who(browser)) == ("Done.", whom)
    assert reasons() == ends


@beside_allauth
def test_a_failed_proof_starts_nothing(browser, alice, secret, clock):
    """Nor does a login's step, which allauth tells of alike."""
    late_sign_in(browser, clock, secret)
    asked = browser.get("/recent/")
    browser.post_form(str(asked.url.raw_path, "ascii"), {"password": "wrong"})
    assert reasons() == [""]


# Headless


def headless(browser, client, path, method="GET", **kwargs):
    return browser.fetch(method, f"/_allauth/{client}/v1/{path}", **kwargs)


CREDENTIALS = {"username": "alice", "password": PASSWORD}


@beside_allauth
def test_headless_browser_clients_have_our_cookies(browser, alice, clock):
    """One row; refreshed like anything else, and ended by allauth's own call."""
    headless(browser, "browser", "config")
    done = headless(browser, "browser", "auth/login", "POST", json=CREDENTIALS)
    assert done.json()["meta"]["is_authenticated"]
    assert (tokens(browser), reasons()) == ([ACCESS, REFRESH], [""])
    clock.shift(timedelta(minutes=16))
    assert headless(browser, "browser", "auth/session").json()["meta"]["is_authenticated"]
    assert AuthSession.objects.get().rotation == 1
    assert headless(browser, "browser", "auth/session", "DELETE").status_code == 401
    assert (who(browser), reasons()) == ("anonymous", ["logout"])


@beside_allauth
def test_headless_app_clients_are_allauths_own(browser, alice):
    """Their token signs them in, whoever our cookies say; none of ours is made or ended."""
    bob = UserFactory(username="bob")
    sign_in(browser, "bob")
    before = browser.cookies
    done = headless(browser, "app", "auth/login", "POST", json=CREDENTIALS).json()
    token = {"X-Session-Token": done["meta"]["session_token"]}
    there = headless(browser, "app", "auth/session", headers=token).json()
    assert there["data"]["user"]["username"] == "alice"
    assert headless(browser, "app", "auth/session").status_code == 401  # our cookies are not asked
    assert headless(browser, "app", "auth/session", "DELETE", headers=token).status_code == 401
    assert headless(browser, "app", "auth/session", headers=token).status_code == 410
    assert (who(browser), browser.cookies == before) == ("bob", True)
    assert [session.user for session in AuthSession.objects.active()] == [bob]


@beside_allauth
def test_an_app_whom_allauth_knows_gets_our_tokens(server, alice, settings):
    """By the view of the page about apps; allauth's own session may end then."""
    settings.TOKENAUTH_APP_CLIENTS = True
    app = Client(headers={"host": "app.site.test", "x-forwarded-proto": "https"})
    assert app.post("/app-login/").status_code in (401, 403)
    there = "/_allauth/app/v1/auth/"
    done = app.post(f"{there}login", CREDENTIALS, "application/json").json()
    token = {"x-session-token": done["meta"]["session_token"]}
    ours = app.post("/app-login/", headers=token).json()
    assert app.delete(f"{there}session", headers=token).status_code == 401
    header = {"authorization": f"Bearer {ours['access_token']}"}
    assert app.get("/whoami/", headers=header).content == b"alice"
    assert [session.client for session in AuthSession.objects.active()] == ["app"]


@beside_allauth
def test_our_revoke_does_not_end_an_app_clients_session(browser, alice):
    """It is none of ours; a new password ends it."""
    done = headless(browser, "app", "auth/login", "POST", json=CREDENTIALS).json()
    token = {"X-Session-Token": done["meta"]["session_token"]}
    AuthSession.objects.filter(user=alice).revoke("admin")
    assert headless(browser, "app", "auth/session", headers=token).status_code == 200
    alice.set_password(NEW)
    alice.save()
    assert headless(browser, "app", "auth/session", headers=token).status_code != 200


# usersessions


@beside_allauth
@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize(("engine", "whom"), [("db", "anonymous"), ("cache", "alice")])
def test_who_is_signed_out_by_usersessions_is_signed_out(
    browser, new_browser, alice, settings, clock, *, expired, engine, whom
):
    """It lists the same sign-ins, by their Django sessions: over here where those have rows."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    other = new_browser()
    for each in (browser, other):
        sign_in(each)
    keys = {each.value("sessionid") for each in (browser, other)}
    assert set(UserSession.objects.values_list("session_key", flat=True)) == keys
    browser.post_form("/accounts/sessions/", {})
    assert UserSession.objects.get().session_key == browser.value("sessionid")
    if expired:
        clock.shift(timedelta(minutes=16))
    assert (who(other), who(browser)) == (whom, "alice")


@beside_allauth
def test_a_session_that_ended_here_is_off_the_list_of_usersessions(browser, new_browser, alice):
    """Its Django session is gone, which allauth looks for."""
    other = new_browser()
    for each in (browser, other):
        sign_in(each)
    AuthSession.objects.filter(django_session=other.value("sessionid")).revoke("user")
    browser.get("/accounts/sessions/")
    assert UserSession.objects.get().session_key == browser.value("sessionid")
