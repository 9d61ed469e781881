"""Service workers that cache pages, in Chromium: the how-to's own code, with Workbox from npm."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone

from tests import urls
from tests.conftest import leave_out
from tests.factories import PASSWORD
from tests.processes import ROOT
from tests.test_docs import find, js
from tests.views import name, page
from tokenauth.models import AuthSession

EXPIRY = timedelta(minutes=16)
MODULES = ROOT / ".venv/node_modules"
SCRIPTS = js("service-workers")
PRELUDE = find(SCRIPTS, "importScripts")
REFRESH_FIRST = find(SCRIPTS, "refreshFirst")
FORGET = find(SCRIPTS, "isSignInOrOut")
PLAIN = PRELUDE + find(SCRIPTS, "isNavigation")
NAIVE = find(SCRIPTS, "cacheFirst")
GOOD = {
    "network-first": PRELUDE + find(SCRIPTS, "NetworkFirst({") + FORGET,
    "stale-while-revalidate": PRELUDE + find(SCRIPTS, "followed") + FORGET,
    "without-workbox": find(SCRIPTS, "networkFirst") + FORGET,
}

#: Wait until the worker answers for this page.
INSTALL = """async () => {
    await navigator.serviceWorker.register("/worker.js");
    await navigator.serviceWorker.ready;
}"""
#: What the cache has of a page, type and text, once that is another than before (or 10 s later).
CACHED = """async ([url, before]) => {
    for (let tries = 200; ; tries--) {
        const answer = await (await caches.open("pages")).match(url);
        const text = answer ? (await answer.text()).replace(/.*<h1>|<.*/g, "") : "";
        const found = answer ? `${answer.type} ${text}`.trim() : "";
        if (found !== before || !tries) return found;
        await new Promise(resolve => setTimeout(resolve, 50));
    }
}"""

each_worker = pytest.mark.parametrize("script", GOOD.values(), ids=GOOD)
both_paths = pytest.mark.parametrize("path", [None, "/"], ids=["default-path", "every-path"])
pytestmark = [
    pytest.mark.urls(__name__),
    pytest.mark.parametrize("server", ["wsgi"], indirect=True),
]


def worker(request: HttpRequest) -> HttpResponse:
    return HttpResponse(settings.TEST_WORKER, content_type="text/javascript")


def workbox(request: HttpRequest, module: str) -> HttpResponse:
    """A file of Workbox, which a site would have among its static files."""
    package = module.partition(".")[0]
    script = (MODULES / package / "build" / module).read_bytes()
    return HttpResponse(script, content_type="text/javascript")


@login_required
def news(request: HttpRequest) -> HttpResponse:
    """A page that is another one at each visit."""
    return page(f"{name(request.user)} {next(settings.TEST_EDITION)}")


def tunnel(get_response: Callable) -> Callable:
    """Middleware: whoever is bounced does not come back."""

    def lose(request: HttpRequest) -> HttpResponse:
        lost = request.path == "/auth/refresh/"
        return HttpResponse("lost", status=503) if lost else get_response(request)

    return lose


urlpatterns = [
    *urls.urlpatterns,
    path("worker.js", worker),
    path("static/workbox/<module>", workbox),
    path("news/", news),
]


@pytest.fixture(autouse=True)
def clock():
    """The server's clock."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def install(settings, chromium, user):
    """A function that opens a tab in which Alice has signed in, and a worker answers."""
    if not (MODULES / "workbox-strategies").is_dir():
        leave_out("Workbox was not found: `make test` installs it if there is npm")
    settings.TEST_EDITION = count(1)

    def install_worker(script):
        settings.TEST_WORKER = script
        tab = chromium.tab()
        tab.login(user)
        tab.evaluate(INSTALL)
        return tab

    return install_worker


def visit(tab, path="/news/"):
    """What a person reads there; or the browser's reason for showing nothing."""
    from playwright.async_api import Error  # noqa: PLC0415  # may be missing

    with suppress(Error):
        tab.goto(path)
    return re.search(r"ERR_\w+|.*\Z", tab.text)[0]


def kept(tab, before=""):
    """What the worker keeps of the news, once that is another thing than before."""
    return tab.evaluate(CACHED, ["/news/", before])


def offline(tab, path="/news/"):
    """Visit a page without a network."""
    tab.run(tab.window.context.set_offline(True))
    text = visit(tab, path)
    tab.run(tab.window.context.set_offline(False))
    return text


def expire(tab, clock):
    """Visit the news twice, the second time with an expired token; return what is kept then."""
    visit(tab)
    before = kept(tab)
    clock.shift(EXPIRY)
    visit(tab)
    return kept(tab, before)


def test_plain_workbox_replaces_a_page_by_a_redirect(install, clock):
    """After one visit with an expired token, and there is nothing to read offline."""
    tab = install(PLAIN)
    assert expire(tab, clock) == "opaqueredirect"
    assert offline(tab) == "ERR_FAILED"


def test_a_naive_worker_goes_round_in_circles(install, clock):
    """A page that is first visited with an expired token never opens."""
    tab = install(NAIVE)
    clock.shift(EXPIRY)
    assert visit(tab) == "ERR_TOO_MANY_REDIRECTS"


def test_with_the_refresh_cookie_on_every_path_there_is_no_redirect(settings, install, clock):
    """Plain Workbox keeps pages, and offline there is the newest."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    tab = install(PLAIN)
    assert expire(tab, clock) == "basic alice 2"
    assert AuthSession.objects.get().rotation == 1
    assert offline(tab) == "alice 2"


def test_with_the_refresh_cookie_on_every_path_a_naive_worker_works(settings, install, clock):
    """As well as it can: it keeps the first page that it gets."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    tab = install(NAIVE)
    clock.shift(EXPIRY)
    assert visit(tab) == visit(tab) == "alice 1"
    assert AuthSession.objects.get().rotation == 1


@both_paths
@each_worker
def test_a_worker_of_the_how_to_keeps_pages_alone(settings, install, clock, path, script):
    """After a visit with an expired token it has the newest page, which opens offline."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = path
    tab = install(script)
    assert expire(tab, clock).endswith(" alice 2")
    assert AuthSession.objects.get().rotation == 1
    assert offline(tab) == "alice 2"


@each_worker
def test_a_page_that_is_new_to_a_worker_opens_with_an_expired_token(install, clock, script):
    """Also one with a fragment in its address."""
    tab = install(script)
    clock.shift(EXPIRY)
    assert visit(tab, "/news/?page=2#bottom") == "alice 1"
    assert tab.path == "/news/?page=2"
    assert offline(tab, "/news/?page=2") == "alice 1"


@each_worker
def test_a_bounce_that_gets_lost_costs_no_page(settings, install, clock, script):
    """What was there before is still there offline."""
    tab = install(script)
    visit(tab)
    assert kept(tab) == "basic alice 1"
    settings.MIDDLEWARE = [f"{__name__}.tunnel", *settings.MIDDLEWARE]
    clock.shift(EXPIRY)
    visit(tab)
    tab.goto("/auth/refresh/")  # a worker of one page has done with it before it sees the next
    assert offline(tab) == "alice 1"


@each_worker
def test_a_form_arrives_through_a_worker(install, clock, script):
    """Sent with an expired token: a worker answers GET alone, or passes on what it is given."""
    tab = install(script)
    tab.goto("/form/")
    tab.fill(note="an hour's work")
    clock.shift(EXPIRY)
    tab.submit()
    assert "alice wrote: an hour's work" in tab.text


@each_worker
def test_a_form_is_refreshed_before_it_is_sent(install, chromium, clock, script):
    """For WebKit, which loses the body of a form that is redirected under a worker."""
    tab = install(script + REFRESH_FIRST)
    tab.goto("/form/")
    tab.fill(note="an hour's work")
    clock.shift(EXPIRY)
    tab.submit()
    assert "alice wrote: an hour's work" in tab.text
    assert {status for method, path, status in chromium.log if path == "/form/"} == {200}
    assert AuthSession.objects.get().rotation == 1


def test_a_form_that_is_refreshed_first_arrives_in_each_engine(settings, window, user, clock):
    """In WebKit too, where Django would have said 403."""
    settings.TOKENAUTH_COOKIE_SECURE = False  # WebKit takes no others on http://localhost
    settings.TEST_WORKER = GOOD["without-workbox"] + REFRESH_FIRST
    tab = window.tab("/auth/login/")
    tab.fill(username=user.get_username(), password=PASSWORD)
    tab.submit("form:has([name=password]) [type=submit]")
    tab.evaluate(INSTALL)
    tab.goto("/form/")
    assert tab.evaluate("!!navigator.serviceWorker.controller")
    tab.fill(note="an hour's work")
    clock.shift(EXPIRY)
    tab.submit()
    assert "alice wrote: an hour's work" in tab.text


@each_worker
def test_who_signs_out_leaves_no_page_behind(install, script):
    """Not even offline."""
    tab = install(script)
    assert visit(tab) == "alice 1"
    before = kept(tab)
    tab.fetch("POST", "/auth/api/logout/")
    assert kept(tab, before) == ""
    assert offline(tab) == "ERR_FAILED"


@each_worker
def test_a_session_that_was_ended_elsewhere_ends_on_the_next_page_but_one(install, clock, script):
    """A cached page may be shown once; the login page follows, and nothing is kept."""
    tab = install(script)
    visit(tab)
    before = kept(tab)
    AuthSession.objects.revoke("admin")
    visit(tab)
    assert kept(tab, before) == ""
    visit(tab)
    assert tab.path == "/auth/login/?next=/news/"
    assert offline(tab) == "ERR_FAILED"
