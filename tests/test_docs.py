"""The documentation is true: its snippets run, its lists are complete, the tests it names exist."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import django.dispatch
import pytest
import time_machine
import yaml
from django.conf import settings as site
from django.core.checks import run_checks
from django.core.management import call_command
from django.http import HttpResponse
from django.template import Context, Engine
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken as BearerToken

from tests import urls
from tests.demo import wait_until
from tests.device.test_pages import KEY
from tests.factories import PASSWORD, SessionFactory
from tests.resource import SID
from tests.resource import token as resource_token
from tests.resource.issuer import issuer
from tokenauth import signals
from tokenauth.models import AuthSession
from tokenauth.request.bounce import MAX_REQUEST_LINE, MAX_URL
from tokenauth.session.endings import RevokeReason
from tokenauth.testing import force_login
from tokenauth.urls import urlpatterns as our_urls

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAPERS = ["CONTRIBUTING.md", "SECURITY.md"]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in sorted([README, *map(ROOT.joinpath, PAPERS), *DOCS.rglob("*.md")])
    if "_build" not in page.parts
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"

#: Python that is not run as it stands, by the page and a line of it; the reason why not.
CANNOT_RUN = {
    ("README.md", ""): "parts of a project: test_the_readme_installs",
    ("docs/how-to/allauth.md", ""): "parts of a project: test_the_allauth_page_installs",
    ("docs/how-to/google.md", ""): "parts of a project: test_the_google_page_works",
    ("docs/how-to/websockets.md", "asgi"): "part of a project: test_sockets.py runs it",
    ("docs/how-to/apps.md", "# pocket/"): "an app: test_apps_page.py runs it",
    ("docs/how-to/ci.md", ""): "parts of a project: test_ci_page.py runs them",
    ("docs/how-to/cors.md", "INSTALLED_APPS"): "“...” stands for a site's own, and corsheaders",
    (
        "docs/how-to/fastapi.md",
        "",
    ): "is run elsewhere: test_the_fastapi_page_is_the_demos_code",
    ("docs/how-to/resource-server.md", ""): "of two projects: test_the_resource_server_page_works",
    ("docs/how-to/rotate-keys.md", ""): "a key that is not there: test_key_rotation.py",
    ("docs/how-to/testing.md", ""): "tests, run by pytest: test_the_testing_page_passes",
    ("docs/tutorial.md", ""): "files of a project: test_the_tutorial_keeps_alice_signed_in",
}
#: Shell commands of the tutorial that are not run; the reason why not.
NOT_RUN = {
    "python3 -m venv": "the tests have an environment",
    ". ../tutorial": "the same",
    "pip install": "tokenauth is installed, `make matrix` tests the wheel",
    "cd ../tutorial": "the project is in a temporary folder",
    "python manage.py runserver": "visit.py serves, where its clock can be moved",
}

each_page = pytest.mark.parametrize("page", PAGES)


def blocks(page, language):
    """The code of one language on a page."""
    return [code for kind, code in BLOCK.findall(PAGES[page]) if kind == language]


def is_run(page, code):
    """Whether a block runs as it stands."""
    return not any(page == p and line in code for p, line in CANNOT_RUN)


# Snippets


@each_page
def test_every_python_block_compiles(page):
    """Nobody copies a typing error."""
    for code in blocks(page, "python"):
        ast.parse(code)


@pytest.fixture
def receivers():
    """Signals as they were before a page connected to them."""
    ours = [signal for signal in vars(signals).values() if isinstance(signal, Signal)]
    before = [(signal, [*signal.receivers]) for signal in ours]
    yield
    for signal, connected in before:
        signal.receivers = connected


Signal = django.dispatch.Signal


@each_page
@pytest.mark.django_db
@pytest.mark.usefixtures("receivers")
def test_the_python_of_a_page_runs(page, settings):
    """Block after block, as one reads; settings among it pass the checks."""
    names = {"__name__": "a_page"}
    for code in blocks(page, "python"):
        if is_run(page, code):
            exec(compile(code, page, "exec"), names)  # noqa: S102  # our own pages
    chosen = {name: value for name, value in names.items() if name.isupper()}
    for name in filter(lambda name: name.startswith("TOKENAUTH_"), chosen):
        setattr(settings, name, chosen[name])
    messages = run_checks(tags=["security"])
    assert [m for m in messages if m.id.startswith("tokenauth.E") or "W001" in m.id] == []


def test_every_exception_is_needed():
    """The list of what cannot run names blocks that are there."""
    python = [(page, code) for page in PAGES for code in blocks(page, "python")]
    for page, line in CANNOT_RUN:
        assert any(page == p and line in code for p, code in python), (page, line)


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_the_scripts_of_the_javascript_page_work(chromium, user):
    """In Chromium: signed in, told who is there, refreshed and signed out by the page's code."""
    page = "docs/how-to/javascript.md"
    scripts = blocks(page, "js")
    api, refresh = find(scripts, "function api"), find(scripts, "function refresh")
    login, logout = find(scripts, "/api/login/"), find(scripts, "/api/logout/")
    login = login.replace('"alice"', json.dumps(user.get_username()))
    who = find(scripts, "const { user") + " return user;"
    tab = chromium.tab("/")
    tab.evaluate("window.alert = (text) => { document.title = text; }")

    def evaluate(*parts):
        return tab.evaluate(f"(async () => {{ {' '.join(parts)} }})()")

    evaluate(api, login)
    assert tab.run(tab.page.title()) == (
        "Please enter a correct username and password. Note that both fields may be case-sensitive."
    )
    signed_in = evaluate(api, login.replace("correct horse", PASSWORD), who)
    assert signed_in["username"] == user.get_username()
    assert evaluate(refresh, "return refresh();") is True
    assert evaluate(api, logout, who) is None
    assert evaluate(refresh, "return refresh();") is False


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_a_script_sends_once_more_what_was_asked_for_a_proof(chromium, settings, user):
    """In Chromium, by the page's code: the second one arrives, and there is no third."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    tab = chromium.tab()
    tab.login(user)
    AuthSession.objects.update(device_key=KEY)
    proved, call = find(js("javascript"), "function proved"), "proved(new Request('/api/ping/'))"
    tab.evaluate(f"() => {{ {proved} window.sent = {call}.then((answer) => answer.status); }}")
    ping = ("GET", "/api/ping/")
    wait_until(lambda: (*ping, 401) in chromium.log)
    AuthSession.objects.update(device_key="")
    assert tab.evaluate("window.sent") == 200
    assert [entry for entry in chromium.log if entry[:2] == ping] == [(*ping, 401), (*ping, 200)]


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_the_scripts_of_the_cors_page_work(chromium, user):
    """On one host, for want of two: signed in, asked first, then sent with the CSRF token."""
    cookie, _, _ = find(blocks("docs/how-to/javascript.md", "js"), "cookie").partition("async")
    scripts = [code.replace("https://api.example.com", "") for code in js("cors")]
    tab = chromium.tab()
    tab.login(user)
    call = 'return (await fresh("POST", "/api/ping/", {})).status;'
    assert tab.evaluate(f"(async () => {{ {cookie} {' '.join(scripts)} {call} }})()") == 200
    assert [(method, path) for method, path, _ in chromium.log[-2:]] == [
        ("GET", "/auth/api/session/"),
        ("POST", "/api/ping/"),
    ]


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize("wrong", [-3600, 0, 3600])
def test_the_cors_pages_script_needs_no_right_clock(chromium, user, wrong):
    """It counts from when it was told, on a device that is an hour slow or fast, or set back."""
    cookie, _, _ = find(blocks("docs/how-to/javascript.md", "js"), "cookie").partition("async")
    scripts = [code.replace("https://api.example.com", "") for code in js("cors")]
    tab = chromium.tab()
    tab.login(user)
    steps = """
        const [right, counts] = [Date.now, []];
        const calls = () => performance.getEntriesByName(`${origin}/auth/api/session/`).length;
        for (const minutes of [0, 1, 14, 15.5, 16, -60]) {
            Date.now = () => right() + (WRONG + minutes * 60) * 1000;
            const before = calls();
            await fresh("GET", "/whoami/");
            counts.push(calls() - before);
        }
        return counts;
    """.replace("WRONG", str(wrong))
    asked = tab.evaluate(f"(async () => {{ {cookie} {' '.join(scripts)} {steps} }})()")
    assert asked == [1, 0, 0, 1, 0, 1]


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize(
    ("steps", "sent"),
    [
        ("later(16); await both();", ["ask", "alice", "alice"]),
        (
            "later(16); offline = true; await both(); offline = false; await both();",
            ["lost", "ask", "alice", "alice"],
        ),
        ("later(16); slow(10); await get();", ["anonymous", "ask", "alice"]),
        (
            "over = true; await get(); await get();",
            ["anonymous", "ask", "anonymous", "ask", "anonymous"],
        ),
    ],
    ids=["at-once", "after-a-lost-answer", "set-back-a-little", "signed-out"],
)
def test_the_cors_pages_script_sends_nothing_with_an_expired_token(chromium, steps, sent):
    """But once, where it can't know; then it sends it again. The clock and the server are ours."""
    world = """
        let [now, shift, end, offline, over] = [1e12, 0, 0, false, false];
        const sent = [];
        Date.now = () => now + shift;
        const later = (minutes) => { now += minutes * 60000; };
        const slow = (minutes) => { shift -= minutes * 60000; };
        async function api(method, path) {
            const asks = path === "/auth/api/session/";
            const who = now < end && !over ? "alice" : "anonymous";
            sent.push(asks ? (offline ? "lost" : "ask") : who);
            await new Promise((resolve) => setTimeout(resolve));
            if (offline) throw new TypeError("Failed to fetch");
            if (asks && !over) end = now + 900000; // its cookie comes with the answer
            const answer = { access_expires_in: over ? null : 900 };
            return { status: asks || who === "alice" ? 200 : 401, json: async () => answer };
        }
        const get = () => fresh("GET", "/whoami/");
        const both = () => Promise.allSettled([get(), get()]);
        await get();
        sent.length = 0;
    """
    script = f"{find(js('cors'), 'function fresh')} {world} {steps} return sent;"
    assert chromium.tab("/").evaluate(f"(async () => {{ {script} }})()") == sent


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_the_script_of_the_simplejwt_page_exchanges_the_token_once(chromium):
    """It sends the bearer token, and forgets both."""
    tab = chromium.tab("/")
    tab.evaluate("""() => {
        Object.assign(localStorage, { access: "a.b.c", refresh: "d.e.f" });
        window.sent = [];
        window.fetch = async (...request) => sent.push(request);
    }""")
    for _ in range(2):
        tab.evaluate(f"(async () => {{ {js('from-simplejwt')[0]} }})()")
    request = {"method": "POST", "headers": {"Authorization": "Bearer a.b.c"}}
    assert tab.evaluate("[window.sent, localStorage.length]") == [[["/exchange/", request]], 0]


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
@pytest.mark.parametrize(
    ("event", "detail"),
    [
        ("htmx:beforeOnLoad", "{ xhr: { responseURL: url } }"),
        ("htmx:before:response", "{ ctx: { response: { raw: { url } } } }"),
    ],
    ids=["htmx 2", "htmx 4"],
)
def test_the_script_for_htmx_reloads_when_the_session_is_over(chromium, event, detail):
    """A fragment that turned out to be the login page is not shown; any other is."""
    tab = chromium.tab("/")
    tab.evaluate(f"() => {{ {find(js('javascript'), 'htmx')} window.old = true; }}")
    load = f"""path => {{
        const url = location.origin + path;
        const options = {{ bubbles: true, cancelable: true, detail: {detail} }};
        return !document.body.dispatchEvent(new CustomEvent("{event}", options));
    }}"""
    assert tab.evaluate(load, "/private/") is False
    tab.run(tab._leave(tab.page.evaluate(load, "/auth/login/?next=/")))
    assert tab.evaluate("window.old") is None


def js(page):
    """The scripts of a how-to page."""
    return blocks(f"docs/how-to/{page}.md", "js")


def find(codes, name):
    return next(code for code in codes if name in code)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "line",
    sorted(
        {
            line.partition("#")[0].strip()
            for page in PAGES
            for code in blocks(page, "sh")
            for line in code.splitlines()
            if "tokenauth_" in line
        }
    ),
)
def test_every_command_line_works(line, user, tmp_path, monkeypatch):
    """Those of tokenauth, wherever they stand."""
    monkeypatch.chdir(tmp_path)  # one writes a file
    program, file, *arguments = line.split()
    assert (program, file) == ("python", "manage.py")
    call_command(*arguments, stdout=StringIO(), stderr=StringIO())


@pytest.mark.parametrize(
    ("number", "site"),
    [
        (0, "{% block title %}{% endblock %}: {% block content %}{% endblock %}"),
        (1, "{% block page_title %}{% endblock %}: {% block main %}{% endblock %}"),
    ],
    ids=["the same blocks", "other blocks"],
)
def test_the_templates_of_the_layout_page_fill_a_sites_blocks(number, site):
    """Whether the site's base template has blocks of tokenauth's names, or others."""
    ours = blocks("docs/how-to/layout.md", "html")[number]
    templates = {"base.html": site, "tokenauth/base.html": ours}
    engine = Engine(loaders=[("django.template.loaders.locmem.Loader", templates)])
    filled = "{% block title %}Sign in{% endblock %}{% block content %}Password{% endblock %}"
    page = engine.from_string('{% extends "tokenauth/base.html" %}' + filled).render(Context())
    assert page.strip() == "Sign in: Password"


@pytest.mark.django_db
@pytest.mark.usefixtures("receivers")
def test_the_receivers_of_the_signals_page_hear(user, capsys):
    """Of a session that is ended, and of a theft."""
    names = page_of("reference/signals")
    session = SessionFactory(user=user)
    AuthSession.objects.revoke("admin")
    assert capsys.readouterr().out == f"Session {session.pk} ended: admin\n"
    names["refresh_token_reused"].send(AuthSession, session=session, request=None)
    assert capsys.readouterr().out == f"A stolen token of {user} was used.\n"


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_every_script_can_be_parsed(chromium):
    """Nobody copies a typing error."""
    tab = chromium.tab("/")
    for page in PAGES:
        for code in blocks(page, "js"):
            tab.evaluate(
                "code => { Object.getPrototypeOf(async () => {}).constructor(code); }", code
            )


# A project of one's own


@pytest.fixture
def run(tmp_path):
    """A function that runs a command in the folder of a new project; returns what it said."""
    python = str(Path(sys.executable).parent)
    env = {name: value for name, value in os.environ.items() if "TOKENAUTH" not in name}
    env |= {"PATH": os.pathsep.join([python, env["PATH"]]), "PYTHONPATH": str(ROOT)}
    env.pop("DJANGO_SETTINGS_MODULE", None)

    def run_command(command, **more):
        done = subprocess.run(  # noqa: S602  # a page's own words
            command,
            shell=True,
            cwd=tmp_path,
            env=env | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run_command


#: Both visits begin like this. A server's thread would outlive a failed assertion: exit at once.
VISIT = '''
import os, re, sys, traceback
from datetime import UTC, datetime
import django, httpx, time_machine
django.setup()
from tests.live import serve

NAME, PASSWORD = "alice", "tutorial-alice"


def leave(*error):
    traceback.print_exception(*error)
    os._exit(1)


sys.excepthook = leave


def fill_in(browser, page, **fields):
    """Send the form of a page."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\\w+)"', page.text)[1]
    return browser.post(page.url, data={"csrfmiddlewaretoken": token} | fields)


with time_machine.travel(datetime.now(UTC), tick=False) as clock, serve("wsgi") as server:
    visit = dict(base_url=f"http://127.0.0.1:{server.port}", follow_redirects=True, timeout=60)
    with httpx.Client(**visit) as browser, httpx.Client(**visit) as admin:
'''

TUTORIAL = """
        login = browser.get("/")
        assert login.url.path == "/auth/login/"
        page = fill_in(browser, login, username=NAME, password=PASSWORD, remember="on")
        assert "Hello alice" in page.text
        assert "replaced 0 times." in " ".join(page.text.split())
        assert {c.name: c.path for c in browser.cookies.jar if "token" in c.name[-5:]} == {
            "access_token": "/", "refresh_token": "/auth/", "csrftoken": "/"}
        clock.shift(31)
        page = browser.get("/")
        assert "replaced 1 time." in " ".join(page.text.split())
        assert [(r.status_code, r.url.path) for r in page.history] == [
            (307, "/"), (307, "/auth/refresh/")]
        clock.shift(1)
        page = admin.get("/admin/")
        fill_in(admin, page, username=NAME, password=PASSWORD)
        page = admin.get("/admin/tokenauth/authsession/")
        older = re.findall(r'name="_selected_action" value="([\\w-]+)"', page.text)[-1]
        action = re.search(r'<option value="(\\w+)">Revoke selected sessions', page.text)[1]
        fill_in(admin, page, action=action, _selected_action=older)
        assert browser.get("/").url.path == "/auth/login/"
        assert admin.get("/").url.path == "/"
        print("stayed signed in")
"""


def test_the_tutorial_keeps_alice_signed_in(tmp_path, run):
    """Each step as it stands on the page; then a visit, past the access token's end."""
    for language, code in BLOCK.findall(PAGES["docs/tutorial.md"]):
        if language == "sh":
            for line in code.replace("\\\n", "").splitlines():
                if not line.startswith(tuple(NOT_RUN)):
                    run(line)
        elif language != "text":
            write_down(tmp_path, code)
    assert "stayed signed in" in visit(tmp_path, run, TUTORIAL)


def visit(tmp_path, run, steps):
    """Serve the project and do these steps in a browser."""
    (tmp_path / "visit.py").write_text(VISIT + steps)
    command = f"{sys.executable} visit.py"
    return run(command, DJANGO_SETTINGS_MODULE="mysite.settings", PYTHONPATH=f"{ROOT}:{tmp_path}")


def write_down(folder, code):
    """Put a block into the file that its first line names: all of it, or the settings it sets."""
    name = re.search(r"mysite/[\w./]+", code.splitlines()[0])[0]
    file = folder / name
    if name != "mysite/settings.py":
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        return
    for statement in ast.parse(code).body:
        source = file.read_text()
        old = [s for s in ast.parse(source).body if target(s) == target(statement)]
        new = ast.get_source_segment(code, statement)
        if old:
            source = source.replace(ast.get_source_segment(source, old[0]), new)
        file.write_text(source if old else f"{source}\n{new}\n")


def target(statement):
    """The name that a statement assigns to."""
    return statement.targets[0].id if isinstance(statement, ast.Assign) else None


README_VISIT = """
        login = browser.get("/auth/sessions/")
        assert login.url.path == "/auth/login/"
        page = fill_in(browser, login, username=NAME, password=PASSWORD, remember="on")
        clock.shift(16 * 60)
        page = browser.get("/admin/")
        assert [r.status_code for r in page.history] == [307, 307]
        assert "Log out" in page.text
        print("stayed signed in")
"""


def test_the_readme_installs(tmp_path, run):
    """The block under "Install", with a new project's own lists where it says "...", is enough."""
    run("django-admin startproject mysite .")
    settings_part, urls_part, admin_part = blocks("README.md", "python")
    own = [f"OWN = [*{name}]" for name in ("INSTALLED_APPS", "MIDDLEWARE")]
    code = settings_part.split("MIDDLEWARE", 1)
    appended = f"\n{own[0]}\n{code[0]}\nINSTALLED_APPS = [*OWN, *INSTALLED_APPS[1:]]\n"
    appended += f"{own[1]}\nMIDDLEWARE{code[1]}\nplace = OWN.index({DJANGOS!r})\n"
    appended += "MIDDLEWARE = [*OWN[:place], *MIDDLEWARE[1:-1], *OWN[place + 1:]]\n"
    with (tmp_path / "mysite/settings.py").open("a") as file:
        file.write(appended)
    with (tmp_path / "mysite/urls.py").open("a") as file:
        file.write(f"\nOWN = urlpatterns\n{urls_part}\nurlpatterns = [*OWN, *urlpatterns[:-1]]\n")
        file.write(f"\n{admin_part}\nadmin.site.unregister(User)\n")
        file.write("admin.site.register(User, MemberAdmin)\n")
    imports = "from django.contrib.auth.models import User\n"
    (tmp_path / "mysite/urls.py").write_text(imports + (tmp_path / "mysite/urls.py").read_text())
    run("python manage.py migrate")
    assert "no issues" in run("python manage.py check")
    user = "--username alice --email a@example.com"
    command = f"python manage.py createsuperuser --noinput {user}"
    run(command, DJANGO_SUPERUSER_PASSWORD="tutorial-alice")
    assert "stayed signed in" in visit(tmp_path, run, README_VISIT)


def test_the_testing_page_passes(tmp_path, run):
    """Its blocks are a file of tests, which pass on the test site.

    But for a setting, and what needs a browser: test_storage_state is that.
    """
    code = [code for code in blocks("docs/how-to/testing.md", "python") if "SECURE" not in code]
    code = [block for block in code if "storage_state" not in block]
    marked = ["import pytest", *code, "pytestmark = pytest.mark.django_db"]
    (tmp_path / "test_page.py").write_text("\n\n".join(marked))
    # The plugin of this checkout, whichever one is installed.
    options = "--ds=tests.settings -p no:cacheprovider -p no:tokenauth -p tokenauth.pytest_plugin"
    output = run(f"{sys.executable} -m pytest {options} test_page.py")
    assert "10 passed" in output


RESOURCE_VISIT = """
import sys
import django
django.setup()
from django.test import Client
browser, app = Client(), {"Authorization": f"Bearer {sys.argv[2]}"}
browser.cookies["access_token"] = sys.argv[1]  # DEBUG is on in a new project
print(browser.get("/page/").content, browser.get("/api/").json(), Client().get("/api/").status_code)
print(Client().get("/api/", headers=app).json()["person"], Client().get("/page/")["Location"])
"""


def test_the_resource_server_page_works(tmp_path, run):
    """A new project with its blocks knows who is there: by keys that it fetches, no database."""
    page = "docs/how-to/resource-server.md"
    run("django-admin startproject mysite .")
    later = ("mysite/people.py", "TOKENAUTH_RESOURCE_USER")
    for code in blocks(page, "python"):
        if code.startswith("# mysite/") and not any(word in code for word in later):
            write_down(tmp_path, code)
    write_down(tmp_path, "# mysite/settings.py\nDATABASES = {}")
    write_down(tmp_path, "# mysite/settings.py\nALLOWED_HOSTS = ['testserver']")
    assert "no issues" in run("python manage.py check")
    names = {"iss": "https://example.com", "aud": ["https://api.example.com"], "sub": "7"}
    tokens = [resource_token(**names), resource_token(**names, client_id="app")]
    with issuer() as server:
        address = f"TOKENAUTH_JWKS_URL = '{server.origin}/auth/jwks.json'"
        write_down(tmp_path, f"# mysite/settings.py\n{address}")
        (tmp_path / "visit.py").write_text(RESOURCE_VISIT)
        command = shlex.join([sys.executable, "visit.py", *tokens])
        said = run(command, DJANGO_SETTINGS_MODULE="mysite.settings").splitlines()
        assert [line for line in said if "Unauthorized" not in line] == [
            f"b'Hello, person 7' {{'person': '7', 'session': '{SID}'}} 401",
            "7 https://example.com/auth/login/?next=http%3A//testserver/page/",
        ]


def test_the_fastapi_page_is_the_demos_code():
    """Which test_fastapi.py attacks, and `make servers` runs: to the letter, and all of it."""
    _, *code = blocks("docs/how-to/fastapi.md", "python")
    folder = ROOT / "demo_project/servers/weather"
    files = {path: path.read_text() for path in folder.glob("*.py")}
    shown = [f"# weather/{path.name}\n{text}" for path, text in files.items()]
    assert [block for block in code if block not in shown] == []
    assert len(code) == 4


RUNNER_TEST = """
from django.test import TestCase
from tests.factories import UserFactory


class SiteTest(TestCase):
    def test_a_page(self):
        self.client.force_login(UserFactory())
        with self.assertNumQueries(1):
            self.client.get("/whoami/")
"""


def test_the_runner_of_the_testing_page_installs(tmp_path, run):
    """For Django's own test command."""
    code = find(blocks("docs/how-to/testing.md", "python"), "DiscoverRunner")
    (tmp_path / "runner.py").write_text(code)
    (tmp_path / "test_site.py").write_text(RUNNER_TEST)
    database = {"TOKENAUTH_TEST_DATABASE_NAME": f"test_tokenauth_runner_{os.getpid()}"}
    command = f"{sys.executable} -m django test --testrunner runner.Runner"
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    assert "\nOK\n" in run(command, **environment, **database)


@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_the_browsers_of_the_testing_page_are_signed_in(chromium, user, settings):
    """Chromium takes the cookies that the page gives to Playwright."""
    settings.TOKENAUTH_COOKIE_SECURE = False
    names = {"Client": Client, "force_login": force_login}
    exec(find(blocks("docs/how-to/testing.md", "python"), "playwright"), names)  # noqa: S102  # our own page
    context = SimpleNamespace(add_cookies=lambda c: chromium.run(chromium.context.add_cookies(c)))
    names["sign_in_with_playwright"](context, chromium.origin, user)
    assert "Hello alice" in chromium.tab("/private/").text
    assert ("refresh_token", "/auth/") in chromium.cookies


# Claims that no other test shows


def same_site(method="GET", **headers):
    """The headers of a fetch from a page of a sibling host."""
    return {"Sec-Fetch-Site": "same-site", "Origin": "https://www.site.test"} | headers


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def test_a_page_of_a_sibling_host_is_refreshed_in_place(settings, clock, browser, user):
    """With the refresh cookie on "/", as the page about CORS says; the CSRF token is needed."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    settings.CSRF_TRUSTED_ORIGINS = ["https://www.site.test"]
    browser.login(user)
    clock.shift(timedelta(minutes=20))
    answer = browser.fetch("GET", "/api/ping/", headers=same_site())
    assert (answer.status_code, len(answer.history)) == (200, 0)
    assert AuthSession.objects.get().rotation == 1
    refused = browser.fetch("POST", "/api/ping/", headers=same_site() | {"X-CSRFToken": ""})
    assert refused.status_code == 403
    assert browser.fetch("POST", "/api/ping/", headers=same_site()).status_code != 403
    own = f"/auth/api/sessions/{AuthSession.objects.get().pk}/"
    assert browser.fetch("DELETE", own, headers=same_site()).status_code == 204
    assert browser.cookies.keys() <= {("csrftoken", "/"), ("sessionid", "/")}


def test_a_page_of_a_sibling_host_is_not_redirected(clock, browser, user):
    """With the refresh cookie on "/auth/" it is anonymous once the access token has expired."""
    browser.login(user)
    assert browser.fetch("GET", "/api/ping/", headers=same_site()).status_code == 200
    clock.shift(timedelta(minutes=20))
    answer = browser.fetch("GET", "/api/ping/", headers=same_site())
    assert (answer.status_code, len(answer.history)) == (401, 0)


def test_a_page_of_a_sibling_host_refreshes_by_asking_who_it_is(clock, browser, user):
    """The API under the include gets the refresh cookie, whoever asks."""
    browser.login(user)
    clock.shift(timedelta(minutes=20))
    answer = browser.fetch("GET", "/auth/api/session/", headers=same_site())
    assert answer.json()["user"]["username"] == user.get_username()
    assert AuthSession.objects.get().rotation == 1
    assert browser.fetch("GET", "/api/ping/", headers=same_site()).status_code == 200


@pytest.mark.parametrize("url", ["/auth/api/login/", "/auth/api/logout/", "/auth/refresh/"])
def test_a_trusted_sibling_host_signs_nobody_in_or_out(settings, browser, user, url):
    """Not even with an origin that CSRF_TRUSTED_ORIGINS lists."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://www.site.test"]
    browser.login(user)
    session = AuthSession.objects.get()
    data = {"username": user.get_username(), "password": PASSWORD}
    answer = browser.fetch("POST", url, json=data, headers=same_site())
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert list(AuthSession.objects.active()) == [session]


@pytest.mark.django_db
def test_on_the_way_back_people_stay_signed_in(settings, client, user):
    """Django's own middleware finds its keys where it left them."""
    client.force_login(user)
    client.get("/whoami/")
    settings.MIDDLEWARE = [m.replace(urls_of_ours(), DJANGOS) for m in site.MIDDLEWARE]
    later = Client()
    later.cookies["sessionid"] = client.cookies["sessionid"].value
    assert later.get("/whoami/").content.decode() == user.get_username()


def urls_of_ours():
    return "tokenauth.middleware.TokenAuthMiddleware"


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_a_cached_greeting_is_for_one_person(client, user):
    """The view of the page about caching; the same without vary_on_cookie leaks, as it warns."""
    client.force_login(user)
    client.get("/whoami/")
    for url, stranger in [("/greeting/", "Hello "), ("/leak/", f"Hello {user.get_username()}")]:
        assert client.get(url).content.decode() == f"Hello {user.get_username()}"
        assert Client().get(url).content.decode() == stranger


def page_of(name):
    """What the Python of a page defines."""
    names = {"__name__": "a_page"}
    for code in blocks(f"docs/{name}.md", "python"):
        exec(compile(code, name, "exec"), names)  # noqa: S102  # our own pages
    return names


def leak(request):
    return HttpResponse(f"Hello {request.user.get_username()}")


caching, simplejwt, rest_framework = (
    page_of(f"how-to/{name}") for name in ("caching", "from-simplejwt", "rest-framework")
)
urlpatterns = [
    path("greeting/", caching["greeting"]),
    path("leak/", caching["cache_page"](60)(leak)),
    path("", include(simplejwt["urlpatterns"])),
    path("me/", rest_framework["Me"].as_view()),
    *urls.urlpatterns,
]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_a_bearer_token_is_exchanged_for_cookies(client, user):
    """The view of the page about simplejwt; without a token it refuses."""
    assert client.post("/exchange/").status_code == 401
    header = {"Authorization": f"Bearer {BearerToken.for_user(user)}"}
    assert client.post("/exchange/", headers=header).status_code == 204
    assert client.get("/me/").json()["username"] == user.get_username()
    assert client.get("/me/").json()["session"] == str(AuthSession.objects.get().pk)


# What others show of the checkout


@pytest.fixture(scope="module")
def pyproject():
    """What `pip` reads."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


#: Where a link or a picture of a page leads, in Markdown and in HTML.
TARGET = re.compile(r'\]\(([^)\s]+)|\b(?:src|srcset|href)="([^"\s]+)')


def test_every_link_of_the_readme_works_on_a_package_index(pyproject):
    """There it is the wheel's description, and nothing lies beside it."""
    text = README.read_text(encoding="utf-8")
    here = ["".join(found) for found in TARGET.findall(text)]
    hook = pyproject["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for step in hook["substitutions"]:
        text = re.sub(step["pattern"], step["replacement"], text)
    there = ["".join(found) for found in TARGET.findall(text)]
    home = pyproject["project"]["urls"]["Homepage"]
    inside = [pair for pair in zip(here, there, strict=True) if "://" not in pair[0]]
    assert any(target.startswith(f"{home}/raw/HEAD/docs/images/") for _, target in inside)
    for relative, target in inside:
        folder = "raw" if relative.endswith((".png", ".svg")) else "blob"
        assert target == f"{home}/{folder}/HEAD/{relative}"
        assert (ROOT / relative.partition("#")[0]).exists()


def test_the_projects_addresses_are_of_one_repository(pyproject):
    """And what they name of the checkout is there."""
    home = pyproject["project"]["urls"]["Homepage"]
    for address in pyproject["project"]["urls"].values():
        assert f"{address}/".startswith(f"{home}/")
        _, in_the_checkout, file = address.partition("/blob/HEAD/")
        assert not in_the_checkout or (ROOT / file).exists()


def test_a_report_asks_for_versions_and_checks_and_for_no_secret():
    """The forms are such as the host of the repository can read."""
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in folder.glob("*.yml")}
    assert forms.pop("config") == {"blank_issues_enabled": False}
    for form in forms.values():
        assert {"name", "description", "body"} <= form.keys()
        fields = [part for part in form["body"] if part["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields)
        assert all(field["attributes"]["label"] for field in fields)
    bug = forms["bug"]["body"]
    required = {part["id"] for part in bug if part.get("validations", {}).get("required")}
    assert {"happened", "versions", "check"} <= required
    assert any("Never paste cookies" in part["attributes"].get("value", "") for part in bug)


# Lists


def test_every_make_target_stands_in_contributing():
    """Each that `make` lists, and no other."""
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"\| `make ([a-z-]+)` \|", PAGES["CONTRIBUTING.md"])
    assert sorted(named) == sorted({*targets} - {"help"})


#: Pages to read from the beginning to the end.
READ_THROUGH = {page for page in PAGES if page.startswith(("docs/how-to/", "docs/topics/"))}


@pytest.mark.parametrize("page", sorted(READ_THROUGH))
def test_a_sentence_is_not_interrupted_by_the_name_of_its_test(page):
    """The tests of a section are named at its end, in a line of their own."""
    paragraphs = BLOCK.sub("", PAGES[page]).split("\n\n")
    named = [text for text in paragraphs if re.search(r"`tests?[_/]\w+[`/.]", text)]
    assert [text for text in named if not text.startswith("Shown by `")] == []


def test_what_the_code_knows_stands_in_the_reference(run):
    """Settings, checks and commands, each and no other; `make docs` writes them."""
    run(f"{sys.executable} {DOCS / 'generate.py'} --check")


def table(page, heading=""):
    """The first two columns of a page's tables, without backticks."""
    text = PAGES[page].partition(heading)[2] if heading else PAGES[page]
    return re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", text, re.MULTILINE)


def test_every_url_stands_in_the_reference():
    """Path and name, each and no other."""
    documented = {(p.partition("?")[0], name) for p, name in table("docs/reference/urls.md")}
    ours = {(str(pattern.pattern), pattern.name) for pattern in our_urls}
    assert documented == ours


def test_every_signal_stands_in_the_reference():
    """Each and no other."""
    documented = set(
        re.findall(r"^\| `(\w+)` \|", PAGES["docs/reference/signals.md"], re.MULTILINE)
    )
    assert documented == {n for n, signal in vars(signals).items() if isinstance(signal, Signal)}


def test_every_field_of_a_session_stands_in_the_reference():
    """Each and no other."""
    text = PAGES["docs/reference/api.md"].partition("| field |")[2].partition("```")[0]
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(field.name for field in AuthSession._meta.fields)


def test_every_reason_to_end_a_session_is_explained():
    """Each and no other."""
    text = PAGES["docs/topics/how-it-works.md"].partition("## When a session ends")[2]
    assert set(re.findall(r"\| `(\w+)` \|$", text, re.MULTILINE)) == set(RevokeReason.values)


def keys(value):
    """The shape of an answer: its keys, down to the leaves."""
    return {k: keys(v) for k, v in value.items()} if isinstance(value, dict) else None


@pytest.mark.django_db
@pytest.mark.users
def test_the_answers_are_those_of_the_reference(client, user):
    """The JSON on the page has the fields that the API gives."""
    login, signed_in, refreshed, error = map(json.loads, blocks("docs/reference/urls.md", "json"))
    wrong = client.post("/auth/api/login/", login, "application/json")
    # The page shows what a site says whose people sign in by a username.
    name = type(user)._meta.get_field(type(user).USERNAME_FIELD).verbose_name
    error["detail"] = error["detail"].replace("username", str(name))
    assert (wrong.status_code, wrong.json()) == (401, error)
    right = login | {"username": user.get_username(), "password": PASSWORD}
    assert keys(client.post("/auth/api/login/", right, "application/json").json()) == keys(
        signed_in
    )
    assert keys(client.get("/auth/api/session/").json()) == keys(signed_in)
    assert keys(client.post("/auth/refresh/").json()) == keys(refreshed)
    assert keys(client.get("/auth/api/sessions/").json()[0]) == keys(signed_in["session"])
    assert Client().get("/auth/api/session/").json() == dict.fromkeys(signed_in)


@each_page
def test_every_test_that_is_named_exists(page):
    """A claim that names its test can be checked."""
    named = set(re.findall(r"`(test_\w+)`", PAGES[page]))
    known = "\n".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.rglob("*.py"))
    assert {name for name in named if not re.search(rf"\bdef {name}\(", known)} == set()


@pytest.mark.parametrize("page", ["README.md", "docs/security.md"])
def test_every_command_that_shows_a_claim_finds_tests(page):
    """In the tables of claims: the files are there, and have tests of these names."""
    commands = re.findall(r"\| `(?:\.venv/bin/pytest )?((?:-s )?tests/[^`]+)` \|", PAGES[page])
    assert commands
    for command in map(shlex.split, commands):
        text = "".join((ROOT / f).read_text("utf-8") for f in command if f.startswith("tests/"))
        wanted = command[command.index("-k") + 1].split(" or ") if "-k" in command else [""]
        assert any(re.search(rf"def test_\w*{word}", text) for word in wanted), command


def test_the_longest_url_is_the_codes():
    """The page about nginx says how long a refresh request line may be."""
    for limit in (MAX_URL, MAX_REQUEST_LINE):
        assert f"{limit:,} bytes" in PAGES["docs/how-to/nginx.md"]


@each_page
def test_every_link_leads_to_a_file(page):
    """In the raw files, too."""
    folder = (ROOT / page).parent
    text = BLOCK.sub("", PAGES[page])
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (folder / link).exists()] == []


@each_page
def test_lines_are_short_enough_to_read_unbuilt(page):
    """Apart from tables, links and code, and from what is written by docs/generate.py."""
    text = re.sub(r"<!-- checks: .*<!-- end of checks -->", "", PAGES[page], flags=re.DOTALL)
    lines = BLOCK.sub("", text).splitlines()
    long = [line for line in lines if len(line) > 125 and not re.match(r"\||!\[|\*|- |\s", line)]
    assert long == []
