"""The life of an app, told at random: the real endpoints and database, and a thief.

As ``tests.life`` is for a browser, and with the same invariants; what is left out there belongs to
jars. Answers are lost or come in their order: an app sends one refresh at a time.
"""

from datetime import UTC, datetime, timedelta

import time_machine
from django.core.cache import cache
from django.test import override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.app import App
from tests.factories import UserFactory
from tests.prove import tally
from tokenauth.models import AuthSession, RevokeReason

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
GAPS = st.sampled_from([10, 61, 130, 16 * 60, 2 * 3600])
SITE = {
    "TOKENAUTH_APP_CLIENTS": True,
    "TOKENAUTH_LOGIN_RATES": None,
    "TOKENAUTH_REFRESH_TOKEN_LIFETIME": timedelta(days=400),
    "TOKENAUTH_SESSION_LIFETIME": timedelta(days=4000),
}


class LifeOfAnApp(RuleBasedStateMachine):
    """One app, its owner, one thief."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.time = self.clock.start()
        self.site = override_settings(**SITE)
        self.site.enable()
        cache.clear()
        self.user = UserFactory(username="alice")
        self.app, self.thief = App(), App("Thief")
        self.sign_in_anew()
        #: Whether its owner has signed out, was signed out by staff, or has a new password.
        self.over = False
        #: Whether a thief has acted: the session may rightly end at any moment.
        self.robbed = False
        #: Refresh tokens that were spent before one that was seen in use.
        self.spent: list[str] = []
        self.before: list[str] = []

    def teardown(self) -> None:
        tally("lives of apps")
        AuthSession.objects.all().delete()
        self.user.delete()
        self.site.disable()
        self.clock.stop()

    def sign_in_anew(self):
        """Start the session that counts from here on."""
        answer = self.app.sign_in(self.user)
        assert answer.status_code == 200
        self.sid = answer.json()["session"]["id"]

    @property
    def session(self):
        """Its row."""
        return AuthSession.objects.get(pk=self.sid)

    @rule(seconds=GAPS)
    def time_passes(self, seconds):
        """It has nothing to do."""
        self.wait(seconds)

    def wait(self, seconds):
        """Set the clock."""
        self.time.shift(seconds)

    @rule(lost=st.booleans())
    def app_refreshes(self, lost):
        """See refresh()."""
        self.refresh(lost)

    def refresh(self, lost):
        """The app refreshes; the answer arrives, or not."""
        token = self.app.tokens["refresh_token"]
        answer = self.app.refresh()
        if answer.status_code == 200 and not lost:
            self.app.keep(answer)
            if self.app.tokens["refresh_token"] != token:
                self.before.append(token)
        assert self.over or self.robbed or answer.status_code == 200, answer.content

    @rule()
    def app_is_used(self):
        """See use()."""
        self.use()

    def use(self):
        """The app sends its access token, which may be over, and then its successor is seen."""
        self.app.get()
        if self.session.confirmed:
            self.spent += self.before
            self.before = []

    @precondition(lambda self: not self.over)
    @rule()
    def go_on_for_a_while(self):
        """As most of its life goes: a refresh that arrives, and then the new token is used."""
        self.wait(16 * 60)
        self.refresh(lost=False)
        self.wait(70)
        self.use()

    @rule()
    def steal(self):
        """A thief copies the tokens, and waits."""
        self.thief.tokens = dict(self.app.tokens)

    @precondition(lambda self: self.thief.tokens)
    @rule()
    def thief_refreshes(self):
        """A thief uses what was copied, and keeps what comes."""
        self.robbed = True
        answer = self.thief.refresh()
        if answer.status_code == 200:
            self.thief.keep(answer)

    @precondition(lambda self: self.spent and not self.over)
    @rule()
    def spent_token_comes_back(self):
        """It ends the session, always."""
        self.robbed = True
        assert self.app.refresh(self.spent[-1]).status_code == 400
        assert not self.session.active
        self.spent = []

    @rule(way=st.sampled_from(["staff", "password", "app"]))
    def end(self, way):
        """Staff revoke it, its owner has a new password, or the app gives its token back."""
        if way == "staff":
            AuthSession.objects.filter(user=self.user).revoke(RevokeReason.ADMIN)
        elif way == "password":
            self.user.set_password("secret-pass-1")
            self.user.save()
        else:
            assert self.app.sign_out().status_code == 200
        self.over = True

    @precondition(lambda self: self.over or self.robbed)
    @rule()
    def sign_in(self):
        """Its owner signs in once more."""
        self.sign_in_anew()
        self.over = self.robbed = False
        self.spent, self.before, self.thief.tokens = [], [], {}

    @invariant()
    def after_the_end_nothing_counts(self):
        """Neither the app's tokens nor a thief's."""
        if self.over:
            for one in filter(lambda one: one.tokens, (self.app, self.thief)):
                assert one.get().content == b"anonymous"
                assert one.refresh().status_code == 400

    @invariant()
    def nobody_is_signed_out_who_did_not_ask_for_it(self):
        """As long as no thief has acted."""
        assert self.over or self.robbed or self.session.active
