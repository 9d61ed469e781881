"""The system checks of TOKENAUTH_TRUSTED_ISSUERS: each by its id, with a hint."""

import re

import pytest

from tokenauth.checks import policy

ISSUER = "https://ci.test"


def user(claims):
    """Whom a site lets a job in as."""
    return


def trusting(issuer=ISSUER, **changes):
    """The setting with one issuer; a change to None leaves a word out."""
    words = {"audience": "https://app.site.test/", "user": f"{__name__}.user"} | changes
    return {issuer: {name: word for name, word in words.items() if word is not None}}


CASES = {
    "one": (trusting(), []),
    "several": (trusting() | trusting("https://ci.test:8443/group"), []),
    "its-own-slash": (trusting("https://tenant.test/"), []),
    "github": (trusting("https://token.actions.githubusercontent.com"), []),
    "github-enterprise": (trusting("https://token.actions.githubusercontent.com/example"), []),
    "on-this-machine": (trusting("http://127.0.0.1:8000"), []),
    "on-localhost": (trusting("http://localhost:8000/ci"), []),
    "on-ipv6": (trusting("http://[::1]:8000"), []),
    "named": (trusting(name=f"{__name__}.user"), []),
    "address": (trusting(jwks_url="https://keys.test/keys?set=1"), []),
    "address-on-this-machine": (trusting(jwks_url="http://localhost:8000/keys"), []),
    "list": ([ISSUER], ["E007"]),
    "plain-http": (trusting("http://ci.test"), ["E046"]),
    "not-this-machine": (trusting("http://localhost.evil.test"), ["E046"]),
    "no-scheme": (trusting("ci.test"), ["E046"]),
    "no-host": (trusting("https://"), ["E046"]),
    "query": (trusting("https://ci.test?x=1"), ["E046"]),
    "query-of-a-path": (trusting("https://ci.test/?x=1"), ["E046"]),
    "somebody": (trusting("https://me@ci.test"), ["E046"]),
    "fragment": (trusting("https://ci.test#x"), ["E046"]),
    "space": (trusting(" https://ci.test"), ["E046"]),
    "number": (trusting(5), ["E046"]),
    "githubs-with-slash": (trusting("https://token.actions.githubusercontent.com/"), ["E046"]),
    "gitlabs-with-slash": (trusting("https://gitlab.com/"), ["E046"]),
    "text-for-words": ({ISSUER: "https://app.site.test/"}, ["E046"]),
    "number-for-words": ({ISSUER: 5}, ["E046"]),
    "no-audience": (trusting(audience=None), ["E046"]),
    "empty-audience": (trusting(audience=""), ["E046"]),
    "list-of-audiences": (trusting(audience=["a"]), ["E046"]),
    "no-user": (trusting(user=None), ["E046"]),
    "function-for-its-path": (trusting(user=user), ["E046"]),
    "misspelt": (trusting(users="x"), ["E046"]),
    "address-of-plain-http": (trusting(jwks_url="http://keys.test/"), ["E046"]),
    "address-of-nothing": (trusting(jwks_url="/keys"), ["E046"]),
    "user-of-no-module": (trusting(user="nowhere.user"), ["E047"]),
    "user-of-no-name": (trusting(user=f"{__name__}.person"), ["E047"]),
    "user-that-is-no-function": (trusting(user=f"{__name__}.ISSUER"), ["E047"]),
    "name-of-no-module": (trusting(name="nowhere.name"), ["E047"]),
    "neither": (trusting(user="nowhere.user", name="nowhere.name"), ["E047", "E047"]),
    "each": (trusting(user=None) | trusting("http://ci.test"), ["E046", "E046"]),
}


def found():
    """The errors among what the check says."""
    return [each for each in policy.check_settings() if each.id.startswith("tokenauth.E")]


@pytest.mark.parametrize(("trusted", "ids"), CASES.values(), ids=CASES)
def test_a_check_finds_what_is_wrong_with_an_issuer_and_nothing_else(settings, trusted, ids):
    """And says which setting to edit."""
    settings.TOKENAUTH_TRUSTED_ISSUERS = trusted
    messages = found()
    assert [message.id.removeprefix("tokenauth.") for message in messages] == ids
    assert all(re.match("Edit TOKENAUTH_TRUSTED_ISSUERS", each.hint) for each in messages)


def test_the_hint_speaks_of_the_slash(settings):
    """The mistake that nobody sees: issuers are compared to the letter."""
    settings.TOKENAUTH_TRUSTED_ISSUERS = trusting("https://gitlab.com/")
    (message,) = found()
    assert "has a slash at its end, and its tokens have none" in message.msg
    assert "without a slash at the end" in message.hint


def test_without_the_library_it_is_said_what_to_install(settings, monkeypatch):
    """It is optional: a site that trusts nobody does without."""
    monkeypatch.setattr(policy, "find_spec", {"django": True}.get)
    assert found() == []
    settings.TOKENAUTH_TRUSTED_ISSUERS = trusting()
    (message,) = found()
    assert message.id == "tokenauth.E045"
    assert "pip install 'django-tokenauth[keys]'" in message.hint
