"""Device tokens: what they say, by whose keys, and that they pass for nothing else."""

import json
import time
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.device.keys import ES256, RS256, encoded
from tokenauth.device.tokens import DeviceToken, issue_device_token, judged
from tokenauth.exceptions import InvalidToken
from tokenauth.request.jar.device import device_place, device_token_in
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.jwt.claims import Claims
from tokenauth.session.jwt.jwk import canonical, thumbprint_of
from tokenauth.session.tokens import AccessToken, RefreshToken, derive_backend, secret_keys

SID = UUID("0b7c2f1e-5d0a-4f2e-9a3b-0c1d2e3f4a5b")
KEY = canonical(ES256().jwk)


@pytest.fixture(params=["secret key", "signing key", "signing key beside the secret one"])
def signed(request, settings):
    """By what a site signs its access tokens."""
    if request.param != "secret key":
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        settings.TOKENAUTH_ISSUER = "https://app.site.test/"
        entries = [pem.decode()]
        settings.TOKENAUTH_SIGNING_KEYS = (
            entries if "beside" not in request.param else ["HS256", *entries]
        )
    return request.param


def test_the_first_one_brings_the_key(signed):
    """By which the session is bound once the browser has shown it; no report shows the key."""
    said = DeviceToken.read(issue_device_token(SID, KEY, proved=77, is_first=True))
    assert (said.sid, said.jkt, said.jwk, said.proved) == (SID, thumbprint_of(KEY), KEY, 77)
    assert KEY not in repr(said)


def test_a_later_one_tells_the_thumbprint_alone(signed, settings):
    """And is good for as long as the site says."""
    settings.TOKENAUTH_DEVICE_TOKEN_LIFETIME = 120
    before = int(time.time())
    said = DeviceToken.read(issue_device_token(SID, KEY, proved=77))
    assert (said.jkt, said.jwk, said.exp - said.iat) == (thumbprint_of(KEY), "", 120)
    assert before <= said.iat <= time.time()


@pytest.mark.parametrize("kind", [ES256, RS256])
def test_the_first_one_fits_into_a_cookie(signed, kind):
    """Name and value are under 4,096 bytes with a key of either kind."""
    raw = issue_device_token(SID, canonical(kind().jwk), proved=77, is_first=True)
    assert len(device_place(SID).name + raw.reveal()) < 2000


def test_no_token_passes_as_one_of_another_kind(signed):
    """Neither way; the site's key is one for all kinds."""
    device = issue_device_token(SID, KEY, proved=77)
    for kind in (AccessToken, RefreshToken):
        with pytest.raises(InvalidToken):
            kind.read(device)
    claims = Claims(SID, 0, int(time.time()), int(time.time()) + 60)
    for kind in (AccessToken, RefreshToken):
        with pytest.raises(InvalidToken):
            DeviceToken.read(kind.issue(secret_keys()[0], claims, "x"))


def test_an_access_token_by_the_same_key_is_no_device_token(settings, signed):
    """Its type says so (RFC 8725 §3.11)."""
    keys = tokens.signing_keys()
    if keys is None or keys.uses_hs256_first:
        pytest.skip("the site signs with the secret key: see above")
    payload = {"iss": "https://app.site.test/", "sid": str(SID), "jkt": "x", "proved": 1}
    raw = keys.sign(payload | {"iat": 1, "exp": 2})
    with pytest.raises(InvalidToken, match="typed"):
        DeviceToken.read(raw)


GOOD = {
    "token_type": DeviceToken.token_type,
    "sid": str(SID),
    "jkt": thumbprint_of(KEY),
    "iat": 1,
    "exp": 2,
    "proved": 1,
}
FLAWS = {
    "of another type": {"token_type": "tokenauth_access"},
    "no session": {"sid": None},
    "another session's form": {"sid": str(SID).upper()},
    "no key": {"jkt": ""},
    "a key that is no text": {"jkt": 7},
    "another key": {"jwk": canonical(ES256().jwk)},
    "a key that is no key's text": {"jwk": ["x"]},
    "no time": {"iat": None},
    "a time that is none": {"exp": True},
    "no proof": {"proved": "1"},
}


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=FLAWS)
def test_what_says_something_else_is_none(flaw):
    """Though our own key has signed it; a resource server judges by the same lines."""
    backend = derive_backend(DeviceToken.token_type, secret_keys()[0].reveal())
    assert DeviceToken.read(Secret(backend.encode(GOOD))).sid == SID
    with pytest.raises(InvalidToken):
        DeviceToken.read(Secret(backend.encode(GOOD | flaw)))
    if "token_type" not in flaw:
        with pytest.raises(InvalidToken, match="no device token of ours"):
            judged({"iss": "us", **GOOD, **flaw}, "us")


def test_one_of_another_issuer_is_none():
    """An authorization server of another site's may have signed it."""
    with pytest.raises(InvalidToken, match="another issuer"):
        judged({"iss": "them", **GOOD}, "us")


def test_the_cookie_names_its_session_and_brings_a_token_of_no_other():
    """Of two people in one browser, each has a cookie."""
    name = device_place(SID).name
    assert name == "__Host-device_token_0b7c2f1e"
    theirs = UUID(int=SID.int + 1)
    assert device_place(theirs).name == name
    header = Secret(f"{name}=x; {name}={issue_device_token(theirs, KEY, proved=1).reveal()}")
    assert device_token_in(header, SID) is None
    found = device_token_in(header, theirs)
    assert found is not None
    assert found.sid == theirs


def test_it_follows_the_other_cookies_to_other_sites_frames(settings):
    """A site that is embedded elsewhere says None, and Strict is stricter."""
    assert device_place(SID).samesite == "Lax"
    settings.TOKENAUTH_COOKIE_SAMESITE = "None"
    assert device_place(SID)[1:] == ("/", None, True, "None")


def test_a_thumbprint_is_that_of_rfc_7638():
    """§3.1's own example."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    text = canonical({"alg": "RS256", "kid": "2011-04-29", "e": "AQAB", "n": n, "kty": "RSA"})
    assert json.loads(text) == {"e": "AQAB", "kty": "RSA", "n": n}
    assert thumbprint_of(text) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert encoded(b"") == ""
