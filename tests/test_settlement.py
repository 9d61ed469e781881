"""What a sign-in leaves behind in a browser that is signed in: one token, never two ahead."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone

from tests import urls, views
from tests.factories import PASSWORD
from tokenauth.models import AuthSession

REFRESH = "__Secure-refresh_token"
MINUTE = timedelta(minutes=1)

BACKENDS = [f"django.contrib.auth.backends.{name}ModelBackend" for name in ("AllowAllUsers", "")]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def social_login(request: HttpRequest) -> HttpResponse:
    """Sign in somebody whom no ``authenticate()`` returned."""
    login(request, get_user_model().objects.get(), backend=BACKENDS[1])
    return views.text("")


urlpatterns = [*urls.urlpatterns, path("social-login/", social_login)]


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def alice(clock, client, user):
    """A browser in which Alice has signed in."""
    sign_in(client)
    return client


def sign_in(browser, password=PASSWORD, **headers):
    browser.post("/django-login/", {"username": "alice", "password": password}, headers=headers)
    return browser.cookies[REFRESH].value


def refresh(browser):
    assert browser.post("/auth/refresh/").status_code == 200
    return browser.cookies[REFRESH].value


def rotation():
    return AuthSession.objects.get().rotation


def test_the_first_token_is_replaced_at_once(alice):
    """No request can be in flight that spent its predecessor: it has none."""
    before = alice.cookies[REFRESH].value
    assert sign_in(alice) != before
    assert rotation() == 1


@pytest.mark.parametrize(("seconds", "rotations"), [(59, 1), (60, 2)])
def test_a_later_one_is_replaced_once_the_grace_period_is_over(alice, clock, seconds, rotations):
    """Requests that set out with its predecessor have arrived by then."""
    clock.shift(20 * MINUTE)
    current = refresh(alice)
    clock.shift(timedelta(seconds=seconds))
    assert (sign_in(alice) == current) == (rotations == 1)
    assert rotation() == rotations


def test_a_token_that_the_browser_never_got_is_not_replaced(alice, clock):
    """It still holds the predecessor, which would be spent twice over."""
    clock.shift(2 * MINUTE)
    held = alice.cookies[REFRESH].value
    lost = AuthSession.objects.rotate(held)
    clock.shift(2 * MINUTE)
    sign_in(alice)
    assert rotation() == lost.rotation == 1
    alice.cookies[REFRESH] = held  # that answer is lost too
    clock.shift(20 * MINUTE)
    assert refresh(alice)
    assert AuthSession.objects.get().active


@pytest.mark.parametrize("just_rotated", [False, True], ids=["replaced", "handed out again"])
def test_a_sign_in_with_a_new_password_gives_the_session_back(alice, user, clock, just_rotated):
    """It was suspended when the password changed somewhere else."""
    if just_rotated:
        clock.shift(20 * MINUTE)
        refresh(alice)
    user.set_password("new-pass-1")
    user.save()
    assert alice.get("/whoami/").content == b"anonymous"
    sign_in(alice, "new-pass-1")
    assert alice.get("/whoami/").content == b"alice"
    assert rotation() == 1


def test_a_second_sign_in_notes_where_it_comes_from(alice):
    """A browser may have been updated, or a laptop have moved."""
    sign_in(alice, user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0")
    assert AuthSession.objects.get().device == "Firefox on Linux"


def test_the_backend_that_the_login_names_vouches_for_the_session(client, user, settings):
    """With several to choose from, nobody guesses."""
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    client.get("/social-login/")
    assert AuthSession.objects.get().backend == BACKENDS[1]
