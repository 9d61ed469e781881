"""What a sign-in leaves behind in a browser that is signed in: one token, never two ahead."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.test import Client
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


@pytest.mark.parametrize("minutes", [0, 2, 20], ids=["at once", "confirmed", "expired"])
def test_a_sign_in_with_a_new_password_starts_a_session(alice, user, clock, minutes):
    """The one before was suspended when the password changed somewhere else."""
    clock.shift(minutes * MINUTE)
    user.set_password("new-pass-1")
    user.save()
    assert alice.get("/whoami/").content == b"anonymous"
    sign_in(alice, "new-pass-1")
    assert alice.get("/whoami/").content == b"alice"
    reasons = AuthSession.objects.values_list("revoke_reason", flat=True)
    assert sorted(reasons) == ["", "replaced"]


def test_a_second_sign_in_notes_where_it_comes_from(alice):
    """A browser may have been updated, or a laptop have moved."""
    sign_in(alice, user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0")
    assert AuthSession.objects.active().get().device == "Firefox on Linux"


def test_the_backend_that_the_login_names_vouches_for_the_session(client, user, settings):
    """With several to choose from, nobody guesses."""
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    client.get("/social-login/")
    assert AuthSession.objects.get().backend == BACKENDS[1]


# A server that cannot make a token which another one has made


def make_unknown():
    """Let the live session's token be one that no key of this server gives."""
    AuthSession.objects.update(rotation=1, token_hash="0" * 64)


def test_a_login_that_cannot_hand_the_token_out_starts_a_session(alice):
    """The person is signed in all the same; the session before it is replaced."""
    make_unknown()
    sign_in(alice)
    reasons = AuthSession.objects.values_list("revoke_reason", flat=True)
    assert sorted(reasons) == ["", "replaced"]
    assert alice.get("/whoami/").content == b"alice"


def test_tokens_that_cannot_be_made_again_are_left_out(clock, client, user):
    """Who adopted, lost the answer and met an older server is signed in for that request."""
    client.force_login(user)
    client.get("/whoami/")
    AuthSession.objects.update(token_hash="0" * 64)
    for name in [name for name in client.cookies if "token" in name and "csrf" not in name]:
        del client.cookies[name]
    answer = client.get("/whoami/")
    assert answer.content == b"alice"
    assert not [name for name in answer.cookies if "token" in name]


def test_a_session_that_is_not_adopted_yet_can_end_the_others(alice, user):
    """The first request after the change to tokenauth may be this one."""
    old = Client()
    old.force_login(user)
    old.post("/auth/sessions/revoke-others/")
    assert alice.get("/whoami/").content == b"anonymous"
    assert old.get("/whoami/").content == b"alice"
