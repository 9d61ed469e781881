"""Keys are replaced, and nobody is signed out: from HS256, from kind to kind, and back."""

from datetime import timedelta

import jwt
import pytest
import time_machine
from django.utils import timezone
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.browser import Browser
from tests.factories import UserFactory
from tokenauth.models import AuthSession

ACCESS, SHARED = "__Host-access_token", "__Secure-access_token"
REFRESH = "__Secure-refresh_token"
#: Over the 15 minutes of an access token; and the time that a laptop is closed.
EXPIRY, NIGHT = timedelta(minutes=16), timedelta(hours=8)
BOUNCED = [307, 307, 200]

ES, ED, RSA = (
    (key.as_pem(private=True).decode(), key.as_pem(private=False).decode())
    for key in (ECKey.generate_key(), OKPKey.generate_key(), RSAKey.generate_key(2048))
)
#: What an access token is signed with, and the setting that says so: each new key stands second
#: until everybody knows it, each old one stays as a public key.
STEPS = [
    ("HS256", []),
    ("HS256", ["HS256", ES[0]]),
    ("ES256", [ES[0], "HS256"]),
    ("ES256", [ES[0], ED[0], "HS256"]),
    ("Ed25519", [ED[0], ES[1], "HS256"]),
    ("Ed25519", [ED[0], RSA[0], ES[1], "HS256"]),
    ("RS256", [RSA[0], ED[1], ES[1], "HS256"]),
    ("HS256", ["HS256", RSA[1], ED[1], ES[1]]),
]


@pytest.fixture(autouse=True)
def clock():
    """The clock of server and browser."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture(autouse=True)
def site(settings):
    """A site that may have keys."""
    settings.TOKENAUTH_ISSUER, settings.TOKENAUTH_AUDIENCE = "https://app.site.test", []
    return settings


def look(browser: Browser):
    """Who the site says it is, and what the browser went through to ask."""
    answer = browser.get("/whoami/")
    return answer.text, [hop.status_code for hop in [*answer.history, answer]]


def signed_by(browser, name=ACCESS):
    return jwt.get_unverified_header(browser.value(name, "/"))["alg"]


@pytest.mark.parametrize("is_idle", [False, True], ids=["busy", "idle for 8 hours each time"])
def test_keys_are_replaced_and_nobody_is_signed_out(browser, user, site, clock, is_idle):
    """Whose token is good is not even bounced; whose has expired is refreshed, and has the new."""
    browser.login(user)
    name = user.get_username()
    for alg, keys in STEPS:
        site.TOKENAUTH_SIGNING_KEYS = keys
        if not is_idle:
            assert look(browser) == (name, [200])
        clock.shift(NIGHT if is_idle else EXPIRY)
        assert look(browser) == (name, BOUNCED)
        assert signed_by(browser) == alg
        assert look(browser) == (name, [200])
    assert AuthSession.objects.get().rotation == len(STEPS)


def test_who_was_away_while_all_keys_were_replaced_is_still_signed_in(browser, user, site, clock):
    """For as long as the old one verifies: the bounce needs it, to know whose refresh it is."""
    site.TOKENAUTH_SIGNING_KEYS = STEPS[2][1]
    browser.login(user)
    assert signed_by(browser) == "ES256"
    clock.shift(timedelta(days=29))
    site.TOKENAUTH_SIGNING_KEYS = STEPS[-2][1]
    assert look(browser) == (user.get_username(), BOUNCED)
    assert signed_by(browser) == "RS256"


def test_a_key_that_is_dropped_too_early_deletes_no_cookie(browser, user, site, clock):
    """A mistake that can be taken back: what does not verify is ignored."""
    site.TOKENAUTH_SIGNING_KEYS = [ES[0]]
    browser.login(user)
    clock.shift(EXPIRY)
    site.TOKENAUTH_SIGNING_KEYS = [ED[0]]
    assert look(browser) == ("anonymous", [200])
    site.TOKENAUTH_SIGNING_KEYS = [ED[0], ES[1]]
    assert look(browser) == (user.get_username(), BOUNCED)


def test_a_server_that_has_the_new_key_second_takes_what_the_others_sign(browser, user, site):
    """While a deployment rolls, either server signs, and both verify."""
    for first, second in [(ES, ED), (ED, ES)]:
        site.TOKENAUTH_SIGNING_KEYS = [first[0], second[0]]
        browser.login(user)
        site.TOKENAUTH_SIGNING_KEYS = [second[0], first[0]]
        assert look(browser) == (user.get_username(), [200])


# TOKENAUTH_COOKIE_DOMAIN: the access cookie's alone


def domains(browser):
    """Which cookies of ours the jar has, and for whom."""
    return sorted((c.name, c.domain) for c in browser.jar if c.name in {ACCESS, SHARED, REFRESH})


@pytest.mark.parametrize("keys", [[ES[0]], ["HS256", ES[0]]])
def test_no_other_host_ever_receives_the_refresh_token(browser, user, site, keys):
    """They verify the access token; the rest is no business of theirs."""
    site.TOKENAUTH_COOKIE_DOMAIN, site.TOKENAUTH_SIGNING_KEYS = "site.test", keys
    browser.login(user)
    assert domains(browser) == [(SHARED, ".site.test"), (REFRESH, "app.site.test")]
    browser.logout()
    assert domains(browser) == []


@pytest.mark.parametrize("tells", [True, False])
def test_a_site_that_shared_both_cookies_goes_on_with_one(browser, user, site, clock, tells):
    """Nobody is signed out; where the site tells what was, the shared refresh token is deleted."""
    site.TOKENAUTH_COOKIE_DOMAIN = "site.test"
    browser.login(user)
    clock.shift(EXPIRY)
    if tells:
        change = {"changed": timezone.now(), "COOKIE_DOMAIN": "site.test"}
        site.TOKENAUTH_FORMER_COOKIES = [change]
    site.TOKENAUTH_SIGNING_KEYS = [ES[0], "HS256"]
    for _ in range(3):
        assert look(browser) == (user.get_username(), BOUNCED)
        left = [(SHARED, ".site.test")] + [(REFRESH, ".site.test")] * (not tells)
        assert domains(browser) == sorted([*left, (REFRESH, "app.site.test")])
        clock.shift(EXPIRY)
    assert signed_by(browser, SHARED) == "ES256"


def test_a_shared_refresh_cookie_of_the_whole_host_goes_over_to_a_name_of_its_own(
    browser, user, site, clock
):
    """Under ``/`` it has ``__Host-`` from then on: where the site tells what was, nobody is out."""
    site.TOKENAUTH_COOKIE_DOMAIN, site.TOKENAUTH_REFRESH_COOKIE_PATH = "site.test", "/"
    browser.login(user)
    clock.shift(EXPIRY)
    site.TOKENAUTH_FORMER_COOKIES = [{"changed": timezone.now(), "COOKIE_DOMAIN": "site.test"}]
    site.TOKENAUTH_SIGNING_KEYS = [ES[0], "HS256"]
    assert look(browser) == (user.get_username(), [200])
    assert domains(browser) == [(SHARED, ".site.test")]
    assert browser.cookie("__Host-refresh_token", "/").domain == "app.site.test"


def test_without_keys_both_cookies_are_shared_as_before(browser, user, site):
    """A site that shares them has servers of its own there."""
    site.TOKENAUTH_COOKIE_DOMAIN = "site.test"
    browser.login(user)
    assert domains(browser) == [(SHARED, ".site.test"), (REFRESH, ".site.test")]


def test_two_people_under_two_keys_are_two_people(new_browser, user, site):
    """Whichever key signed, the token is its session's."""
    bob = UserFactory(username="bob")
    for person, keys in [(user, [ES[0], "HS256"]), (bob, ["HS256", ES[0]])]:
        site.TOKENAUTH_SIGNING_KEYS = keys
        window = new_browser()
        window.login(person)
        site.TOKENAUTH_SIGNING_KEYS = [ES[0], "HS256"]
        assert look(window) == (person.get_username(), [200])
