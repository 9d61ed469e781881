"""Keys that others verify with: which are taken, and which tokens (RFC 7517, 8725, 9068).

A test of a rule names its section.
"""

import base64
import hashlib
import hmac
import json
import traceback
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tokenauth.exceptions import InvalidToken, UnknownKey
from tokenauth.secret import Secret
from tokenauth.session.jose import keys
from tokenauth.session.jose.keys import KeySet, SigningKeys

KEYS = {
    "ES256": ECKey.generate_key("P-256"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "RS256": RSAKey.generate_key(2048),
}
each_algorithm = pytest.mark.parametrize("alg", KEYS)


def pem(key, *, private=True):
    return key.as_pem(private=private).decode()


def segment(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(alg="ES256", payload=None, key=None, **header):
    """A token as our keys sign it, with some words of its header changed; None drops one."""
    key = key or KEYS[alg]
    words = {"alg": alg, "typ": "at+jwt", "kid": key.thumbprint()} | header
    words = {name: word for name, word in words.items() if word is not None}
    signed = f"{segment(words)}.{segment({'sub': '1'} if payload is None else payload)}"
    signature = jws.JWSRegistry.algorithms[alg].sign(signed.encode(), key)
    return Secret(f"{signed}.{segment(signature)}")


@pytest.fixture(scope="module")
def published():
    """A set of all three, as a resource server reads it; a private RSA key takes long to check."""
    return KeySet.from_jwks(SigningKeys([pem(key) for key in KEYS.values()]).public.as_jwks())


def jwk(alg="ES256", /, **changes):
    """A public key as it is published, with some members changed; None drops one."""
    members = KEYS[alg].as_dict(private=False) | {"kid": "the-key"} | changes
    return {name: member for name, member in members.items() if member is not None}


# What is signed


@each_algorithm
def test_the_first_key_signs_and_the_set_verifies(alg):
    """One that is known by its public half alone, as JSON brings it."""
    others = [pem(key) for name, key in KEYS.items() if name != alg]
    signing = SigningKeys([pem(KEYS[alg]), *others])
    raw = signing.sign({"sub": "7"})
    document = json.loads(json.dumps(signing.public.as_jwks()))
    assert KeySet.from_jwks(document).verify(raw) == signing.public.verify(raw) == {"sub": "7"}
    header = json.loads(base64.urlsafe_b64decode(raw.reveal().split(".")[0] + "=="))
    assert header == {"alg": alg, "typ": "at+jwt", "kid": KEYS[alg].thumbprint()}


@each_algorithm
def test_a_key_is_named_by_its_thumbprint(alg):
    """RFC 7638 §3: the SHA-256 of the required members, in order, without spaces."""
    public = KEYS[alg].as_dict(private=False)
    members = {n: public[n] for n in ("crv", "e", "kty", "n", "x", "y") if n in public}
    text = json.dumps(members, separators=(",", ":"))
    kid = segment(hashlib.sha256(text.encode()).digest())
    assert SigningKeys([pem(KEYS[alg])]).public.kids == [kid]


def test_a_published_set_has_nothing_private():
    """RFC 7517 §9.3; what it has, says what it is for (§4.2, §4.4)."""
    published = SigningKeys([pem(key) for key in KEYS.values()]).public.as_jwks()["keys"]
    names = {name for key in published for name in key}
    assert names == {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}
    assert [(key["alg"], key["use"]) for key in published] == [(alg, "sig") for alg in KEYS]


def test_a_public_key_verifies_and_signs_nothing():
    """So the key that has just retired stays, where it can do no harm."""
    signing = SigningKeys([pem(KEYS["Ed25519"]), pem(KEYS["ES256"], private=False)])
    assert signing.public.verify(token("ES256")) == {"sub": "1"}
    with pytest.raises(ValueError, match="The first is a public key"):
        SigningKeys([pem(KEYS["ES256"], private=False), pem(KEYS["Ed25519"])])


@pytest.mark.parametrize(
    ("entries", "first", "verifies"),
    [
        (["HS256"], True, True),
        (["KEY"], False, False),
        (["HS256", "KEY"], True, True),
        (["KEY", "HS256"], False, True),
    ],
)
def test_hs256_may_stand_in_the_list(entries, first, verifies):
    """First, it signs; later, it verifies; it is never published."""
    given = [pem(KEYS["ES256"]) if entry == "KEY" else entry for entry in entries]
    signing = SigningKeys(given)
    assert (signing.uses_hs256_first, signing.verifies_hs256) == (first, verifies)
    assert len(signing.public.kids) == entries.count("KEY")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_key_may_be_in_a_file(tmp_path, kind):
    """By its path."""
    file = tmp_path / "key.pem"
    file.write_text(pem(KEYS["ES256"]))
    assert SigningKeys([kind(file)]).public.kids == [KEYS["ES256"].thumbprint()]


BAD_PEMS = {
    "RSA of 1024 bits": lambda: pem(small_key(1024)),
    "P-384": lambda: pem(ECKey.generate_key("P-384")),
    "secp256k1": lambda: pem(ECKey.generate_key("secp256k1")),
    "X25519": lambda: pem(OKPKey.generate_key("X25519")),
    "encrypted": lambda: KEYS["ES256"].as_pem(private=True, password="secret").decode(),
    "broken": lambda: pem(KEYS["ES256"])[:80] + pem(KEYS["ES256"])[90:],
    "no PEM": lambda: "-----BEGIN NONSENSE-----",
    "no file": lambda: "/nowhere/key.pem",
    "no path": lambda: "\0",
    "no text": lambda: 5,
}


def small_key(size):
    raw = RSAKey.binding.generate_private_key(size)
    return RSAKey(raw, raw)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("RSA of 1024 bits", "is RSA of 1024 bits: take 2048 to 4096"),
        ("P-384", "is on a curve that is not accepted: take P-256 or Ed25519"),
        ("secp256k1", "is on a curve that is not accepted: take P-256 or Ed25519"),
        ("X25519", "is on a curve that is not accepted: take P-256 or Ed25519"),
        ("encrypted", "is encrypted: nobody is there to type a passphrase"),
        ("broken", "is no PEM of a P-256, Ed25519 or RSA key"),
        ("no PEM", "is no PEM of a P-256, Ed25519 or RSA key"),
        ("no file", "cannot be read: No such file or directory"),
        ("no path", "cannot be read: neither PEM text nor the path of a PEM file"),
        ("no text", "cannot be read: neither PEM text nor the path of a PEM file"),
    ],
)
def test_a_key_that_will_not_do_is_told_by_its_number(given, said):
    """RFC 8725 §3.5, RFC 7518 §3.3: no weak keys; and which of the list it is."""
    with pytest.raises(ValueError, match=r"^No\. 2 ") as caught:
        SigningKeys(["HS256", BAD_PEMS[given]()])
    assert str(caught.value) == f"No. 2 {said}."


def test_one_key_is_not_there_twice():
    """Nor as its public half, beside the private one."""
    key = KEYS["ES256"]
    with pytest.raises(ValueError, match="is there twice"):
        SigningKeys([pem(key), pem(key, private=False)])


@each_algorithm
def test_a_new_key_signs(alg):
    """What ``tokenauth_key`` makes is what the setting takes."""
    kid, made = keys.make_key(alg)
    signing = SigningKeys([made.reveal()])
    assert signing.public.algorithms == {kid: alg}
    assert signing.public.verify(signing.sign({})) == {}


# What is verified: the header


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_an_access_token_says_that_it_is_one(published, typ):
    """RFC 9068 §4; media types know no case (RFC 7515 §4.1.9)."""
    assert published.verify(token(typ=typ)) == {"sub": "1"}


@pytest.mark.parametrize("typ", [None, "", "JWT", "dbsc+jwt", "application/jwt", 5, ["at+jwt"]])
def test_a_token_of_another_type_is_refused(published, typ):
    """RFC 9068 §4, RFC 8725 §3.11: an ID token, a proof; nor one that does not say."""
    with pytest.raises(InvalidToken, match="typed"):
        published.verify(token(typ=typ))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_an_unsigned_token_is_refused(published, alg):
    """RFC 8725 §2.1, §3.2; RFC 9068 §4: however it is spelt."""
    header = {"alg": alg, "typ": "at+jwt", "kid": KEYS["ES256"].thumbprint()}
    for signature in ("", "AA", GOOD.rpartition(".")[2]):
        with pytest.raises(InvalidToken):
            published.verify(Secret(f"{segment(header)}.{segment({'sub': '1'})}.{signature}"))


@each_algorithm
def test_a_public_key_is_no_secret_to_sign_with(published, alg):
    """RFC 8725 §2.1: HS256, with what everybody can read, in every form that a library takes."""
    key = KEYS[alg]
    header = {"alg": "HS256", "typ": "at+jwt", "kid": key.thumbprint()}
    signed = f"{segment(header)}.{segment({'sub': '1'})}"
    for secret in (key.as_pem(), key.as_pem().strip(), key.as_der(), json.dumps(jwk(alg)).encode()):
        mac = hmac.digest(secret, signed.encode(), "sha256")
        with pytest.raises(InvalidToken, match="algorithm of its key"):
            published.verify(Secret(f"{signed}.{segment(mac)}"))


@pytest.mark.parametrize(
    ("key", "alg"),
    [("RS256", "PS256"), ("RS256", "RS512"), ("Ed25519", "EdDSA")],
)
def test_a_key_verifies_under_its_own_algorithm_alone(published, key, alg):
    """RFC 8725 §3.1: not under another that would fit, though the signature is good."""
    forged = token(alg, key=KEYS[key])
    with pytest.raises(InvalidToken, match="algorithm of its key"):
        published.verify(forged)


@pytest.mark.parametrize(("mine", "named"), [("ES256", "Ed25519"), ("RS256", "ES256")])
def test_no_key_verifies_for_another(published, mine, named):
    """The one that is named must have signed."""
    forged = token(mine, kid=KEYS[named].thumbprint())
    with pytest.raises(InvalidToken):
        published.verify(forged)


@pytest.mark.parametrize(
    "word",
    [
        {"jku": "https://evil.example/jwks.json"},
        {"jwk": KEYS["Ed25519"].as_dict(private=False)},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"], "exp": 1},
        {"b64": True},
    ],
    ids=lambda word: next(iter(word)),
)
def test_a_header_that_brings_a_key_or_changes_the_rules_is_refused(published, word):
    """RFC 8725 §3.10, RFC 7515 §4.1.11, RFC 7797: though the signature is good."""
    with pytest.raises(InvalidToken, match="header"):
        published.verify(token(**word))


def test_a_header_that_nobody_knows_changes_nothing(published):
    """RFC 7515 §4: what is not understood is ignored, unless it is critical."""
    assert published.verify(token(cty="JWT", tip="top")) == {"sub": "1"}


def test_a_key_that_is_not_in_the_set_is_told_apart(published):
    """A server that fetches the set may look whether there is a new one."""
    with pytest.raises(UnknownKey):
        published.verify(token(key=ECKey.generate_key("P-256")))


@pytest.mark.parametrize("kid", [None, 5, ["a"], {}])
def test_a_token_that_names_no_key_is_refused(published, kid):
    """No key is tried by guessing, and nobody is made to fetch keys for it."""
    with pytest.raises(InvalidToken) as caught:
        published.verify(token(kid=kid))
    assert not isinstance(caught.value, UnknownKey)


# What is verified: the rest

GOOD = token().reveal()
SPOILED = {
    "empty": "",
    "two-parts": GOOD.rpartition(".")[0],
    "four-parts": f"{GOOD}.x",
    "truncated": GOOD[:-1],
    "longer": GOOD + "A",
    "space": f" {GOOD}",
    "newline": f"{GOOD}\n",
    "unicode": GOOD.replace("e", "е", 1),  # noqa: RUF001  # Cyrillic
    "base64": GOOD.replace(".", ".="),
    "payload": f"{GOOD.split('.')[0]}.{segment({'sub': '2'})}.{GOOD.split('.')[2]}",
    "zero-signature": GOOD.rpartition(".")[0] + "." + segment(bytes(64)),
    "der-signature": GOOD.rpartition(".")[0] + "." + segment(b"\x30" * 70),
    "header-list": f"{segment(['alg', 'kid', 'typ'])}.e30.AA",
    "header-text": f"{segment('alg')}.e30.AA",
    "header-number": f"{segment(5)}.e30.AA",
    "header-nested": f"{segment(b'[' * 1400)}.e30.AA",
    "header-bytes": f"{segment(bytes(range(256)))}.e30.AA",
    "huge": "a" * 1_000_000,
    "over-a-cookie": f"{GOOD.split('.')[0]}.{'e' * 4096}.AA",
}


@pytest.mark.parametrize("raw", SPOILED.values(), ids=SPOILED)
def test_what_no_key_has_signed_is_invalid(published, raw):
    """Garbage and forgeries are InvalidToken, never another error, and are not repeated."""
    with pytest.raises(InvalidToken) as caught:
        published.verify(Secret(raw))
    assert len(raw) < 4 or raw not in str(caught.value)


@pytest.mark.parametrize("payload", [[], "text", 5, None])
def test_a_payload_is_an_object(published, payload):
    """RFC 7519 §7.2: even a good signature makes no claims of a list."""
    with pytest.raises(InvalidToken):
        published.verify(token(payload=json.dumps(payload).encode()))


def test_a_payload_that_is_no_json_is_invalid(published):
    """Signed or not."""
    for body in (b"{", b"\xff", b"[" * 2000):
        with pytest.raises(InvalidToken):
            published.verify(token(payload=body))


# Which sets are read


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "the-key"}, "is symmetric"),
        (jwk(d="AAAA"), "is private"),
        (jwk("RS256", p="AAAA"), "is private"),
        (jwk(kty=None), "is incomplete"),
        (jwk(kty=["EC"]), "is incomplete"),
        (jwk(x=None), "is incomplete"),
        (jwk(x=5), "is incomplete"),
        (jwk(x="AAAA"), "cannot be read"),
        (jwk(x="!"), "cannot be read"),
        (jwk(crv="P-384"), "is on a curve that is not accepted"),
        (jwk("Ed25519", crv="X25519"), "is on a curve that is not accepted"),
        (jwk("Ed25519", crv="P-256"), "cannot be read"),
        (jwk("RS256", n="AQAB"), "cannot be read"),
        (jwk("RS256", n=segment(b"\xff" * 128)), "is RSA of 1024 bits"),
        (jwk("RS256", n=segment(b"\0" * 128 + b"\xff" * 128)), "is RSA of 1024 bits"),
        (jwk("RS256", n=segment(b"\xff" * 1024)), "is RSA of 8192 bits"),
        (jwk("RS256", e="AQ"), "cannot be read"),
        (jwk(use="enc"), "is not for signatures by ES256"),
        (jwk(alg="ES384"), "is not for signatures by ES256"),
        (jwk(alg="HS256"), "is not for signatures by ES256"),
        (jwk("Ed25519", alg="EdDSA"), "is not for signatures by Ed25519"),
        (jwk("RS256", alg="PS256"), "is not for signatures by RS256"),
    ],
)
def test_a_key_of_a_set_that_will_not_do_is_told_by_its_name(key, said):
    """RFC 8725 §3.1, §3.5: whoever serves the set is told which of its keys, never the key."""
    with pytest.raises(ValueError, match=r"^The key 'the-key' ") as caught:
        KeySet.from_jwks({"keys": [jwk("RS256") | {"kid": "other"}, key]})
    assert str(caught.value).startswith(f"The key 'the-key' {said}")
    assert not [m for n, m in key.items() if n in "xynek" and str(m) in str(caught.value)[20:]]


@pytest.mark.parametrize(
    "document",
    [
        *(None, [], "keys", {}),
        *({"keys": keys} for keys in (None, {}, [], [5], ["key"], [jwk(kid=5)], [{"kty": "AKP"}])),
    ],
)
def test_what_is_no_key_set_is_a_value_error(document):
    """An error page in JSON, a list of nothing."""
    with pytest.raises(ValueError, match="key"):
        KeySet.from_jwks(document)


def test_keys_of_a_later_time_are_left_out():
    """RFC 7517 §5: a type that is not understood; the others count."""
    assert KeySet.from_jwks({"keys": [{"kty": "AKP", "pub": "x"}, jwk()]}).kids == ["the-key"]


def test_two_keys_of_one_name_are_refused():
    """RFC 7517 §4.5: nobody knows which of the two would verify."""
    with pytest.raises(ValueError, match="'the-key' is there twice"):
        KeySet.from_jwks({"keys": [jwk(), jwk("RS256")]})


def test_a_long_name_does_not_fill_the_log():
    """It is a stranger's word."""
    with pytest.raises(ValueError, match="The key") as caught:
        KeySet.from_jwks({"keys": [jwk(kid="x" * 5000, use="enc")]})
    assert len(str(caught.value)) < 200


# What is told of a key


@pytest.mark.parametrize("place", [0, 1], ids=["twice", "broken"])
def test_no_traceback_tells_a_key(place):
    """Not even the local variables of a frame, which reporters send; no error is chained to it."""
    text = pem(KEYS["ES256"])
    given = Secret([text, [text, text[:80] + text[90:]][place]])
    with pytest.raises(ValueError, match=["is there twice", r"^No\. 2 is no PEM"][place]) as caught:
        SigningKeys(given)
    error, secret = caught.value, text.splitlines()[1][:30]
    assert error.__context__ is error.__cause__ is None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
    assert len(frames) > 1
    shown = [repr(local) for frame in frames for local in frame.f_locals.values()]
    assert [words for words in [*shown, str(error)] if secret in words] == []


def test_the_keys_themselves_tell_nothing_private():
    """However deep a reporter looks into them."""
    signing = SigningKeys([pem(KEYS["ES256"])])
    private = KEYS["ES256"].as_dict(private=True)["d"]
    seen = f"{signing!r} {vars(signing)} {signing.public!r} {vars(signing.public)}"
    assert private not in seen
    assert KEYS["ES256"].thumbprint() in repr(signing.public)
    key = next(iter(signing.public._keys.values()))
    assert private not in f"{key!r} {vars(key)} {key.key.as_dict()}"
    assert not key.key.is_private
