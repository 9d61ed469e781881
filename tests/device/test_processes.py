"""Two server processes, of which one is killed again and again: nobody's key is lost."""

import json
import os
import random
import signal
from contextlib import suppress
from datetime import timedelta
from functools import partial

import httpx
import pytest
from django.utils import timezone

from tests.device.client import DeviceBrowser
from tests.factories import UserFactory
from tests.processes import ROUNDS, gunicorn
from tests.prove import tally
from tests.wsgi import PROCESS
from tokenauth.models import AuthSession
from tokenauth.session.jwt.jwk import canonical

HOST = {"DJANGO_SETTINGS_MODULE": "tests.settings_host"}
SITE = {
    "TOKENAUTH_DEVICE_BINDING": True,
    "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
}


@pytest.fixture
def server(transactional_db, settings):
    settings.TOKENAUTH_DEVICE_BINDING = True
    with gunicorn("--workers=2", "--threads=4", **HOST, TEST_SITE=json.dumps(SITE)) as running:
        yield running


@pytest.fixture
def bound(server):
    """Browsers whose sessions are bound, as they are after the grace period."""
    browsers = []
    for _ in range(3):
        browser = DeviceBrowser(server)
        browsers.append(browser)
        browser.network.quota = None
        browser.login(UserFactory())
        [(sid, kept)] = browser.keys.items()
        AuthSession.objects.filter(pk=sid).update(device_key=canonical(kept.key.jwk))
    yield browsers
    for browser in browsers:
        browser.close()


def use(browser, rng):
    """Refresh the device token and the other two; lose some answers, and the challenge."""
    browser.lose_device_cookies()
    if rng.random() < 0.3:
        browser.paste_keys(browser.copy_keys())
    with suppress(httpx.TransportError):
        if rng.random() < 0.3:
            with browser.losing_answers():
                browser.fetch("POST", "/auth/refresh/")
        browser.fetch("POST", "/auth/refresh/")


def name_shown(browser):
    """Ask until a server answers: the one that was asked may have been killed."""
    while True:
        with suppress(httpx.TransportError):
            answer = browser.get("/whoami/")
            return answer.text, answer.headers[PROCESS]


def test_killed_servers_sign_nobody_out(bound):
    """Whichever process answers, it knows the key; and what the killed one did not say is asked."""
    rng, processes = random.Random("kills"), set()  # noqa: S311  # the same each time
    names = list(AuthSession.objects.values_list("pk", "user__username"))
    for _ in range(ROUNDS):
        # Handed out long ago, or a rotation would be put off.
        AuthSession.objects.update(issued_at=timezone.now() - timedelta(hours=1))
        calls = [partial(use, browser, random.Random(rng.random())) for browser in bound]  # noqa: S311
        if processes:
            calls.append(partial(kill, processes.pop()))
        bound[0].parallel(*calls)
        for browser in bound:
            name, process = name_shown(browser)
            processes.add(process)
            [sid] = browser.keys
            assert (sid, name) in {(str(pk), name) for pk, name in names}
    tally("rounds", ROUNDS)
    tally("device refreshes", sum(browser.network.counts["refreshed"] for browser in bound))
    tally("rotations", sum(AuthSession.objects.values_list("rotation", flat=True)))
    assert AuthSession.objects.active().count() == len(bound)


def kill(process):
    with suppress(ProcessLookupError):
        os.kill(int(process), signal.SIGKILL)
