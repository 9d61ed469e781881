"""However many answers to a refresh are lost, nobody is signed out: browsers and apps alike."""

import os
import random
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from tests.app import App
from tests.factories import UserFactory
from tests.prove import tally
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.session import tokens

pytestmark = pytest.mark.django_db

LOST = int(os.environ.get("TOKENAUTH_LOST_ANSWERS", "50"))
#: Minutes until the next refresh: soon after the token has expired, or the next morning.
PAUSES = [15.1, 16, 60, 600]


class Browser:
    """A browser, as it refreshes: by a bounce, or by a script."""

    def __init__(self, user):
        session = AuthSession.objects.start(None, user)
        self.http = Client()
        self.http.cookies[cookies.access_name()] = tokens.issue_access_token(session)[0].reveal()
        self.http.cookies[cookies.refresh_name()] = session.refresh_token.reveal()

    def refresh(self, rng, *, lost):
        """Refresh, and keep the answer's cookies or not."""
        before = {name: morsel.value for name, morsel in self.http.cookies.items()}
        if rng.random() < 0.5:
            answer = self.http.post("/auth/refresh/")
            assert answer.status_code == 200
        else:
            answer = self.http.get("/auth/refresh/?next=/whoami/")
            assert answer.status_code == 307
        if lost:
            self.http.cookies.clear()
            self.http.cookies.load(before)

    def whoami(self):
        """Who the site says that it is."""
        return self.http.get("/whoami/").content


class Phone:
    """An app, as it refreshes."""

    def __init__(self, user):
        self.app = App()
        self.app.sign_in(user)

    def refresh(self, rng, *, lost):
        """Refresh, and keep the answer's tokens or not."""
        answer = self.app.refresh()
        assert answer.status_code == 200
        if not lost:
            self.app.keep(answer)

    def whoami(self):
        """See Browser."""
        return self.app.get().content


@pytest.mark.parametrize("client", [Browser, Phone], ids=["browser", "app"])
def test_no_lost_answer_signs_anybody_out(client, settings):
    """Half of them are, at random; now and then the one that is kept is seen in use."""
    settings.TOKENAUTH_APP_CLIENTS = True
    settings.TOKENAUTH_SESSION_LIFETIME = timedelta(days=40_000)
    rng, lost = random.Random(client.__name__), 0  # noqa: S311  # the same each time
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        one = client(UserFactory(username="alice"))
        while lost < LOST:
            clock.shift(timedelta(minutes=rng.choice(PAUSES)))
            is_lost = rng.random() < 0.5
            one.refresh(rng, lost=is_lost)
            lost += is_lost
            if not is_lost:
                clock.shift(timedelta(seconds=rng.choice([1, 62, 300])))
                assert one.whoami() == b"alice"
    session = AuthSession.objects.get()
    assert session.revoked_at is None
    assert 0 < session.rotation < 3 * LOST
    tally("lost answers", lost)
