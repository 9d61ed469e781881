"""Staff end a session in two clicks; whoever had it is told why on the next click of theirs."""

import pytest
from django.urls import reverse

from tests.chromium import Window
from tokenauth.models import AuthSession

pytestmark = pytest.mark.parametrize("server", ["wsgi"], indirect=True)

WHY = "You were signed out because staff of this site ended your session."
FIRST_SESSION = ".tokenauth-user-sessions th a"


@pytest.fixture
def alice(chromium, user):
    """Alice's browser, on a page with a form."""
    tab = chromium.tab()
    tab.login(user)
    tab.goto("/form/")
    tab.fill(note="A note")
    return tab


@pytest.fixture
def desk(chromium_process, server, alice, staff):
    """The browser of staff."""
    window = Window(chromium_process, server)
    tab = window.tab()
    tab.login(staff)
    yield tab
    window.close()


def from_the_list(desk, user):
    """Open the session in the list, press "Revoke"."""
    desk.goto(reverse("admin:tokenauth_authsession_changelist"))
    session = AuthSession.objects.get(user=user)
    change = reverse("admin:tokenauth_authsession_change", args=[session.pk])
    desk.submit(f"#result_list .field-name a[href^='{change}']")
    desk.submit(".tokenauth-status button")


def from_the_persons_page(desk, user):
    """Open the session there, press "Revoke"."""
    desk.goto(reverse("admin:auth_user_change", args=[user.pk]))
    desk.submit(FIRST_SESSION)
    desk.submit(".tokenauth-status button")


def everywhere(desk, user):
    """Follow "Sign out everywhere", be sure."""
    desk.goto(reverse("admin:auth_user_change", args=[user.pk]))
    desk.submit(".tokenauth-user-sessions .tokenauth-button")
    desk.submit("#content-main [type=submit]")


@pytest.mark.parametrize("revoke", [from_the_list, from_the_persons_page, everywhere])
@pytest.mark.parametrize("click", ["a link", "a form"])
def test_two_clicks_end_a_session_and_the_next_one_tells_why(desk, alice, user, revoke, click):
    """Be it a link or a form that the person had open."""
    revoke(desk, user)
    assert "1 session was revoked." in desk.text
    if click == "a link":
        alice.goto("/private/")
    else:
        alice.submit()
    assert alice.path.startswith("/auth/login/?next=")
    assert WHY in alice.text
