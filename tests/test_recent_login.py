"""Step-up: views that want a recent proof of identity, and the page that asks for it."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from tests import urls
from tests.factories import PASSWORD, SessionFactory, UserFactory
from tokenauth.decorators import RecentLoginRequiredMixin, recent_login_required
from tokenauth.models import AuthSession
from tokenauth.permissions import RecentLogin
from tokenauth.request.credentials import Credentials
from tokenauth.stepup import allauths
from tokenauth.stepup.interrupted import Field, Interrupted, pack, unpack
from tokenauth.stepup.recency import CLOCK_SKEW, duration_of, is_recent
from tokenauth.testing import TokenClientMixin

pytestmark = [pytest.mark.users, pytest.mark.django_db(transaction=True)]

CODE = "insufficient_user_authentication"
ASK = "/auth/reauthenticate/"
LATER = timedelta(minutes=6)
#: A page with a form, as browsers ask for it.
HTML = {"Accept": "text/html,*/*;q=0.8"}


def done(request: HttpRequest) -> HttpResponse:
    """What was done, and with what."""
    if request.method == "GET":
        return HttpResponse("Here it is done.")
    files = {name: file.read().decode() for name, file in request.FILES.items()}
    fields = {name: values for name, values in request.POST.lists() if "csrf" not in name}
    return JsonResponse({"fields": fields, "files": files, "path": request.get_full_path()})


@recent_login_required
async def async_done(request: HttpRequest) -> HttpResponse:
    return done(request)


class Done(RecentLoginRequiredMixin, View):
    max_age = timedelta(minutes=5)

    def get(self, request):
        return done(request)

    post = get


class AsyncDone(RecentLoginRequiredMixin, View):
    async def get(self, request):
        return done(request)

    post = get


class Api(APIView):
    permission_classes = [RecentLogin]

    def get(self, request):
        return Response({"done": True})

    post = get


class QuickApi(Api):
    permission_classes = [RecentLogin.within(60)]


def paper(request):
    """A page with a form, which wants a recent login of who sends it."""
    if request.method == "POST":
        return recent_login_required(done)(request)
    fields = "<input name=note><input name=pin type=password><input name=paper type=file>"
    token = f'<input type=hidden name=csrfmiddlewaretoken value="{get_token(request)}">'
    form = f'<form method=post enctype="multipart/form-data">{token}{fields}<button type=submit>'
    return HttpResponse(f"<!doctype html><title>Paper</title>{form}Send</button></form>")


def step(request):
    """What allauth tells of a step of an authentication."""
    user = request.user if "own" in request.GET else UserFactory(username="other")
    again = {"reauthenticated": True} if "again" in request.GET else {}
    allauths.on_step(request, user, method="password", **again)
    return HttpResponse()


urlpatterns = [
    path("step/", step),
    path("paper/", paper),
    path("done/", recent_login_required(done)),
    path("quick/", recent_login_required(max_age=60)(done)),
    path("exempt/", csrf_exempt(recent_login_required(done))),
    path("async/done/", async_done),
    path("class/", Done.as_view()),
    path("async/class/", AsyncDone.as_view()),
    path("method/", method_decorator(recent_login_required, name="get")(Done).as_view()),
    path("api/done/", Api.as_view()),
    path("api/quick/", QuickApi.as_view()),
    *urls.urlpatterns,
]
each_view = pytest.mark.parametrize(
    "url", ["/done/", "/async/done/", "/class/", "/async/class/"], ids=lambda url: url.strip("/")
)
one_server = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@pytest.fixture(autouse=True)
def site(settings):
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def late(browser, user, clock):
    """A browser in which somebody signed in six minutes ago."""
    browser.login(user)
    clock.shift(LATER)
    return browser


def hidden(page, name):
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    return unescape(found[1]) if found else None


def fields_of(page):
    """Every hidden field of the first form."""
    form = re.search(r"<form.*?</form>", page.text, re.DOTALL)[0]
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    data = {}
    for name, value in pairs:
        data.setdefault(unescape(name), []).append(unescape(value))
    return data


def action_of(page):
    return unescape(re.search(r'<form method="post" action="([^"]*)"', page.text)[1])


def confirm(browser, page, password=PASSWORD):
    """Type the password into the page, and press the button."""
    return browser.send_form(ASK, fields_of(page) | {"password": password})


def send(browser, page):
    """Press the button of a page that shows what is about to happen."""
    return browser.send_form(action_of(page), fields_of(page))


@each_view
def test_after_a_recent_login_a_view_runs(browser, user, url):
    """As if it asked for nothing."""
    browser.login(user)
    assert browser.get(url).text == "Here it is done."


@each_view
def test_a_page_asks_again_and_leads_on(late, user, url):
    """After the password, in a new session."""
    page = late.get(f"{url}?a=1")
    assert page.url.path == ASK
    assert user.get_username() in page.text
    answer = confirm(late, page)
    assert (answer.text, answer.url.raw_path.decode()) == ("Here it is done.", f"{url}?a=1")
    assert [
        *AuthSession.objects.order_by("created_at").values_list("revoke_reason", flat=True)
    ] == [
        "replaced",
        "",
    ]


@each_view
def test_a_form_that_was_sent_waits(late, url):
    """What it says is shown, and it is sent by the person."""
    token = late.value("csrftoken")
    fields = {
        "csrfmiddlewaretoken": token,
        "note": ["a", "<b>\r\n& c"],
        "new_password": "topsecret",
    }
    page = late.send_form(f"{url}?a=1", fields, headers=HTML)
    assert page.status_code == 200
    assert page.url.path == url
    shown = confirm(late, page)
    assert "What you sent before was not carried out yet" in shown.text
    assert url in shown.text
    assert "&lt;b&gt;" in shown.text
    assert shown.text.count("topsecret") == 1
    answer = send(late, shown)
    assert answer.json() == {
        "fields": {"note": ["a", "<b>\r\n& c"], "new_password": ["topsecret"]},
        "files": {},
        "path": f"{url}?a=1",
    }


# The decision

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("ago", "recent"),
    [
        (timedelta(0), True),
        (5 * MINUTE, True),
        (5 * MINUTE + timedelta(microseconds=1), False),
        (timedelta(days=900), False),
        (-CLOCK_SKEW, True),
        (-CLOCK_SKEW - timedelta(microseconds=1), False),
        (None, False),
    ],
)
def test_a_proof_is_recent_for_a_while(ago, recent):
    """Not before it was made, but for what the clocks of two servers differ by; nor if none was."""
    proved_at = None if ago is None else NOW - ago
    assert is_recent(proved_at, NOW, 5 * MINUTE) is recent


@pytest.mark.parametrize("max_age", [0, -1, timedelta(0)])
@pytest.mark.parametrize("ask", [lambda a: recent_login_required(max_age=a), RecentLogin.within])
def test_an_age_that_nobody_could_have_is_an_error(ask, max_age):
    """When the view is made, not when somebody comes."""
    with pytest.raises(ValueError, match="max_age must be above zero"):
        ask(max_age)


def test_an_age_is_a_duration_or_seconds():
    """Like the settings."""
    assert duration_of(90) == duration_of(90.0) == duration_of(timedelta(seconds=90))


@one_server
@pytest.mark.parametrize(("url", "seconds"), [("/done/", 300), ("/quick/", 60)])
def test_each_view_says_how_recent(browser, user, clock, url, seconds):
    """Five minutes, if it says nothing."""
    browser.login(user)
    clock.shift(timedelta(seconds=seconds - 10))
    assert browser.get(url).url.path == url
    clock.shift(timedelta(seconds=11))
    assert browser.get(url).url.path == ASK


# What is a proof


def proofs():
    """When each session's person proved who they are, the first first."""
    return [*AuthSession.objects.order_by("created_at").values_list("authenticated_at", flat=True)]


def test_a_refresh_is_no_proof(browser, user, clock):
    """However often the tokens are replaced."""
    browser.login(user)
    (proved_at,) = proofs()
    for _ in range(3):
        clock.shift(timedelta(minutes=16))
        browser.get("/whoami/")
    assert AuthSession.objects.get().rotation == 3
    assert AuthSession.objects.get().confirmed is False
    clock.shift(timedelta(minutes=2))
    browser.get("/whoami/")
    assert AuthSession.objects.get().confirmed is True
    assert proofs() == [proved_at]
    assert browser.get("/done/").url.path == ASK


@one_server
def test_a_copy_of_the_cookies_gains_nothing(late, new_browser):
    """It has the session before: not the one that the proof began."""
    copy = new_browser()
    copy.paste_cookies(late.copy_cookies())
    assert confirm(late, late.get("/done/")).text == "Here it is done."
    assert copy.get("/done/").url.path == "/auth/login/"
    sessionid = new_browser()
    sessionid.paste_cookies([c for c in copy.copy_cookies() if c.name == "sessionid"])
    assert sessionid.get("/done/").url.path == "/auth/login/"
    assert late.get("/done/").text == "Here it is done."


@one_server
def test_other_sessions_of_the_person_gain_nothing(late, new_browser, user, clock):
    """Each browser proves for itself."""
    other = new_browser()
    other.login(user)
    clock.shift(LATER)
    confirm(late, late.get("/done/"))
    assert other.get("/done/").url.path == ASK


def test_nobody_proved_anything_to_an_adopted_session(user):
    """It is older than tokenauth; the page asks, and then the form goes on."""
    client = Client(headers={"host": "app.site.test"})
    client.force_login(user)
    asked = client.post("/done/", {"note": "kept"}, secure=True)
    packed = hidden(Page(asked), "interrupted")
    assert proofs() == [None]
    data = {"password": PASSWORD, "interrupted": packed}
    shown = client.post(ASK, data, secure=True)
    assert "kept" in shown.content.decode()
    assert client.post("/done/", {"note": "kept"}, secure=True).json()["fields"] == {
        "note": ["kept"]
    }
    assert [proof is not None for proof in proofs()] == [False, True]


def test_a_form_of_a_session_that_was_not_adopted_yet_waits_for_no_other(user):
    """Nor for who has no Django session."""
    first, second = (Client() for _ in range(2))
    first.force_login(user)
    second.force_login(user)
    packed = hidden(Page(first.post("/done/", {"note": "kept"}, secure=True)), "interrupted")
    data = {"password": PASSWORD, "interrupted": packed}
    assert "could not be kept" in second.post(ASK, data, secure=True).content.decode()


class Page:
    """A test client's answer, as a browser has it."""

    def __init__(self, response):
        self.text = response.content.decode()


@one_server
@pytest.mark.parametrize(
    ("query", "ends"),
    [("own&again", ["replaced", ""]), ("own", [""]), ("again", [""]), ("", [""])],
)
def test_of_allauths_steps_a_reauthentication_alone_is_a_proof(late, query, ends):
    """A password is half of a login where there is a second factor; and it is one's own."""
    late.get(f"/step/?{query}")
    found = AuthSession.objects.order_by("created_at").values_list("revoke_reason", flat=True)
    assert [*found] == ends


def test_a_step_elsewhere_is_none_of_ours(user):
    """On a request without our middleware; of a client that allauth signs in by itself."""
    request = RequestFactory().get("/")
    allauths.on_step(request, user, reauthenticated=True)
    session = SessionFactory(user=user)
    request._tokenauth = credentials = Credentials(request)
    credentials.session, credentials.user, credentials.resolved = session, user, True
    request._cached_user = user
    allauths.on_step(request, user, reauthenticated=True)
    assert credentials.proved_again is None


@pytest.mark.parametrize("sign_in", ["force_login", "login"])
def test_a_sites_tests_sign_in_with_a_recent_proof(user, sign_in):
    """By ``tokenauth.testing``."""
    client = type("SiteClient", (TokenClientMixin, Client), {})()
    if sign_in == "force_login":
        client.force_login(user)
    else:
        client.login(username=user.get_username(), password=PASSWORD)
    assert client.get("/done/", secure=True).content == b"Here it is done."


def test_a_web_servers_word_is_no_proof(user, settings):
    """RemoteUserMiddleware signs in whomever it names, with each page."""
    backend = "django.contrib.auth.backends.RemoteUserBackend"
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, backend]
    assert SessionFactory(user=user, backend=backend).authenticated_at is None
    ours = settings.AUTHENTICATION_BACKENDS[0]
    assert SessionFactory(user=user, backend=ours).authenticated_at is not None


# The page


@pytest.mark.parametrize("url", ["/done/", "/async/done/", "/class/", "/async/class/", ASK])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_is_not_signed_in_signs_in(browser, transactional_db, url, method):
    """A login is as good a proof."""
    browser.get("/auth/login/")
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    page = browser.get(url) if method == "GET" else browser.send_form(url, token)
    assert page.url.path == "/auth/login/"


@one_server
def test_a_wrong_password_proves_nothing(late):
    """The form waits on."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token | {"note": "kept"})
    again = confirm(late, page, "wrong")
    assert "This password is not correct." in again.text
    assert 'aria-invalid="true"' in again.text
    assert AuthSession.objects.count() == 1
    assert send(late, confirm(late, again)).json()["fields"] == {"note": ["kept"]}


@one_server
def test_passwords_are_guessed_as_slowly_as_at_the_login(late, settings):
    """429, and the right one is not looked at."""
    settings.TOKENAUTH_LOGIN_RATES = {"account": "2/10m"}
    cache.clear()
    page = late.get("/done/")
    for _ in range(2):
        page = confirm(late, page, "wrong")
    refused = confirm(late, page)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    assert "Too many sign-ins have failed." in refused.text
    assert AuthSession.objects.count() == 1
    cache.clear()


@one_server
def test_nobody_else_is_let_in(late, settings):
    """A backend may know another person by that name."""
    other = UserFactory(username="other")
    settings.TEST_OTHER = other.pk
    settings.AUTHENTICATION_BACKENDS = [
        f"{__name__}.Confused",
        "django.contrib.auth.backends.ModelBackend",
    ]
    page = confirm(late, late.get("/done/"), "of somebody else")
    assert "This password is not correct." in page.text
    assert not AuthSession.objects.filter(user=other).exists()


class Confused(ModelBackend):
    """Knows a password of somebody else's, whatever the name."""

    def authenticate(self, request, username=None, password=None, **kwargs):
        if password == "of somebody else":
            return get_user_model().objects.get(pk=settings.TEST_OTHER)
        return None


class Directory(ModelBackend):
    """Knows passwords that the user model does not."""

    def authenticate(self, request, username=None, password=None):
        known = password == "in the directory"
        return get_user_model().objects.get_by_natural_key(username) if known else None


class ByToken(ModelBackend):
    """Knows no passwords."""

    def authenticate(self, request, token):
        return None


@one_server
@pytest.mark.parametrize(
    ("backend", "asks"), [(None, False), ("Directory", True), ("ByToken", False)]
)
def test_who_has_no_password_signs_in_again(late, user, settings, backend, asks):
    """As they did before; if their password is in a directory, the page asks for it."""
    user.set_unusable_password()
    user.save()
    session = AuthSession.objects.get()
    AuthSession.objects.update(auth_hash=user.get_session_auth_hash())
    if backend:
        settings.AUTHENTICATION_BACKENDS = [session.backend, f"{__name__}.{backend}"]
    page = late.get("/done/")
    assert ('name="password"' in page.text) is asks
    if asks:
        assert confirm(late, page, "in the directory").text == "Here it is done."
        return
    assert "This cannot be confirmed here" in page.text
    login = late.send_form("/auth/logout/", fields_of(page))
    assert (login.url.path, login.url.params["next"]) == ("/auth/login/", "/done/")
    assert AuthSession.objects.get().revoke_reason == "logout"


@one_server
@pytest.mark.parametrize("remember", [True, False])
def test_the_new_session_is_like_the_one_that_it_replaces(late, user, remember, clock, settings):
    """As persistent, with the same data, but with an absolute end of its own."""
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = remember  # is asked for nobody's opinion
    late.login(user, remember=remember)
    late.post_form("/session-data/", {"data": "a cart"}, page="/form/")
    clock.shift(LATER)
    before = AuthSession.objects.active().get()
    confirm(late, late.get("/done/"))
    after = AuthSession.objects.active().get()
    assert after.persistent is before.persistent is remember
    assert bool(late.cookie("__Secure-refresh_token").expires) is remember
    assert after.absolute_expires_at - before.absolute_expires_at >= LATER
    assert late.get("/session-data/").text == "a cart"


@one_server
@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file", "signed_cookies"])
def test_it_works_with_every_session_engine(browser, user, clock, settings, engine):
    """And what was kept there stays."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    browser.login(user)
    browser.post_form("/session-data/", {"data": "a cart"}, page="/form/")
    clock.shift(LATER)
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    page = browser.send_form("/done/", token | {"note": "kept"})
    assert send(browser, confirm(browser, page)).json()["fields"] == {"note": ["kept"]}
    assert browser.get("/session-data/").text == "a cart"


@one_server
@pytest.mark.parametrize(
    "url", ["https://evil.test/", "//evil.test/", "/\t/evil.test/", "javascript:alert(1)"]
)
def test_it_leads_to_no_other_site(late, url):
    """Neither by the address nor by the form."""
    page = late.get(ASK, params={"next": url})
    assert hidden(page, "next") == "/"
    data = fields_of(page) | {"next": url, "password": PASSWORD}
    assert late.send_form(ASK, data).url.path == "/"


# The form that waits


@one_server
@pytest.mark.parametrize("url", ["/done/", "/exempt/"])
@pytest.mark.parametrize("token", ["", "forged" * 8])
def test_what_another_site_sends_does_not_wait(late, url, token):
    """403 before anything else, also where the view is exempt."""
    answer = late.send_form(url, {"csrfmiddlewaretoken": token, "note": "forged"}, headers=HTML)
    assert answer.status_code == 403
    assert "interrupted" not in answer.text


@one_server
def test_a_file_is_chosen_again(late):
    """There is a place for it, where the page says so."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form(
        "/done/", token | {"note": "kept"}, files={"paper": ("p<aper.txt", b"secret content")}
    )
    assert "secret content" not in page.text
    shown = confirm(late, page)
    assert "Files are not kept: choose them again." in shown.text
    assert "p&lt;aper.txt" in shown.text
    assert 'enctype="multipart/form-data"' in shown.text
    files = {"paper": ("paper.txt", b"chosen again")}
    answer = late.send_form(action_of(shown), fields_of(shown), files=files)
    assert answer.json()["files"] == {"paper": "chosen again"}
    assert answer.json()["fields"] == {"note": ["kept"]}


@one_server
def test_too_much_does_not_wait(late):
    """The page says so, and asks all the same."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token | {"note": "x" * 65_536}, headers={"Referer": REFERER})
    assert page.status_code == 403
    assert "What you have just sent was not kept." in page.text
    assert confirm(late, page).url.path == "/form/"


REFERER = "https://app.site.test/form/"


@one_server
def test_what_is_no_form_does_not_wait(late):
    """A browser may send one as plain text, which nobody could take apart again."""
    headers = {"Content-Type": "text/plain", "X-CSRFToken": late.value("csrftoken")}
    page = late.send_form("/done/", None, content=b"note=lost", headers=headers)
    assert page.status_code == 403
    assert "What you have just sent was not kept." in page.text


@one_server
@pytest.mark.parametrize("size", [65_000, 65_536])
def test_how_much_may_wait(late, size):
    """64 kB, with the names and the address."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token | {"note": "x" * size})
    assert (hidden(page, "interrupted") is not None) is (size == 65_000)


@one_server
@pytest.mark.parametrize(
    ("referer", "leads"),
    [
        (REFERER, REFERER),
        ("https://evil.test/", "/"),
        ("", "/"),
        ("https://app.site.test/\x01form/", "/"),
    ],
)
def test_who_does_not_send_it_goes_back(late, referer, leads):
    """To the page with the form, if that is one of this site."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token, headers={"Referer": referer})
    assert f'<a href="{leads}">Do not send it</a>' in confirm(late, page).text


@one_server
def test_it_does_not_wait_for_long(late, clock):
    """Ten minutes; then it is to be sent again."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token | {"note": "kept"})
    clock.shift(timedelta(minutes=10, seconds=2))
    shown = confirm(late, page)
    assert "could not be kept that long" in shown.text
    assert "kept</dd>" not in shown.text


@one_server
@pytest.mark.parametrize("whose", ["another session's", "another person's", "altered", "unsigned"])
def test_what_waits_is_of_no_use_to_others(late, new_browser, user, clock, whose):
    """Be it another session of the same person."""
    other = new_browser()
    other.login(UserFactory(username="other") if whose == "another person's" else user)
    clock.shift(LATER)
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    packed = hidden(late.send_form("/done/", token | {"note": "kept"}), "interrupted")
    browser = other if whose.startswith("another") else late
    packed = {"altered": f"x{packed}", "unsigned": "W10"}.get(whose, packed)
    page = browser.get("/done/")
    shown = browser.send_form(ASK, fields_of(page) | {"password": PASSWORD, "interrupted": packed})
    assert "could not be kept" in shown.text
    assert "kept</dd>" not in shown.text


@one_server
def test_what_waited_is_used_once(late, clock):
    """By the session that was replaced with it."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token | {"note": "kept"})
    assert "kept</dd>" in confirm(late, page).text
    fields = fields_of(page) | {"csrfmiddlewaretoken": late.value("csrftoken")}
    again = late.send_form(ASK, fields | {"password": PASSWORD})
    assert "could not be kept" in again.text


@one_server
@pytest.mark.parametrize("seconds", [1, 70])
def test_a_form_that_is_sent_twice_signs_nobody_out(late, clock, seconds):
    """Its first answer gets lost; the second is as good, while answers may be in flight."""
    page = late.send_form("/done/", csrf(late) | {"note": "kept"})
    before = late.copy_cookies()
    confirm(late, page)
    late.paste_cookies(before)
    clock.shift(timedelta(seconds=seconds))
    shown = confirm(late, page)
    if seconds > 60:
        assert shown.url.path == "/auth/login/"
        return
    assert send(late, shown).json()["fields"] == {"note": ["kept"]}


@one_server
def test_a_copy_proves_nothing_without_the_password(late, new_browser):
    """Not in the moment of a proof either."""
    copy = new_browser()
    page = late.get("/done/")
    copy.paste_cookies(late.copy_cookies())
    confirm(late, page)
    assert "This password is not correct." in confirm(copy, page, "wrong").text
    assert copy.get("/whoami/").text == "anonymous"
    assert copy.get(ASK).url.path == "/auth/login/"


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *[(name, True) for name in ("password", "new_password1", "passwd", "api_key", "apiKey")],
        *[(name, True) for name in ("otp", "totp", "pin", "secret", "cvc", "cvv2", "card_number")],
        *[(name, True) for name in ("access_token", "code", "sms_code", "security-code", "KEY")],
        *[(name, False) for name in ("note", "author", "shipping", "postcode", "passengers")],
        *[(name, False) for name in ("monkey", "keyboard", "cardigan", "pinned", "passage")],
    ],
)
def test_secrets_are_known_by_their_names(name, hidden):
    """And are not shown on a screen."""
    assert Field(name, "value").is_secret is hidden


def test_a_long_value_is_shown_in_part():
    """A page of text is no label."""
    assert Field("note", "x" * 200).shown == "x" * 200
    assert Field("note", "x" * 201).shown == "x" * 200 + "…"
    assert Field("first_name", "").label == "First name"


def test_a_report_of_an_error_shows_no_field():
    """The values are silent, in all that holds them."""
    request = RequestFactory().post("/done/", {"new_password": "topsecret"})
    kept = Interrupted.of(request)
    packed = pack(kept, "somebody")
    known = [kept, packed, kept.as_text(), unpack(packed, ["nobody", "somebody"])]
    assert "topsecret" not in repr(known)
    assert packed not in repr(known)
    assert known[-1] == kept


@one_server
def test_the_page_may_not_be_stored(late):
    """By nobody's cache."""
    token = {"csrfmiddlewaretoken": late.value("csrftoken")}
    page = late.send_form("/done/", token | {"note": "kept"})
    for answer in (page, confirm(late, page), late.get(ASK)):
        assert "no-store" in answer.headers["Cache-Control"]


# Scripts

AJAX = {"Sec-Fetch-Mode": "cors"}
JSON = {"Accept": "application/json"}
#: What ``fetch()``, a program and a browser's form send, that is no page for a person.
PLAIN = {
    "a fetch": ("GET", AJAX, {}),
    "a fetch with a form": ("POST", AJAX, {"data": {"note": "kept"}}),
    "an API client": ("GET", JSON | {"Sec-Fetch-Mode": ""}, {}),
    "a client with JSON": ("POST", JSON | {"Sec-Fetch-Mode": ""}, {"json": {}}),
    "a method of no form": ("PUT", {}, {"data": {"note": "kept"}}),
}


@pytest.mark.parametrize("how", PLAIN)
def test_scripts_are_told_what_to_do(late, how):
    """RFC 9470 §3."""
    method, headers, body = PLAIN[how]
    answer = late.fetch(method, "/done/", headers=headers, **body)
    assert answer.status_code == 401
    assert answer.json() == {
        "detail": "Confirm first that it is you: sign in again.",
        "code": CODE,
    }
    assert answer.headers["WWW-Authenticate"] == (
        f'Cookie realm="api", error="{CODE}", max_age="300"'
    )
    assert answer.headers["Cache-Control"] == "no-store"


@one_server
@pytest.mark.parametrize(("url", "max_age"), [("/api/done/", 300), ("/api/quick/", 60)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_api_asks_for_a_recent_login(late, user, url, max_age, method):
    """401, until the person has signed in again."""
    answer = late.fetch(method, url)
    assert answer.status_code == 401
    assert answer.json()["code"] == CODE
    assert answer.headers["WWW-Authenticate"] == (
        f'Cookie realm="api", error="{CODE}", max_age="{max_age}"'
    )
    data = {"username": user.get_username(), "password": PASSWORD}
    late.fetch("POST", "/auth/api/login/", json=data)
    assert late.fetch(method, url).json() == {"done": True}


@one_server
def test_an_api_that_finds_nobody_says_so(browser, transactional_db):
    """The ordinary 401."""
    answer = browser.fetch("GET", "/api/done/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Cookie realm="api"'


def test_an_api_asks_who_came_by_other_means(user):
    """No session of ours has proved anything."""
    request = APIRequestFactory().get("/api/done/")
    force_authenticate(request, user, token="a token of another app's")
    answer = Api.as_view()(request)
    assert (answer.status_code, answer.data["code"]) == (401, CODE)


# What it costs


@one_server
def test_a_recent_login_costs_no_query(server, browser, user):
    """What the look at the person has read says it."""
    browser.login(user)
    for url in ("/done/", "/api/done/"):
        with server.count_queries() as queries:
            browser.get(url)
        assert len(queries) == 1


# Our own pages and API


@pytest.fixture
def wants_proof(settings):
    settings.TOKENAUTH_RECENT_LOGIN = 300


def end_other(browser, session):
    return browser.send_form(f"/auth/sessions/{session.pk}/revoke/", csrf(browser))


def end_others(browser, session):
    return browser.send_form("/auth/sessions/revoke-others/", csrf(browser))


def csrf(browser):
    return {"csrfmiddlewaretoken": browser.value("csrftoken")}


def api_end_other(browser, session):
    return browser.fetch("DELETE", f"/auth/api/sessions/{session.pk}/")


def api_end_others(browser, session):
    return browser.fetch("POST", "/auth/api/sessions/revoke-others/")


@pytest.mark.parametrize("end", [end_other, end_others])
def test_others_are_signed_out_after_a_proof(late, user, wants_proof, end):
    """On "Your devices", where the site wants that (ASVS 7.5.2)."""
    other = SessionFactory(user=user)
    page = end(late, other)
    assert AuthSession.objects.get(pk=other.pk).active
    send(late, confirm(late, page))
    assert AuthSession.objects.get(pk=other.pk).revoke_reason == "user"


@pytest.mark.parametrize("end", [api_end_other, api_end_others])
def test_the_api_ends_others_after_a_proof(late, user, wants_proof, end):
    """401 before."""
    other = SessionFactory(user=user)
    answer = end(late, other)
    assert (answer.status_code, answer.json()["code"]) == (401, CODE)
    assert AuthSession.objects.get(pk=other.pk).active
    data = {"username": user.get_username(), "password": PASSWORD}
    late.fetch("POST", "/auth/api/login/", json=data)
    assert end(late, other).status_code == 204
    assert AuthSession.objects.get(pk=other.pk).revoke_reason == "user"


@one_server
@pytest.mark.parametrize("end", [end_other, api_end_other])
def test_ones_own_session_ends_without_a_proof(late, wants_proof, end):
    """It is a sign-out."""
    session = AuthSession.objects.get()
    end(late, session)
    assert AuthSession.objects.get().revoke_reason == "user"


@one_server
@pytest.mark.parametrize("end", [end_other, end_others, api_end_other, api_end_others])
def test_nothing_is_asked_where_the_site_does_not_want_it(late, user, end):
    """By default."""
    other = SessionFactory(user=user)
    end(late, other)
    assert AuthSession.objects.get(pk=other.pk).revoke_reason == "user"


# In a browser


@one_server
def test_a_person_sends_a_form_with_a_file_too_late(chromium, user, clock, tmp_path):
    """They confirm, see what it was, choose the file again, and press a button."""
    papers = [tmp_path / name for name in ("first.txt", "again.txt")]
    for file in papers:
        file.write_text(f"This is {file.stem}.")
    tab = chromium.tab()
    tab.login(user)
    clock.shift(LATER)
    tab.goto("/paper/")
    tab.fill(note="Two\u2028lines", pin="1234")
    tab.upload("paper", papers[0])
    tab.submit()
    assert "Confirm that it is you" in tab.text
    assert "is waiting" in tab.text
    tab.fill(password="wrong")
    tab.submit("form:has([name=password]) [type=submit]")
    assert "This password is not correct." in tab.text
    tab.fill(password=PASSWORD)
    tab.submit("form:has([name=password]) [type=submit]")
    assert tab.path == ASK
    assert "/paper/" in tab.text
    assert "Two\u2028lines" in tab.text
    assert "1234" not in tab.text
    assert "first.txt" in tab.text
    assert "choose them again" in tab.text
    tab.upload("paper", papers[1])
    tab.submit("main form [type=submit]")
    assert json.loads(tab.text) == {
        "fields": {"note": ["Two\u2028lines"], "pin": ["1234"]},
        "files": {"paper": "This is again."},
        "path": "/paper/",
    }
    assert [path for _, path, _ in chromium.log if "1234" in path or "Two" in path] == []


@one_server
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_for_everybody(chromium, axe, user, clock, width, scheme):
    """Nothing is cut off, nor too pale, nor without a name."""
    tab = chromium.tab()
    tab.look(width, 800, scheme)
    tab.login(user)
    clock.shift(LATER)
    tab.goto("/paper/")
    tab.fill(note="word " * 100 + "x" * 100, pin="1234")
    tab.submit()
    for _ in range(2):
        assert tab.audit(axe) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        if "password" in tab.html:
            tab.fill(password=PASSWORD)
            tab.submit("form:has([name=password]) [type=submit]")
    assert "Send it now?" in tab.text
