"""The test site and its browsers, before anybody trusts what they say about tokenauth."""

import signal
import subprocess
import threading
from contextlib import suppress
from datetime import timedelta

import httpx
import pytest
import time_machine
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import redirect
from django.test import override_settings
from django.urls import path
from django.utils import timezone

from tests import engines
from tests.factories import UserFactory
from tests.live import serve


def set_cookies(request):
    """Answer with a cookie of every kind that a browser treats differently."""
    response = HttpResponse("set")
    response.set_cookie("everywhere", "1")
    response.set_cookie("below", "2", path="/below/")
    response.set_cookie("short", "3", max_age=60)
    response.set_cookie("wide", "4", domain="site.test")
    response.set_cookie("sealed", "5", secure=True)
    response.set_cookie("__Host-good", "6", secure=True)
    response.set_cookie("__Host-with-path", "7", secure=True, path="/below/")
    response.set_cookie("__Secure-without", "8")
    return response


def echo(request):
    """Answer with what arrived."""
    return HttpResponse(
        f"{request.method} {request.body.decode()} {request.META.get('HTTP_COOKIE', '')}"
    )


def count_people(request):
    """Make one query."""
    return HttpResponse(UserFactory._meta.get_model_class().objects.count())


def moved(request):
    """Send everybody to echo(), with whatever they brought."""
    return redirect("/below/echo/", preserve_request=True)


def away(request):
    return redirect("https://elsewhere.example/")


urlpatterns = [
    path("set/", set_cookies),
    path("echo/", echo),
    path("below/echo/", echo),
    path("count/", count_people),
    path("moved/", moved),
    path("away/", away),
]

pytestmark = pytest.mark.urls(__name__)

PLAIN_SITE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@pytest.fixture(autouse=True)
def plain_site(settings):
    """Leave tokenauth out of it."""
    settings.MIDDLEWARE = PLAIN_SITE


def test_the_jar_honours_path_domain_secure_and_prefixes(new_browser):
    """Which cookies are stored, and where they are sent, follows the browsers' rules."""
    browser = new_browser()
    browser.get("/set/")
    sent = browser.get("/echo/").text
    assert sent == "GET  everywhere=1; short=3; sealed=5; __Host-good=6; wide=4"
    assert "below=2" in browser.get("/below/echo/").text
    assert ("__Host-with-path", "/below/") not in browser.cookies
    assert ("__Secure-without", "/") not in browser.cookies
    assert browser.get("https://sibling.site.test/echo/").text == "GET  wide=4"
    assert "sealed=" not in browser.get("http://app.site.test/echo/").text


def test_a_plain_http_site_cannot_set_secure_cookies(new_browser):
    """A Secure cookie over http is dropped, as everywhere but on localhost."""
    browser = new_browser(origin="http://app.site.test")
    browser.get("/set/")
    assert {name for name, _ in browser.cookies} == {"everywhere", "below", "short", "wide"}


def test_a_travelled_clock_reaches_jar_and_server(browser):
    """Cookies expire when the test says that time has passed."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        browser.get("/set/")
        clock.shift(timedelta(seconds=59))
        assert "short=3" in browser.get("/echo/").text
        clock.shift(timedelta(seconds=2))
        assert "short=" not in browser.get("/echo/").text
        assert browser.cookie("short") is None


def test_a_307_keeps_method_and_body_and_is_remembered(browser):
    """Redirects are followed as browsers do, and each answer is on record."""
    browser.set_cookie("below", "2", path="/below/")
    assert browser.fetch("PUT", "/moved/", content="hello").text == "PUT hello below=2"
    assert [(r.request.method, r.url.path, r.status_code) for r in browser.history] == [
        ("PUT", "/moved/", 307),
        ("PUT", "/below/echo/", 200),
    ]


def test_nobody_is_sent_to_another_site_unnoticed(browser):
    """A redirect that leaves the site is an error."""
    with pytest.raises(httpx.UnsupportedProtocol, match=r"elsewhere\.example"):
        browser.get("/away/")


def test_a_lost_answer_reached_the_server_but_not_the_jar(browser):
    """A request can succeed and its answer be lost."""
    with browser.losing_answers(), pytest.raises(httpx.ReadError):
        browser.get("/set/")
    assert browser.cookies == {}


def test_a_copied_jar_is_that_of_another_moment(browser, new_browser):
    """A thief has the cookies of when he copied them."""
    browser.set_cookie("token", "old")
    copy = browser.copy_cookies()
    browser.set_cookie("token", "new")
    thief = new_browser()
    thief.paste_cookies(copy)
    assert (thief.value("token"), browser.value("token")) == ("old", "new")
    thief.drop_cookie("token")
    assert thief.cookies == {}


def test_parallel_requests_are_parallel(browser):
    """Twenty tabs get twenty answers."""
    answers = browser.parallel(*[lambda: browser.get("/echo/")] * 20)
    assert [answer.status_code for answer in answers] == [200] * 20


@pytest.mark.users
def test_queries_of_the_server_are_counted(server, browser):
    """The counter sees the server's queries and no others."""
    UserFactory()
    with server.count_queries() as queries:
        UserFactory()
        assert browser.get("/count/").text == "2"
    assert len(queries) == 1


def test_changed_settings_reach_a_running_server(browser):
    """An override of MIDDLEWARE takes effect on the next request."""
    assert browser.get("/echo").status_code == 404
    with override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"]):
        assert browser.get("/echo").status_code == 200
    assert browser.get("/echo").status_code == 404


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_server_leaves_no_thread_behind(kind, transactional_db):
    """Closing a server ends its threads, with clients still connected."""
    before = set(threading.enumerate())
    with serve(kind) as server, httpx.Client(timeout=60) as client:
        client.get(f"http://127.0.0.1:{server.port}/count/")
    assert [t for t in threading.enumerate() if t not in before and not t.daemon] == []


def test_chromium_visits_the_live_server(chromium):
    """A real browser keeps cookies, follows a 307 with its body, and logs what it asked."""
    tab = chromium.tab("/set/")
    assert tab.text == "set"
    assert chromium.cookies["__Host-good", "/"]["secure"]
    answer = tab.fetch("PUT", "/moved/", {"a": 1})
    assert (answer.status, answer.text.split()[0]) == (200, "PUT")
    assert '{"a":1}' in answer.text
    assert ("PUT", "/moved/", 307) in chromium.log


def test_chromium_leaves_the_orm_usable(chromium, django_user_model):
    """Driving Chromium does not make Django believe that the test is async."""
    chromium.tab("/echo/")
    assert django_user_model.objects.count() == 0


async def test_async_tests_run_beside_chromium(chromium_process, async_client):
    """pytest-asyncio has its own loop, whatever Playwright does."""
    assert (await async_client.get("/echo/")).status_code == 200


@pytest.mark.users
@pytest.mark.django_db
def test_the_test_models_have_their_migrations():
    """The Member that `make test` runs a second time with has the table it needs."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for():
    """A second process would find the tests' data under the settings' name."""
    assert connection.settings_dict["NAME"] == settings.DATABASES["default"]["TEST"]["NAME"]


def test_a_program_ends_with_the_test_that_timed_out():
    """A browser that hangs is not left behind, nor what it started."""
    script = "sleep 600 & echo $!; wait"
    with (
        suppress(TimeoutError),
        engines.run("sh", "-c", script, stdout=subprocess.PIPE) as process,
    ):
        child = process.stdout.readline()
        raise TimeoutError
    assert process.returncode == -signal.SIGKILL
    assert child
    assert process.stdout.read() == b""  # nobody is left who could write
    process.stdout.close()
