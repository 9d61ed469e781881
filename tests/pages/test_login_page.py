"""The login page: says why one is here, what went wrong, and leads nobody astray."""

import re
from datetime import timedelta
from urllib.parse import quote

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import PasswordResetView
from django.http import HttpResponse
from django.template import Context, RequestContext, Template
from django.test import RequestFactory
from django.urls import path, reverse
from django.utils import timezone

from tests import urls
from tests.factories import PASSWORD, UserFactory
from tokenauth.models import AuthSession
from tokenauth.pages import views
from tokenauth.pages.views import LoginView
from tokenauth.session.endings import RevokeReason

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
WHY = "You were signed out because"
THEFT = "Somebody else may have used your sign-in on this device. We have signed both of you out."
TOLD = {
    "user": f"{WHY} this device was signed out from another one",
    "admin": f"{WHY} staff of this site ended your session",
    "reuse": THEFT,
    "mismatch": f"{WHY} this site no longer recognised your sign-in",
    "limit": f"{WHY} you signed in on more devices than this site allows",
}
EXPIRED = "your session has expired"


class WithPasswordReset:
    """A site that has Django's page for a forgotten password."""

    urlpatterns = [
        *urls.urlpatterns,
        path("forgotten/", PasswordResetView.as_view(), name="password_reset"),
    ]


class WithDjangosForm:
    """A site that has no box to tick."""

    urlpatterns = [
        path("auth/login/", LoginView.as_view(authentication_form=AuthenticationForm)),
        *urls.urlpatterns,
    ]


@pytest.fixture
def alice(transactional_db):
    return UserFactory(username="alice")


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture(params=[0, 20], ids=["access-valid", "access-expired"])
def minutes(request):
    """How long ago the person was here: refreshed in this request, or not."""
    return request.param


@pytest.fixture(params=["/auth/", "/"], ids=["bounce", "in-place"])
def cookie_path(request, settings):
    """Where the refresh cookie goes."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = request.param


def tags(page, name):
    return re.findall(rf"<{name}\b[^>]*>", page)


def field(page, name):
    return next(tag for tag in tags(page, "input") if f'name="{name}"' in tag)


def token_cookies(browser):
    return {name for name, _ in browser.cookies if name.endswith("_token")} - {"csrftoken"}


@pytest.mark.parametrize(("reason", "sentence"), TOLD.items(), ids=TOLD)
@pytest.mark.usefixtures("cookie_path")
def test_the_next_click_tells_why_a_session_was_ended(
    browser, alice, clock, minutes, reason, sentence
):
    """Once: the cookies go with the page that tells it."""
    browser.login(alice)
    AuthSession.objects.all().revoke(reason)
    clock.shift(timedelta(minutes=minutes))
    page = browser.get("/private/")
    assert page.url.path == "/auth/login/"
    assert sentence in page.text
    assert token_cookies(browser) == set()
    assert sentence not in browser.get("/auth/login/").text


def test_a_client_that_does_not_say_that_it_navigates_is_told_too(client, alice):
    """Older Safari, a site on plain http, Django's test client."""
    data = {"username": alice.get_username(), "password": PASSWORD}
    client.post("/auth/login/", data, secure=True)
    AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    page = client.get("/private/", secure=True, follow=True)
    assert TOLD[RevokeReason.ADMIN] in page.text
    dead = [page.cookies[name] for name in page.cookies if name.endswith("refresh_token")]
    assert [(morsel.value, morsel["max-age"]) for morsel in dead] == [("", 0)]


def test_a_reason_of_the_sites_own_keeps_nobody_from_signing_in(browser, alice):
    """There are no words for it, but a form."""
    browser.login(alice)
    AuthSession.objects.all().revoke("fraud")
    page = browser.get("/private/")
    assert page.status_code == 200
    assert WHY not in page.text
    assert browser.login(alice).status_code == 200
    assert browser.get("/whoami/").text == alice.get_username()


@pytest.mark.parametrize(("mode", "swept"), [("cors", True), ("navigate", False)])
def test_a_script_that_is_redirected_keeps_no_dead_cookie(client, alice, mode, swept):
    """It reads no login page; for a person the token goes with that page."""
    data = {"username": alice.get_username(), "password": PASSWORD}
    client.post("/auth/login/", data, secure=True)
    AuthSession.objects.all().revoke(RevokeReason.ADMIN)
    answer = client.get("/private/", secure=True, headers={"Sec-Fetch-Mode": mode})
    assert answer.status_code == 302
    assert any(name.endswith("refresh_token") for name in answer.cookies) is swept


@pytest.mark.usefixtures("cookie_path")
def test_a_theft_is_told_to_whoever_held_the_token(browser, new_browser, alice, clock):
    """The owner must know; the thief knows already."""
    browser.login(alice)
    stolen = browser.copy_cookies()
    for _ in range(2):
        clock.shift(timedelta(minutes=20))
        browser.get("/private/")
    thief = new_browser()
    thief.paste_cookies(stolen)
    clock.shift(timedelta(minutes=5))
    for victim in (thief, browser):
        page = victim.get("/private/")
        assert THEFT in page.text
    assert AuthSession.objects.get().revoke_reason == "reuse"


@pytest.mark.parametrize("hours", [13, 60], ids=["lately", "long-ago"])
def test_an_expiry_is_told(browser, alice, clock, hours):
    """A browser that was left open over night, or over the weekend."""
    browser.login(alice, remember=False)
    clock.shift(timedelta(hours=hours))
    assert f"{WHY} {EXPIRED}" in browser.get("/private/").text


def test_a_session_that_is_gone_has_expired(browser, alice):
    """Its row may have been cleared away."""
    browser.login(alice)
    AuthSession.objects.all().delete()
    assert f"{WHY} {EXPIRED}" in browser.get("/private/").text


def test_a_new_password_is_told(browser, alice):
    """For as long as the old session could be taken for one that works."""
    browser.login(alice)
    alice.set_password("another-pass-1")
    alice.save()
    for _ in range(2):
        page = browser.get("/private/").text
        assert f"{WHY} the password of your account has changed" in page


def test_who_was_switched_off_is_told_nothing(browser, alice):
    """That is between them and the site."""
    browser.login(alice)
    alice.is_active = False
    alice.save()
    page = browser.get("/private/")
    assert page.url.path == "/auth/login/"
    assert WHY not in page.text


@pytest.mark.parametrize("reason", [RevokeReason.LOGOUT, RevokeReason.REPLACED])
def test_who_left_knows_why(browser, alice, reason):
    """Somebody who signed out, or has just signed in anew, is told nothing."""
    browser.login(alice)
    AuthSession.objects.all().revoke(reason)
    assert WHY not in browser.get("/private/").text


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "?why=reuse&reason=reuse&next=/private/?why=admin"])
def test_a_stranger_is_told_nothing(client, query):
    """No URL makes the page say anything."""
    assert WHY not in client.get(f"/auth/login/{query}", secure=True).text


@pytest.mark.parametrize(
    "change",
    [lambda raw: raw[:-2], lambda raw: raw[::-1], lambda raw: ""],
    ids=["cut", "reversed", "empty"],
)
def test_a_token_that_does_not_verify_tells_nothing(browser, alice, change):
    """Only who holds the session's own token learns how it ended."""
    browser.login(alice)
    AuthSession.objects.all().revoke("admin")
    raw = browser.value(REFRESH)
    for name in (ACCESS, REFRESH):
        browser.drop_cookie(name)
    browser.set_cookie(REFRESH, change(raw), path="/auth/")
    assert WHY not in browser.get("/auth/login/").text


def test_two_sessions_tell_nothing(browser, new_browser, alice):
    """One of them may be planted, so neither is believed."""
    other = new_browser()
    for each in (browser, other):
        each.login(alice)
        each.drop_cookie(ACCESS)
    AuthSession.objects.all().revoke("admin")
    browser.set_cookie(REFRESH, other.value(REFRESH), path="/auth/login/")
    page = browser.get("/auth/login/")
    assert page.status_code == 200
    assert WHY not in page.text


def test_who_is_signed_in_is_told_nothing(browser, alice):
    """The page is also where one becomes somebody else."""
    browser.login(alice)
    assert WHY not in browser.get("/auth/login/").text


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize(("cookies", "queries"), [("none", 0), ("live", 1), ("dead", 2)])
def test_the_page_costs_a_stranger_no_query(browser, server, alice, cookies, queries):
    """And who is told something, one more (Django's own session is flushed besides)."""
    if cookies != "none":
        browser.login(alice)
    if cookies == "dead":
        AuthSession.objects.all().revoke("admin")
    with server.count_queries() as made:
        browser.get("/auth/login/")
    assert len([sql for sql in made if "tokenauth_authsession" in sql]) == queries


# A login page of the site's own


def own_login(request):
    """A page that knows the tag, as the admin's or allauth's may."""
    template = (
        "{% load tokenauth %}{% why_signed_out as why %}"
        '{% if why %}<p role="status">{{ why }}</p>{% else %}Sign in.{% endif %}'
    )
    return HttpResponse(Template(template).render(RequestContext(request)))


class WithOwnLogin:
    """A site whose login page gets no refresh cookie."""

    urlpatterns = [path("accounts/login/", own_login), *urls.urlpatterns]


@pytest.fixture
def own_site(settings):
    """Its pages that need a person lead to its own login page."""
    settings.ROOT_URLCONF, settings.LOGIN_URL = WithOwnLogin, "/accounts/login/"


@pytest.mark.parametrize(("reason", "sentence"), TOLD.items(), ids=TOLD)
@pytest.mark.usefixtures("cookie_path", "own_site")
def test_any_login_page_can_tell_why(browser, alice, clock, minutes, reason, sentence):
    """By the access token, that goes everywhere; once, for it goes with the page."""
    browser.login(alice)
    AuthSession.objects.all().revoke(reason)
    clock.shift(timedelta(minutes=minutes))
    page = browser.get("/private/")
    assert page.url.path == "/accounts/login/"
    assert sentence in page.text
    assert ACCESS not in token_cookies(browser)
    assert browser.get("/accounts/login/").text == "Sign in."
    assert browser.login(alice).status_code == 200
    assert browser.get("/whoami/").text == alice.get_username()


@pytest.mark.usefixtures("own_site")
def test_any_login_page_tells_of_a_new_password(browser, alice, clock, minutes):
    """Nothing has ended, and no cookie goes."""
    browser.login(alice)
    alice.set_password("another-pass-1")
    alice.save()
    clock.shift(timedelta(minutes=minutes))
    page = browser.get("/private/").text
    assert f"{WHY} the password of your account has changed" in page
    assert ACCESS in token_cookies(browser)


@pytest.mark.usefixtures("own_site")
def test_a_public_page_sweeps_away_what_a_login_page_would_have_told(browser, alice, clock):
    """Or each page after it would be bounced for a session that is over."""
    browser.login(alice)
    AuthSession.objects.all().revoke("admin")
    clock.shift(timedelta(minutes=20))
    assert browser.get("/").status_code == 200
    assert ACCESS not in token_cookies(browser)


@pytest.mark.usefixtures("own_site")
def test_the_tag_tells_a_stranger_nothing(client, db, alice):
    """Nor who is signed in, nor a template that has no request."""
    assert client.get("/accounts/login/", secure=True).text == "Sign in."
    client.force_login(alice)
    assert client.get("/accounts/login/", secure=True).text == "Sign in."
    tag = "{% load tokenauth %}{% why_signed_out %}"
    assert Template(tag).render(Context()) == ""
    assert Template(tag).render(Context({"request": RequestFactory().get("/")})) == ""


# Who is signed in already


def test_who_is_signed_in_is_told_as_whom_and_may_go_on(browser, alice):
    """The form below is for somebody else."""
    browser.login(alice)
    page = browser.get("/auth/login/?next=/public/").text
    assert f"You are signed in as <strong>{alice.get_username()}</strong>." in page
    assert '<a class="tokenauth-button" href="/public/">Go on</a>' in page
    assert "Sign in as somebody else" in page


@pytest.mark.django_db
def test_a_stranger_is_offered_nothing_to_go_on_with(client):
    """Nor is who has just mistyped a password."""
    assert "Go on" not in client.get("/auth/login/", secure=True).text


@pytest.mark.parametrize(
    ("target", "said"), [("", True), ("?next=/public/", False)], ids=["our-page", "elsewhere"]
)
def test_signing_out_is_answered(client, alice, target, said):
    """On our own page alone: another may show it much later, or to somebody else."""
    data = {"username": alice.get_username(), "password": PASSWORD}
    client.post("/auth/login/", data, secure=True)
    client.post(f"/auth/logout/{target}", secure=True)
    page = client.get("/auth/login/", secure=True).text
    assert ("You have signed out." in page) is said


# The form


@pytest.fixture
def page(client, db):
    """A function that gives the login page's HTML after a form was sent, or before."""

    def get(data=None, query=""):
        url = reverse("tokenauth:login") + query
        send = client.get if data is None else client.post
        return send(url, data, secure=True).text

    return get


def test_password_managers_know_the_fields(page):
    """And phones neither capitalise nor correct a name."""
    html = page()
    for attribute in ('autocomplete="username"', 'autocapitalize="none"', "autofocus", "required"):
        assert attribute in field(html, "username")
    assert 'autocomplete="current-password"' in field(html, "password")
    assert "checked" in field(html, "remember")
    assert 'role="alert"' not in html


@pytest.mark.users
def test_who_signs_in_by_e_mail_gets_the_keyboard_for_it(page, user):
    """Only them."""
    is_email = user.USERNAME_FIELD == "email"
    assert ('inputmode="email"' in field(page(), "username")) is is_email


def test_a_wrong_password_is_told_at_the_fields(page, user):
    """Both are described by the summary; the name is kept and the password is next."""
    html = page({"username": "alice", "password": "wrong"})
    assert re.search(r"<title>\s*Error: Sign in", html)
    assert 'id="tokenauth-errors"' in html
    assert '<a href="#id_username">Please enter a correct username' in html
    for name in ("username", "password"):
        assert 'aria-invalid="true"' in field(html, name)
        assert 'aria-describedby="tokenauth-errors"' in field(html, name)
    assert 'value="alice"' in field(html, "username")
    assert "autofocus" in field(html, "password")
    assert "autofocus" not in field(html, "username")
    assert "wrong" not in html


def test_a_missing_field_is_told_where_it_is(page):
    """The summary links to it, and the error is read with it."""
    html = page({"username": "", "password": "x"})
    assert '<a href="#id_username">Username: This field is required.</a>' in html
    assert 'aria-invalid="true"' in field(html, "username")
    assert 'aria-describedby="id_username_error"' in field(html, "username")
    assert 'id="id_username_error"' in html
    assert "aria-invalid" not in field(html, "password")


def test_every_field_is_labelled(page):
    """For a screen reader, and for a finger."""
    html = page()
    for name in ("username", "password", "remember"):
        assert f'for="id_{name}"' in html or f'id="id_{name}"' in html.split("<label")[-1]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/",
        "//evil.test/",
        "javascript:alert(1)",
        "//\t/evil.test",
        "/\x1f/evil.test",
    ],
)
def test_nobody_is_led_elsewhere(client, user, page, target):
    """Neither by the form that is shown nor by the one that is sent."""
    assert "evil" not in page(query=f"?next={quote(target)}")
    data = {"username": "alice", "password": PASSWORD, "next": target}
    answer = client.post("/auth/login/", data, secure=True)
    assert answer.headers["Location"] == "/"


def test_what_was_typed_is_only_ever_text(page):
    """Nothing is reflected as markup."""
    html = page({"username": '"><script>alert(1)</script>', "password": "<b>"}, query="?next=/<i>")
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert "<i>" not in html


def test_who_forgot_the_password_finds_the_way(page, settings):
    """If the site has one."""
    assert "Forgotten" not in page()
    settings.ROOT_URLCONF = WithPasswordReset
    assert '<a href="/forgotten/">Forgotten your password?</a>' in page()


def test_a_site_over_http_is_told_once_that_nobody_can_sign_in(client, db, caplog):
    """Anybody can ask for the page a million times, and fill the log."""
    views.warn_of_http.cache_clear()
    pages = [client.get(reverse("tokenauth:login")).text for _ in range(3)]
    assert all("Nobody can sign in here over http." in page for page in pages)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "tokenauth.security"]
    assert "SECURE_PROXY_SSL_HEADER" in line


@pytest.mark.parametrize("at_close", [True, False], ids=["at-close", "stays"])
def test_a_form_without_the_box_works(client, user, settings, at_close):
    """The site's policy ticks it."""
    settings.ROOT_URLCONF = WithDjangosForm
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = at_close
    assert 'name="remember"' not in client.get("/auth/login/").text
    answer = client.post("/auth/login/", {"username": "alice", "password": PASSWORD}, secure=True)
    assert answer.status_code == 302
    assert AuthSession.objects.get().persistent is not at_close


@pytest.mark.users
def test_letters_for_a_number_are_not_right(client, user, monkeypatch):
    """A name that the username field cannot hold is nobody's, and no error of ours."""
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")  # a number, or a UUID
    answer = client.post("/auth/login/", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.context["form"].non_field_errors().as_data()[0].code == "invalid_login"
    assert 'aria-invalid="true"' in field(answer.text, "username")
    data = {"username": str(user.pk), "password": PASSWORD}
    assert client.post("/auth/login/", data).status_code == 302


def test_an_error_of_a_backend_stays_one(client, user, monkeypatch):
    """Only what the username field refuses is an answer to a wrong name."""
    monkeypatch.setattr(ModelBackend, "authenticate", fail)
    with pytest.raises(ValueError, match="a bug"):
        client.post("/auth/login/", {"username": "alice", "password": PASSWORD})


def fail(*args, **kwargs):
    raise ValueError("a bug")
