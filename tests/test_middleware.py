"""The middleware: what a request costs, who it turns out to be, and which cookies go out."""

import asyncio
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import InterfaceError, OperationalError, connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils import timezone

from tests import urls
from tests.factories import PASSWORD, SessionFactory
from tests.views import text, whoami
from tokenauth.middleware import TokenAuthMiddleware
from tokenauth.models import AuthSession
from tokenauth.request.cookies import access_name, refresh_name
from tokenauth.secret import Secret
from tokenauth.session.tokens import AccessToken, remake_refresh_token

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
OURS = {ACCESS, REFRESH}

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def session(request: HttpRequest) -> HttpResponse:
    return text(str(request.auth_session.pk) if request.auth_session else "none")


async def async_session(request: HttpRequest) -> HttpResponse:
    await request.auser()
    return session(request)


def patient(request: HttpRequest) -> HttpResponse:
    """Ask who is there while the database is down, and again when it is up."""
    settings.TEST_OUTAGE()
    with suppress(OperationalError):
        request.user.is_authenticated  # noqa: B018  # the look-up is all that is wanted
    settings.TEST_OUTAGE.ends()
    return text(request.user.get_username())


async def async_twice(request: HttpRequest) -> HttpResponse:
    """Ask who is there in two tasks at once."""
    users = await asyncio.gather(request.auser(), request.auser())
    return text(" ".join(user.get_username() for user in users))


urlpatterns = [
    *urls.urlpatterns,
    path("patient/", patient),
    path("async/twice/", async_twice),
    path("session/", session),
    path("async/session/", async_session),
]


class AsyncVisitor:
    """Django's async client for a test that is not async: all in one thread and transaction."""

    def __init__(self, **options: object) -> None:
        self.client = AsyncClient(**options)
        self.cookies = self.client.cookies
        self.get = async_to_sync(self.client.get)
        self.post = async_to_sync(self.client.post)


VISITORS = {"sync": Client, "async": AsyncVisitor}


@pytest.fixture(params=VISITORS)
def visitor(request):
    """A browser that sends its cookies everywhere, to a sync and to an async server."""
    return VISITORS[request.param](raise_request_exception=False)


@pytest.fixture
def alice(visitor, user):
    """A browser in which Alice has signed in."""
    sign_in(visitor, user)
    return visitor


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def expired(clock, alice):
    """Alice's browser after her access token has expired."""
    clock.shift(timedelta(minutes=20))
    return alice


def sign_in(visitor, user, **data):
    credentials = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    response = visitor.post("/auth/login/", credentials | data)
    assert set(response.cookies) >= OURS


def who(visitor):
    return visitor.get("/whoami/").content.decode()


def given(response):
    """Return the names of the token cookies that a response sets to a value."""
    return {name for name in OURS if name in response.cookies and response.cookies[name].value}


def deleted(response):
    """Return the names of the token cookies that a response deletes."""
    return {name for name in OURS if name in response.cookies} - given(response)


def untouched(response):
    return not given(response) and not deleted(response)


def row():
    return AuthSession.objects.get()


def expire(column, ago):
    AuthSession.objects.update(**{column: timezone.now() - ago})


# What it costs


@pytest.mark.users
@pytest.mark.parametrize("page", ["/", "/api/open/"])
def test_a_page_that_does_not_ask_who_you_are_costs_no_query(alice, page, request, clock):
    """Whether the token is fresh or old enough to be confirmed."""
    for age in (0, 120):
        clock.shift(timedelta(seconds=age))
        assert queries(request, lambda: alice.get(page)) == 0


@pytest.mark.users
@pytest.mark.parametrize(
    "page", ["/whoami/", "/async/whoami/", "/private/", "/api/ping/", "/session/"]
)
def test_a_page_that_asks_who_you_are_costs_one_query(alice, page, request):
    """The join of session and user, in Django's views and in REST framework's."""
    assert queries(request, lambda: alice.get(page)) == 1


@pytest.mark.parametrize("page", ["/", "/whoami/", "/async/whoami/", "/private/"])
def test_a_stranger_costs_no_query(visitor, page, request):
    """Without cookies there is nothing to look up."""
    assert queries(request, lambda: visitor.get(page)) == 0


@pytest.mark.users
@pytest.mark.parametrize("page", ["/", "/whoami/", "/async/whoami/", "/private/", "/api/ping/"])
def test_a_request_that_refreshes_costs_three_queries_at_most(expired, page, request):
    """Refreshing in place: read, write, look again before the cookies go out."""
    assert queries(request, lambda: expired.get(page)) <= 3
    assert row().rotation == 1


@pytest.mark.parametrize("url", ["/auth/refresh/", "/auth/refresh/?next=/"])
def test_the_refresh_url_costs_three_queries_at_most(expired, url, request):
    """The same for scripts and for a request that was bounced."""
    assert queries(request, lambda: expired.post(url)) <= 3
    assert row().rotation == 1


@pytest.mark.parametrize(
    "url",
    ["/whoami/?_rt={now:.0f}", "/static/x.css", f"/whoami/?a={'x' * 3000}"],
    ids=["just-tried", "static", "too-long"],
)
def test_where_a_bounce_would_not_help_there_is_none(expired, url):
    """The view answers, as to a stranger."""
    del expired.cookies[REFRESH]
    assert expired.get(url.format(now=time.time())).status_code != 307


def test_the_view_does_not_see_the_mark_of_a_bounce(alice):
    """It is between the browser and the middleware."""
    response = alice.get(f"/echo/?a=1&_rt={int(time.time())}")
    assert response.json()["query"] == "a=1"


@pytest.mark.parametrize("page", ["/", "/whoami/"])
def test_a_bounce_costs_no_query(expired, page, request):
    """An expired access token alone is sent to the refresh URL, and nothing is looked up."""
    del expired.cookies[REFRESH]
    assert queries(request, lambda: expired.get(page)) == 0
    assert expired.get(page).status_code == 307


def queries(request, visit):
    """Return how many queries a visit makes."""
    assert_max = request.getfixturevalue("django_assert_max_num_queries")
    with assert_max(100) as made:
        assert visit().status_code in (200, 302, 307)
    return len(made)


# Who it is


@pytest.mark.users
@pytest.mark.parametrize("page", ["/session/", "/async/session/"])
def test_the_request_has_the_session(alice, page):
    """``request.auth_session`` is the row; in async code ``auser()`` has filled it."""
    assert alice.get(page).content.decode() == str(row().pk)


@pytest.mark.parametrize("page", ["/session/", "/async/session/"])
def test_a_stranger_has_a_falsy_session(visitor, page):
    """So ``if request.auth_session`` reads well."""
    assert visitor.get(page).content == b"none"


@pytest.mark.users
@pytest.mark.parametrize("page", ["/whoami/", "/async/whoami/"])
def test_the_request_has_the_real_user(alice, visitor, page, user):
    """``request.user`` and ``await request.auser()`` alike."""
    assert alice.get(page).content.decode() == user.get_username()


def test_a_subclass_may_call_process_request(alice, user, django_assert_num_queries):
    """Like any of Django's: the request has a lazy user then, also without a Django session."""
    middleware = TokenAuthMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/")
    request.META["HTTP_COOKIE"] = f"{ACCESS}={alice.cookies[ACCESS].value}"
    with django_assert_num_queries(0):
        assert middleware.process_request(request) is None
    with django_assert_num_queries(1):
        assert request.user == user
        assert request.auth_session.user == user


@pytest.mark.parametrize(
    ("page", "varies"),
    [("/", False), ("/api/open/", False), ("/whoami/", True), ("/api/ping/", True)],
)
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "stranger"])
def test_a_response_varies_on_the_cookie_if_the_user_was_looked_at(
    visitor, user, page, varies, signed_in
):
    """A shared cache may keep the pages that do not ask."""
    if signed_in:
        sign_in(visitor, user)
    assert ("Cookie" in visitor.get(page).headers.get("Vary", "")) is varies


@pytest.mark.users
@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}], ids=str)
def test_a_suspended_session_signs_nobody_in_and_keeps_its_cookies(alice, user, change):
    """A disabled person and a changed password count at once; either may be undone."""
    before = get_user_model().objects.filter(pk=user.pk).values(*change).get()
    people = get_user_model().objects.filter(pk=user.pk)
    people.update(**change)
    response = alice.get("/whoami/")
    assert response.content == b"anonymous"
    assert untouched(response)
    people.update(**before)
    assert who(alice) == user.get_username()


# The lone refresh token


BROWSER = {"Sec-Fetch-Site": "same-origin"}
ROOT, SHARED = {"REFRESH_COOKIE_PATH": "/"}, {"COOKIE_DOMAIN": "site.test"}
BETWEEN, PLAIN = {"REFRESH_COOKIE_PATH": "/whoami/"}, {"COOKIE_SECURE": False}


@pytest.mark.parametrize(
    ("url", "headers", "options", "counts"),
    [
        ("/whoami/", {}, {}, True),
        ("/whoami/", BROWSER, {}, False),
        ("/whoami/", BROWSER, ROOT, True),
        ("/whoami/", BROWSER, BETWEEN, False),
        ("/whoami/", BROWSER, ROOT | SHARED, False),
        ("/whoami/", BROWSER, ROOT | PLAIN, False),
        ("/whoami/", {}, ROOT | SHARED, True),
        ("/auth/api/session/", {}, {}, False),
        ("/auth/api/session/", BROWSER, ROOT, False),
    ],
    ids=[
        "no browser",
        "off its path",
        "on the root",
        "between the include and the root",
        "shared with siblings",
        "plain http",
        "shared, no browser",
        "under the include",
        "under the include, on the root",
    ],
)
def test_a_lone_refresh_token_counts_where_nobody_can_plant_it(
    visitor, user, settings, url, headers, options, counts
):
    """A client without paths sends it everywhere; a browser only if somebody planted it."""
    for name, value in options.items():
        setattr(settings, f"TOKENAUTH_{name}", value)
    visitor.cookies[refresh_name()] = remake_refresh_token(SessionFactory(user=user)).reveal()
    response = visitor.get(url, headers=headers)
    assert (user.get_username() in response.content.decode()) == counts


@pytest.mark.parametrize("secure", [True, False], ids=["https", "plain http"])
def test_a_script_of_the_sites_own_refreshes_by_a_lone_token(visitor, user, settings, secure):
    """A POST from a page of the same origin, whatever the cookie is called; not with ``next``."""
    settings.TOKENAUTH_COOKIE_SECURE = secure
    visitor.cookies[refresh_name()] = remake_refresh_token(SessionFactory(user=user)).reveal()
    sent_back = visitor.post("/auth/refresh/?next=/whoami/", headers=BROWSER)
    assert (sent_back.status_code, untouched(sent_back)) == (307, True)
    answer = visitor.post("/auth/refresh/", headers=BROWSER)
    assert (answer.status_code, access_name() in answer.cookies) == (200, True)


# The auth URLs


class Elsewhere:
    """A URLconf of a test of the site's own."""

    urlpatterns = [path("whoami/", whoami)]


@pytest.mark.parametrize(
    "held", [OURS, {ACCESS}, {REFRESH}, set()], ids=["both", "access", "refresh", "none"]
)
@pytest.mark.parametrize("minutes", [0, 16])
def test_without_our_urls_no_page_fails(alice, clock, settings, held, minutes):
    """Nor is anybody signed out; a refresh happens where it can."""
    for name in OURS - held:
        del alice.cookies[name]
    clock.shift(timedelta(minutes=minutes))
    settings.ROOT_URLCONF = Elsewhere
    answer = alice.get("/whoami/")
    assert answer.status_code in (200, 307)
    assert not [name for name in OURS & {*answer.cookies} if not answer.cookies[name].value]


# The slow answer


@pytest.mark.parametrize(
    "end",
    [
        lambda: AuthSession.objects.revoke("admin"),
        lambda: AuthSession.objects.revoke("replaced"),
        lambda: AuthSession.objects.all().delete(),
        lambda: AuthSession.objects.update(expires_at=timezone.now()),
    ],
    ids=["revoked", "replaced", "deleted", "expired"],
)
def test_a_slow_answer_brings_no_ended_session_back(expired, user, settings, end):
    """A session that ended while the view ran gets no cookies from it."""
    settings.TEST_MEANWHILE = end
    response = expired.get("/overtaken/")
    assert response.content.decode() == user.get_username()
    assert untouched(response)
    assert who(expired) == "anonymous"


@pytest.mark.parametrize("prefix", ["", "/async"], ids=["view", "async view"])
def test_a_token_that_expires_before_the_view_asks_still_counts(
    alice, user, clock, settings, prefix
):
    """It was good when the request came, so nobody refreshed it."""
    settings.TEST_MEANWHILE = lambda: clock.shift(timedelta(minutes=20))
    response = alice.get(f"{prefix}/asks-late/")
    assert response.content.decode() == user.get_username()
    assert untouched(response)


def test_a_token_that_expires_before_the_view_asks_is_still_looked_up(alice, clock, settings):
    """Whoever was signed out while the view ran is signed out."""

    def meanwhile():
        clock.shift(timedelta(minutes=20))
        AuthSession.objects.revoke("admin")

    settings.TEST_MEANWHILE = meanwhile
    assert alice.get("/asks-late/").content == b"anonymous"


def test_a_slow_answer_brings_no_old_refresh_token(expired, user, settings):
    """Of a session that was rotated further the browser has the successor already."""
    settings.TEST_MEANWHILE = lambda: AuthSession.objects._advance(row(), None)
    response = expired.get("/overtaken/")
    assert REFRESH not in response.cookies
    assert row().rotation == 2
    assert who(expired) == user.get_username()


@pytest.mark.parametrize(("seconds", "names"), [(4, {REFRESH}), (6, set())], ids=["4", "6"])
def test_a_slow_answer_deletes_no_cookies(expired, settings, monkeypatch, seconds, names):
    """The person may have signed in again, and a deletion can't say which cookie it means."""
    now = time.monotonic
    settings.TEST_MEANWHILE = lambda: monkeypatch.setattr(
        time, "monotonic", lambda: now() + seconds
    )
    AuthSession.objects.revoke("admin")
    del expired.cookies[ACCESS]
    assert deleted(expired.get("/overtaken/")) == names


# What is deleted


ENDS = {
    "expired": lambda: expire("expires_at", timedelta(days=2)),
    "expired in any case": lambda: expire("absolute_expires_at", timedelta(days=2)),
    "deleted": lambda: AuthSession.objects.all().delete(),
} | {
    reason: partial(AuthSession.objects.revoke, reason)
    for reason in ("admin", "user", "reuse", "mismatch", "limit", "logout")
}


@pytest.mark.parametrize("sent", [OURS, {ACCESS}, {REFRESH}], ids=["both", "access", "refresh"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_cookies_of_an_ended_session_are_deleted(alice, sent, end):
    """Those that came, and no others."""
    end()
    for name in OURS - sent:
        del alice.cookies[name]
    response = alice.get("/whoami/")
    assert response.content == b"anonymous"
    assert deleted(response) == sent


@pytest.mark.parametrize("column", ["expires_at", "absolute_expires_at"])
def test_the_cookies_of_a_session_that_has_just_expired_are_kept(alice, column):
    """It may be this server's clock that is wrong."""
    expire(column, timedelta(seconds=1))
    response = alice.get("/whoami/")
    assert response.content == b"anonymous"
    assert untouched(response)


@pytest.mark.parametrize(("seconds", "kept"), [(0, True), (59, True), (60, False), (1200, False)])
def test_the_cookies_of_a_replaced_session_are_kept_for_the_grace_period(
    alice, clock, seconds, kept
):
    """Until then the browser's newer ones may be on their way; afterwards it has none."""
    AuthSession.objects.revoke("replaced")
    clock.shift(timedelta(seconds=seconds))
    response = alice.get("/whoami/")
    assert response.content == b"anonymous"
    assert untouched(response) is kept


@pytest.mark.parametrize("bad", [ACCESS, REFRESH])
def test_a_cookie_that_does_not_verify_is_kept(alice, bad):
    """It may be a clock, a rolling deploy, or planted; its ended twin is deleted all the same."""
    AuthSession.objects.revoke("admin")
    alice.cookies[bad] = alice.cookies[bad].value[:-4] + "AAAA"
    assert deleted(alice.get("/whoami/")) == OURS - {bad}


@pytest.mark.parametrize("url", ["/auth/logout/", "/auth/api/logout/", "/django-logout/"])
def test_signing_out_deletes_the_cookies_that_came(alice, url):
    """Both where both came; none where none did."""
    assert deleted(alice.post(url)) == OURS
    alice.cookies.clear()
    assert untouched(alice.post(url))


def test_an_ended_session_keeps_its_cookies_on_a_page_that_does_not_ask(alice, request):
    """Nobody looked, so nobody knows."""
    AuthSession.objects.revoke("admin")
    assert untouched(alice.get("/"))


# Failures


def test_a_failing_view_keeps_the_rotation(expired, user):
    """The 500 carries the successor: the spent token must not be all that the browser has."""
    response = expired.get("/boom/")
    assert response.status_code == 500
    assert given(response) == OURS
    assert row().rotation == 1
    assert who(expired) == user.get_username()


@pytest.fixture
def outage():
    """Something that takes the database down, and an end of it."""
    with ExitStack() as stack:

        def fail(*args: object) -> None:
            raise OperationalError("the database is down")

        def begin() -> None:
            stack.enter_context(connection.execute_wrapper(fail))

        begin.ends = stack.close
        yield begin


PAGES = ["/whoami/", "/private/", "/api/ping/", "/boom/"]
ACTIONS = [f"/auth/{url}" for url in ("refresh/", "login/", "logout/", "api/login/", "api/logout/")]


@pytest.mark.parametrize("minutes", [0, 20], ids=["valid", "expired"])
@pytest.mark.parametrize("url", [*PAGES, *ACTIONS])
def test_a_database_that_is_down_costs_nobody_the_session(alice, clock, outage, url, minutes):
    """5xx and no cookie of any kind; afterwards everything is as before."""
    name = who(alice)
    clock.shift(timedelta(minutes=minutes))
    outage()
    data = {"username": name, "password": PASSWORD}
    response = (alice.get if url in PAGES else alice.post)(url, data)
    assert response.status_code >= 500
    assert not response.cookies
    outage.ends()
    assert who(alice) == name
    assert row().revoked_at is None


def test_a_database_that_goes_down_during_the_view_costs_nobody_the_session(
    expired, user, settings, outage
):
    """The rotation was written, but its cookies are not sent unchecked: it counts as lost."""
    settings.TEST_MEANWHILE = outage
    response = expired.get("/overtaken/")
    assert response.status_code >= 500
    assert not response.cookies
    outage.ends()
    assert who(expired) == user.get_username()


@pytest.mark.parametrize("visitor", ["async"], indirect=True)
def test_two_tasks_of_one_view_are_told_the_same(alice, user):
    """The second does not take who is being looked up for a stranger."""
    name = user.get_username()
    assert alice.get("/async/twice/").content.decode() == f"{name} {name}"


def test_who_asks_again_after_an_outage_is_told(alice, outage, settings):
    """A view that survives the failure does not take a signed-in person for a stranger."""
    name = who(alice)
    settings.TEST_OUTAGE = outage
    assert alice.get("/patient/").content.decode() == name


def test_a_page_that_does_not_ask_works_without_a_database(alice, outage):
    """It needs none."""
    outage()
    response = alice.get("/")
    assert response.status_code == 200
    assert not response.cookies


@pytest.fixture
def atomic_requests(monkeypatch):
    """A site that wraps each of its views in a transaction."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


@pytest.mark.parametrize("visitor", ["sync"], indirect=True)  # Django has no async transactions
@pytest.mark.usefixtures("atomic_requests")
class TestAtomicRequests:
    """Rotating and revoking are not in the view's transaction, so they are not rolled back."""

    def test_a_rollback_keeps_the_rotation(self, expired, user):
        """The browser gets the successor, and the database knows it."""
        response = expired.get("/boom/")
        assert (response.status_code, given(response), row().rotation) == (500, OURS, 1)
        assert who(expired) == user.get_username()

    @pytest.mark.parametrize(
        ("method", "url"), [("get", "/boom/"), ("post", "/auth/refresh/"), ("post", "/api/ping/")]
    )
    def test_a_rollback_keeps_the_revocation_on_reuse(self, expired, clock, method, url):
        """A stolen token ends the session whatever becomes of the view."""
        stolen = expired.cookies[REFRESH].value
        expired.get("/")
        clock.shift(timedelta(minutes=2))
        expired.get("/whoami/")  # confirms
        thief = Client(raise_request_exception=False)
        thief.cookies[REFRESH] = stolen
        assert getattr(thief, method)(url).status_code >= 400
        assert row().revoke_reason == "reuse"

    def test_a_rollback_keeps_the_confirmation(self, alice, clock):
        """It is written after the view."""
        clock.shift(timedelta(minutes=2))
        assert alice.get("/boom/").status_code == 500
        assert row().confirmed

    @pytest.mark.parametrize("url", ["/auth/logout/", "/auth/api/logout/", "/django-logout/"])
    def test_signing_out_works(self, alice, url):
        """Also where the transaction is the site's own."""
        alice.post(url)
        assert row().revoke_reason == "logout"


# Confirming


def test_a_token_is_confirmed_once_and_only_after_the_grace_period(alice, clock, request):
    """By a request that came with it: one write for each rotation."""
    iat = AccessToken.read(Secret(alice.cookies[ACCESS].value)).iat
    issued = datetime.fromtimestamp(iat, UTC)
    for seconds in (0, 30, 60, 61):  # an ``iat`` in whole seconds: never too early
        clock.move_to(issued + timedelta(seconds=seconds))
        assert queries(request, lambda: alice.get("/whoami/")) == 1
        assert not row().confirmed
    clock.move_to(issued + timedelta(seconds=62))
    assert queries(request, lambda: alice.get("/whoami/")) == 2
    assert row().confirmed
    assert row().last_seen_at == timezone.now()
    clock.shift(timedelta(minutes=5))
    assert queries(request, lambda: alice.get("/whoami/")) == 1
    clock.shift(timedelta(minutes=15))
    alice.get("/whoami/")
    assert (row().rotation, row().confirmed) == (1, False)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_confirmation_that_fails_costs_nobody_the_answer(
    alice, user, clock, monkeypatch, caplog, error
):
    """The form was saved: who is shown an error sends it again."""

    def fail(session):
        raise error("the database is locked, or gone")

    clock.shift(timedelta(minutes=5))
    with monkeypatch.context() as patches:
        patches.setattr(AuthSession, "confirm", fail)
        assert who(alice) == user.get_username()
    assert "could not be written" in caplog.text
    assert not row().confirmed
    assert who(alice) == user.get_username()
    assert row().confirmed


def test_a_token_does_not_confirm_its_successor(alice, clock):
    """The access token of the rotation before is good still, but proves nothing."""
    old = alice.cookies[ACCESS].value
    clock.shift(timedelta(minutes=2))
    alice.post("/auth/refresh/")
    assert row().rotation == 1
    clock.shift(timedelta(minutes=2))
    alice.cookies[ACCESS] = old
    assert who(alice) != "anonymous"
    assert not row().confirmed


def test_a_token_that_was_just_made_does_not_confirm_itself(expired, settings):
    """Only one that came in the cookie can, however short the grace period."""
    settings.TOKENAUTH_GRACE_PERIOD = timedelta(seconds=-5)
    expired.get("/whoami/")
    assert (row().rotation, row().confirmed) == (1, False)


def test_a_lone_refresh_token_confirms_nothing(alice, clock):
    """It is spent, not kept."""
    clock.shift(timedelta(minutes=2))
    del alice.cookies[ACCESS]
    alice.get("/whoami/")
    assert (row().rotation, row().confirmed) == (1, False)


def test_somebody_elses_session_is_not_confirmed(alice, clock):
    """Only the one that the token names."""
    other = SessionFactory()
    clock.shift(timedelta(minutes=2))
    alice.get("/whoami/")
    other.refresh_from_db()
    assert not other.confirmed
