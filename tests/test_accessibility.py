"""Our pages are for everybody: axe-core finds nothing on any, wide or narrow, light or dark."""

from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from tests.chromium import Window
from tests.device.test_pages import KEY
from tests.live import serve
from tests.pages.test_devices_page import AGENTS, session_on
from tests.processes import ROOT
from tests.test_demo import LOST_ANSWER, THIEF, serve_demo
from tokenauth.models import AuthSession
from tokenauth.pages.notices import SUBJECTS, compose
from tokenauth.session.endings import RevokeReason

pytestmark = pytest.mark.urls("tests.urls_styled")
in_both_layouts = pytest.mark.parametrize("layout", ["ours", "demo"], indirect=True)

LOGIN, DEVICES, SESSIONS = "/auth/login/", "/auth/sessions/", "/admin/tokenauth/authsession/"
SCREENS = [(1280, 900), (390, 844)]
NARROWEST = (320, 640)  # that WCAG (1.4.10) asks for
LONG_ADDRESS = "2001:db8:85a3:8d3:1319:8a2e:370:7348"
DAY = timedelta(days=1)
#: What the login page says after each of these ends; None is an expiry.
WHY = {
    RevokeReason.ADMIN: "staff of this site ended your session",
    RevokeReason.REUSE: "Somebody else may have used your sign-in",
    None: "your session has expired",
}
BUTTON_EDGES = """[...document.querySelectorAll("button")].map(button => getComputedStyle(button))
    .filter(style => parseFloat(style.borderWidth)).map(style => style.borderStyle)"""
#: What a play asks for: no two scenes ask for the same.
SCENE = """[...document.querySelectorAll("[aria-current=step] strong, main button, main .button")]
    .map(element => element.innerText).join(" ")"""

#: Parts of Django's own pages, around ours, that axe-core finds fault with; 6.1 has mended some.
DJANGOS = {
    ".breadcrumbs": "its links differ from its text by their colour alone",
    "#changelist-search .quiet": "so does “Show all”",
    "#searchbar": "its label is a picture, whose alternative text this rule does not count",
    ".field-last_login, .field-date_joined": "only who sees them knows a date from a time",
    ".help-tooltip": "a name (aria-label) on an element that can have none",
}


@pytest.fixture
def server(transactional_db):
    """One is enough: the pages are the same."""
    with serve("wsgi") as running:
        yield running


@pytest.fixture(autouse=True)
def _site(settings):
    """A site over plain http, where nobody has failed to sign in yet."""
    settings.TOKENAUTH_COOKIE_SECURE = False
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def layout(request, settings):
    """The layout that tokenauth brings, or the demo's in its place."""
    if request.param == "demo":
        settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [ROOT / "templates"]}]


@pytest.fixture
def problems(axe):
    """A function that lists what is wrong with the page in a tab."""

    def find(tab, exclude=()):
        found = []
        for size, scheme in product(SCREENS, ["light", "dark"]):
            tab.look(*size, scheme)
            found += [f"{size} {scheme}: {problem}" for problem in tab.audit(axe, exclude)]
        for size in (*SCREENS, NARROWEST):
            tab.look(*size)
            if tab.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
                found.append(f"{size}: scrolls sideways")
        return found

    return find


def sign_in(tab, username, password):
    """Send the login form, also with a field left empty."""
    tab.goto(LOGIN)
    tab.evaluate("document.querySelector('form:has([name=password])').noValidate = true")
    tab.fill(username=username, password=password)
    tab.submit("form:has([name=password]) [type=submit]")


# Signing in


@in_both_layouts
@pytest.mark.usefixtures("layout")
def test_the_login_page_has_no_violation(chromium, problems, settings, user):
    """Empty, after a mistake, after too many of them, and over http."""
    tab = chromium.tab(f"{LOGIN}?next=/private/")
    assert problems(tab) == []
    for password, said in (("wrong", "correct username and password"), ("", "is required")):
        sign_in(tab, user.get_username(), password)
        assert said in tab.text
        assert problems(tab) == []
    settings.TOKENAUTH_LOGIN_RATES = {"address": "1/h", "account": "1/h"}
    for _ in range(2):
        sign_in(tab, user.get_username(), "wrong")
    assert "Too many sign-ins" in tab.text
    assert problems(tab) == []
    settings.TOKENAUTH_COOKIE_SECURE = True
    tab.goto(LOGIN)
    assert "Nobody can sign in here over http." in tab.text
    assert problems(tab) == []


@in_both_layouts
@pytest.mark.usefixtures("layout")
def test_the_reasons_for_being_there_have_no_violation(chromium, problems, user):
    """After a revocation, a theft and an expiry."""
    tab = chromium.tab()
    for reason, why in WHY.items():
        tab.login(user)
        if reason:
            AuthSession.objects.revoke(reason)
        AuthSession.objects.update(expires_at=timezone.now() - DAY)
        tab.goto("/private/")
        assert why in tab.text
        assert problems(tab) == []


# Your devices


@in_both_layouts
@pytest.mark.usefixtures("layout")
def test_the_devices_page_has_no_violation(chromium, problems, user):
    """With nothing to show, with one device, with many; folded, unfolded and with a theft."""
    tab = chromium.tab()
    tab.login(user)
    tab.goto(DEVICES)
    assert "nowhere else" in tab.text
    assert problems(tab) == []
    for device in AGENTS:
        session_on(device, user, address=LONG_ADDRESS)
        session_on(device, user, ended=DAY, reason="user")
    tab.goto(DEVICES)
    assert problems(tab) == []
    tab.evaluate("document.querySelector('details').open = true")
    assert problems(tab) == []
    session_on("Unknown device", user, ended=DAY, reason="reuse")
    tab.goto(DEVICES)
    tab.submit("tbody tr:nth-child(2) button")
    assert "Signed out of" in tab.text
    assert problems(tab) == []


@in_both_layouts
@pytest.mark.usefixtures("layout")
def test_the_pages_of_a_site_that_binds_sessions_have_no_violation(
    chromium, problems, settings, user
):
    """Bound devices, alone and among others of their kind; and a login page when a key is gone."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    tab = chromium.tab()
    tab.login(user)
    for device in AGENTS:
        session_on(device, user, device_key=KEY)
    session_on("Edge on Windows", user, device_key=KEY)
    tab.goto(DEVICES)
    assert tab.text.count("Bound to that device") == len(AGENTS)
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert problems(tab) == []
    AuthSession.objects.update(device_key=KEY)
    tab.goto(f"{LOGIN}?next={DEVICES}")
    assert "Try once more" in tab.text
    assert problems(tab) == []


@in_both_layouts
@pytest.mark.usefixtures("layout")
def test_a_devices_page_without_a_session_has_no_violation(chromium, client, problems, user):
    """Django's session alone signs the person in, and is not adopted yet."""
    tab = chromium.tab()
    client.force_login(user)
    value = client.cookies["sessionid"].value
    cookie = {"name": "sessionid", "value": value, "url": chromium.origin}
    tab.run(chromium.context.add_cookies([cookie]))
    tab.goto(DEVICES)
    assert "nowhere else" in tab.text
    assert problems(tab) == []


@in_both_layouts
@pytest.mark.usefixtures("layout")
def test_a_button_has_an_edge_without_colours(chromium, user):
    """Forced colours, as of Windows' contrast themes, take backgrounds and shadows away."""
    tab = chromium.tab()
    tab.login(user)
    session_on("Edge on Windows", user)
    for page, count in ((LOGIN, 1), (DEVICES, 3)):
        tab.goto(page)
        tab.run(tab.page.emulate_media(forced_colors="active"))
        assert tab.evaluate(BUTTON_EDGES) == ["solid"] * count


# The admin


def make_history(user):
    """Sessions on every device and of every ending, over some days."""
    now = timezone.now()
    for n, device in enumerate(AGENTS):
        session_on(device, user, address=LONG_ADDRESS, created_at=now - n * DAY)
    for n, reason in enumerate(RevokeReason.values):
        session_on("Edge on Windows", user, ended=n * DAY, reason=reason)


@pytest.fixture
def desk(chromium, staff, user):
    """A tab in which staff are signed in, with something to look at."""
    make_history(user)
    tab = chromium.tab()
    tab.login(staff)
    return tab


def test_the_list_of_sessions_has_no_violation(desk, problems):
    """With its picture, as a table too; searched; filtered, to nothing too."""
    for query in ("", "?q=alice", "?status=reuse", "?status=expired"):
        desk.goto(SESSIONS + query)
        desk.evaluate("document.querySelector('.tokenauth-chart details').open = true")
        # They lie over the texts, to be pointed at, and axe-core sees no further.
        desk.evaluate("document.querySelectorAll('.day').forEach(day => day.remove())")
        assert problems(desk, DJANGOS) == []


def test_a_session_has_no_violation(desk, problems, user, staff):
    """One's own, which can be revoked, and that of somebody who has left."""
    for session in (AuthSession.objects.get(user=staff), user.auth_sessions.last()):
        desk.goto(reverse("admin:tokenauth_authsession_change", args=[session.pk]))
        assert problems(desk, DJANGOS) == []


def test_what_staff_see_of_bound_sessions_has_no_violation(desk, problems, settings, user):
    """In the list, and on the page of one of which a second key was shown."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    user.auth_sessions.update(device_key=KEY, second_key_at=timezone.now())
    desk.goto(f"{SESSIONS}?binding=bound")
    desk.evaluate("document.querySelectorAll('.day').forEach(day => day.remove())")
    assert "bound to their device" in desk.text
    assert problems(desk, DJANGOS) == []
    [session, *_] = user.auth_sessions.active()
    desk.goto(reverse("admin:tokenauth_authsession_change", args=[session.pk]))
    assert "the key of another device was shown" in desk.text
    assert problems(desk, DJANGOS) == []


def test_the_warnings_have_no_violation(desk, problems, staff):
    """Before one's own session ends, and before all of a person's do."""
    session = AuthSession.objects.get(user=staff)
    desk.goto(reverse("admin:tokenauth_authsession_change", args=[session.pk]))
    desk.submit(".tokenauth-status button")
    assert "You will be signed out." in desk.text
    assert problems(desk, DJANGOS) == []
    desk.goto(reverse("admin:auth_user_sign_out", args=[staff.pk]))
    assert "every device" in desk.text
    assert problems(desk, DJANGOS) == []


def test_a_persons_sessions_have_no_violation(desk, problems, user):
    """On the page of the person, and when they have been ended."""
    desk.goto(reverse("admin:auth_user_sign_out", args=[user.pk]))
    desk.submit("#content-main [type=submit]")
    assert "were revoked" in desk.text
    assert problems(desk, DJANGOS) == []


# E-mails


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_notice_has_no_violation(chromium, problems, user, name):
    """In its HTML, as a mail program may show it."""
    session = session_on("Edge on Windows", user, address=LONG_ADDRESS)
    site = {"site_name": "site.test", "origin": "https://site.test"}
    message = compose(name, session, site, "alice@site.test")
    tab = chromium.tab()
    tab.run(tab.page.set_content(message.alternatives[0][0]))
    assert problems(tab) == []


# The demo


@contextmanager
def demo_tab(chromium_process, folder):
    """A tab that visits the demo, in which Alice has signed in."""
    with serve_demo(folder) as demo:
        window = Window(chromium_process, SimpleNamespace(port=demo.port))
        tab = window.tab()
        sign_in(tab, "alice", "demo-alice")
        yield tab
        window.close()


def scenes_of(tab, play, end):
    """Press a play's button until it ends; stop at each scene, which may be over quickly."""
    tab.goto(play)
    seen = set()
    for _ in range(60):
        if (scene := tab.evaluate(SCENE)) not in seen:
            yield scene
        seen.add(scene)
        if end in tab.text:
            return
        tab.run(tab.page.wait_for_timeout(500))
        tab.submit("main button, main .button")
    pytest.fail(f"The demo never said: {end}")


def test_the_demo_has_no_violation(chromium_process, problems, tmp_path):
    """Each of its pages, and each scene of both plays."""
    with demo_tab(chromium_process, tmp_path) as tab:
        for page in ("/", "/private/", "/app/", "/note/"):
            tab.goto(page)
            assert problems(tab) == []
        tab.fill(text="A note")
        tab.submit()
        assert problems(tab) == []
        for play, end in ((LOST_ANSWER, "You are still signed in."), (THIEF, "was noticed")):
            for scene in scenes_of(tab, play, end):
                assert (scene, problems(tab)) == (scene, [])
