"""The demo's "Login with Google": allauth and an OpenID provider in processes of their own."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from demo_project.example_id.process import example_id
from tests.chromium import Tab, Window
from tests.demo import (
    Person,
    closed,
    fields_of,
    listens,
    manage,
    serve_demo,
    wait_until,
)
from tests.processes import PATIENCE, ROOT

LOGIN, START = "/auth/login/", "/accounts/oidc/example-id/login/"
PICTURE, CALLBACK = "/example-id/", "/accounts/oidc/example-id/login/callback/"
BUTTON = f'form[action="{START}"] button'
TOKENS = ["access_token", "refresh_token"]
NOT_BEGUN = "belongs to no sign-in that this browser has begun"
REFUSED = "answer was not accepted"
SILENT = "Example ID does not answer"


class Visitor(Person):
    """Somebody who also goes to Example ID."""

    def begin(self, **fields: str) -> httpx.Response:
        """Press the button; return Example ID's page."""
        form = fields_of(self.visit("/"))
        return self.client.post(START, data=form | fields)

    def choose(self, page: httpx.Response, who: str) -> httpx.Response:
        """Say on Example ID's page who one is; return where that leads."""
        assert page.url.path == "/oauth2/authorize"
        return self.client.post(page.url, data={"sub": who})

    def refuse(self, page: httpx.Response) -> httpx.Response:
        return self.client.post(page.url, data={"action": "deny"})

    def come_as(self, who: str, **fields: str) -> httpx.Response:
        """Press the button and say who one is."""
        return self.choose(self.begin(**fields), who)

    def answer_for(self, page: httpx.Response, who: str) -> httpx.URL:
        """Say who one is; return where Example ID sends the browser, which stays."""
        answer = self.client.post(page.url, data={"sub": who}, follow_redirects=False)
        return httpx.URL(answer.headers["Location"])

    def plant(self, name: str, value: str) -> None:
        """Have somebody else's cookie in the place of one's own."""
        self.client.cookies = httpx.Cookies(
            {c.name: c.value for c in self.client.cookies.jar if c.name != name} | {name: value}
        )

    @property
    def name(self) -> str:
        """Who is signed in here; empty for nobody."""
        user = self.client.get("/auth/api/session/").json()["user"]
        return user["username"] if user else ""

    @property
    def tokens(self) -> list[str]:
        """The names of our cookies in the jar."""
        return sorted(c.name for c in self.client.cookies.jar if c.name in TOKENS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, served, with Example ID beside it."""
    with serve_demo(tmp_path_factory.mktemp("example-id")) as running:
        yield running


@pytest.fixture
def new_visitor(demo):
    """A function that gives a browser with an empty jar."""
    opened = []

    def open_browser():
        opened.append(Visitor(demo.port))
        return opened[-1]

    yield open_browser
    for visitor in opened:
        visitor.client.close()


@pytest.fixture
def visitor(new_visitor):
    """A browser with an empty jar."""
    return new_visitor()


@pytest.fixture(autouse=True)
def nobody(demo):
    """Nobody has come from Example ID before."""
    for table in ("socialaccount_socialaccount", "account_emailaddress", "tokenauth_authsession"):
        ask(demo, f"DELETE FROM {table}")  # noqa: S608  # our own words
    ask(demo, "DELETE FROM auth_user WHERE username NOT IN ('alice', 'admin')")


def ask(demo, statement: str, *values: str) -> list[tuple]:
    """Ask the demo's database, or change it."""
    with closing(sqlite3.connect(demo.database, timeout=30)) as database, database:
        return database.execute(statement, values).fetchall()


def people(demo) -> list[str]:
    """Who has an account here."""
    return [name for (name,) in ask(demo, "SELECT username FROM auth_user ORDER BY id")]


def reasons(demo) -> list[str]:
    """How each session ended, the first first; "" for those that live."""
    rows = ask(demo, "SELECT revoke_reason FROM tokenauth_authsession ORDER BY created_at")
    return [reason for (reason,) in rows]


# In


def test_the_first_time_signs_up(visitor, demo):
    """A person without a password, one row, both cookies; Example ID's tokens are not kept."""
    visitor.come_as("mia")
    assert (visitor.name, visitor.tokens) == ("mia", TOKENS)
    assert people(demo) == ["alice", "admin", "mia"]
    user = "SELECT email, first_name, substr(password, 1, 1) FROM auth_user WHERE username = 'mia'"
    assert ask(demo, user) == [("mia@example.com", "Mia", "!")]
    assert ask(demo, "SELECT persistent FROM tokenauth_authsession") == [(1,)]
    assert ask(demo, "SELECT * FROM socialaccount_socialtoken") == []


def test_the_second_time_signs_in(visitor, new_visitor, demo):
    """The same person, and one more device of theirs."""
    other = new_visitor()
    for each in (visitor, other):
        each.come_as("mia")
        assert each.name == "mia"
    assert people(demo) == ["alice", "admin", "mia"]
    assert reasons(demo) == ["", ""]
    assert visitor.visit("/auth/sessions/").text.count("Firefox on Linux") >= 2


def test_example_id_is_connected_to_an_account(visitor, new_visitor, demo):
    """By whoever is signed in, also when the access token expires meanwhile; then it opens it."""
    visitor.login("alice")
    page = visitor.begin(process="connect")
    time.sleep(3.1)
    done = visitor.choose(page, "mia")
    assert done.url.path == PICTURE
    assert "Connected, alice" in done.text
    other = new_visitor()
    other.come_as("mia")
    assert (visitor.name, other.name) == ("alice", "alice")
    assert people(demo) == ["alice", "admin"]


def test_what_is_connected_to_somebody_else_stays_there(visitor, new_visitor):
    """Alice is told so, and stays who she is."""
    new_visitor().come_as("mia")
    visitor.login("alice")
    told = visitor.come_as("mia", process="connect").text
    assert "already connected to a different account" in told
    assert visitor.name == "alice"


@pytest.mark.parametrize(
    ("wanted", "reached"), [("/note/", "/note/"), ("https://evil.test/", PICTURE), ("", PICTURE)]
)
def test_people_come_to_where_they_wanted(visitor, wanted, reached):
    """On this host; who wanted nothing sees the picture, and the others are led to it."""
    asked = visitor.visit(f"{LOGIN}?next={wanted}")
    form = re.search(rf'action="{START}".*?</form>', asked.text, re.DOTALL)[0]
    assert (f'name="next" value="{wanted}"' in form) is bool(wanted and reached == wanted)
    done = visitor.come_as("mia", next=wanted)
    assert done.url.path == reached
    assert f'<a href="{PICTURE}">see the six hops</a>' in done.text or reached == PICTURE


def test_a_login_over_somebody_elses_is_drawn_too(visitor, demo):
    """Alice's session is replaced, and her data are gone."""
    visitor.login("alice")
    assert "Hello, mia. You came in six hops" in visitor.come_as("mia").text
    assert visitor.name == "mia"
    assert len([reason for reason in reasons(demo) if not reason]) == 1


# The picture


def hops(page: httpx.Response) -> list[tuple[str, list[str]]]:
    """What the picture says of each hop: its channel, and the names of what went."""
    items = re.findall(r'<li class="([a-z-]+)">(.*?)</li>', page.text, re.DOTALL)
    return [(way, re.findall(r'<code class="token[^"]*">(\w+)<', item)) for way, item in items]


def test_six_hops_are_drawn(visitor):
    """Who spoke to whom, as it was; and what was sent away is what the address really had."""
    page = visitor.begin()
    sent = [*parse_qs(page.url.query.decode())]
    drawn = hops(visitor.choose(page, "mia"))
    assert [way for way, _ in drawn] == [
        "browser-demo",
        "browser-provider",
        "browser-demo",
        "demo-provider",
        "demo-provider",
        "browser-demo",
    ]
    assert sorted(drawn[0][1]) == sorted(sent)
    assert drawn[2][1] == ["code", "state"]
    assert {"code", "code_verifier", "id_token", "access_token"} < {*drawn[3][1]}
    assert {"Authorization", "sub", "email"} < {*drawn[4][1]}
    assert drawn[5][1] == TOKENS


def test_no_value_is_in_the_picture(visitor, demo):
    """Neither our tokens nor the code, the state, the nonce or the secret of PKCE; nor in a log."""
    page = visitor.begin()
    secrets = [page.url.params[name] for name in ("state", "nonce", "code_challenge")]
    back = visitor.answer_for(page, "mia")
    picture = visitor.visit(str(back))
    ours = [visitor.client.cookies[name] for name in TOKENS]
    assert len(hops(picture)) == 6
    assert not [v for v in [*secrets, back.params["code"], *ours] if v in picture.text]
    assert not [token for token in ours if token in demo.read()]


def test_who_came_by_password_is_told_how_to_make_a_picture(visitor):
    """With a button to sign in, and one to connect."""
    visitor.login("alice")
    told = visitor.visit(PICTURE).text
    assert "This session did not begin at Example ID" in told
    assert told.count(f'action="{START}"') == 2


# Not in


def test_a_no_ends_on_the_login_page(visitor, demo):
    """With where they wanted to go: the next try leads there."""
    done = visitor.refuse(visitor.begin(next="/note/"))
    assert (done.url.path, done.url.params["next"]) == (LOGIN, "/note/")
    assert "You said no at Example ID" in done.text
    assert (visitor.tokens, people(demo)) == ([], ["alice", "admin"])
    form = re.search(rf'action="{START}".*?</form>', done.text, re.DOTALL)[0]
    again = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert visitor.choose(visitor.client.post(START, data=again), "mia").url.path == "/note/"


@pytest.mark.parametrize("name", ["state", "nonce", "code_challenge"])
def test_an_answer_to_another_question_is_not_accepted(visitor, name, demo):
    """Each of the three traces is compared: two here, the third at Example ID."""
    page = visitor.begin()
    changed = httpx.Response(200, request=httpx.Request("GET", page.url.copy_set_param(name, "x")))
    done = visitor.choose(changed, "mia")
    assert done.url.path == LOGIN
    assert (NOT_BEGUN if name == "state" else REFUSED) in done.text
    assert (visitor.tokens, people(demo)) == ([], ["alice", "admin"])


def test_a_stolen_code_is_of_no_use_in_another_browser(visitor, new_visitor, demo):
    """In a sign-in the thief has begun it lacks PKCE's secret and the nonce (RFC 9700 §4.5)."""
    code = visitor.answer_for(visitor.begin(), "mia").params["code"]
    thief = new_visitor()
    back = thief.answer_for(thief.begin(), "noah")
    done = thief.visit(str(back.copy_set_param("code", code)))
    assert REFUSED in done.text
    assert (thief.tokens, people(demo)) == ([], ["alice", "admin"])


def test_an_answer_counts_once(visitor, demo):
    """Whoever finds the address in a history signs nobody in."""
    back = str(visitor.answer_for(visitor.begin(), "mia"))
    visitor.visit(back)
    visitor.client.post("/auth/logout/", data=fields_of(visitor.visit("/private/")))
    assert NOT_BEGUN in visitor.visit(back).text
    assert (visitor.tokens, visitor.name) == ([], "")


@pytest.mark.parametrize("process", ["login", "connect"])
@pytest.mark.parametrize(
    ("name", "planted"),
    # Of who is not signed in, Django knows the sessionid alone.
    [("", False), ("alice", False), ("alice", True)],
    ids=["link, nobody", "link, alice", "sessionid, alice"],
)
def test_what_somebody_else_began_signs_nobody_in_and_connects_nothing(
    visitor, new_visitor, demo, process, name, planted
):
    """By a link alone; or beside a sessionid of theirs, planted by a sibling domain."""
    attacker = new_visitor()
    if process == "connect":
        attacker.come_as("noah")
    back = attacker.answer_for(attacker.begin(process=process), "mia")
    if name:
        visitor.login(name)
    if planted:
        visitor.plant("sessionid", attacker.client.cookies["sessionid"])
    assert NOT_BEGUN in visitor.visit(str(back)).text
    assert visitor.name == name
    connected = [uid for (uid,) in ask(demo, "SELECT uid FROM socialaccount_socialaccount")]
    assert connected == (["noah"] if process == "connect" else [])


def test_a_disabled_person_stays_outside(visitor, new_visitor, demo):
    """Signed in, it is over at the next request; and Example ID is no way back in."""
    visitor.come_as("mia")
    ask(demo, "UPDATE auth_user SET is_active = 0 WHERE username = 'mia'")
    assert visitor.name == ""
    other = new_visitor()
    done = other.come_as("mia")
    assert done.url.path == LOGIN
    assert "your account here is disabled" in done.text
    assert (other.tokens, other.name) == ([], "")


# Example ID is down, or not there


def provider_of(demo) -> int:
    """The process id of Example ID, the one child of the demo."""
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text()
    return int(children)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_without_example_id_people_are_told_so(tmp_path):
    """When they begin, and when it dies while they are there; a password does as before."""
    with serve_demo(tmp_path) as demo, closed(Visitor(demo.port)) as visitor:
        page = visitor.begin(next="/note/")
        back = visitor.answer_for(page, "mia")
        os.kill(provider_of(demo), signal.SIGKILL)
        wait_until(lambda: not listens(page.url.port, page.url.host))
        for page in (visitor.visit(str(back)), visitor.begin()):
            assert (page.url.path, page.status_code) == (LOGIN, 200)
            assert SILENT in page.text
        assert visitor.tokens == []
        assert visitor.login("alice").url.path == "/private/"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_example_id_ends_with_the_demo(tmp_path, number):
    """By Ctrl-C as when the demo is killed."""
    with serve_demo(tmp_path) as demo:
        pid = provider_of(demo)
        os.kill(demo.pid, number)
        wait_until(lambda: gone(pid))


# Tabs


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "reversed"])
def test_two_tabs_at_once_sign_in(visitor, demo, order):
    """Each answer counts in its own sign-in; in the end there is one session."""
    pages = [visitor.begin(next=path) for path in ("/note/", "/private/")]
    done = [visitor.choose(pages[i], "mia").url.path for i in order]
    assert done == [("/note/", "/private/")[i] for i in order]
    assert visitor.name == "mia"
    assert reasons(demo) == ["replaced", ""]


# Afterwards


def test_the_session_is_refreshed_without_example_id(visitor, demo):
    """After the access token has expired, as any other."""
    visitor.come_as("mia")
    wait_until(lambda: visitor.visit("/private/").history)  # bounced: the token had expired
    assert visitor.name == "mia"
    assert ask(demo, "SELECT rotation > 0 FROM tokenauth_authsession") == [(1,)]


def test_staff_end_the_session(visitor, new_visitor, demo):
    """In the admin; the next click lands on the login page, which says why."""
    visitor.come_as("mia")
    [(pk,)] = ask(demo, "SELECT id FROM tokenauth_authsession")
    staff = new_visitor()
    staff.login("admin")
    chosen = {"action": "revoke", "confirmed": "yes", "_selected_action": pk}
    staff.press("/admin/tokenauth/authsession/", **chosen)
    told = visitor.visit("/private/")
    assert told.url.path == LOGIN
    assert "staff of this site ended your session" in told.text


def test_without_the_packages_the_demo_says_what_to_install(tmp_path):
    """It starts, and has neither the button nor allauth's addresses."""
    without = "import sys; sys.modules['oidc_provider_mock'] = None"
    with serve_demo(tmp_path, before=without) as demo, closed(Visitor(demo.port)) as visitor:
        assert "It needs: pip install --group demo" in demo.read()
        assert "<code>make demo</code> starts it" in visitor.visit("/").text
        assert "Example ID" not in visitor.visit(LOGIN).text
        assert visitor.visit(PICTURE).status_code == 404


def test_a_live_site_has_no_example_id(tmp_path):
    """With DEBUG off allauth is not even installed."""
    code = (
        "from django.conf import settings as s; print(s.EXAMPLE_ID, 'allauth' in s.INSTALLED_APPS)"
    )
    env = {"DEMO_PRODUCTION": "1", "SECRET_KEY": "x" * 50}
    result = manage("shell", "--command", code, DEMO_DATABASE=str(tmp_path / "x.sqlite3"), **env)
    assert "False False" in result.stdout


# In Chromium


def test_a_person_walks_the_six_hops(chromium_process, demo):
    """Form after form, over two sites; the tokens reach the demo alone, and no script."""
    window = Window(chromium_process, SimpleNamespace(port=demo.port))
    try:
        sent = window.run(watch(window))
        tab = window.tab(f"{LOGIN}?next=/note/")
        tab.submit(BUTTON)
        assert tab.page.url.startswith("http://127.0.0.2:")
        tab.submit("[value=mia]")
        assert tab.path == "/note/"
        tab.submit("[role=status] a")
        assert tab.path == PICTURE
        assert "You came in six hops" in tab.text
        assert tab.evaluate("document.querySelectorAll('.hops > li').length") == 6
        scripts = tab.evaluate("document.cookie.split('; ').map(pair => pair.split('=')[0])")
        assert not {*scripts} & {*TOKENS}
        tab.goto(LOGIN)  # signed in, once more, and then not
        tab.submit(BUTTON)
        tab.submit("[value=deny]")
        assert tab.path == LOGIN
        assert "You said no at Example ID" in tab.text
        asked = {host for host, _ in sent}
        assert {host.partition(":")[0] for host in asked} == {"localhost", "127.0.0.2"}
        assert {host for host, names in sent if names & {*TOKENS}} == {f"localhost:{demo.port}"}
    finally:
        window.close()


def test_the_pages_are_for_everybody(chromium_process, axe, demo):
    """The picture, and Example ID's own page: light and dark, wide and narrow."""
    window = Window(chromium_process, SimpleNamespace(port=demo.port))
    try:
        tab = window.tab("/auth/login/")
        tab.submit(BUTTON)
        found = [*judged(tab, axe)]
        tab.submit("[value=mia]")
        found += judged(tab, axe)
        tab.goto("/accounts/connected/")
        assert [*found, *judged(tab, axe)] == []
    finally:
        window.close()


def judged(tab: Tab, axe: str) -> Iterator[str]:
    """What is wrong with a page, on a desk and in a hand."""
    for width, scheme in ((1280, "light"), (390, "dark")):
        tab.look(width, 844, scheme)
        yield from tab.audit(axe)
        if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
            yield f"{tab.path} is wider than {width} px"


async def watch(window: Window) -> list[tuple[str, set[str]]]:
    """Note to whom Chromium sends which cookies."""
    sent = []

    async def note(request) -> None:
        cookies = (await request.all_headers()).get("cookie", "")
        names = {pair.partition("=")[0] for pair in cookies.split("; ")}
        sent.append((urlsplit(request.url).netloc, names))

    window.context.on("request", note)
    return sent


# docs/how-to/google.md

GOOGLE = """
import django, requests
from html import unescape
from urllib.parse import parse_qs, urlsplit
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.template import Context, Template
from django.test import Client, RequestFactory
from allauth.core.context import request_context
from allauth.socialaccount.models import SocialAccount, SocialToken
from allauth.socialaccount.providers.google.views import GoogleOAuth2Adapter

call_command("migrate", verbosity=0)


def press(browser, path):
    request = RequestFactory().get(path)
    with request_context(request):
        form = Template(settings.BUTTON).render(Context({"request": request}))
    return browser.post(unescape(form.split('"')[3]), secure=True)


def come(**answer):
    browser = Client()
    away = press(browser, "/?next=/private/").url
    assert {"state", "code_challenge"} < {*parse_qs(urlsplit(away).query)}
    back = requests.post(away, answer, allow_redirects=False, timeout=30).headers["Location"]
    came = browser.get(back, follow=True, secure=True)
    return came, sorted(name for name in browser.cookies if "token" in name)


for _ in range(2):
    came, cookies = come(sub="mia")
    print(came.request["PATH_INFO"], came.wsgi_request.user, cookies)
print(press(Client(), "/").status_code)
print(SocialAccount.objects.count(), SocialToken.objects.count())
came, cookies = come(action="deny")
print(came.redirect_chain[-1][0], "Google did not sign you in" in came.text, cookies)
GoogleOAuth2Adapter.access_token_url = "http://127.0.0.2:9/"
came, cookies = come(sub="mia")
print(came.redirect_chain[-1][0], "Google did not sign you in" in came.text, cookies)
"""


def test_the_google_page_works():
    """With allauth's own Google provider, and in Google's place one that compares PKCE's secret."""
    with example_id("any nonce"):
        result = subprocess.run(  # noqa: S603  # our own words
            [sys.executable, "-c", GOOGLE],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.settings_google",
                "GOOGLE_CLIENT_ID": "the-site",
                "GOOGLE_CLIENT_SECRET": "a-secret",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert result.stdout.splitlines() == [
        *["/private/ mia ['__Host-access_token', '__Secure-refresh_token', 'csrftoken']"] * 2,
        "302",
        "1 0",
        *["/accounts/login/?next=%2Fprivate%2F True ['csrftoken']"] * 2,  # cancelled, and down
    ], result.stderr
