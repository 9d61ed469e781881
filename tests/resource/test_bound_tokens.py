"""A token that is bound to a key counts with a proof of it alone, on a resource server too."""

import time

import pytest
from django.core.cache import cache

from tests.dpop.proofs import KEYS as PROOF_KEYS
from tests.dpop.proofs import hash_of, make_proof
from tests.resource import token

THUMBPRINT = PROOF_KEYS["ES256"].thumbprint()


@pytest.fixture(autouse=True)
def fresh():
    """No proof has been seen."""
    cache.clear()


def bound(**more):
    """An app's token that is bound to the key."""
    return token(**{"client_id": "app", "cnf": {"jkt": THUMBPRINT}} | more)


def ask(visitor, raw, *, path="/whoami/", scheme="DPoP", key="ES256", **claims):
    """An answer to a request with a token, and a proof that is of it."""
    claims = {"htm": "GET", "htu": f"https://{visitor.host}{path}", "ath": hash_of(raw)} | claims
    proof = make_proof(key, **claims).reveal()
    return visitor.ask(path, authorization=f"{scheme} {raw}", dpop=proof)


@pytest.mark.parametrize("path", ["/whoami/", "/async-whoami/"])
def test_a_proof_of_the_key_lets_its_holder_in(visitor, path):
    """Sync and async."""
    assert ask(visitor, bound(), path=path).content == b"7"


@pytest.mark.parametrize(
    ("more", "claims"),
    [
        ({}, {"key": "Ed25519"}),
        ({}, {"ath": "x"}),
        ({}, {"htm": "POST"}),
        ({}, {"scheme": "Bearer"}),
        ({"cnf": None}, {}),
        ({"cnf": {"x5t#S256": "x"}}, {}),
        ({"cnf": "x"}, {}),
        ({"client_id": "browser"}, {}),
    ],
    ids=str,
)
def test_nothing_else_does(visitor, more, claims):
    """Another key, another token, another scheme; a token that is bound to nothing we know."""
    assert ask(visitor, bound(**more), **claims).content == b"anonymous"


def test_without_a_proof_it_is_worth_nothing(visitor):
    """By either scheme, or in a cookie."""
    raw = bound()
    for scheme in ("DPoP", "Bearer"):
        assert visitor.ask("/whoami/", authorization=f"{scheme} {raw}").content == b"anonymous"
    assert visitor.ask("/whoami/", bound(client_id="browser")).content == b"anonymous"


def test_a_proof_counts_once(visitor):
    """Whoever copies a request has nothing."""
    raw = bound()
    claims = {"htm": "GET", "htu": f"https://{visitor.host}/whoami/", "ath": hash_of(raw)}
    proof = make_proof("ES256", **claims).reveal()
    answers = [
        visitor.ask("/whoami/", authorization=f"DPoP {raw}", dpop=proof).content for _ in range(2)
    ]
    assert answers == [b"7", b"anonymous"]


def test_a_client_whose_clock_is_wrong_is_told_a_nonce(visitor):
    """And what it may sign with."""
    hour_ago = int(time.time()) - 3600
    answer = ask(visitor, bound(), path="/api/", iat=hour_ago)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == (
        'DPoP realm="api", algs="ES256 Ed25519 RS256", error="use_dpop_nonce"'
    )
    nonce = answer["DPoP-Nonce"]
    again = ask(visitor, bound(), path="/api/", iat=hour_ago, nonce=nonce)
    assert again.status_code == 200


def test_a_token_that_is_over_is_no_fault_of_the_proof(visitor):
    """The client refreshes, and signs no other."""
    answer = ask(visitor, bound(exp=int(time.time()) - 1), path="/api/")
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
