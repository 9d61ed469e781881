"""A real gunicorn: it resets the connection of an upload that nobody reads to its end."""

import hashlib
import io
import json

import pytest

from tests.browser import Browser
from tests.chromium import Window
from tests.factories import SessionFactory
from tests.processes import an_hour_ago, expired_access_token, gunicorn
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session import tokens
from tokenauth.session.tokens import remake_refresh_token

CONTENT = hashlib.shake_256(b"upload").digest(5_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CSRF_TOKEN = "c" * 32


@pytest.fixture(name="gunicorn", params=["sync", "gthread"])
def running_gunicorn(request, transactional_db):
    """A gunicorn process on the tests' own database, with workers of each kind."""
    with gunicorn(f"--worker-class={request.param}", "--workers=2", "--threads=4") as server:
        yield server


@pytest.fixture
def session(user):
    """A sign-in of an hour ago, by gunicorn's clock too, which is real."""
    with an_hour_ago():
        return SessionFactory(user=user)


class File(io.BytesIO):
    """Counts how often it was sent to its end; httpx makes do with an answer to half of it."""

    times_sent = 0

    def read(self, *args):
        chunk = super().read(*args)
        self.times_sent += not chunk
        return chunk


def test_an_upload_of_5_mb_survives_the_bounce(gunicorn, session):
    """The file arrives as it was sent, and no connection broke while it was."""
    browser, file = Browser(gunicorn), File(CONTENT)
    browser.set_cookie(cookies.access_name(), expired_access_token(session))
    browser.set_cookie(
        cookies.refresh_name(), remake_refresh_token(session).reveal(), path="/auth/"
    )
    browser.set_cookie("csrftoken", CSRF_TOKEN)
    answer = browser.send_form(
        "/upload/", {"csrfmiddlewaretoken": CSRF_TOKEN}, files={"file": ("big.bin", file)}
    )
    browser.close()
    assert [hop.status_code for hop in answer.history] == [307, 307]
    assert file.times_sent == 3
    assert answer.json() == {"size": 5_000_000, "sha256": SHA256}
    assert AuthSession.objects.get().rotation == 1


@pytest.mark.parametrize("gunicorn", ["gthread"], indirect=True)  # idle connections block no other
def test_chromium_uploads_5_mb_through_the_bounce(chromium_process, gunicorn, session):
    """The form was open while the token expired; an unread body would be ERR_CONNECTION_RESET."""
    window = Window(chromium_process, gunicorn)
    put_cookie(window, cookies.refresh_name(), remake_refresh_token(session).reveal(), "/auth/")
    put_cookie(window, cookies.access_name(), tokens.issue_access_token(session)[0].reveal())
    tab = window.tab("/upload/")
    put_cookie(window, cookies.access_name(), expired_access_token(session))
    file = {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": CONTENT}
    tab.run(tab.page.set_input_files("[name=file]", file))
    tab.submit()
    text = tab.text
    window.close()
    assert json.loads(text) == {"size": 5_000_000, "sha256": SHA256}
    assert ("POST", "/upload/", 307) in window.log
    assert AuthSession.objects.get().rotation == 1


def put_cookie(window, name, value, path="/"):
    cookie = {"name": name, "value": value, "domain": "localhost", "path": path, "secure": True}
    window.run(window.context.add_cookies([cookie]))
