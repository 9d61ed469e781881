"""``jwks.json``: the public keys, the same for everybody."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from joserfc.jwk import ECKey, OKPKey

from tests.factories import PASSWORD
from tokenauth.secret import Secret
from tokenauth.session.jose.keys import KeySet

URL = "/auth/jwks.json"
NEW = ECKey.generate_key("P-256").as_pem(private=True).decode()
OLD = OKPKey.generate_key("Ed25519")
ACCESS = "__Host-access_token"


@pytest.fixture(autouse=True)
def site(settings):
    """A site with a key, and the public half of one before it."""
    settings.TOKENAUTH_SIGNING_KEYS = [NEW, "HS256", OLD.as_pem(private=False).decode()]
    settings.TOKENAUTH_ISSUER, settings.TOKENAUTH_AUDIENCE = "https://app.site.test", []
    return settings


@pytest.fixture
def signed_in(user):
    """A client with both tokens; like an attacker's, it sends them to every path."""
    client = Client()
    data = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    assert client.post("/auth/login/", data, secure=True).status_code == 302
    return client


def test_others_verify_with_the_published_keys(client, signed_in):
    """RFC 7517 §8.5.2 names the media type; the keys are those of all who may have signed."""
    answer = client.get(URL, secure=True)
    assert reverse("tokenauth:jwks") == URL
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    keys = KeySet.from_jwks(answer.json())
    assert len(keys.kids) == 2
    assert keys.kids[1] == OLD.thumbprint()
    assert keys.verify(Secret(signed_in.cookies[ACCESS].value))["iss"] == "https://app.site.test"


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.django_db
def test_any_cache_may_keep_them_for_all(signed_in, method, django_assert_num_queries):
    """Five minutes: no query, no cookie, whoever asks."""
    with django_assert_num_queries(0):
        answer = getattr(signed_in, method)(URL, secure=True)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert not answer.cookies


def test_nothing_is_refreshed_on_the_way(signed_in):
    """A browser that brings an expired token, and its refresh token, keeps both as they are."""
    with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
        answer = signed_in.get(URL, secure=True)
        assert (answer.status_code, len(answer.cookies)) == (200, 0)
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        assert signed_in.get("/whoami/", secure=True).cookies[ACCESS].value


def test_who_has_the_keys_is_told_that_they_are_the_same(client, site):
    """By their ETag, until there is another key."""
    etag = client.get(URL, secure=True).headers["ETag"]
    again = client.get(URL, secure=True, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "public, max-age=300"
    site.TOKENAUTH_SIGNING_KEYS = [NEW]
    changed = client.get(URL, secure=True, headers={"If-None-Match": etag})
    assert (changed.status_code, len(changed.json()["keys"])) == (200, 1)
    assert changed.headers["ETag"] != etag


@pytest.mark.parametrize("keys", [[], ["HS256"]])
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}])
def test_a_site_without_keys_has_none_to_publish(client, site, keys, headers):
    """Not found, rather than an empty set that somebody would keep."""
    site.TOKENAUTH_SIGNING_KEYS = keys
    answer = client.get(URL, secure=True, headers=headers)
    assert answer.status_code == 404
    assert "Cache-Control" not in answer.headers


def test_keys_are_read_and_nothing_else(client):
    """RFC 9110: no method that changes anything."""
    assert client.post(URL, secure=True).status_code == 405


def test_a_site_where_everybody_must_sign_in_publishes_its_keys(client, settings):
    """Servers have no account."""
    gate = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, gate]
    answer = client.get(URL, secure=True)
    assert answer.status_code == 200
    assert not answer.cookies
