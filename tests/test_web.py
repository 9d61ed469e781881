"""What the web sends besides clicks, in Chromium: payment providers, service workers, reports."""

import json
from datetime import timedelta
from queue import Queue
from urllib.parse import urlsplit

import pytest
import time_machine
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from tests import urls
from tests.views import name, page, text
from tokenauth.decorators import never_bounced
from tokenauth.models import AuthSession

EXPIRY = timedelta(minutes=16)
REGISTER = "navigator.serviceWorker.register('/worker.js').then(() => 'ok', String)"
UPDATE = """navigator.serviceWorker.getRegistration()
    .then(registration => registration.update()).then(() => 'ok', String)"""
STRICT = "url => fetch(url, {redirect: 'error'}).then(answer => answer.text(), String)"

pytestmark = [
    pytest.mark.urls(__name__),
    pytest.mark.parametrize("server", ["wsgi"], indirect=True),
]

reports: Queue[str] = Queue()


@csrf_exempt
def paid(request: HttpRequest) -> HttpResponse:
    """Where a payment provider sends the browser back to, with a form."""
    return text(f"{name(request.user)} paid {request.POST.get('amount')}")


def worker(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"// for {name(request.user)}", content_type="text/javascript")


def reporting(request: HttpRequest) -> HttpResponse:
    """A page that breaks its own policy."""
    response = page("Reporting")
    response["Content-Security-Policy"] = "img-src 'none'; report-uri /report/"
    response.content += b"<img src=/image/?first>"
    return response


@csrf_exempt
def report(request: HttpRequest) -> HttpResponse:
    blocked = json.loads(request.body)["csp-report"]["blocked-uri"]
    reports.put(urlsplit(blocked).query)
    return HttpResponse(status=204)


@never_bounced
def strict(request: HttpRequest) -> HttpResponse:
    return text(name(request.user))


urlpatterns = [
    *urls.urlpatterns,
    path("paid/", paid),
    path("worker.js", worker),
    path("reporting/", reporting),
    path("report/", report),
    path("strict/", strict),
]


@pytest.fixture(autouse=True)
def clock():
    """The server's clock."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def tab(chromium, user):
    """A tab in which Alice has signed in."""
    tab = chromium.tab()
    tab.login(user)
    return tab


def pay(tab, provider):
    """Go to a payment provider, whose page sends a form back to the site."""
    back = f"{tab.window.origin}/paid/"
    form = f"<form method=post action={back}><input name=amount value=5><button>Pay</button></form>"

    async def answer(route):
        await route.fulfill(body=form, content_type="text/html")

    tab.run(tab.page.route(f"{provider}/**", answer))
    tab.goto(f"{provider}/pay")
    tab.submit("button")
    return tab.text


PROVIDERS = {
    # Lax cookies go with a form of the same site alone, whichever port it is from.
    "another-port": ("http://localhost:1", "Lax", "alice paid 5"),
    "another-site": ("http://pay.test", "None", "alice paid 5"),
    "another-site-lax": ("http://pay.test", "Lax", "anonymous paid 5"),
}


@pytest.mark.parametrize("pause", [timedelta(), EXPIRY], ids=["valid", "expired"])
@pytest.mark.parametrize(("provider", "samesite", "answer"), PROVIDERS.values(), ids=PROVIDERS)
def test_who_comes_back_from_a_payment_is_signed_in(
    settings, chromium, user, clock, provider, samesite, answer, pause
):
    """By a form of another origin, with a token that has expired as with a fresh one."""
    settings.TOKENAUTH_COOKIE_SAMESITE = samesite
    tab = chromium.tab()
    tab.login(user)
    clock.shift(pause)
    assert pay(tab, provider) == answer
    rotations = bool(pause) and answer.startswith("alice")
    assert AuthSession.objects.get().rotation == rotations


def test_a_service_worker_is_registered_and_updated(tab, clock):
    """Its script may not be redirected: with an expired token it is fetched as for nobody."""
    clock.shift(EXPIRY)
    assert tab.evaluate(REGISTER) == "ok"
    clock.shift(EXPIRY)
    assert tab.evaluate(UPDATE) == "ok"


def await_report(query):
    """Wait until the browser has reported that an image was blocked."""
    while reports.get(timeout=60) != query:
        pass


def test_a_report_arrives(tab, clock):
    """Nobody follows a redirect to send a report."""
    tab.goto("/reporting/")
    await_report("first")
    clock.shift(EXPIRY)
    tab.evaluate("document.body.appendChild(new Image()).src = '/image/?second'")
    await_report("second")
    assert AuthSession.objects.get().rotation == 0


def test_a_script_that_takes_no_redirect_gets_the_views_answer(tab, clock):
    """Of a view that says so; another one's redirect is an error to it."""
    clock.shift(EXPIRY)
    assert tab.evaluate(STRICT, "/strict/") == "anonymous"
    assert tab.evaluate(STRICT, "/whoami/") == "TypeError: Failed to fetch"
    assert tab.fetch("POST", "/auth/refresh/").status == 200
    assert tab.evaluate(STRICT, "/strict/") == tab.evaluate(STRICT, "/whoami/") == "alice"
