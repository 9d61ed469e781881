"""No request goes round for ever, whatever the clocks, the network and the cookies do.

The browser sends everything to one server, whose clock says another time to the pages than to the
auth URLs: as if those were two machines, with a road between them that takes its time.
"""

from datetime import timedelta
from http.cookies import SimpleCookie

import httpx
import pytest
import time_machine
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.utils import timezone

from tokenauth.models import AuthSession
from tokenauth.request import cookies

#: Over the 15 minutes of an access token.
EXPIRY = timedelta(minutes=16)
MINUTE = timedelta(minutes=1)
FILE = {"file": ("big.bin", b"x" * 100_000)}


class Road(httpx.BaseTransport):
    """What lies between the browser and two servers, of which one has a clock of its own."""

    def __init__(self, transport, clock):
        self.transport = transport
        self.clock = clock
        #: By how much the clock of the pages' server is ahead, for each request another.
        self.ahead = [timedelta()]
        #: How long a request with a body is under way.
        self.slow = timedelta()
        #: The cookies that get lost on the way to the browser.
        self.loses = ()
        self.bounces = 0
        #: What happens while a request with a body is under way.
        self.meanwhile = lambda: None

    def handle_request(self, request):
        if request.headers.get("Content-Length", "0") != "0":
            self.clock.shift(self.slow)
            self.meanwhile()
        is_page = not request.url.path.startswith("/auth/")
        self.bounces += request.url.path == "/auth/refresh/"
        ahead = self.ahead[0] if is_page else timedelta()
        self.ahead = self.ahead[is_page:] + self.ahead[:is_page]
        self.clock.shift(ahead)
        response = self.transport.handle_request(request)
        self.clock.shift(-ahead)
        kept = [header for header in response.headers.raw if not self.is_lost(*header)]
        return httpx.Response(response.status_code, headers=kept, stream=response.stream)

    def is_lost(self, name, value):
        is_cookie = name.lower() == b"set-cookie"
        return is_cookie and any(key in self.loses for key in SimpleCookie(value.decode()))

    def close(self):
        self.transport.close()


@pytest.fixture(autouse=True)
def clock():
    """The clock of the auth URLs, and of the browser."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def empty_cache():
    """Notes that were used are remembered there."""
    cache.clear()


@pytest.fixture
def alice(browser, user):
    """Alice's browser, in which she has signed in."""
    browser.login(user)
    return browser


@pytest.fixture
def road(alice, clock):
    """The road from Alice's browser."""
    alice.network.transport = Road(alice.network.transport, clock)
    return alice.network.transport


def upload(browser, url="/upload/"):
    """Send a form that was open before, with a file."""
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    return browser.send_form(url, token, files=FILE)


def visit(browser, kind):
    """Open a page, or send a form; return who the site says it was."""
    if kind == "page":
        return browser.get("/whoami/").text
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    return browser.send_form("/whoami/", token | {"note": "x"}).text


NAMES = {"access": "__Host-access_token", "refresh": "__Secure-refresh_token"}
kinds = pytest.mark.parametrize("kind", ["page", "form"])
#: Loops are made of what travels, not of how a server is written.
one_server = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


# A clock apart


@one_server
@kinds
@pytest.mark.parametrize("left", [1, 4, 6, 11, 29, 31])
@pytest.mark.parametrize("ahead", [0, 12, 30])
def test_a_server_a_little_ahead_signs_nobody_out(alice, road, clock, kind, ahead, left):
    """Whose clock calls the token expired has it refreshed, whatever the other clock says."""
    road.ahead = [timedelta(seconds=ahead)]
    clock.shift(timedelta(minutes=15, seconds=-left))
    assert visit(alice, kind) == "alice"
    assert road.bounces == AuthSession.objects.get().rotation == (left <= ahead)
    clock.shift(2 * MINUTE)
    assert visit(alice, kind) == "alice"


@one_server
@kinds
@pytest.mark.parametrize("ahead", [8, 14, 20, 180, 3000])
@pytest.mark.parametrize("grace", [0, 60])
def test_a_server_far_ahead_is_no_loop(settings, alice, road, clock, kind, ahead, grace):
    """Every token is expired there: after two bounces at most the page answers as for nobody.

    A form brings a note, and arrives.
    """
    settings.TOKENAUTH_GRACE_PERIOD = grace
    road.ahead = [ahead * MINUTE]
    for minutes in (0, 1, 16):
        clock.shift(minutes * MINUTE)
        road.bounces = 0
        counts = ahead < (15 if kind == "page" else 75)
        assert visit(alice, kind) == ("alice" if counts else "anonymous")
        assert road.bounces <= 2
    assert AuthSession.objects.get().revoke_reason == ""


@one_server
@kinds
@pytest.mark.parametrize("behind", [12, 1200, 12000])
def test_a_server_behind_is_no_loop(alice, road, clock, kind, behind):
    """It takes tokens to be good for longer, and sees the row as ever."""
    road.ahead = [timedelta(seconds=-behind)]
    for minutes in (1, 16, 300):
        clock.shift(minutes * MINUTE)
        road.bounces = 0
        assert visit(alice, kind) == "alice"
        assert road.bounces <= 1


@one_server
@kinds
def test_two_servers_far_ahead_that_disagree_are_no_loop(alice, road, kind):
    """Each knows the time that it gave itself: one bounce more for each further clock."""
    road.ahead = [60 * MINUTE, 120 * MINUTE]
    assert visit(alice, kind) == "anonymous"
    assert road.bounces <= 3


def test_a_page_whose_token_another_tab_has_replaced_is_not_rotated(alice, road, clock):
    """The bounce names the token that had expired: the browser has a newer one by now."""
    clock.shift(EXPIRY)
    alice.client.follow_redirects = False
    away = alice.get("/whoami/").headers["Location"]
    alice.fetch("POST", "/auth/refresh/")
    clock.shift(2 * MINUTE)
    back = alice.get(away).headers["Location"]
    assert AuthSession.objects.get().rotation == 1
    assert alice.get(back).text == "alice"


# Cookies that do not stick


@one_server
@kinds
@pytest.mark.parametrize("ahead", [0, 30, 1200])
@pytest.mark.parametrize("slow", [0, 1, 20])
@pytest.mark.parametrize("loses", [["access"], ["refresh"], ["access", "refresh"]])
def test_cookies_that_do_not_stick_are_no_loop(alice, road, clock, kind, ahead, slow, loses):
    """A proxy or a browser that drops them, on a slow road, to a server with another clock."""
    road.loses = [NAMES[name] for name in loses]
    road.ahead, road.slow = [timedelta(seconds=ahead)], slow * MINUTE
    for _ in range(3):
        clock.shift(EXPIRY)
        road.bounces = 0
        visit(alice, kind)
        assert road.bounces <= 2


@one_server
@kinds
@pytest.mark.parametrize("slow", [0, 1, 20, 200])
@pytest.mark.parametrize("name", NAMES.values())
def test_a_browser_that_lost_one_cookie_is_no_loop(alice, road, clock, kind, slow, name):
    """Without a pair there is nothing to refresh by."""
    alice.drop_cookie(name)
    clock.shift(EXPIRY)
    road.slow = slow * MINUTE
    assert visit(alice, kind) == "anonymous"
    assert road.bounces <= 1


# A slow upload


@pytest.mark.parametrize("slow", [1, 14, 16, 40, 70])
def test_an_upload_that_takes_longer_than_the_token_lives_arrives(alice, road, clock, slow):
    """Signed in, after one bounce: the note on its way lets the token count."""
    alice.get("/upload/")
    clock.shift(EXPIRY)
    road.slow = slow * MINUTE
    answer = upload(alice)
    assert (answer.status_code, road.bounces) == (200, 1)
    assert answer.json()["size"] == 100_000
    assert AuthSession.objects.get().rotation == 1
    clock.shift(EXPIRY)
    assert visit(alice, "page") == "alice"


def test_an_upload_whose_token_was_good_when_it_began_arrives(alice, road, clock):
    """The proxy hands it over when it is complete."""
    clock.shift(10 * MINUTE)
    alice.get("/upload/")
    road.slow = 20 * MINUTE
    assert upload(alice).json()["size"] == 100_000
    assert road.bounces == 1


@one_server
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_address_of_an_ordinary_form_stays_clean(alice, clock, method):
    """A note is for what is long or slow."""
    clock.shift(EXPIRY)
    answer = alice.fetch(method, "/echo/?a=1", json={"a": "é" * 20_000})
    assert answer.json()["username"] == "alice"
    assert [str(hop.url) for hop in [*answer.history[::2], answer]] == [
        "https://app.site.test/echo/?a=1",
        "https://app.site.test/echo/?a=1",
    ]


def test_an_upload_beside_a_busy_tab_arrives(alice, road, clock):
    """Another tab got a newer token just before: the upload needs one that it is told of."""
    alice.get("/upload/")
    clock.shift(EXPIRY)
    alice.client.follow_redirects = False
    away = upload(alice).headers["Location"]
    alice.fetch("POST", "/auth/refresh/")
    alice.client.follow_redirects = True
    road.slow = 20 * MINUTE
    assert upload(alice, away).json()["size"] == 100_000
    assert AuthSession.objects.get().revoke_reason == ""


@pytest.mark.parametrize("rotations", [1, 2, 3])
def test_an_upload_beside_a_tab_that_is_never_quiet_is_no_theft(alice, road, clock, rotations):
    """The refresh token that it brought was good when it set out, and is spent on arrival."""

    def poll():
        for _ in range(rotations):
            for minutes in (14, 2):
                clock.shift(minutes * MINUTE)
                assert alice.get("/whoami/").text == "alice"

    alice.get("/upload/")
    clock.shift(EXPIRY)
    road.meanwhile = poll
    assert upload(alice).json()["size"] == 100_000
    session = AuthSession.objects.get()
    assert (session.revoke_reason, session.rotation > rotations) == ("", True)
    road.meanwhile = lambda: None
    clock.shift(EXPIRY)
    assert visit(alice, "form") == "alice"


def test_a_form_of_a_session_that_has_ended_sets_out_without_a_note(alice, clock):
    """There is nothing that could come late."""
    AuthSession.objects.revoke("admin")
    clock.shift(EXPIRY)
    alice.client.follow_redirects = False
    assert "_rn=" not in visit_url(alice, "/whoami/").headers["Location"]
    alice.client.follow_redirects = True
    assert visit(alice, "form") == "anonymous"


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.partition("&_rn=")[0],
        lambda url: url.replace("_rn=1-1", "_rn=1-0"),
        lambda url: url.replace("next=/whoami/", "next=/"),
    ],
    ids=["without", "made-up", "for-another-page"],
)
def test_without_a_note_of_its_departure_a_spent_token_is_theft(alice, clock, change):
    """Somebody else's copy, as ever."""
    departure, spent = outrun(alice, clock)
    assert not present(alice, change(departure), spent).text
    assert AuthSession.objects.get().revoke_reason == "reuse"


def test_an_old_note_of_a_departure_is_none(alice, clock):
    """No upload takes that long."""
    departure, spent = outrun(alice, clock)
    clock.shift(61 * MINUTE)
    present(alice, departure, spent)
    assert AuthSession.objects.get().revoke_reason == "reuse"


def test_who_comes_late_gets_no_token(alice, clock):
    """The browser has newer ones; a thief learns nothing and gets nothing."""
    departure, spent = outrun(alice, clock)
    answer = present(alice, departure, spent)
    assert answer.status_code == 307
    assert "Set-Cookie" not in answer.headers
    assert AuthSession.objects.get().revoke_reason == ""


def test_a_thief_gains_no_note_for_a_token_that_is_spent(alice, clock, new_browser):
    """It says what is current when he sets out."""
    clock.shift(2 * MINUTE)
    alice.get("/whoami/")
    thief = new_browser()
    thief.paste_cookies(alice.copy_cookies())
    for minutes in (16, 2):
        clock.shift(minutes * MINUTE)
        alice.get("/whoami/")
    thief.client.follow_redirects = False
    departure = visit_url(thief, "/whoami/").headers["Location"]
    assert "_rn=1-1" in departure
    visit_url(thief, departure)
    assert AuthSession.objects.get().revoke_reason == "reuse"


def outrun(alice, clock):
    """Send a form on its way, and let another tab be faster; return where to, and its cookies."""
    clock.shift(EXPIRY)
    alice.get("/whoami/")
    clock.shift(EXPIRY)
    alice.client.follow_redirects = False
    departure = visit_url(alice, "/whoami/").headers["Location"]
    spent = alice.copy_cookies()
    alice.client.follow_redirects = True
    alice.get("/whoami/")
    clock.shift(2 * MINUTE)
    alice.get("/whoami/")
    return departure, spent


def present(alice, departure, spent):
    """Let the form arrive at the refresh URL, as it set out."""
    alice.client.follow_redirects = False
    alice.paste_cookies(spent)
    return visit_url(alice, departure)


def test_an_upload_that_takes_longer_than_an_hour_too_long_is_no_loop(alice, road, clock):
    """The note lets a token count for an hour; after that it stops the bounce still."""
    clock.shift(EXPIRY)
    road.slow = 90 * MINUTE
    assert visit(alice, "form") == "anonymous"
    assert road.bounces == 1


def way_back(alice, clock):
    """Send a form whose token has expired, as far as the way back; return where that leads."""
    clock.shift(EXPIRY)
    alice.client.follow_redirects = False
    away = visit_url(alice, "/whoami/").headers["Location"]
    back = visit_url(alice, away).headers["Location"]
    assert "_rn=" in back
    return back


def visit_url(browser, url, method="POST"):
    """Send a long form, and follow no redirect."""
    token = {"csrfmiddlewaretoken": browser.value("csrftoken"), "text": "x" * 100_000}
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
    headers |= {"Sec-Fetch-Dest": "document", "Origin": str(browser.origin)}
    return browser.client.request(method, url, data=token, headers=headers)


def test_a_note_counts_once(alice, clock):
    """A form that is sent again from the page that answered it starts anew."""
    back = way_back(alice, clock)
    clock.shift(EXPIRY)
    assert visit_url(alice, back).text == "alice"
    again = visit_url(alice, back)
    assert again.status_code == 307
    assert again.headers["Location"].startswith("/auth/refresh/?next=/whoami/&")


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("/whoami/?", "/private/?"),
        lambda url: url.replace("_rn=3-1", "_rn=3-0"),
        lambda url: url + "0",
        lambda url: url.replace("?", "?a=1&"),
        lambda url: "/whoami/?_rn=",
        lambda url: "/whoami/?_rn=3-1-1.x",
        lambda url: "/whoami/?_rn=%F0%9F%A6%84",
    ],
    ids=["path", "text", "signature", "query", "empty", "made-up", "unicorn"],
)
def test_a_note_that_is_not_for_this_request_is_none(alice, clock, change):
    """It is signed for one URL."""
    back = change(way_back(alice, clock))
    clock.shift(EXPIRY)
    assert visit_url(alice, back).status_code == 307


def test_a_note_is_for_one_method(alice, clock):
    """That of a form lets no other request count."""
    back = way_back(alice, clock)
    clock.shift(EXPIRY)
    assert visit_url(alice, back, "PUT").status_code == 307


def test_a_note_is_worthless_to_somebody_else(alice, clock, new_browser, staff):
    """It is for a token of one session, and says nothing without that."""
    back = way_back(alice, clock)
    other = new_browser()
    other.client.follow_redirects = True
    assert other.client.post(back).status_code == 403  # CSRF: nobody, with no cookies
    other.login(staff)
    clock.shift(EXPIRY)
    other.client.follow_redirects = False
    assert visit_url(other, back).status_code == 307


def test_a_note_is_worthless_after_a_revoke(alice, clock):
    """The row is looked at as ever."""
    back = way_back(alice, clock)
    AuthSession.objects.revoke("admin")
    clock.shift(EXPIRY)
    assert visit_url(alice, back).text == "anonymous"


def test_a_note_is_worthless_beside_the_token_before(alice, clock):
    """The one that had expired stays expired: the browser did not keep the new one."""
    name = cookies.access_name()
    old = alice.value(name)
    back = way_back(alice, clock)
    alice.set_cookie(name, old)
    assert visit_url(alice, back).text == "anonymous"


def test_a_note_counts_beside_a_newer_token(alice, clock):
    """Another tab was refreshed meanwhile."""
    back = way_back(alice, clock)
    clock.shift(EXPIRY)
    alice.fetch("POST", "/auth/refresh/")
    clock.shift(EXPIRY)
    assert visit_url(alice, back).text == "alice"


def test_without_a_refresh_there_is_no_note_that_lets_a_token_count(alice, clock):
    """A lone access token gets nothing by being sent round."""
    alice.drop_cookie(cookies.refresh_name())
    back = way_back(alice, clock)
    clock.shift(timedelta(seconds=60))
    assert visit_url(alice, back).text == "anonymous"


class DownCache(BaseCache):
    """A cache whose server is down."""

    def __init__(self, location, params):
        super().__init__(params)

    def add(self, *args, **kwargs):
        raise ConnectionError


class SilentCache(DownCache):
    """One whose client has orders to say nothing about it."""

    def add(self, *args, **kwargs):
        return False

    def get(self, key, default=None, version=None):
        return default


@pytest.mark.parametrize("broken", ["DownCache", "SilentCache"])
def test_a_cache_that_is_down_lets_no_token_count_and_makes_no_loop(settings, alice, clock, broken):
    """Nobody can say whether the note is used for the first time."""
    back = way_back(alice, clock)
    clock.shift(EXPIRY)
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.{broken}"}}
    assert visit_url(alice, back).text == "anonymous"


def test_a_note_is_told_to_no_other_site(settings, alice, clock):
    """It stands in the address of the page that answers."""
    settings.SECURE_REFERRER_POLICY = "unsafe-url"
    back = way_back(alice, clock)
    answer = visit_url(alice, back)
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert alice.get("/whoami/").headers["Referrer-Policy"] == "unsafe-url"


def test_a_note_is_forgotten_after_a_day(alice, clock):
    """The form on a page that was left open over night starts anew."""
    back = way_back(alice, clock)
    clock.shift(timedelta(hours=25))
    assert visit_url(alice, back).status_code == 307
