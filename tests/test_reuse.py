"""A spent token that comes back ends its session; and exactly when it does not."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from tests.factories import SessionFactory
from tokenauth.models import AuthSession
from tokenauth.session import tokens

pytestmark = [pytest.mark.django_db, pytest.mark.users]

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def rotate(clock):
    """A function that rotates a token, and lets its successor be seen in use."""

    def rotated(raw):
        clock.shift(timedelta(minutes=2))
        session = AuthSession.objects.rotate(raw)
        session.confirm()
        return session, tokens.remake_refresh_token(session).reveal()

    return rotated


@pytest.fixture
def spent(user):
    """The refresh token with which a session began."""
    return tokens.remake_refresh_token(SessionFactory(user=user)).reveal()


@pytest.fixture
def current(rotate, spent):
    """What the person holds since: access and refresh token."""
    session, successor = rotate(spent)
    return tokens.issue_access_token(session)[0].reveal(), successor


def present(refresh, access="", *, url="/auth/refresh/", method="post"):
    """Send a request with these tokens for cookies, as their names are on a real site."""
    cookies = f"{REFRESH}={refresh}" + (f"; {ACCESS}={access}" if access else "")
    client = Client(headers={"X-Forwarded-Proto": "https", "Cookie": cookies})
    return getattr(client, method)(url)


def reason():
    return AuthSession.objects.get().revoke_reason


@pytest.mark.usefixtures("current")
def test_a_spent_token_ends_its_session(spent):
    """Whoever brings it, and with what: nothing else is needed."""
    assert present(spent).status_code == 401
    assert reason() == "reuse"


@pytest.mark.parametrize(("days", "told"), [(29, "reuse"), (31, "")], ids=["good", "past"])
def test_a_spent_token_past_its_own_time_ends_nothing(rotate, spent, current, clock, days, told):
    """Though the session lives on: such a token was worth nothing, whoever kept it."""
    clock.shift(timedelta(days=20))
    rotate(current[1])
    clock.shift(timedelta(days=days - 20))
    assert present(spent).status_code == 401
    assert reason() == told
    assert AuthSession.objects.get().active is not bool(told)


def deactivate(user):
    user.is_active = False
    user.save()


def change_password(user):
    user.set_password("another")
    user.save()


@pytest.mark.usefixtures("current")
@pytest.mark.parametrize("suspend", [deactivate, change_password])
def test_a_spent_token_of_a_suspended_session_ends_nothing(user, spent, suspend):
    """It opens nothing either; once the session counts again, so does the reuse."""
    password = user.password
    suspend(user)
    assert present(spent).status_code == 401
    assert reason() == ""
    user.is_active, user.password = True, password
    user.save()
    assert present(spent).status_code == 401
    assert reason() == "reuse"


@pytest.mark.parametrize(
    ("url", "method"),
    [("/whoami/", "get"), ("/auth/login/", "get"), ("/auth/refresh/?next=/whoami/", "get")],
)
def test_a_spent_token_beside_a_good_access_token_is_not_looked_at(
    spent, current, clock, url, method
):
    """Nothing is refreshed then, so no refresh token is read; it is as soon as one would be."""
    access, _ = current
    assert present(spent, access, url=url, method=method).status_code in {200, 302, 307}
    assert reason() == ""
    clock.shift(timedelta(minutes=16))
    present(spent, access, url=url, method=method)
    assert reason() == "reuse"


def test_who_refreshes_by_a_spent_token_ends_the_session_though_the_access_token_is_good(
    spent, current
):
    """A script that POSTs to the refresh URL asks for nothing else."""
    assert present(spent, current[0]).status_code == 401
    assert reason() == "reuse"


def test_a_spent_token_beside_its_successor_is_not_looked_at(spent, current, clock):
    """Of one session's tokens the newest counts: a jar may hold an old twin under another path."""
    access, successor = current
    clock.shift(timedelta(minutes=16))
    assert present(f"{spent}; {REFRESH}={successor}", access).status_code == 200
    assert reason() == ""


def test_a_spent_token_beside_another_sessions_access_token_is_not_looked_at(
    user, spent, current, clock
):
    """They are no pair; a sibling domain could have planted either."""
    other = tokens.issue_access_token(SessionFactory(user=user))[0].reveal()
    clock.shift(timedelta(minutes=16))
    assert present(spent, other).status_code == 401
    assert {s.revoke_reason for s in AuthSession.objects.all()} == {""}


@pytest.mark.parametrize("url", ["/overtaken/", "/asks-late/"])
def test_a_slow_view_is_no_time_in_which_the_browser_had_its_tokens(user, clock, settings, url):
    """Killed before it wrote its jar, the browser comes back with the one before: no theft.

    The age by which an access token confirms counts from when the answer went out.
    """
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    settings.TEST_MEANWHILE = lambda: clock.shift(timedelta(minutes=3))
    session = SessionFactory(user=user)
    old = tokens.remake_refresh_token(session).reveal(), tokens.issue_access_token(session)[0]
    clock.shift(timedelta(minutes=20))
    answer = present_at_root(*old, url)
    fresh = (answer.cookies[name].value for name in ("__Host-refresh_token", ACCESS))
    assert present_at_root(*fresh, "/whoami/").text == user.get_username()
    assert present_at_root(*old, "/whoami/").text == user.get_username()
    assert AuthSession.objects.get().rotation == 1


def present_at_root(refresh, access, url):
    """Send a request with these tokens where the refresh cookie goes everywhere."""
    access = getattr(access, "reveal", lambda: access)()
    cookies = f"__Host-refresh_token={refresh}; {ACCESS}={access}"
    return Client(headers={"X-Forwarded-Proto": "https", "Cookie": cookies}).get(url)
