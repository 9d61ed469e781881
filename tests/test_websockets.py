"""WebSockets in Chromium, through two server processes and a Redis between them."""

import re
import time

import httpx
import pytest

from tests.browser import Browser
from tests.chromium import Window
from tests.processes import PATIENCE, ROOT, expired_access_token, uvicorn
from tokenauth.models import AuthSession
from tokenauth.request import cookies

pytestmark = pytest.mark.django_db(transaction=True)

#: Notes what the page hears, and by which codes its sockets are closed.
NOTES = """() => {
    window.heard = [];
    const Original = WebSocket;
    window.WebSocket = class extends Original {
        constructor(url) {
            super(url);
            this.addEventListener("message", ({ data }) => heard.push(data));
            this.addEventListener("close", ({ code }) => heard.push(code));
        }
    };
}"""


@pytest.fixture
def servers(redis, transactional_db):
    """Two processes of the site."""
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings_channels", "TEST_CHANNEL_LAYER": redis.url}
    with (
        uvicorn("tests.asgi_channels:application", **env) as one,
        uvicorn("tests.asgi_channels:application", **env) as other,
    ):
        for server in (one, other):  # a busy machine takes longer to start it than Chromium waits
            httpx.get(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE)
        yield one, other


@pytest.fixture
def tab(chromium_process, servers):
    """A page of the one process."""
    window = Window(chromium_process, servers[0])
    yield window.tab()
    window.close()


def script():
    """Return that of the how-to page."""
    page = (ROOT / "docs" / "how-to" / "websockets.md").read_text(encoding="utf-8")
    return re.search(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_page_refreshes_connects_again_and_is_told_the_end(tab, servers, user, staff):
    """By the how-to's own script, though staff ends the session in another process."""
    tab.login(user)
    expired = expired_access_token(session := AuthSession.objects.get())
    cookie = {"name": cookies.access_name(), "value": expired, "domain": "localhost", "path": "/"}
    tab.run(tab.window.context.add_cookies([cookie | {"secure": True}]))
    tab.evaluate(NOTES)
    tab.evaluate(f"() => {{ {script()} }}")
    wait_for(lambda: tab.evaluate("heard.length") == 2)
    assert tab.evaluate("heard") == [4401, user.get_username()]
    assert ("POST", "/auth/refresh/", 200) in tab.window.log
    admin = Browser(servers[1])
    admin.login(staff)
    list_ = "/admin/tokenauth/authsession/"
    chosen = {"action": "revoke", "confirmed": "yes", "_selected_action": str(session.pk)}
    admin.post_form(list_, chosen)
    admin.close()
    wait_for(lambda: tab.path == "/auth/login/")
    assert ("POST", "/auth/refresh/", 401) in tab.window.log
    session.refresh_from_db()
    assert session.revoke_reason == "admin"
