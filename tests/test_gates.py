"""What stands below the middleware and lets not everybody through: nobody's refresh ends there."""

from datetime import timedelta

import pytest
import time_machine
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone

from tokenauth.models import AuthSession


class AskForALogin:
    """What sites write themselves: whoever is nobody goes to the login page."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.user.is_authenticated or request.path == "/auth/login/":
            return self.get_response(request)
        return HttpResponseRedirect(f"/auth/login/?next={request.path}")


class AskInTheView(AskForALogin):
    """The same, when it is known which view it is: as django-stronghold does."""

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        is_open = request.user.is_authenticated or request.path == "/auth/login/"
        return None if is_open else HttpResponse(status=403)


GATES = {
    "maintenance": "maintenance_mode.middleware.MaintenanceModeMiddleware",
    "own": f"{__name__}.AskForALogin",
    "own-in-the-view": f"{__name__}.AskInTheView",
    "django": "django.contrib.auth.middleware.LoginRequiredMiddleware",
}


@pytest.fixture
def clock():
    """The clock of server and browser."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def root(browser, staff, clock):
    """A member of staff, whose access token has expired."""
    browser.login(staff)
    clock.shift(timedelta(minutes=16))
    return browser


@pytest.fixture(params=GATES)
def gate(request, root, settings, tmp_path):
    """A site that has one of them."""
    if request.param == "maintenance":
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "maintenance_mode"]
        settings.MAINTENANCE_MODE = True
        settings.MAINTENANCE_MODE_IGNORE_STAFF = True
        settings.MAINTENANCE_MODE_IGNORE_SUPERUSER = True
        settings.MAINTENANCE_MODE_RESPONSE_TYPE = "json"
        settings.MAINTENANCE_MODE_STATE_FILE_PATH = str(tmp_path / "state")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, GATES[request.param]]
    return request.param


def test_a_refresh_goes_round_the_gate(root, gate):
    """A page, a form with what was typed, and a script."""
    assert root.get("/whoami/").text == "root"
    assert AuthSession.objects.get().rotation == 1
    assert root.fetch("POST", "/auth/refresh/").status_code == 200


def test_a_form_keeps_what_was_typed(root, gate):
    """It arrives as it was sent."""
    token = {"csrfmiddlewaretoken": root.value("csrftoken")}
    assert "note=kept" in root.send_form("/echo/", token | {"note": "kept"}).json()["body"]


def test_the_gate_stays_shut_for_everybody_else(new_browser, gate):
    """Who has no session gets nowhere by way of the refresh URL."""
    stranger = new_browser()
    answer = stranger.get("/auth/refresh/?next=/whoami/")
    assert answer.text != "root"
    assert stranger.fetch("POST", "/auth/refresh/").status_code == 401
