"""Proofs of a device key: which are taken, and that of the others nothing is told."""

import base64
import hashlib
import hmac
import json
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.device.keys import ES256, RS256, encoded, number, prove
from tokenauth.device.proofs import read_proof, read_registration, unquoted
from tokenauth.exceptions import InvalidProof
from tokenauth.secret import Secret
from tokenauth.session.jwt.jwk import canonical, thumbprint_of

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))["vectors"]
KEY, OTHER = ES256(), ES256()
RSA_KEY = RS256()
PUBLIC = canonical(KEY.jwk)


def proof(*, header=None, claims=None, key=KEY, signature=None):
    """A proof that registers a key, with some of it changed; None leaves a part of it out."""
    said = {"typ": "dbsc+jwt", "alg": key.alg, "jwk": key.jwk} | (header or {})
    said = {name: value for name, value in said.items() if value is not None}
    signed = f"{encoded(said)}.{encoded({'jti': 'word'} if claims is None else claims)}"
    return f"{signed}.{encoded(key.sign(signed.encode())) if signature is None else signature}"


def by_hmac():
    """One that is "signed" with the public key as a shared secret (RFC 8725 §2.1)."""
    signed = (
        f"{encoded({'typ': 'dbsc+jwt', 'alg': 'HS256', 'jwk': KEY.jwk})}.{encoded({'jti': 'word'})}"
    )
    return (
        f"{signed}.{encoded(hmac.new(PUBLIC.encode(), signed.encode(), hashlib.sha256).digest())}"
    )


def on_p384():
    """A key on another curve."""
    point = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    return {"kty": "EC", "crv": "P-384", "x": number(point.x, 48), "y": number(point.y, 48)}


def short_rsa():
    """A key of 1,024 bits."""
    public = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505  # to be refused
    return {"kty": "RSA", "n": number(public.n, 128), "e": number(public.e, 3)}


@pytest.mark.parametrize("key", [KEY, RSA_KEY], ids=["ES256", "RS256"])
def test_a_proof_tells_the_key_and_what_it_has_signed(key):
    """Once with the key, to register it, then without."""
    public, challenge = read_registration(Secret(prove(key, "word", brings_key=True)))
    assert (public, challenge) == (canonical(key.jwk), "word")
    assert read_proof(Secret(prove(key, "word")), public) == "word"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["alg"])
def test_proofs_of_keys_that_nobody_has_any_more_still_count(vector):
    """Made once, and never again by the code that reads them."""
    public, challenge = read_registration(Secret(vector["registration"]))
    assert json.loads(public) == vector["jwk"]
    assert thumbprint_of(public) == vector["thumbprint"]
    assert challenge == vector["challenge"] == read_proof(Secret(vector["refresh"]), public)


@pytest.mark.parametrize("quoted", ['"word"', "word"])
def test_a_header_may_be_in_quotes(quoted):
    """Browsers send a string of a structured field; drafts before had a token."""
    assert unquoted(quoted).reveal() == "word"
    assert unquoted('"').reveal() == '"'


PRIVATE = KEY.jwk | {"d": number(KEY.private.private_numbers().private_value, 32)}
OFF_THE_CURVE = KEY.jwk | {"y": OTHER.jwk["y"]}
REFUSED = {
    "no proof": lambda: "",
    "no JWT": lambda: "nonsense",
    "two": lambda: f"{proof()}, {proof()}",
    "longer than any": lambda: proof(claims={"jti": "x" * 4000}),
    "none": lambda: proof(header={"alg": "none"}, signature=""),
    "none, with a signature": lambda: proof(header={"alg": "none"}),
    "HS256": by_hmac,
    "another algorithm": lambda: proof(header={"alg": "Ed25519"}),
    "the algorithm of another key": lambda: proof(header={"alg": "RS256"}),
    "no algorithm": lambda: proof(header={"alg": None}),
    "no key": lambda: proof(header={"jwk": None}),
    "a private key": lambda: proof(header={"jwk": PRIVATE}),
    "a key off the curve": lambda: proof(header={"jwk": OFF_THE_CURVE}),
    "a key on another curve": lambda: proof(header={"jwk": on_p384()}),
    "a short RSA key": lambda: proof(header={"jwk": short_rsa(), "alg": "RS256"}),
    "a symmetric key": lambda: proof(header={"jwk": {"kty": "oct", "k": "AAAA"}}),
    "somebody else's key": lambda: proof(header={"jwk": OTHER.jwk}),
    "a key from elsewhere": lambda: proof(header={"jku": "https://a.test/"}),
    "crit": lambda: proof(header={"crit": ["exp"]}),
    "another type": lambda: proof(header={"typ": "JWT"}),
    "a DPoP proof": lambda: proof(header={"typ": "dpop+jwt"}),
    "no type": lambda: proof(header={"typ": None}),
    "claims that are a list": lambda: proof(claims=b"[]"),
    "claims that are no JSON": lambda: proof(claims=b"{"),
    "claims nested too deep": lambda: proof(claims=b"[" * 3000),
    "a name twice": lambda: proof(claims=b'{"jti": "word", "jti": "other"}'),
    "no signature": lambda: proof(signature=""),
    "a signature of something else": lambda: proof(signature=proof(claims={}).split(".")[2]),
    "a signature in ASN.1": lambda: proof(signature=encoded(b"0" * 70)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_no_other_proof_registers_a_key_and_nothing_of_it_is_told(make):
    """Nor does any error of a library's go along: it would carry what came."""
    raw = make()
    with pytest.raises(InvalidProof) as caught:
        read_registration(Secret(raw))
    assert caught.value.__context__ is caught.value.__cause__ is None
    said = "".join(traceback.format_exception(caught.value))
    assert [part for part in raw.split(".") if len(part) > 8 and part in said] == []


KNOWN = {
    "of another key": lambda: prove(OTHER, "word"),
    "of another kind of key": lambda: prove(RSA_KEY, "word"),
    "that brings its own key": lambda: prove(OTHER, "word", brings_key=True),
    "that brings even the right one": lambda: prove(KEY, "word", brings_key=True),
    "none": lambda: proof(header={"jwk": None, "alg": "none"}, signature=""),
    "no proof": lambda: "",
}


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_a_key_that_is_known_is_proven_by_itself_alone(make):
    """By what is stored, whatever a header says."""
    with pytest.raises(InvalidProof):
        read_proof(Secret(make()), PUBLIC)


@pytest.mark.parametrize("claims", [{}, {"jti": None}, {"jti": 7}, {"jti": ["word"]}], ids=str)
def test_a_proof_of_no_challenge_is_for_the_caller_to_refuse(claims):
    """It is no text; whatever it is, no challenge of ours is like it."""
    _, challenge = read_registration(Secret(proof(claims=claims)))
    assert challenge != "word"


def test_what_a_browser_says_besides_does_not_matter():
    """Chromium may add an audience; nobody asks for one (W3C DBSC)."""
    raw = proof(claims={"jti": "word", "aud": "https://a.test", "iat": 1, "key": {}})
    assert read_registration(Secret(raw)) == (PUBLIC, "word")
    assert json.loads(base64.urlsafe_b64decode(raw.split(".")[0] + "=="))["typ"] == "dbsc+jwt"
