"""Our pages by keyboard alone: all is reached, in the order in which it is read, and seen."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.urls import reverse

from tests.factories import PASSWORD
from tests.pages.test_devices_page import AGENTS, session_on
from tokenauth.models import AuthSession

pytestmark = [
    pytest.mark.urls("tests.urls_styled"),
    pytest.mark.parametrize("server", ["wsgi"], indirect=True),
]

DEVICES = "/auth/sessions/"
DAY = timedelta(days=1)
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}

#: What is ours on a page of the admin.
OURS = ".tokenauth, .submit-row"
#: What has the focus: which element of the page, its name, where it is, whether one sees that.
FOCUS = """ours => {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const {left, top, right, bottom} = element.getBoundingClientRect();
    const {outlineStyle, outlineWidth} = getComputedStyle(element);
    return {
        number: [...document.querySelectorAll("*")].indexOf(element),
        name: element.getAttribute("aria-label") || element.labels?.[0]?.innerText
            || element.innerText || element.value,
        box: [left, top + scrollY, right, bottom + scrollY],
        outlined: outlineStyle !== "none" && parseFloat(outlineWidth) > 0,
        ours: !document.getElementById("content") || !!element.closest(ours),
    };
}"""
#: The numbers of what can be pressed or filled in.
TARGETS = """ours => [...document.querySelectorAll("*")].flatMap((element, number) =>
    element.matches("a[href], button, input, select, textarea, summary")
    && (!document.getElementById("content") || element.closest(ours))
    && element.checkVisibility() ? [number] : [])"""


@pytest.fixture(autouse=True)
def _over_http(settings):
    """Without the warning that nobody can sign in over http."""
    settings.TOKENAUTH_COOKIE_SECURE = False


@pytest.fixture
def tab(chromium, user):
    """A tab of somebody who is signed in there, and elsewhere, and was on other devices."""
    for device in AGENTS:
        session_on(device, user)
    session_on("Chrome on Android", user, ended=DAY, reason="admin")
    tab = chromium.tab()
    tab.login(user)
    tab.goto(DEVICES)
    return tab


def focus(tab):
    return tab.evaluate(FOCUS, OURS)


def write(tab, text):
    tab.run(tab.page.keyboard.type(text))


def await_focus(tab, name):
    """Wait until a field has the focus: the browser puts it there when it has drawn the page."""
    script = "name => document.activeElement?.name === name"
    tab.run(tab.page.wait_for_function(script, arg=name))


def reach(tab, name):
    """Press Tab until something of this name has the focus."""
    for _ in range(40):
        tab.press("Tab")
        stop = focus(tab)
        if stop and stop["name"].strip() == name:
            return
    pytest.fail(f"The Tab key never leads to {name!r}.")


def stops(tab):
    """Everything that the Tab key leads to, from the top of the page to its end."""
    found = []
    while (stop := focus(tab)) not in found:
        found.append(stop)
        tab.press("Tab")
    assert None in found, "The Tab key does not lead out of the page."
    top = found.index(None) + 1
    return found[top:] + found[: top - 1]


def follows(after, before):
    """Whether a box is read after another: it is below it, or to its right."""
    return after[1] >= before[3] - 4 or after[0] >= before[2] - 4


# Signing in


def test_a_person_signs_in(chromium, user):
    """The page begins in the first field; the box is ticked off with the space bar."""
    tab = chromium.tab("/private/")
    await_focus(tab, "username")
    write(tab, user.get_username())
    tab.press("Tab")
    write(tab, PASSWORD)
    tab.press("Tab", "Space", "Tab")
    assert focus(tab)["name"] == "Sign in"
    tab.leave("Enter")
    assert "Hello alice" in tab.text
    assert not AuthSession.objects.get().persistent


def test_a_mistake_leads_back_to_the_fields(chromium, user):
    """The password is what to type next; the error above is a link to the first field."""
    tab = chromium.tab("/private/")
    await_focus(tab, "username")
    write(tab, user.get_username())
    tab.press("Tab")
    write(tab, "wrong")
    tab.leave("Enter")
    await_focus(tab, "password")
    tab.press("Shift+Tab", "Shift+Tab")
    assert "correct username and password" in focus(tab)["name"]
    tab.press("Enter")
    await_focus(tab, "username")
    tab.press("Tab")
    write(tab, PASSWORD)
    tab.leave("Enter")
    assert "Hello alice" in tab.text


# Your devices


def test_a_device_is_signed_out(tab):
    """By the button that names it."""
    reach(tab, "Sign out Edge on Windows")
    tab.leave("Enter")
    assert "Signed out of Edge on Windows." in tab.text
    assert AuthSession.objects.filter(revoke_reason="user").count() == 1


def test_every_other_device_is_signed_out(tab):
    """With the space bar, too."""
    reach(tab, "Sign out everywhere else")
    tab.leave("Space")
    assert "Signed out of 5 devices." in tab.text


def test_what_ended_is_unfolded(tab):
    """And this device is signed out."""
    assert "Staff of this site ended it." not in tab.text
    reach(tab, "Recently ended (1)")
    tab.press("Enter")
    assert "Staff of this site ended it." in tab.text
    reach(tab, "Sign out HeadlessChrome on Linux")
    tab.leave("Enter")
    assert tab.path == "/auth/login/"


# Every page


def wrong_password(tab, user):
    """The login page with an error."""
    tab.run(tab.window.context.clear_cookies())
    tab.goto("/auth/login/")
    tab.fill(username=user.get_username(), password="wrong")
    tab.submit("form:has([name=password]) [type=submit]")


def unfolded(tab, user):
    """The devices page with what ended."""
    tab.evaluate("document.querySelector('details').open = true")


def list_of_sessions(tab, user):
    """The admin's list, with its table of days."""
    tab.goto(reverse("admin:tokenauth_authsession_changelist"))
    tab.evaluate("document.querySelector('.tokenauth-chart details').open = true")


def session(tab, user):
    """A session that can be revoked."""
    tab.goto(reverse("admin:tokenauth_authsession_change", args=[user.auth_sessions.last().pk]))


def person(tab, user):
    """A person's page."""
    tab.goto(reverse("admin:auth_user_change", args=[user.pk]))


def question(tab, user):
    """What is asked before a person is signed out everywhere."""
    tab.goto(reverse("admin:auth_user_sign_out", args=[user.pk]))


@pytest.mark.parametrize("size", SCREENS.values(), ids=SCREENS)
@pytest.mark.parametrize(
    "visit", [wrong_password, unfolded, list_of_sessions, session, person, question]
)
def test_all_is_reached_in_its_order_and_seen(tab, user, visit, size):
    """The focus goes down the page like the eye, leaves nothing out, and has an outline."""
    type(user).objects.update(is_staff=True, is_superuser=True)
    tab.look(*size)
    visit(tab, user)
    ours = [stop for stop in stops(tab) if stop["ours"]]
    assert ours
    assert [stop["number"] for stop in ours] == tab.evaluate(TARGETS, OURS)
    assert [stop["name"] for stop in ours if not stop["outlined"]] == []
    hops = [(a["name"], b["name"]) for a, b in pairwise(ours) if not follows(b["box"], a["box"])]
    assert hops == []
