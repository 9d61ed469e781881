"""Jobs of a CI show what they are, by a token of their issuer's: a real one, on this machine.

A test of a rule names its section.
"""

import hmac
import re
import time

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from joserfc.jwk import RSAKey

from tests.clients import (
    AUDIENCE,
    DISCOVERY,
    EC,
    GITHUB,
    GITLAB,
    KEYS_PATH,
    RSA,
    claims,
    key_set,
    segment,
    signed,
)
from tests.factories import UserFactory
from tests.resource.issuer import Clock, hang, issuer, nobody, publish, reply, until
from tokenauth.clients import assertions, issuers
from tokenauth.clients.assertions import InvalidAssertion, verify_assertion
from tokenauth.exceptions import Unavailable
from tokenauth.resource.keys import fetching, published
from tokenauth.resource.keys.fetching import FetchError
from tokenauth.secret import Secret
from tokenauth.session.jose.keys import SigningKeys


def deployer(said):
    """Whose jobs a site lets in: those of one repository, or project, at its main branch."""
    if "dismissed" in said["sub"]:
        return get_user_model()(is_active=False)
    ours = ("repository_id", "74", "refs/heads/main"), ("project_id", "20", "main")
    if any(said.get(name) == value and said["ref"] == ref for name, value, ref in ours):
        return get_user_model()(pk=7)
    return None


def broken(said):
    """A function with a slip of the pen."""
    return said["repositry"]


def title(said):
    """What a site calls its jobs: as it likes."""
    return said.get("title")


def answers(document=None, keys=None):
    """Answer with the document that says where the keys are, and with them."""

    def answer(handler):
        origin = handler.server.origin
        ours = {"issuer": origin, "jwks_uri": origin + KEYS_PATH}
        told = {DISCOVERY: document or ours, KEYS_PATH: keys or key_set(RSA, EC)}
        publish(told[handler.path])(handler)

    return answer


@pytest.fixture
def server():
    """The CI's issuer."""
    with issuer() as running:
        running.answer = answers()
        yield running


@pytest.fixture
def clock(monkeypatch):
    """What the keys' ages are counted by. A fetch may take its time on a busy machine."""
    clock = Clock()
    monkeypatch.setattr(published, "time", clock)
    monkeypatch.setattr(published, "TIMEOUT", 20)
    monkeypatch.setattr(fetching, "TIMEOUT", 20)
    return clock


def entry(**more):
    return {"audience": AUDIENCE, "user": f"{__name__}.deployer"} | more


@pytest.fixture
def trust(settings):
    """A function that has the site trust these issuers."""

    def trust(*origins, **more):
        settings.TOKENAUTH_TRUSTED_ISSUERS = {origin: entry(**more) for origin in origins}

    yield trust
    issuers.forget()


@pytest.fixture
def ci(server, clock, trust):
    """An issuer that the site trusts, and whose keys nobody has fetched yet."""
    trust(server.origin)
    return server


def verify(raw):
    return verify_assertion(Secret(raw))


def refused(raw):
    """Why a token signs nobody in; nothing of it may be told."""
    with pytest.raises(InvalidAssertion) as caught:
        verify(raw)
    assert fits_in_an_error(str(caught.value))
    assert not [part for part in raw.split(".") if len(part) > 4 and part in str(caught.value)]
    return str(caught.value)


def fits_in_an_error(text):
    """RFC 6749 §5.2: what an error_description may be made of."""
    return re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", text)


# Whose job it is


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
@pytest.mark.parametrize(
    ("shape", "name"),
    [(GITHUB, "deploy.yml of example/shop"), (GITLAB, ".gitlab-ci.yml of example/shop")],
    ids=["github", "gitlab"],
)
def test_a_job_is_let_in_as_whom_the_site_says_and_named_by_what_it_is(ci, key, shape, name):
    """By a token in the shape of GitHub's, and of GitLab's."""
    job = verify(signed(claims(ci.origin, shape), key))
    assert (job.user.pk, job.name) == (7, name)
    assert re.fullmatch("[0-9a-f]{64}", job.mark)
    assert job.mark not in repr(job)


@pytest.mark.django_db
@pytest.mark.users
def test_the_sites_function_may_ask_the_database(ci, trust):
    """It is called where that is allowed, with what the token says."""
    user = UserFactory()
    trust(ci.origin, user=f"{__name__}.latest")
    assert verify(signed(claims(ci.origin))).user == user


def latest(said):
    """The youngest account."""
    return get_user_model().objects.latest("pk")


def test_a_mark_is_of_one_token(ci, trust):
    """Whoever writes it into a unique column lets each in once. Another issuer's may share ids."""
    with issuer() as other:
        other.answer = answers()
        trust(ci.origin, other.origin)
        said = claims(ci.origin, jti="1")
        first, again = verify(signed(said)).mark, verify(signed(said, EC)).mark
        assert first == again
        later = verify(signed(said | {"jti": "2"})).mark
        others = verify(signed(said | {"iss": other.origin})).mark
    assert len({first, later, others}) == 3


NAMES = {
    "github-reusable": (GITHUB | {"job_workflow_ref": "other/ci/.github/workflows/x.yml@v1"}, ""),
    "github-without-file": (GITHUB | {"workflow_ref": None}, "Deploy of example/shop"),
    "gitlab-without-file": (GITLAB | {"ci_config_ref_uri": None}, "job 302 of example/shop"),
    "gitlab-subgroup": (
        GITLAB | {"project_path": "example/web/shop"},
        ".gitlab-ci.yml of example/web/shop",
    ),
    "github-without-workflow": (
        GITHUB | {"workflow_ref": None, "workflow": None},
        "repo:example/shop:environment:production",
    ),
    "another": ({"sub": "robot"}, "robot"),
    "workflow-of-nobody": ({"sub": "robot", "workflow": "Deploy"}, "robot"),
    "project-without-job": ({"sub": "robot", "project_path": "example/shop"}, "robot"),
    "no-texts": ({"sub": "robot", "workflow": 5, "repository": ["shop"]}, "robot"),
    "lines": ({"sub": "a\n\tb\u202e c\x00\ud800"}, "a b c"),
    "nothing-to-show": ({"sub": "\u200b"}, "CI job"),
    "long": (GITHUB | {"repository": "x" * 200}, f"deploy.yml of {'x' * 86}"),
    "sites-own": ({"sub": "robot", "title": "Nightly\x1b[31m build"}, "Nightly [31m build"),
    "sites-own-long": ({"sub": "robot", "title": "x" * 200}, "x" * 100),
    "sites-own-none": (GITHUB | {"title": ""}, "deploy.yml of example/shop"),
}


@pytest.mark.parametrize(("shape", "name"), NAMES.values(), ids=NAMES)
def test_a_name_is_a_short_line_whatever_a_token_says(ci, trust, shape, name):
    """It stands in the admin, and on "Your devices"."""
    trust(ci.origin, user=f"{__name__}.anybody", name=f"{__name__}.title")
    job = verify(signed(claims(ci.origin, shape)))
    assert job.name == (name or "deploy.yml of example/shop")
    assert job.name.isprintable()


def anybody(said):
    """Somebody, whatever the token says."""
    return get_user_model()(pk=7)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ref": "refs/heads/feature"}, "lets in as nobody"),
        ({"repository_id": "75"}, "lets in as nobody"),
        ({"sub": "repo:example/dismissed"}, "is inactive"),
    ],
)
def test_whom_the_site_does_not_let_in_is_told_so(ci, changes, why):
    """Its function says nobody, or somebody who may not sign in."""
    assert why in refused(signed(claims(ci.origin, **changes)))


def test_an_error_of_the_sites_function_is_the_sites(ci, trust):
    """It is a bug, which a refusal would hide: the job's owner could do nothing about it."""
    trust(ci.origin, user=f"{__name__}.broken")
    with pytest.raises(KeyError, match="repositry"):
        verify(signed(claims(ci.origin)))


# What is no assertion for us

TIMES = {
    "expired": ({"exp": -1}, "expired"),
    "expires-now": ({"exp": 0}, "expired"),
    "old": ({"iat": -(assertions.MAX_AGE + 5), "exp": 3600}, "more than 10 minutes ago"),
    "future": ({"iat": assertions.MAX_SKEW + 30}, "a clock is wrong"),
    "not-yet": ({"nbf": assertions.MAX_SKEW + 30}, "not valid yet"),
}


@pytest.mark.parametrize(("ago", "why"), TIMES.values(), ids=TIMES)
def test_a_token_counts_for_ten_minutes_at_most(ci, ago, why):
    """And not before its time (RFC 7523 §3, 4 to 6): by our clock, give or take a minute."""
    now = int(time.time())
    changes = {name: now + seconds for name, seconds in ago.items()}
    assert why in refused(signed(claims(ci.origin, **changes)))


def test_clocks_may_differ_a_little(ci):
    """By less than a minute; and a token may be some minutes old."""
    now = int(time.time())
    ahead = claims(ci.origin, iat=now + 30, nbf=now + 30)
    late = claims(ci.origin, iat=now - assertions.MAX_AGE + 60, nbf=None)
    assert verify(signed(ahead)).user.pk == verify(signed(late)).user.pk == 7


WRONG_CLAIMS = {
    "no-subject": ({"sub": None}, "impossible: sub"),
    "empty-subject": ({"sub": ""}, "impossible: sub"),
    "no-audience": ({"aud": None}, "impossible: aud"),
    "audience-of-numbers": ({"aud": [5]}, "impossible: aud"),
    "no-expiry": ({"exp": None}, "impossible: exp"),
    "text-for-expiry": ({"exp": "9999999999"}, "impossible: exp"),
    "endless": ({"exp": float("inf")}, "impossible: exp"),
    "no-age": ({"iat": None}, "impossible: iat"),
    "flag-for-age": ({"iat": True}, "impossible: iat"),
    "text-for-nbf": ({"nbf": "0"}, "impossible: nbf"),
    "no-id": ({"jti": None}, "impossible: jti"),
    "number-for-id": ({"jti": 5}, "impossible: jti"),
    "long-id": ({"jti": "x" * 256}, "impossible: jti"),
    "two": ({"jti": "", "sub": ""}, "impossible: sub, jti"),
    "another-audience": ({"aud": "https://other.test/"}, "for another audience"),
    "more-than-it": ({"aud": f"{AUDIENCE}x"}, "for another audience"),
    "a-part-of-it": ({"aud": AUDIENCE[:-1]}, "for another audience"),
    "nobody": ({"aud": []}, "for another audience"),
    "several-others": ({"aud": ["a", "b"]}, "for another audience"),
    "bound": ({"cnf": {"jkt": "x"}}, "bound to a key"),
}


@pytest.mark.parametrize(("changes", "why"), WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_a_genuine_token_must_say_all_that_is_needed_and_say_it_to_us(ci, changes, why):
    """RFC 7523 §3, 1 to 7; RFC 7519 §4.1."""
    assert why in refused(signed(claims(ci.origin, **changes)))


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_we_may_be_one_of_several_that_are_meant(ci, key):
    """RFC 7519 §4.1.3."""
    assert verify(signed(claims(ci.origin, aud=["https://other.test/", AUDIENCE]), key))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", None])
def test_a_token_may_be_typed_as_a_jwt_or_not_at_all(ci, typ):
    """RFC 7519 §5.1: there, it is up to the issuer."""
    assert verify(signed(claims(ci.origin), typ=typ))


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "dpop+jwt", "logout+jwt", []])
def test_another_kind_of_token_is_no_assertion(ci, typ):
    """RFC 8725 §3.11: an issuer signs other things, too, perhaps with the same key."""
    assert refused(signed(claims(ci.origin), typ=typ)) == "not typed as an assertion"


FORMS = {
    "empty": "",
    "no-jwt": "garbage",
    "two-parts": "a.b",
    "encrypted": "a.b.c.d.e",
    "spaces": " a.b.c",
    "not-ascii": "ä.b.c",
    "long": f"{'x' * 9000}.b.c",
}


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_what_is_no_jwt_is_refused_unread(ci, raw):
    """Nothing is fetched for it."""
    assert refused(raw) == "not a JWT"
    assert ci.asked == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b"5", b'"iss"', b"null", b"{}", b'{"iss": 5}', b"[" * 5000],
)
def test_what_names_no_issuer_is_refused(ci, body):
    """Whatever the middle of it is."""
    assert "iss" in refused(f"{segment({})}.{segment(body) or 'A'}.x")
    assert ci.asked == []


def test_only_a_trusted_issuer_counts_to_the_letter(ci):
    """RFC 7523 §3, 1. Nobody else's keys are fetched, wherever they may be."""
    for other in ("https://evil.test", f"{ci.origin}/x", ci.origin.upper(), f" {ci.origin}", ""):
        why = refused(signed(claims(other)))
        assert why == "signed by an issuer that is not in TOKENAUTH_TRUSTED_ISSUERS"
    assert "a slash" in refused(signed(claims(f"{ci.origin}/")))
    assert ci.asked == []


def test_what_was_verified_is_compared_once_more():
    """Whatever may have chosen the keys."""
    trusted = issuers.TrustedIssuer("https://ci.test", AUDIENCE, deployer, None, None)
    for iss, why in (("https://ci.test", ""), ("https://evil.test", "of another issuer")):
        assert assertions.flaw_in(claims(iss), trusted, time.time())[:17] == why


def test_an_issuer_signs_for_itself_alone(ci, trust):
    """Another that is trusted as well can't speak in its place."""
    own = RSAKey.generate_key(2048)
    with issuer() as other:
        other.answer = answers(keys=key_set(own))
        trust(ci.origin, other.origin)
        assert verify(signed(claims(other.origin), own))
        why = refused(signed(claims(ci.origin), own))
        assert why == "signed with a key that is not known here"
        named_alike = signed(claims(ci.origin), own, kid=RSA.thumbprint())
        assert refused(named_alike) == "not signed by any of the keys"


HEADERS = {
    "none": ({"alg": "none"}, "not the algorithm of its key"),
    "none-in-capitals": ({"alg": "NONE"}, "not the algorithm of its key"),
    "other-hash": ({"alg": "RS512"}, "not the algorithm of its key"),
    "other-kind": ({"alg": "ES256"}, "not the algorithm of its key"),
    "no-alg": ({"alg": None}, "not signed by any of the keys"),
    "no-kid": ({"kid": None}, "names no key"),
    "odd-kid": ({"kid": ["x"]}, "names no key"),
    **{
        name: ({name: "https://evil.test/"}, "a header that is not accepted")
        for name in ("jku", "jwk", "x5u", "x5c", "crit")
    },
}


@pytest.mark.parametrize(("header", "why"), HEADERS.values(), ids=HEADERS)
def test_a_key_verifies_under_its_own_algorithm_and_no_token_brings_one(ci, header, why):
    """RFC 8725 §3.1, §3.2, §3.10."""
    assert refused(signed(claims(ci.origin), **header)) == why


def test_a_public_key_is_no_secret_to_sign_with(ci):
    """HS256 under the text of a public key (RFC 8725 §2.1)."""
    head = segment({"typ": "JWT", "alg": "HS256", "kid": RSA.thumbprint()})
    text = f"{head}.{segment(claims(ci.origin))}"
    signature = hmac.digest(RSA.as_pem(private=False), text.encode(), "sha256")
    assert refused(f"{text}.{segment(signature)}") == "not the algorithm of its key"


def test_what_was_changed_is_not_signed(ci):
    """Neither another's claims under a signature, nor none at all."""
    head, _, signature = signed(claims(ci.origin)).split(".")
    body = segment(claims(ci.origin, ref="refs/heads/other"))
    assert refused(f"{head}.{body}.{signature}") == "not signed by any of the keys"
    assert refused(f"{head}.{body}.AA") == "not signed by any of the keys"


def test_an_access_token_of_this_site_is_no_assertion(ci):
    """Not even if somebody trusts the site itself, and it signs with the same key."""
    keys = SigningKeys([EC.as_pem(private=True).decode()])
    raw = keys.sign(claims(ci.origin) | {"client_id": "browser"}).reveal()
    assert refused(raw) == "not typed as an assertion"


def test_a_large_token_is_taken_and_a_huge_one_is_not(ci):
    """GitHub's have 2 kB, GitLab's as many groups as a person has."""
    large = signed(claims(ci.origin, groups_direct=["x" * 4500]))
    assert 6000 < len(large) < 8192
    assert verify(large)
    assert refused(signed(claims(ci.origin, groups_direct=["x" * 6200]))) == "not a JWT"


# The issuer's keys


def paths(ci):
    return [path for path, _ in ci.asked]


def test_keys_are_found_by_the_issuers_own_document_and_fetched_once(ci):
    """OpenID Connect Discovery §4."""
    for _ in range(3):
        assert verify(signed(claims(ci.origin)))
    assert paths(ci) == [DISCOVERY, KEYS_PATH]


def test_an_issuer_may_have_a_path(server, trust):
    """Discovery §4.1: its slash at the end is not doubled."""
    name = f"{server.origin}/group/"

    def answer(handler):
        told = {"issuer": name, "jwks_uri": server.origin + KEYS_PATH}
        publish(key_set(RSA) if handler.path == KEYS_PATH else told)(handler)

    server.answer = answer
    trust(name)
    assert verify(signed(claims(name)))
    assert paths(server) == [f"/group{DISCOVERY}", KEYS_PATH]


def test_a_site_may_say_itself_where_the_keys_are(server, trust):
    """Then no document is asked for."""
    trust(server.origin, jwks_url=server.origin + KEYS_PATH)
    assert verify(signed(claims(server.origin)))
    assert paths(server) == [KEYS_PATH]


def test_keys_that_are_for_others_do_no_harm(ci):
    """An issuer may publish some that nobody here can use (RFC 7517 §5)."""
    others = [
        {"kty": "RSA", "use": "enc", "kid": "e", "n": RSA.as_dict()["n"], "e": "AQAB"},
        {"kty": "EC", "crv": "P-384", "kid": "p", "x": "AA", "y": "AA"},
        {"kty": "AKP", "pub": "AA"},
        "not a key",
    ]
    ci.answer = answers(keys={"keys": others + key_set(RSA)["keys"]})
    assert verify(signed(claims(ci.origin)))


def test_a_secret_key_in_a_set_verifies_nothing(ci):
    """Symmetric, or private: whoever can read the set could sign."""
    private = EC.as_dict(private=True) | {"kid": EC.thumbprint()}
    shared = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}
    ci.answer = answers(keys={"keys": [private, shared, *key_set(RSA)["keys"]]})
    assert verify(signed(claims(ci.origin)))
    for raw in (signed(claims(ci.origin), EC), signed(claims(ci.origin), RSA, kid="oct")):
        assert refused(raw) == "signed with a key that is not known here"


def test_a_new_key_counts_when_it_is_needed_and_an_old_one_no_more(ci, clock):
    """An issuer has rotated its keys."""
    ci.answer = answers(keys=key_set(RSA))
    assert verify(signed(claims(ci.origin)))
    ci.answer = answers(keys=key_set(EC))
    clock.shift(published.UNKNOWN_INTERVAL + 1)
    assert verify(signed(claims(ci.origin), EC))
    assert refused(signed(claims(ci.origin))) == "signed with a key that is not known here"


def test_keys_may_move_to_another_address(ci, clock):
    """Whatever ETag the old ones had: there, it is another's."""

    def moved(path, *keys):
        told = {"issuer": ci.origin, "jwks_uri": ci.origin + path}
        return lambda handler: publish(
            told if handler.path == DISCOVERY else key_set(*keys), ETag='"1"'
        )(handler)

    ci.answer = moved("/old", RSA)
    assert verify(signed(claims(ci.origin)))
    ci.answer = moved("/new", EC)
    clock.shift(published.UNKNOWN_INTERVAL + 1)
    assert verify(signed(claims(ci.origin), EC))
    assert paths(ci) == [DISCOVERY, "/old", DISCOVERY, "/new"]


def test_unknown_keys_by_the_thousand_cost_one_fetch(ci, clock):
    """Anybody can name one, and who is trusted."""
    assert verify(signed(claims(ci.origin)))
    clock.shift(published.UNKNOWN_INTERVAL + 0.5)
    head = segment({"alg": "ES256", "typ": "JWT", "kid": "strange"})
    for number in range(1000):
        raw = f"{head}.{segment({'iss': ci.origin, 'jti': number})}.AA"
        with pytest.raises(InvalidAssertion, match="not known here"):
            verify(raw)
    assert paths(ci) == [DISCOVERY, KEYS_PATH] * 2


def test_keys_count_for_a_day_while_the_issuer_is_away(ci, clock):
    """Then nobody can say: that is not the same as a bad token."""
    assert verify(signed(claims(ci.origin)))
    ci.answer = reply(503)
    clock.shift(published.STALE_LIMIT - 1)
    assert verify(signed(claims(ci.origin)))
    flight = issuers.trusted()[ci.origin].keys._flight
    assert until(lambda: not flight.thread.is_alive())
    clock.shift(2)
    with pytest.raises(Unavailable, match="cannot be had"):
        verify(signed(claims(ci.origin)))
    ci.answer = answers()
    clock.shift(published.LAST_PAUSE)
    assert verify(signed(claims(ci.origin)))


def test_nobody_can_say_before_there_are_any_keys(clock, trust):
    """An issuer that was never there."""
    with nobody() as origin:
        trust(origin)
        for _ in range(2):
            with pytest.raises(Unavailable):
                verify(signed(claims(origin)))


def test_no_more_wait_for_an_issuer_that_hangs_than_there_are_seats(ci, monkeypatch):
    """Each may cost a thread; who finds none is told at once."""
    monkeypatch.setattr(published, "MAX_WAITING", 1)
    ci.answer = hang
    flight = issuers.trusted()[ci.origin].keys.flight()
    with pytest.raises(Unavailable):
        verify(signed(claims(ci.origin)))
    ci.leave.set()
    flight.wait()
    assert len(ci.asked) == 1


DOCUMENTS = {
    "status": (reply(500), "status 500"),
    "html": (reply(200, b"<h1>Sign in</h1>"), "something else than JSON"),
    "huge": (reply(200, b" " * (fetching.MAX_BYTES + 1)), "more than 65,536 bytes"),
    "elsewhere": (reply(302, Location="http://127.0.0.1:1/"), "to another origin"),
    "file": (reply(302, Location="file:///etc/passwd"), "status 302"),
    "list": (publish([]), "of another issuer"),
    "of-nobody": (publish({"jwks_uri": "https://evil.test/keys"}), "of another issuer"),
    "of-another": (
        publish({"issuer": "https://evil.test", "jwks_uri": "https://evil.test/keys"}),
        "of another issuer",
    ),
}


@pytest.mark.parametrize(("answer", "flaw"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_is_not_the_issuers_leads_to_no_keys(ci, caplog, answer, flaw):
    """Discovery §4.3. The log says why, for nobody can sign in."""
    ci.answer = answer
    with pytest.raises(Unavailable):
        verify(signed(claims(ci.origin)))
    assert flaw in caplog.text
    assert "The keys of 127.0.0.1 could not be fetched" in caplog.text


@pytest.mark.parametrize("keys", [{"keys": []}, {"keys": [{"kty": "oct", "k": "AA"}]}, {"no": 1}])
def test_a_set_without_a_key_that_could_verify_is_none(ci, caplog, keys):
    """It is logged, and the keys that were there before would stay."""
    ci.answer = answers(keys=keys)
    with pytest.raises(Unavailable):
        verify(signed(claims(ci.origin)))
    assert "could not be fetched (Th" in caplog.text


PLAIN, HTTPS = "http://127.0.0.1:8000", "https://ci.test"
ADDRESSES = [
    (HTTPS, "https://ci.test/keys", True),
    (HTTPS, "https://keys.test/keys?set=1", True),
    (PLAIN, "http://127.0.0.1:8000/keys", True),
    (PLAIN, "https://keys.test/keys", True),
    (HTTPS, "http://127.0.0.1/keys", False),
    (HTTPS, "http://ci.test/keys", False),
    (PLAIN, "http://keys.test/keys", False),
    (PLAIN, "http://127.0.0.1.evil.test/keys", False),
    (PLAIN, "http://127.0.0.1@evil.test/keys", False),
    (HTTPS, "https://ci.test@evil.test/keys", False),
    (HTTPS, "file:///etc/passwd", False),
    (HTTPS, "/keys", False),
    (HTTPS, "https://ci.test/\nkeys", False),
    (HTTPS, ["https://ci.test/keys"], False),
    (HTTPS, None, False),
]


@pytest.mark.parametrize(("name", "url", "is_good"), ADDRESSES)
def test_keys_come_by_https_unless_everything_is_on_this_machine(name, url, is_good):
    """Whoever is on the way of plain http could choose whose keys count."""
    document = {"issuer": name, "jwks_uri": url}
    if is_good:
        assert issuers.keys_url_in(document, name) == url
    else:
        with pytest.raises(FetchError, match="no 'jwks_uri' under https"):
            issuers.keys_url_in(document, name)


# The setting


@pytest.mark.parametrize(
    ("trusted", "flaw"),
    [
        ({"http://ci.test": entry()}, "'http://ci.test' is no https URL"),
        ({"https://ci.test": {}}, "'https://ci.test' has no 'audience'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_no_permission(settings, trusted, flaw):
    """What the checks say, too."""
    settings.TOKENAUTH_TRUSTED_ISSUERS = trusted
    with pytest.raises(ImproperlyConfigured, match=flaw):
        verify(signed(claims("https://ci.test")))


def test_issuers_are_arranged_once_until_the_setting_changes(ci, trust):
    """Their keys are fetched once for a process."""
    first = issuers.trusted()
    assert issuers.trusted() is first
    trust(ci.origin)
    assert issuers.trusted() is not first
    trust()
    assert "not in TOKENAUTH_TRUSTED_ISSUERS" in refused(signed(claims(ci.origin)))


def test_nothing_of_a_token_is_told_when_something_fails(ci, trust, caplog):
    """Neither in a message nor in what a reporter of errors takes of its frames."""
    trust(ci.origin, user=f"{__name__}.broken")
    raw = signed(claims(ci.origin))
    with pytest.raises(KeyError) as caught:
        verify(raw)
    ours = [each for each in caught.traceback if "tokenauth" in str(each.path)]
    frames = [each.frame.f_locals for each in ours if "tests" not in str(each.path)]
    assert frames
    assert raw not in repr(frames)
    assert raw.split(".")[2] not in repr(frames) + caplog.text
