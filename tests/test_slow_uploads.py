"""Uploads that are slower than an access token lives, by the real clock.

A server, or a proxy before it, that hands a request over when its body is complete lets the token
expire on its way, however new it was when the upload began.
"""

import io
import time

import pytest


class SlowFile(io.BytesIO):
    """A file that takes three seconds to be sent."""

    def read(self, size=-1):
        chunk = super().read(size)
        time.sleep(1.5 if chunk else 0)
        return chunk


@pytest.mark.parametrize("server", ["asgi"], indirect=True)
def test_uvicorn_gets_an_upload_that_is_slower_than_two_second_tokens(settings, browser, user):
    """By the real clock: an ASGI server hands a request over when its body is complete."""
    settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME = 2
    browser.login(user)
    token = {"csrfmiddlewaretoken": browser.value("csrftoken")}
    file = SlowFile(b"x" * 100_000)
    answer = browser.send_form("/upload/", token, files={"file": ("slow.bin", file)})
    assert [hop.status_code for hop in answer.history] == [307, 307]
    assert answer.json()["size"] == 100_000
