"""Which proofs are good: RFC 9449's own examples, and each of its checks broken once (§4.3)."""

import base64
import json
import traceback

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.dpop.proofs import KEYS, METHOD, URL, hash_of, make_proof, segment
from tokenauth.dpop.nonces import STEP, make_nonce
from tokenauth.dpop.reading import ALGORITHMS, Proof, check_age, read_proof
from tokenauth.exceptions import InvalidProof, NonceNeeded
from tokenauth.secret import Secret

NOW = 1_800_000_000.0
TOKEN = "a.token.of-this-site"

# RFC 9449's own examples: one key, in a header that all of them have.
HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUk"
    "lDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUw"
    "Q2R2R1JEQSIsImNydiI6IlAtMjU2In19."
)
THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
SERVER = ("POST", "https://server.example.com/token")
RESOURCE = ("GET", "https://resource.example.org/protectedresource")
ACCESS_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
EXAMPLES = {
    "§4.1 and §5, a login": (
        (
            "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbG"
            "UuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ."
            "2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
        ),
        SERVER,
        None,
        ("-BwC3ESc6acc2lTc", 1562262616),
    ),
    "§5, a refresh": (
        (
            "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbG"
            "UuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjY1Mjk2fQ."
            "pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA"
        ),
        SERVER,
        None,
        ("-BwC3ESc6acc2lTc", 1562265296),
    ),
    "§7.1, a token in use": (
        (
            "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcG"
            "xlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05y"
            "V0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9."
            "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
        ),
        RESOURCE,
        ACCESS_TOKEN,
        ("e1j3V_bKic8-LAEB", 1562262618),
    ),
}
each_example = pytest.mark.parametrize(
    ("rest", "target", "token", "said"), EXAMPLES.values(), ids=EXAMPLES
)


def read(proof, method=METHOD, url=URL, token=None):
    """What a proof says; raw text counts, too."""
    raw = proof if isinstance(proof, Secret) else Secret(proof)
    token = None if token is None else Secret(token)
    return read_proof(raw, method=method, url=url, token=token)


# What is good


@each_example
def test_the_examples_of_the_rfc_are_good(rest, target, token, said):
    """And their key has the thumbprint that §6 prints."""
    proof = read(HEADER + rest, *target, token)
    assert (proof.thumbprint, proof.jti, proof.iat, proof.nonce) == (THUMBPRINT, *said, "")


@each_example
def test_the_examples_are_good_for_nothing_else(rest, target, token, said):
    """One letter of a signature, another method, page or token: each is refused."""
    (method, url), raw = target, HEADER + rest
    others = [
        (raw[:-10] + ("A" if raw[-10] != "A" else "B") + raw[-9:], method, url, token),
        (raw, "DELETE", url, token),
        (raw, method, f"{url}/other", token),
        (raw, method, url, "another"),
    ]
    for other in others:
        with pytest.raises(InvalidProof):
            read(*other)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_each_algorithm_is_read(alg):
    """With what a client may say beside it."""
    raw = make_proof(alg, jti="x" * 255, nonce="n", iat=NOW + 0.5, more=[1], header={"kid": "mine"})
    proof = read(raw)
    assert proof.thumbprint == KEYS[alg].thumbprint()
    assert (proof.jti, proof.iat, proof.nonce) == ("x" * 255, int(NOW), "n")
    assert len(proof.thumbprint) == 43


def test_the_longest_keys_fit():
    """RSA of 4,096 bits, with all that there may be: it is read up to its signature, here none."""
    long = {"kty": "RSA", "e": "AQAB", "n": segment(b"\xff" * 512)}
    raw = make_proof(
        "RS256", header={"jwk": long}, jti="x" * 255, ath=hash_of(TOKEN), nonce="n" * 43
    )
    signed = raw.reveal().rpartition(".")[0]
    with pytest.raises(InvalidProof, match="not signed by"):
        read(f"{signed}.{'A' * 683}")


def test_a_key_has_one_thumbprint_however_it_is_written():
    """A session is bound to the key, not to its spelling."""
    key = KEYS["ES256"].as_dict(private=False)
    longer = segment(b"\0" + base64.urlsafe_b64decode(f"{key['x']}="))
    more = key | {"kid": "k", "use": "sig", "alg": "ES256", "x5t": "?", "x": longer}
    assert read(make_proof(header={"jwk": more})).thumbprint == KEYS["ES256"].thumbprint()


def test_the_hash_of_a_token_is_asked_for_where_there_is_one():
    """§4.3 no. 12; without a token it means nothing."""
    assert read(make_proof(ath=hash_of(TOKEN)), token=TOKEN)
    assert read(make_proof(ath=hash_of("another")))
    for ath in (None, "", hash_of("another"), f"{hash_of(TOKEN)}=", 5):
        with pytest.raises(InvalidProof, match="its ath is not the hash of the token"):
            read(make_proof(ath=ath), token=TOKEN)


# What is wrong with others


def jwk(alg="ES256", /, **changes):
    members = KEYS[alg].as_dict(private=False) | changes
    return {name: member for name, member in members.items() if member is not None}


def weak_key():
    raw = RSAKey.binding.generate_private_key(1024)
    return RSAKey(raw, raw)


def forged(**header):
    """Signed with nothing, or with what everybody knows."""
    words = {"typ": "dpop+jwt", "jwk": jwk()} | header
    claims = {"jti": "1", "htm": METHOD, "htu": URL, "iat": NOW}
    return f"{segment(words)}.{segment(claims)}"


def by_a_secret(**header):
    """HS256 under the public key, which is what a careless library takes for its secret."""
    secret = OctKey.import_key(json.dumps(jwk()))
    return make_proof("HS256", key=secret, header={"jwk": jwk()} | header)


def other():
    return ECKey.generate_key("P-256")


def with_claims_of_another():
    (header, _, signature), (_, claims, _) = (
        proof.reveal().split(".") for proof in (make_proof(), make_proof())
    )
    return f"{header}.{claims}.{signature}"


NESTED = b"[" * 2900
PROOFS = {
    # 1 and 2: one JWT, well-formed
    "empty": (lambda: "", "not one JWT"),
    "two": (lambda: ",".join(make_proof().reveal() for _ in "12"), "not one JWT"),
    "two parts": (lambda: make_proof().reveal().rpartition(".")[0], "not one JWT"),
    "four parts": (lambda: f"{make_proof().reveal()}.x", "not one JWT"),
    "encrypted": (lambda: f"{make_proof().reveal()}.x.x", "not one JWT"),
    "a line": (lambda: f"{make_proof().reveal()}\n", "not one JWT"),
    "too long": (lambda: make_proof(more="x" * 3000), "not one JWT of at most 4096 characters"),
    "no signature": (lambda: forged(alg="none") + ".", "not one JWT"),
    "no base64": (lambda: f"a.{make_proof().reveal().partition('.')[2]}", "can't be read"),
    "no JSON": (lambda: make_proof(header=b"nonsense"), "can't be read"),
    "no UTF-8": (
        lambda: make_proof(header='{"typ": "dpop+jwt"}'.encode("utf-16")),
        "can't be read",
    ),
    "no object": (lambda: make_proof(header=b"[]"), "can't be read"),
    "deep header": (lambda: make_proof(header=NESTED), "can't be read"),
    "deep claims": (lambda: make_proof(claims=NESTED[:2000]), "can't be read"),
    "claims that are no JSON": (lambda: make_proof(claims=b"nonsense"), "can't be read"),
    "claims that are no object": (lambda: make_proof(claims=[]), "can't be read"),
    "a header twice": (
        lambda: make_proof(header=b'{"typ": "dpop+jwt", "typ": "dpop+jwt"}'),
        "can't be read",
    ),
    "a claim twice": (lambda: make_proof(claims=b'{"htm": "GET", "htm": "POST"}'), "can't be read"),
    # 3: the required claims
    "no jti": (lambda: make_proof(jti=None), "its jti is not"),
    "empty jti": (lambda: make_proof(jti=""), "its jti is not"),
    "number for jti": (lambda: make_proof(jti=5), "its jti is not"),
    "long jti": (lambda: make_proof(jti="x" * 256), "its jti is not"),
    "half a character in jti": (lambda: make_proof(jti="\ud800"), "its jti is not"),
    "no htm": (lambda: make_proof(htm=None), "its htm is not"),
    "no htu": (lambda: make_proof(htu=None), "its htu is not"),
    "number for htu": (lambda: make_proof(htu=5), "its htu is not"),
    "no iat": (lambda: make_proof(iat=None), "its iat is not"),
    "text for iat": (lambda: make_proof(iat="1800000000"), "its iat is not"),
    "true for iat": (lambda: make_proof(iat=True), "its iat is not"),
    "iat before the epoch": (lambda: make_proof(iat=-1), "its iat is not"),
    "iat beyond all numbers": (lambda: make_proof(iat=10**400), "its iat is not"),
    "iat that is endless": (lambda: make_proof(iat=float("inf")), "its iat is not"),
    "iat that is none": (lambda: make_proof(iat=float("nan")), "its iat is not"),
    "number for nonce": (lambda: make_proof(nonce=5), "its nonce is not"),
    # 4: the type
    "no typ": (lambda: make_proof(header={"typ": None}), "its typ is not dpop"),
    "typ of an access token": (lambda: make_proof(header={"typ": "at+jwt"}), "its typ is not dpop"),
    "typ in capitals": (lambda: make_proof(header={"typ": "DPoP+JWT"}), "its typ is not dpop"),
    # 5: the algorithm
    "no alg": (lambda: make_proof(header={"alg": None}), "its alg is not accepted"),
    "none": (lambda: forged(alg="none") + ".x", "its alg is not accepted"),
    "HS256": (by_a_secret, "its alg is not accepted"),
    "EdDSA": (lambda: make_proof("Ed25519", header={"alg": "EdDSA"}), "its alg is not accepted"),
    "list of algs": (lambda: make_proof(header={"alg": ["ES256"]}), "its alg is not accepted"),
    "alg of another key": (lambda: make_proof(header={"alg": "RS256"}), "its alg is not that of"),
    "HS256 as ES256": (lambda: by_a_secret(alg="ES256"), "not signed by"),
    # 6: the signature
    "signed by another": (lambda: make_proof(key=other(), header={"jwk": jwk()}), "not signed by"),
    "claims changed": (with_claims_of_another, "not signed by"),
    "signature of no length": (lambda: f"{forged(alg='ES256')}.xxxxx", "not signed by"),
    "signature of zeros": (lambda: f"{forged(alg='ES256')}.{'A' * 86}", "not signed by"),
    # 7: the key
    "no key": (lambda: make_proof(header={"jwk": None}), "its header has no jwk"),
    "text for key": (lambda: make_proof(header={"jwk": "key"}), "its header has no jwk"),
    "private key": (
        lambda: make_proof(header={"jwk": KEYS["ES256"].as_dict(private=True)}),
        "its jwk is private",
    ),
    "private RSA key": (
        lambda: make_proof("RS256", header={"jwk": jwk("RS256", qi="AQ")}),
        "private",
    ),
    "secret": (lambda: by_a_secret(alg="ES256", jwk={"kty": "oct", "k": "AQ"}), "is symmetric"),
    "unknown kind": (lambda: make_proof(header={"jwk": {"kty": "AKP"}}), "is incomplete"),
    "list for a kind": (lambda: make_proof(header={"jwk": jwk(kty=["EC"])}), "is incomplete"),
    "off the curve": (lambda: make_proof(header={"jwk": jwk(y=jwk()["x"])}), "cannot be read"),
    "at infinity": (lambda: make_proof(header={"jwk": jwk(x="AA", y="AA")}), "cannot be read"),
    "on another curve": (
        lambda: make_proof("ES384", key=ECKey.generate_key("P-384"), header={"alg": "ES256"}),
        "on a curve that is not accepted",
    ),
    "for agreement": (
        lambda: make_proof(header={"jwk": OKPKey.generate_key("X25519").as_dict(private=False)}),
        "on a curve that is not accepted",
    ),
    "small RSA": (lambda: make_proof("RS256", key=weak_key()), "is RSA of 1024 bits"),
    "RSA with exponent 1": (
        lambda: make_proof("RS256", header={"jwk": jwk("RS256", e="AQ")}),
        "cannot be read",
    ),
    "for encryption": (lambda: make_proof(header={"jwk": jwk(use="enc")}), "is not for signatures"),
    # 8
    "another method": (lambda: make_proof(htm="GET"), "its htm is not the method of the request"),
    "method in small letters": (lambda: make_proof(htm="post"), "its htm is not the method"),
    # RFC 7515 §4.1.11, RFC 7797, RFC 8725 §3.10
    "crit": (lambda: make_proof(header={"crit": ["exp"], "exp": 5}), "brings what is not accepted"),
    "b64": (lambda: make_proof(header={"b64": False}), "brings what is not accepted"),
    "key elsewhere": (lambda: make_proof(header={"jku": "https://a.test"}), "brings what is not"),
}


@pytest.mark.parametrize(("make", "why"), PROOFS.values(), ids=PROOFS)
def test_a_proof_with_one_flaw_is_refused_and_nothing_of_it_is_told(make, why):
    """§4.3: all of the checks; in the order in which the error says what to change."""
    raw = make()
    raw = raw.reveal() if isinstance(raw, Secret) else raw
    with pytest.raises(InvalidProof, match=why) as caught:
        read(raw)
    error = caught.value
    assert error.__context__ is error.__cause__ is None  # others' errors carry what they read
    said = "".join(traceback.format_exception(error))
    told = [part for part in raw.split(".") if len(part) > 5 and part in said]
    assert told == []
    assert not set('"\\') & set(str(error))  # RFC 6749 §5.2: error_description


def test_a_proof_shows_nothing_of_itself():
    """It stands in the local variables that error reports send."""
    proof = Proof("thumbprint", "identifier", 5, "nonce")
    assert all(word not in f"{proof} {proof!r}" for word in ("thumb", "identifier", "nonce"))


# Its address (RFC 3986 §6.2.2, §6.2.3)

SAME = {
    "as it is": (URL, URL),
    "scheme and host in capitals": ("HTTPS://TestServer/auth/token/", URL),
    "the usual port": ("https://testserver:443/auth/token/", URL),
    "an empty port": ("https://testserver:/auth/token/", URL),
    "the usual port of http": ("http://testserver/", "http://testserver:80/"),
    "a query": (f"{URL}?a=b/../c#d", f"{URL}?e"),
    "a fragment": (f"{URL}#a?b", URL),
    "an empty path": ("https://testserver", "https://testserver/"),
    "an empty path and a query": ("https://testserver?a", "https://testserver/"),
    "letters that need no encoding": ("https://testserver/%61uth/%74oken/", URL),
    "encoded in small letters": ("https://testserver/%c3%bc", "https://testserver/%C3%BC"),
    "what Django encodes": ("https://testserver/a;b=c", "https://testserver/a%3Bb%3Dc"),
    "dots": ("https://testserver/./x/../auth/token/", URL),
    "encoded dots": ("https://testserver/x/%2E%2e/auth/token/", URL),
    "dots beyond the root": ("https://testserver/../auth/token/", URL),
    "dots at the end": ("https://testserver/auth/token/x/..", URL),
    "a dot at the end": ("https://testserver/auth/token/.", URL),
    "a port of its own": ("https://testserver:8443/", "https://testserver:8443"),
    "IPv6": ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
}
OTHER = {
    "another path": ("https://testserver/auth/login/", URL),
    "another case in the path": ("https://testserver/Auth/token/", URL),
    "no slash at the end": (URL[:-1], URL),
    "two slashes": ("https://testserver//auth/token/", URL),
    "a path behind": (f"{URL}x", URL),
    "another host": ("https://evil.test/auth/token/", URL),
    "another scheme": ("http://testserver/auth/token/", URL),
    "another scheme with its port": ("http://testserver:443/auth/token/", URL),
    "another port": ("https://testserver:8443/auth/token/", URL),
    "the port of the other scheme": ("https://testserver:80/auth/token/", URL),
    "a dot behind the host": ("https://testserver./auth/token/", URL),
    "a host in front": ("https://evil.test/https://testserver/auth/token/", URL),
    "userinfo": ("https://alice@testserver/auth/token/", URL),
    "userinfo like a host": ("https://testserver:443@evil.test/auth/token/", URL),
    "empty userinfo": ("https://@testserver/auth/token/", URL),
    "no scheme": ("//testserver/auth/token/", URL),
    "a path alone": ("/auth/token/", URL),
    "no host": ("https:///auth/token/", URL),
    "a backslash": ("https://testserver\\auth/token/", URL),
    "a line at the end": (f"{URL}\n", URL),
    "a blank in front": (f" {URL}", URL),
    "half an encoding": ("https://testserver/auth/token/%", "https://testserver/auth/token/%25"),
    "beyond ASCII": ("https://testserver/ü", "https://testserver/%C3%BC"),
    "a letter that folds to k": ("https://\u212a.test/", "https://k.test/"),
    "a letter that folds to s": ("http\u017f://testserver/auth/token/", URL),
    "no address twice": ("nonsense", "nonsense"),
}


@pytest.mark.parametrize(("htu", "url"), SAME.values(), ids=SAME)
def test_an_address_may_be_spelt_otherwise(htu, url):
    """§4.3: syntax- and scheme-based normalisation, and no query or fragment."""
    assert read(make_proof(htu=htu), url=url)


@pytest.mark.parametrize(("htu", "url"), OTHER.values(), ids=OTHER)
def test_another_address_is_refused(htu, url):
    """A proof is good for one page."""
    with pytest.raises(InvalidProof, match="its htu is not the address of the request"):
        read(make_proof(htu=htu), url=url)


# Its age


def proof_of(iat=NOW, nonce=""):
    return Proof("thumbprint", "jti", int(iat), nonce)


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_a_proof_of_this_minute_is_good(seconds):
    """Clocks differ."""
    check_age(proof_of(iat=NOW + seconds), NOW, needs_nonce=False)


@pytest.mark.parametrize("seconds", [-61, 61, 86400, -NOW + 1])
def test_a_proof_of_another_time_asks_for_a_nonce(seconds):
    """So a wrong clock locks nobody out (§11.1)."""
    with pytest.raises(NonceNeeded, match="its iat is over 60 seconds away"):
        check_age(proof_of(iat=NOW + seconds), NOW, needs_nonce=False)


@pytest.mark.parametrize("needs_nonce", [True, False])
def test_with_a_good_nonce_the_clients_clock_means_nothing(needs_nonce):
    """Ours has the word then."""
    proof = proof_of(iat=5, nonce=make_nonce(NOW))
    check_age(proof, NOW + STEP, needs_nonce=needs_nonce)
    with pytest.raises(NonceNeeded):
        check_age(proof, NOW + 2 * STEP, needs_nonce=needs_nonce)


def test_where_a_nonce_is_needed_nothing_else_will_do():
    """§9: the client is told one, and asks again."""
    for nonce in ("", "of-another-server"):
        with pytest.raises(NonceNeeded, match="without a nonce of this server"):
            check_age(proof_of(nonce=nonce), NOW, needs_nonce=True)


def test_an_old_nonce_is_not_overlooked_where_none_is_needed():
    """Signed ahead, the proof would be used twice: now by its nonce, and then by its ``iat``."""
    later = NOW + 3600
    proof = proof_of(iat=later, nonce=make_nonce(NOW))
    check_age(proof, NOW, needs_nonce=False)
    with pytest.raises(NonceNeeded):
        check_age(proof, later, needs_nonce=False)
