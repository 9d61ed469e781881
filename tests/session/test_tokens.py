"""The two tokens: what they say, who can make them, and what is refused."""

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import jwt
import pytest
import time_machine
from django.conf import settings
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken as SimpleJWTInvalidToken

from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.tokens import AccessToken, Claims, RefreshToken

SID = UUID("0d9d6b0c-5a8e-4a55-9d0e-3f8f4d8f1a01")
NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
AMBIGUOUS = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
KEY, OTHER_KEY = settings.SECRET_KEY, "tests: another key"
KNOWN_HASH = "9596c986f2af20bb67b356496339d0a145c3dcd97752a0ed282e03b8d9fc11ae"
KNOWN_KEY = "14709a0dce0c10d945ec0678dccac4565a877ad5adbf14e420041ef88831f462"
BOTH = pytest.mark.parametrize("kind", [AccessToken, RefreshToken], ids=["access", "refresh"])


@pytest.fixture(autouse=True)
def now():
    """Noon on a day in March, until a test shifts it."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def session():
    """What of a session its tokens are made from."""
    ends = NOW + timedelta(days=30)
    state = SimpleNamespace(
        id=SID,
        rotation=3,
        rotated_at=NOW,
        expires_at=ends,
        token_hash="",
        client="browser",
        device_thumbprint="",
    )
    state.token_hash = new_hash(state)
    return state


def new_hash(state):
    """The hash of the token that belongs to a session's state, under today's key."""
    return tokens.hash_token(tokens.make_refresh_token(state, tokens.secret_keys()[0]))


def payload_of(kind, **changes):
    """The payload of a good token, with some claims changed; None drops one."""
    claims = {"token_type": kind.token_type, "sid": str(SID), "rot": 3, "jti": "x"}
    claims |= {"iat": int(time.time()), "exp": int(time.time()) + 900} | changes
    return {name: value for name, value in claims.items() if value is not None}


def sign(kind, payload, key=KEY, **kwargs):
    """A token signed with this site's own key for this kind of token."""
    signing_key = tokens.derive_backend(kind.token_type, key).signing_key
    return jwt.encode(payload, signing_key, **{"algorithm": "HS256"} | kwargs)


def segment(text):
    return base64.urlsafe_b64encode(text.encode(errors="surrogatepass")).rstrip(b"=").decode()


def unsigned(payload):
    return f"{segment(json.dumps({'alg': 'none', 'typ': 'JWT'}))}.{segment(json.dumps(payload))}.AA"


# What they say


def test_an_access_token_says_which_session_and_rotation_for_how_long(session):
    """An access token carries no user, no e-mail, and is good for its lifetime."""
    secret, claims = tokens.issue_access_token(session)
    raw = secret.reveal()
    now = int(NOW.timestamp())
    assert claims == AccessToken.read(Secret(raw)) == Claims(SID, 3, now, now + 900)
    payload = jwt.decode(raw, options={"verify_signature": False})
    assert set(payload) == {"token_type", "sid", "rot", "iat", "exp", "jti"}
    assert payload["token_type"] == "tokenauth_access"


def test_a_new_version_makes_the_tokens_of_the_old_one(session):
    """Were a word in how a key is derived to change, everybody would be signed out by an update."""
    assert tokens.hash_token(tokens.make_refresh_token(session, Secret("an old key"))) == KNOWN_HASH
    key = tokens.derive_backend("tokenauth_access", "an old key").signing_key
    assert tokens.hash_token(Secret(key)) == KNOWN_KEY


def test_two_access_tokens_of_one_second_differ(session):
    """Each access token has an id of its own."""
    assert (
        tokens.issue_access_token(session)[0].reveal()
        != tokens.issue_access_token(session)[0].reveal()
    )


def test_an_access_token_never_outlives_its_session(session):
    """The access token ends with the session that it speaks for."""
    session.expires_at = NOW + timedelta(seconds=40)
    assert tokens.issue_access_token(session)[1].exp == int(session.expires_at.timestamp())


def test_a_refresh_token_says_which_session_and_rotation_until_when(session):
    """A refresh token carries no user, and ends with its session."""
    raw = tokens.remake_refresh_token(session).reveal()
    ends = int(session.expires_at.timestamp())
    assert RefreshToken.read(Secret(raw)) == Claims(SID, 3, int(NOW.timestamp()), ends)
    payload = jwt.decode(raw, options={"verify_signature": False})
    assert set(payload) == {"token_type", "sid", "rot", "iat", "exp", "jti"}
    assert payload["token_type"] == "tokenauth_refresh"


def test_lifetimes_are_read_when_the_token_is_made(session, settings):
    """Neither setting is frozen at import, as simplejwt's are."""
    settings.SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(seconds=60), "ALGORITHM": "HS512"}
    secret, claims = tokens.issue_access_token(session)
    assert claims.exp - claims.iat == 60
    assert jwt.get_unverified_header(secret.reveal())["alg"] == "HS256"
    settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME = 30
    assert tokens.issue_access_token(session)[1].exp == claims.iat + 30


def test_both_tokens_fit_into_a_cookie(session):
    """Name and value stay far below the 4,096 bytes that a browser keeps."""
    session.rotation = tokens.MAX_ROTATION
    for raw in (
        tokens.issue_access_token(session)[0].reveal(),
        tokens.make_refresh_token(session, Secret(KEY)).reveal(),
    ):
        assert len(raw) < 1024


# The refresh token is a function of the row


def test_the_same_refresh_token_can_be_made_again(session, now):
    """Byte for byte the same at any time, and the session holds nothing but its hash."""
    first = tokens.remake_refresh_token(session).reveal()
    now.shift(timedelta(days=20))
    assert tokens.remake_refresh_token(session).reveal() == first
    assert tokens.hash_token(Secret(first)) == session.token_hash
    assert len(session.token_hash) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"id": UUID(int=SID.int + 1)},
        {"rotation": 4},
        {"rotated_at": NOW + timedelta(microseconds=1)},
        {"expires_at": NOW + timedelta(days=31)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_state_has_another_refresh_token(session, change):
    """Whatever determines the token changes it."""
    before = tokens.make_refresh_token(session, Secret(KEY)).reveal()
    vars(session).update(change)
    assert tokens.make_refresh_token(session, Secret(KEY)).reveal() != before


@pytest.mark.parametrize(
    "written",
    [
        (NOW, NOW.astimezone(ZoneInfo("Australia/Sydney"))),
        (AMBIGUOUS.replace(fold=0), AMBIGUOUS.replace(fold=1)),
    ],
    ids=["zone", "fold"],
)
def test_the_token_does_not_depend_on_how_the_moment_is_written(session, written):
    """A database gives the moment back in another zone, and without ``fold``."""
    raws = []
    for session.rotated_at in written:
        raws.append(tokens.make_refresh_token(session, Secret(KEY)).reveal())
    assert raws[0] == raws[1]


# Keys


@BOTH
def test_a_retired_key_still_verifies(kind, settings):
    """Rotating SECRET_KEY through SECRET_KEY_FALLBACKS signs nobody out."""
    raw = sign(kind, payload_of(kind))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OTHER_KEY, [KEY]
    assert kind.read(Secret(raw)).sid == SID
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidToken):
        kind.read(Secret(raw))


def test_a_refresh_token_is_made_again_under_the_key_it_was_made_with(session, settings):
    """A re-issue after a change of keys gives the token that the browser may already have."""
    raw = tokens.remake_refresh_token(session).reveal()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OTHER_KEY, [KEY]
    assert tokens.remake_refresh_token(session).reveal() == raw
    assert new_hash(session) != session.token_hash


def test_a_server_without_the_key_cannot_make_the_token_again(session, settings):
    """During a rolling deploy a server may not know the newest key yet."""
    settings.SECRET_KEY = OTHER_KEY
    with pytest.raises(InvalidToken):
        tokens.remake_refresh_token(session).reveal()


def test_every_purpose_and_every_secret_has_a_key_of_its_own():
    """No derived key is another's, the secret itself, or short."""
    keys = {
        tokens.derive_backend(kind.token_type, key).signing_key
        for kind in (AccessToken, RefreshToken)
        for key in (KEY, OTHER_KEY)
    }
    assert len(keys) == 4
    assert all(len(key) >= 32 and KEY not in key for key in keys)


# What is refused

GOOD = payload_of(AccessToken)
FORGED = {
    "empty": "",
    "one-part": "abc",
    "two-parts": "a.b",
    "garbage": "a.b.c",
    "no-signature": f"{unsigned(GOOD).rpartition('.')[0]}.",
    "alg-none": unsigned(GOOD),
    "other-algorithm": sign(AccessToken, GOOD, algorithm="HS512"),
    "other-secret": sign(AccessToken, GOOD, key=OTHER_KEY),
    "plain-secret": jwt.encode(GOOD, KEY, algorithm="HS256"),
    "refresh-key": sign(RefreshToken, GOOD),
    "truncated": sign(AccessToken, GOOD)[:-1],
    "space-around": f" {sign(AccessToken, GOOD)} ",
    "newline-after": sign(AccessToken, GOOD) + "\n",
    "unicode": sign(AccessToken, GOOD).replace("e", "е", 1),  # noqa: RUF001  # Cyrillic
    "lone-surrogate": "\udcff.\udcff.\udcff",
    "surrogate-in-json": f"{segment(chr(34) + chr(0xD800) + chr(34))}.e30.AA",
    "nested": f"{segment('[' * 1400)}.e30.AA",
    "nested-payload": f"{segment('{}')}.{segment('[' * 1400)}.AA",
    "too-long": sign(AccessToken, GOOD | {"padding": "x" * 2000}),
    "huge": "a" * 1_000_000,
}


@pytest.mark.parametrize("raw", FORGED.values(), ids=FORGED)
@BOTH
def test_what_this_site_did_not_sign_is_invalid(kind, raw):
    """Garbage and forgeries are InvalidToken, never another error."""
    with pytest.raises(InvalidToken) as caught:
        kind.read(Secret(raw))
    assert len(raw) < 4 or raw not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": None},
        {"token_type": "access"},
        {"token_type": "tokenauth_other"},
        {"sid": None},
        {"sid": "someone"},
        {"sid": 7},
        {"rot": None},
        {"rot": "3"},
        {"rot": True},
        {"rot": 3.0},
        {"rot": -1},
        {"rot": 2**31},  # see test_the_last_rotation_that_the_database_can_hold_counts
        {"rot": 10**400},
        {"jkt": 7},
        {"iat": None},
        {"iat": "now"},
        {"iat": 1.5},
        {"exp": None},
        {"exp": "later"},
        {"exp": [1]},
    ],
    ids=lambda changes: "-".join(f"{name}-{value!r:.9}" for name, value in changes.items()),
)
@BOTH
def test_a_signed_token_with_impossible_claims_is_invalid(kind, changes):
    """Even under our own key only our own claims count."""
    assert kind.read(Secret(sign(kind, payload_of(kind)))).rot == 3
    with pytest.raises(InvalidToken):
        kind.read(Secret(sign(kind, payload_of(kind, **changes))))


@BOTH
def test_the_last_rotation_that_the_database_can_hold_counts(kind):
    """A PositiveIntegerField ends there."""
    assert kind.read(Secret(sign(kind, payload_of(kind, rot=2**31 - 1)))).rot == 2**31 - 1


@BOTH
def test_neither_token_passes_as_the_other(kind):
    """An access token does not refresh, and a refresh token signs nobody in."""
    other = {AccessToken: RefreshToken, RefreshToken: AccessToken}[kind]
    with pytest.raises(InvalidToken):
        other.read(Secret(sign(kind, payload_of(kind))))
    with pytest.raises(InvalidToken):
        other.read(Secret(sign(other, payload_of(kind))))


@BOTH
def test_the_sites_own_bearer_api_takes_none_of_ours(kind):
    """As a bearer token ours would skip revocation and CSRF."""
    with pytest.raises(SimpleJWTInvalidToken):
        JWTAuthentication().get_validated_token(sign(kind, payload_of(kind)))


@BOTH
def test_none_of_the_sites_bearer_tokens_is_ours(kind):
    """A bearer token of the site's simplejwt API signs nobody in by cookie."""
    theirs = {AccessToken: simplejwt.AccessToken, RefreshToken: simplejwt.RefreshToken}[kind]()
    theirs.payload |= payload_of(kind)
    with pytest.raises(InvalidToken):
        kind.read(Secret(str(theirs)))


# Times are judged, not verified


@BOTH
def test_an_expired_token_can_be_read(kind, now):
    """The sid of an expired access token is how the server knows what to refresh."""
    raw = sign(kind, payload_of(kind))
    now.shift(timedelta(days=3650))
    assert kind.read(Secret(raw)).expired


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_that_is_ahead_signs_nobody_out(claim):
    """A token issued by a server whose clock is ahead verifies on this one."""
    ahead = int(NOW.timestamp()) + 3600
    assert AccessToken.read(Secret(sign(AccessToken, payload_of(AccessToken, **{claim: ahead}))))


@pytest.fixture
def claims():
    """Claims of a token issued at noon, good for 100 seconds."""
    noon = int(NOW.timestamp())
    return Claims(SID, 0, noon, noon + 100)


def at(claims, seconds):
    return time_machine.travel(datetime.fromtimestamp(claims.iat + seconds, UTC), tick=False)


@pytest.mark.parametrize(("age", "expired"), [(0, False), (99.9, False), (100, True), (101, True)])
def test_a_token_expires_when_its_time_is_over(claims, age, expired):
    """Not a moment earlier or later."""
    with at(claims, age):
        assert claims.expired is expired


@pytest.mark.parametrize(("age", "valid"), [(0, True), (94.9, True), (95, False), (200, False)])
def test_a_token_that_is_about_to_expire_is_not_good_for_longer(claims, age, valid):
    """``valid_for`` looks ahead."""
    with at(claims, age):
        assert claims.valid_for(5) is valid


@pytest.mark.parametrize(("age", "older"), [(-9, False), (60, False), (61, False), (61.1, True)])
def test_a_token_is_called_older_only_when_it_surely_is(claims, age, older):
    """``iat`` is cut to whole seconds, so the age is judged a second late, never early."""
    with at(claims, age):
        assert claims.older_than(timedelta(seconds=60)) is older


def test_claims_cannot_be_changed(claims):
    """What was verified stays as it was verified."""
    with pytest.raises(AttributeError):
        claims.rot = 1
    assert replace(claims, rot=1).rot == 1
