"""Uploads that are slower than an access token lives, by the real clock.

A server, or a proxy before it, that hands a request over when its body is complete lets the token
expire on its way, however new it was when the upload began.
"""

import io
import time

import pytest

from tests.browser import Browser
from tests.conftest import leave_out
from tests.live import Server
from tests.nginx import find_nginx, free_port, nginx
from tests.processes import gunicorn
from tests.wsgi import HASTE
from tokenauth.models import AuthSession

PROXY = """server {{
  listen 127.0.0.1:{port};
  location / {{ proxy_pass http://127.0.0.1:{to}; proxy_set_header Host $http_host; }}
}}"""


class SlowFile(io.BytesIO):
    """A file that takes four seconds to be sent."""

    def read(self, size=-1):
        chunk = super().read(size)
        time.sleep(2 if chunk else 0)
        return chunk


@pytest.fixture
def patient(settings):
    """A site whose access tokens live for two seconds."""
    settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME = 2


def upload(browser, user):
    """Sign in, and send a file; return the answers on the way, and the last one."""
    browser.login(user)
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    file = SlowFile(b"x" * 100_000)
    answer = browser.send_form("/upload/", token, files={"file": ("slow.bin", file)})
    return [hop.status_code for hop in answer.history], answer


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("server", ["asgi"], indirect=True)
def test_uvicorn_gets_an_upload_that_is_slower_than_two_second_tokens(browser, user):
    """Every ASGI server hands a request to Django when its body is complete."""
    hops, answer = upload(browser, user)
    assert (hops, answer.json()["size"]) == ([307, 307], 100_000)


def test_gunicorn_gets_it_behind_nginx(user, transactional_db):
    """Whose request buffering is on, as nobody may turn it off."""
    program = find_nginx() or leave_out("nginx was not found: install it")
    port = free_port()
    with (
        gunicorn("--worker-class=gthread", "--threads=4", **HASTE) as behind,
        nginx(program, PROXY.format(port=port, to=behind.port), port),
    ):
        browser = Browser(Server("nginx", port))
        hops, answer = upload(browser, user)
        browser.close()
    assert (hops, answer.json()["size"]) == ([307, 307], 100_000)
    assert AuthSession.objects.get().revoke_reason == ""
