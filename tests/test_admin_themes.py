"""Staff's pages work and look at home in Django's admin, django-unfold's and django-jazzmin's.

Each is the demo in a process of its own, visited by Chromium.
"""

import importlib.util
import re
from itertools import product
from types import SimpleNamespace

import pytest

from tests.chromium import Window
from tests.conftest import leave_out
from tests.test_demo import serve_demo

pytestmark = pytest.mark.browser

#: What a site's settings say for each of them; Jazzmin follows the reader's own choice if told to.
THEMES = {
    "django": "",
    "unfold": "INSTALLED_APPS.insert(0, 'unfold')",
    "jazzmin": "INSTALLED_APPS.insert(0, 'jazzmin')\n"
    "JAZZMIN_UI_TWEAKS = {'default_theme_mode': 'auto'}\n"
    "JAZZMIN_SETTINGS = {'use_google_fonts_cdn': False}",
}
#: Access tokens that do not expire in between.
PATIENT = "\nTOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(minutes=10)\n"
SESSIONS, PEOPLE = "/admin/tokenauth/authsession/", "/admin/auth/user/"
SCREENS = [(1280, 900), (390, 844)]
#: The address of a person's page in their list.
LINK_TO = """name => new URL([...document.querySelectorAll("#result_list a[href*=change]")]
    .find(link => link.textContent.trim() === name).href).pathname"""
#: Which colours the picture is drawn in.
COLOURS = """() => ["active polyline", "sign-ins rect", "thefts rect"].map(name => {
    const mark = document.querySelector(`.tokenauth-chart .${name}`);
    const style = mark && getComputedStyle(mark);
    return style ? (name.endsWith("line") ? style.stroke : style.fill) : "";
})"""
#: Whether each of our buttons is one to the eye: filled, and with an edge of its own.
BARE_BUTTONS = """() => [...document.querySelectorAll(".tokenauth-button")].filter(button => {
    const style = getComputedStyle(button);
    return style.backgroundColor === "rgba(0, 0, 0, 0)" || style.borderStyle !== "solid";
}).length"""


@pytest.fixture(scope="module", params=THEMES)
def theme(request):
    return request.param


@pytest.fixture(scope="module")
def site(theme, tmp_path_factory):
    """A running site with this admin."""
    if theme != "django" and importlib.util.find_spec(theme) is None:
        leave_out(f"django-{theme} is not installed: pip install --group browser")
    with serve_demo(tmp_path_factory.mktemp(theme), THEMES[theme] + PATIENT) as demo:
        yield SimpleNamespace(port=demo.port)


@pytest.fixture
def enter(chromium_process, site):
    """A function that opens a browser of somebody's own, signed in."""
    windows = []

    def entered(name):
        windows.append(Window(chromium_process, site))
        tab = windows[-1].tab()
        tab.goto("/auth/login/")
        tab.fill(username=name, password=f"demo-{name}")
        tab.submit(".tokenauth-login [type=submit]")
        return tab

    yield entered
    for window in windows:
        window.close()


@pytest.fixture
def desk(enter, theme):
    """The browser of staff, who like what they like, light or dark."""
    tab = enter("admin")
    if theme == "unfold":
        tab.goto("/admin/")
        tab.evaluate("localStorage.setItem('adminTheme', '\"auto\"')")
    return tab


def problems(tab, axe):
    """What is wrong with our part of a page, at each width, light and dark."""
    found = []
    for size, scheme in product(SCREENS, ["light", "dark"]):
        tab.look(*size, scheme)
        tab.goto(tab.path)
        tab.evaluate("document.querySelectorAll('.day').forEach(day => day.remove())")
        audit = tab.audit(axe, include=[".tokenauth"])
        found += [f"{size} {scheme}: {problem}" for problem in audit]
        if tab.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
            found.append(f"{size} {scheme}: scrolls sideways")
        if tab.evaluate(BARE_BUTTONS):
            found.append(f"{size} {scheme}: a button looks like none")
    tab.look(*SCREENS[0])
    return found


def open_session_of(tab, name):
    """Open a person's newest session."""
    tab.goto(f"{SESSIONS}?q={name}")
    tab.goto(re.search(rf"{SESSIONS}[0-9a-f-]{{36}}/change/", tab.html)[0])


def test_a_session_is_revoked_on_its_page(desk, enter):
    """By one button, which is there, looks like one, and works."""
    alice = enter("alice")
    open_session_of(desk, "alice")
    assert "Revoke" in desk.text
    desk.submit(".tokenauth-status button")
    assert "1 session was revoked." in desk.text
    assert "ended by staff" in desk.text
    assert "Delete" not in desk.text
    alice.goto("/private/")
    assert "staff of this site ended your session" in alice.text


def test_several_are_revoked_from_the_list_after_a_question(desk, enter, axe):
    """Which says how many, and whose."""
    for _ in range(2):
        enter("alice")
    desk.goto(f"{SESSIONS}?q=alice")
    desk.evaluate("document.querySelectorAll('input.action-select').forEach(box => box.click())")
    desk.run(desk.page.locator("select[name=action]").first.select_option("revoke"))
    desk.submit("#changelist-form [name=index]:visible")
    assert "2 active sessions will end at once." in desk.text
    assert desk.text.count("alice, ") == 2
    assert desk.audit(axe, include=[".tokenauth"]) == []
    assert desk.evaluate(BARE_BUTTONS) == 0
    desk.submit(".tokenauth-ask .tokenauth-button")
    assert "2 sessions were revoked." in desk.text


def test_a_person_is_signed_out_on_their_page(desk, enter, axe):
    """Whose sessions stand at its top, what lives first."""
    enter("alice")
    desk.goto(f"{PEOPLE}?q=alice")
    desk.goto(desk.evaluate(LINK_TO, "alice"))
    top = "document.querySelector('.tokenauth-user-sessions').getBoundingClientRect().top"
    field = "document.querySelector('[name=is_staff]').getBoundingClientRect().top"
    assert desk.evaluate(f"{top} < {field} || {field} === 0")  # 0: on a tab of its own
    assert "1 active session" in desk.text
    assert problems(desk, axe) == []
    desk.submit(".tokenauth-user-sessions .tokenauth-button")
    assert "All sessions of alice will end at once" in desk.text
    desk.submit(".tokenauth-ask .tokenauth-button")
    assert "0 active sessions" in desk.text


def test_the_picture_has_its_colours(desk, enter):
    """Those of the theme: a theft does not look like a sign-in."""
    enter("alice")
    for scheme in ("light", "dark"):
        desk.look(*SCREENS[0], scheme)
        desk.goto(SESSIONS)
        active, sign_ins, _ = desk.evaluate(COLOURS)
        assert active not in {"none", "", "rgb(0, 0, 0)"}
        assert sign_ins not in {"none", "", "rgb(0, 0, 0)"}


def test_every_page_can_be_used_by_everybody(desk, enter, axe):
    """The list, with its tabs and with nothing in it; a session that lives, one that ended."""
    enter("alice")
    for page in (SESSIONS, f"{SESSIONS}?status=ended", f"{SESSIONS}?q=nobody"):
        desk.goto(page)
        assert problems(desk, axe) == []
    open_session_of(desk, "alice")
    assert problems(desk, axe) == []
