"""Access tokens that a key of the site's has signed: what they say, and what a cookie may bring."""

import base64
import json
import subprocess
import sys
import time
from collections import deque
from datetime import timedelta
from itertools import count
from uuid import UUID, uuid4

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone
from joserfc.jwk import ECKey

from tests.factories import PASSWORD, SessionFactory
from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.jose import keys
from tokenauth.session.jose.keys import SigningKeys
from tokenauth.session.jwt.access_claims import CLAIMS, check_access_claims
from tokenauth.session.jwt.jwk import canonical, thumbprint_of
from tokenauth.session.tokens import AccessToken, RefreshToken

ISSUER, API = "https://app.site.test", "https://api.site.test"
PEM = ECKey.generate_key("P-256").as_pem(private=True).decode()
SID = "0d9d6b0c-5a8e-4a55-9d0e-3f8f4d8f1a01"
GOOD = {
    "iss": ISSUER,
    "aud": [ISSUER, API],
    "sub": "7",
    "client_id": "browser",
    "iat": 1_772_366_400,
    "exp": 1_772_367_300,
    "jti": "x",
    "sid": SID,
    "rot": 3,
    "auth_time": 1_772_366_000,
}


@pytest.fixture
def site(settings):
    """A site with a key."""
    settings.TOKENAUTH_SIGNING_KEYS = [PEM]
    settings.TOKENAUTH_ISSUER, settings.TOKENAUTH_AUDIENCE = ISSUER, [API]
    return settings


@pytest.fixture
def session(db):
    """A session that a sign-in has just started."""
    with time_machine.travel(timezone.now(), tick=False):
        yield SessionFactory()


def payload_of(raw):
    return json.loads(base64.urlsafe_b64decode(raw.reveal().split(".")[1] + "=="))


def sign(**changes):
    """A token that the site's own key has signed, with some claims changed; None drops one."""
    claims = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return SigningKeys([PEM]).sign(claims)


# What they say


@pytest.mark.usefixtures("site")
def test_an_access_token_tells_resource_servers_who_it_is_for_and_whose(session):
    """RFC 9068 §2.2, §2.2.1: all that is required, and when the person signed in."""
    raw, claims = tokens.issue_access_token(session)
    payload = payload_of(raw)
    now = int(time.time())
    assert UUID(payload.pop("jti")).version == 4
    assert payload == {
        "iss": ISSUER,
        "aud": [ISSUER, API],
        "sub": str(session.user_id),
        "client_id": "browser",
        "iat": now,
        "exp": now + 900,
        "sid": str(session.pk),
        "rot": 0,
        "auth_time": int(session.authenticated_at.timestamp()),
    }
    assert AccessToken.read(raw) == claims
    assert check_access_claims(SigningKeys([PEM]).public.verify(raw), ISSUER, API)


@pytest.mark.parametrize("binds", [True, False])
def test_the_token_of_a_bound_session_names_the_key_where_sessions_are_bound(site, user, binds):
    """Resource servers then want its device token too; a site that binds none asks for none."""
    site.TOKENAUTH_DEVICE_BINDING = binds
    key = canonical(ECKey.generate_key("P-256").as_dict(private=False))
    session = SessionFactory(user=user)
    session.device_key = key
    raw, claims = tokens.issue_access_token(session)
    assert payload_of(raw).get("jkt", "") == (thumbprint_of(key) if binds else "") == claims.jkt
    assert AccessToken.read(raw) == claims


def test_a_session_that_nobody_proved_anything_to_has_no_time_of_a_proof(site, user):
    """RFC 9068 §2.2.1: the claim is optional. An adopted session has none."""
    session = SessionFactory(user=user, adopted_from="a mark")
    raw, _ = tokens.issue_access_token(session)
    claims = check_access_claims(SigningKeys([PEM]).public.verify(raw), ISSUER, API)
    assert "auth_time" not in claims
    assert AccessToken.read(raw)


@pytest.mark.parametrize(
    ("audience", "told"),
    [([], [ISSUER]), ([ISSUER], [ISSUER]), (API, [ISSUER, API]), ((API, API), [ISSUER, API])],
)
def test_the_issuer_may_always_accept_its_own_token(site, session, audience, told):
    """Once, and whoever else is named."""
    site.TOKENAUTH_AUDIENCE = audience
    assert payload_of(tokens.issue_access_token(session)[0])["aud"] == told


@pytest.mark.usefixtures("site")
def test_refresh_tokens_are_nobody_elses_business(session):
    """They stay as they are, under ``SECRET_KEY``."""
    raw = tokens.remake_refresh_token(session)
    assert payload_of(raw)["token_type"] == "tokenauth_refresh"
    assert RefreshToken.read(raw).sid == session.pk
    with pytest.raises(InvalidToken):
        RefreshToken.read(tokens.issue_access_token(session)[0])
    with pytest.raises(InvalidToken):
        AccessToken.read(raw)


def test_where_hs256_stands_first_tokens_say_no_more_than_before(site, session):
    """No person, and no audience: for this site alone."""
    site.TOKENAUTH_SIGNING_KEYS = ["HS256", PEM]
    site.TOKENAUTH_ACCESS_CLAIMS = "nowhere.at_all"
    raw = tokens.issue_access_token(session)[0]
    assert set(payload_of(raw)) == {"token_type", "sid", "rot", "iat", "exp", "jti"}
    assert AccessToken.read(raw).sid == session.pk


def test_without_keys_no_library_for_them_is_loaded():
    """A site that needs none need not install it."""
    code = (
        "import django, sys; django.setup()\n"
        "import tokenauth.urls, tokenauth.middleware, tokenauth.authentication, tokenauth.testing\n"
        "from django.core.checks import run_checks; run_checks(tags=['security'])\n"
        "from tokenauth.models import AuthSession\n"
        "from tokenauth.session import tokens\n"
        "from django.utils import timezone\n"
        "session = AuthSession(rotated_at=timezone.now(), expires_at=timezone.now())\n"
        "tokens.AccessToken.read(tokens.issue_access_token(session)[0])\n"
        "print([name for name in sys.modules if 'joserfc' in name])\n"
    )
    run = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "[]", run.stderr


# What a cookie may bring


@pytest.mark.usefixtures("site")
def test_an_expired_token_can_be_read():
    """By its sid the server knows what to refresh."""
    claims = AccessToken.read(sign())
    assert claims == tokens.Claims(UUID(SID), 3, GOOD["iat"], GOOD["exp"])
    assert claims.expired


WRONG = {
    "iss": ["https://evil.example", f"{ISSUER}/", ISSUER.upper(), "", 5, [ISSUER]],
    "aud": [API, [], [API], "", f"{ISSUER}/", 5, {}, [5, ISSUER], [""]],
    "sub": ["", 7, []],
    "client_id": ["app", "ci", "", 5],
    "iat": ["now", 1.5, True, -1],
    "exp": ["later", 1.5, [1], -1],
    "jti": ["", 5],
    "sid": ["someone", "", 7, SID.upper(), f"urn:uuid:{SID}", SID.replace("-", "")],
    "rot": ["3", 3.0, True, -1, 2**31],
    "auth_time": ["then", 1.5, False],
    "cnf": [{"jkt": "x"}, "x"],
}
CHANGES = [{name: value} for name, values in WRONG.items() for value in [None, *values]]


@pytest.mark.parametrize(
    "changes",
    [change for change in CHANGES if change not in ({"cnf": None}, {"auth_time": None})],
    ids=lambda changes: "-".join(f"{name}-{value!r:.30}" for name, value in changes.items()),
)
@pytest.mark.usefixtures("site")
def test_a_signed_token_with_other_claims_signs_nobody_in(changes):
    """RFC 9068 §4, RFC 8725 §3.8, §3.9: of another issuer, for another audience, incomplete."""
    assert AccessToken.read(sign())
    with pytest.raises(InvalidToken):
        AccessToken.read(sign(**changes))


@pytest.mark.parametrize("aud", [API, [API], ["https://other.example", API]])
def test_a_resource_server_takes_what_names_it(aud):
    """One name, or one of several (RFC 7519 §4.1.3); and no claim is lost."""
    payload = GOOD | {"aud": aud, "roles": ["editor"]}
    assert check_access_claims(payload, ISSUER, API) == payload
    with pytest.raises(InvalidToken, match="audience"):
        check_access_claims(payload, ISSUER, "https://third.example")


def test_the_last_rotation_that_the_database_can_hold_counts():
    """And other clients are for the caller to judge."""
    payload = GOOD | {"rot": 2**31 - 1, "client_id": "ci"}
    assert check_access_claims(payload, ISSUER, ISSUER) == payload


def test_what_is_wrong_with_a_token_is_told_without_its_values():
    """By the names of its claims."""
    with pytest.raises(InvalidToken, match=r"sub, rot$") as caught:
        check_access_claims(GOOD | {"sub": None, "rot": "secret"}, ISSUER, API)
    assert "secret" not in str(caught.value)
    assert set(CLAIMS) == {*GOOD, "cnf", "jkt"}


def test_hs256_counts_only_where_it_stands_in_the_list(site, session):
    """So that it can be left behind for good."""
    raw = AccessToken.issue(tokens.secret_keys()[0], tokens.access_claims(session, 1), "x")
    with pytest.raises(InvalidToken):
        AccessToken.read(raw)
    site.TOKENAUTH_SIGNING_KEYS = [PEM, "HS256"]
    assert AccessToken.read(raw).sid == session.pk
    site.TOKENAUTH_SIGNING_KEYS = ["HS256"]
    assert AccessToken.read(raw).sid == session.pk
    with pytest.raises(InvalidToken):
        AccessToken.read(sign())


def test_a_key_that_is_taken_out_signs_nobody_in(site):
    """At once, in spite of what was verified before."""
    raw = sign()
    assert AccessToken.read(raw)
    site.TOKENAUTH_SIGNING_KEYS = [keys.make_key("ES256")[1].reveal()]
    with pytest.raises(InvalidToken):
        AccessToken.read(raw)


def test_another_issuer_does_not_take_what_was_verified_before(site):
    """The setting is read each time."""
    raw = sign()
    assert AccessToken.read(raw)
    site.TOKENAUTH_ISSUER = "https://other.example"
    with pytest.raises(InvalidToken):
        AccessToken.read(raw)


@pytest.mark.usefixtures("site")
def test_a_token_is_verified_once(monkeypatch):
    """What is genuine stays so; a forgery is tried each time."""
    calls = []
    verify = keys.KeySet.verify

    def counted(self, raw):
        calls.append(raw)
        return verify(self, raw)

    monkeypatch.setattr(keys.KeySet, "verify", counted)
    raw = sign(jti=uuid4().hex)
    assert AccessToken.read(raw) == AccessToken.read(raw)
    assert len(calls) == 1
    for _ in range(2):
        with pytest.raises(InvalidToken):
            AccessToken.read(Secret(raw.reveal()[:-1]))
    assert len(calls) == 3


# Settings that will not do


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"SIGNING_KEYS": ["/nowhere.pem"]}, "TOKENAUTH_SIGNING_KEYS: No. 1 cannot be read"),
        ({"ISSUER": None}, "Set TOKENAUTH_ISSUER"),
        ({"ISSUER": ""}, "Set TOKENAUTH_ISSUER"),
    ],
)
def test_keys_that_will_not_do_are_an_error_of_the_settings(site, session, options, said):
    """Where nobody has run the checks."""
    for name, value in options.items():
        setattr(site, f"TOKENAUTH_{name}", value)
    with pytest.raises(ImproperlyConfigured, match=said):
        tokens.issue_access_token(session)


def test_keys_without_their_library_are_an_error_that_names_it(site, session, monkeypatch):
    """And how to install it."""
    monkeypatch.setitem(sys.modules, "tokenauth.session.jose.keys", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'django-tokenauth\[keys\]'"):
        tokens.issue_access_token(session)


# What the site adds

ASKED = []
GIVEN = {"roles": ["editor"], "tenant": 7}


def given(session):
    """What a site tells of a session."""
    ASKED.append(session.pk)
    return GIVEN


@pytest.fixture
def gives(site, monkeypatch):
    """Let the site's function give this."""
    site.TOKENAUTH_ACCESS_CLAIMS = f"{__name__}.given"
    monkeypatch.setitem(globals(), "ASKED", [])
    return lambda claims: monkeypatch.setitem(globals(), "GIVEN", claims)


@pytest.mark.usefixtures("gives")
def test_a_site_adds_what_resource_servers_shall_know(session):
    """They find it among the claims; here it changes nothing."""
    raw, claims = tokens.issue_access_token(session)
    payload = SigningKeys([PEM]).public.verify(raw)
    assert {name: payload[name] for name in GIVEN} == GIVEN
    assert AccessToken.read(raw) == claims


@pytest.mark.usefixtures("gives")
def test_the_site_is_asked_once_for_each_request(session):
    """A slow answer makes its token anew, on the event loop perhaps."""
    for _ in range(2):
        assert payload_of(tokens.issue_access_token(session)[0])["tenant"] == 7
    assert [session.pk] == ASKED


@pytest.mark.parametrize("name", [*GOOD, "nbf", "cnf", "jkt", "token_type"])
@pytest.mark.usefixtures("session")
def test_no_claim_of_ours_can_be_given_by_the_site(gives, client, user, name):
    """Told by name when somebody signs in, so in a site's tests: never a token that is not so."""
    gives({"roles": [], name: "secret"})
    data = {"username": user.get_username(), "password": PASSWORD}
    with pytest.raises(ImproperlyConfigured, match=f"names are not for a site: '{name}'") as caught:
        client.post("/auth/login/", data, secure=True)
    assert "secret" not in str(caught.value)


def test_a_function_that_fails_costs_nobody_the_session(gives, user):
    """It is an error page, and no cookie is touched; the next answer has what that one lacked."""
    client = Client(raise_request_exception=False)
    data = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    client.post("/auth/login/", data, secure=True)
    with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
        gives({"sid": "x"})
        failed = client.get("/whoami/", secure=True)
        assert (failed.status_code, len(failed.cookies)) == (500, 0)
        gives({})
        assert client.get("/whoami/", secure=True).text == user.get_username()


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (None, "returned a NoneType"),
        (["roles"], "returned a list"),
        ({5: "roles"}, "names are not for a site: 5"),
        ({"who": object(), "n": float("nan"), "ok": 1}, "no JSON: 'who', 'n'"),
    ],
)
def test_what_is_no_claim_is_told(gives, session, claims, said):
    """What a token cannot carry."""
    gives(claims)
    with pytest.raises(ImproperlyConfigured, match=said):
        tokens.issue_access_token(session)


@pytest.mark.parametrize(("name", "room"), [("access_token", 4075), ("a_token", 4080)])
def test_no_cookie_is_larger_than_a_browser_keeps(site, gives, session, name, room):
    """To the byte, with the longest prefix of its name; the longest claims are named."""
    site.TOKENAUTH_ACCESS_COOKIE_NAME = name
    sizes = []

    def issue(length):
        gives({"groups": "x" * length, "roles": ["r"] * 20})
        session.site_claims = None
        raw = tokens.issue_access_token(session)[0]
        assert AccessToken.read(raw).sid == session.pk
        sizes.append(len(raw.reveal()))

    with pytest.raises(ImproperlyConfigured, match="TOKENAUTH_ACCESS_CLAIMS") as caught:
        deque(map(issue, count(2400)))
    assert "Its longest claims are 'groups', 'roles', " in str(caught.value)
    assert room - 3 <= max(sizes) <= room


def test_a_browsers_storage_state_has_a_token_of_the_sites_key(site, user, db):
    """In a site's own tests too."""
    from tokenauth.testing import storage_state  # noqa: PLC0415  # it wants the database

    state = storage_state(user, "https://app.site.test")
    (raw,) = [c["value"] for c in state["cookies"] if "access_token" in c["name"]]
    assert payload_of(Secret(raw))["sub"] == str(user.pk)
