"""A request and its proof: found, compared with what was asked for, and used once."""

import pytest
import time_machine
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.handlers.asgi import ASGIRequest
from django.test import RequestFactory

from tests.dpop.proofs import KEYS, URL, hash_of, make_proof
from tokenauth.dpop import proving
from tokenauth.dpop.nonces import STEP, make_nonce
from tokenauth.dpop.proving import prove, use_once
from tokenauth.exceptions import InvalidProof, NonceNeeded
from tokenauth.secret import Secret

NOW = 1_800_000_000.0
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"


@pytest.fixture(autouse=True)
def cache_of_the_test(settings, request):
    """A cache that no other test writes to."""
    settings.CACHES = {"default": {"BACKEND": LOCMEM, "LOCATION": request.node.name}}
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def asked(proof=None, path="/auth/token/", *, secure=True, **headers):
    """A request as a client sends it, with a proof or without."""
    if proof is not None:
        headers["DPoP"] = proof.reveal()
    return RequestFactory().post(path, headers=headers, secure=secure)


def proved(*args, token=None, needs_nonce=False, **kwargs):
    return prove(asked(*args, **kwargs), token, needs_nonce=needs_nonce)


def test_a_request_without_a_proof_proves_nothing():
    """That is for the caller to judge."""
    assert proved() is None
    assert proved(needs_nonce=True) is None


def test_a_good_proof_is_told():
    """And whose it is, for the caller to compare."""
    proof = proved(make_proof(jti="one"))
    assert (proof.thumbprint, proof.jti) == (KEYS["ES256"].thumbprint(), "one")


def test_the_query_of_a_request_means_nothing():
    """Whatever stands in it."""
    assert proved(make_proof(), "/auth/token/?a=/../&b=%23//[#c")


def test_a_proof_is_good_for_the_token_that_it_was_made_for():
    """§4.3 no. 12."""
    token = Secret("a.token.of-this-site")
    with pytest.raises(InvalidProof, match="its ath"):
        proved(make_proof(), token=token)
    assert proved(make_proof(ath=hash_of(token.reveal())), token=token)


@pytest.mark.parametrize(
    ("path", "htu"),
    [
        ("/a%2Fb/%C3%BC", "https://testserver/a%2fb/%c3%bc"),
        ("/a;b=c%3Fd%23e%25", "https://testserver/a;b=c%3Fd%23e%25"),
        ("//evil.test/a", "https://testserver//evil.test/a"),
        ("/a/../b", "https://testserver/b"),
    ],
)
def test_a_page_is_known_however_its_path_is_written(path, htu):
    """What a client encodes, Django has decoded."""
    request = asked(make_proof(htu=htu))
    request.path = RequestFactory().post(path).path if "//" not in path else path
    assert prove(request, None, needs_nonce=False)


def test_a_site_may_be_mounted_below_a_path():
    """The client knows the whole of it."""
    request = RequestFactory(SCRIPT_NAME="/site").post(
        "/auth/token/",
        headers={"DPoP": make_proof(htu="https://testserver/site/auth/token/").reveal()},
        secure=True,
    )
    assert prove(request, None, needs_nonce=False)


# More than one header


@pytest.mark.parametrize("values", [[""], ["same", "same"], ["one", "two"]])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_two_proofs_are_none(interface, values):
    """§4.3 no. 1, also if both are good; and an empty header is no missing one."""
    proofs = {value: make_proof().reveal() for value in values if value}
    sent = [proofs.get(value, "") for value in values]
    if interface == "wsgi":  # as gunicorn and its like join them
        request = asked(Secret(",".join(sent)))
    else:
        request = ASGIRequest(
            {
                "type": "http",
                "method": "POST",
                "scheme": "https",
                "path": "/auth/token/",
                "query_string": b"",
                "headers": [
                    (b"host", b"testserver"),
                    *[(b"dpop", one.encode()) for one in sent],
                ],
            },
            None,
        )
    with pytest.raises(InvalidProof, match="not one JWT"):
        prove(request, None, needs_nonce=False)


# Behind a proxy


def test_behind_a_proxy_the_address_is_the_clients(settings):
    """If the proxy says so, and Django believes it."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    proof = make_proof(htu="https://www.site.test/auth/token/")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.site.test"}
    assert proved(proof, secure=False, **headers)


def test_behind_a_proxy_that_django_does_not_believe_no_proof_is_good(settings):
    """Refused, and not taken for http."""
    settings.SECURE_PROXY_SSL_HEADER = None
    with pytest.raises(InvalidProof, match="its htu"):
        proved(make_proof(), secure=False, **{"X-Forwarded-Proto": "https"})


# Once


def test_a_proof_is_used_once():
    """Whoever copies it comes too late."""
    raw = make_proof()
    proved(raw)
    with pytest.raises(InvalidProof, match="used before"):
        proved(raw)


def test_the_same_name_signed_again_is_the_same_proof():
    """A ``jti`` counts, not the text, which others can vary."""
    proved(make_proof(jti="one"))
    with pytest.raises(InvalidProof, match="used before"):
        proved(make_proof(jti="one", more=1))


def test_two_clients_may_choose_one_name():
    """So nobody uses up the proofs of another."""
    assert proved(make_proof(jti="one"))
    assert proved(make_proof("Ed25519", jti="one"))


def test_a_proof_that_was_refused_is_not_used_up():
    """The cache has room for those that are good alone."""
    for proof in (make_proof(htm="GET", jti="one"), make_proof(iat=5, jti="one")):
        with pytest.raises(InvalidProof):
            proved(proof)
    assert proved(make_proof(jti="one"))


@pytest.mark.parametrize("change", [{"iat": int(NOW) + 60}, {"nonce": True}], ids=str)
def test_a_proof_is_remembered_for_as_long_as_it_is_good(clock, change):
    """Both by its ``iat``, which may be ahead, and by its nonce."""
    if "nonce" in change:
        change = {"nonce": make_nonce(NOW)}
    raw = make_proof(**change)
    proved(raw)
    messages = []
    for _ in range(5, 2 * STEP + 120, 5):
        clock.shift(5)
        with pytest.raises(InvalidProof) as caught:
            proved(raw)
        messages.append(str(caught.value).split()[0])
    assert sorted(set(messages)) == sorted({"used", messages[-1]})
    assert messages == sorted(messages, key=lambda word: word != "used")


def test_the_cache_is_told_neither_key_nor_name(monkeypatch):
    """A dump of it tells nothing; and the secret key, which may change, is not in it."""
    told = []
    monkeypatch.setattr(LocMemCache, "add", lambda self, *args: told.append(args) or True)
    proof = proved(make_proof(jti="the-name"))
    ((key, value, seconds),) = told
    assert (value, seconds) == (1, 2 * STEP + 60)
    assert proof.thumbprint not in key
    assert "the-name" not in key
    assert len(key) < 250


# A cache that fails


class BrokenCache(LocMemCache):
    """Down."""

    def add(self, *args, **kwargs):
        raise ConnectionError("the cache is down")


class SilentCache(LocMemCache):
    """Down too, and made to hide it."""

    def add(self, *args, **kwargs):
        return None


@pytest.mark.parametrize("kind", [BrokenCache, SilentCache])
def test_without_a_cache_no_proof_is_good(settings, caplog, kind):
    """Closed, not open; the log says why, and nothing of the proof."""
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.{kind.__name__}"}}
    raw = make_proof(jti="the-name")
    with pytest.raises(InvalidProof, match="as far as can be known") as caught:
        proved(raw)
    assert caught.value.__context__ is None
    assert ("The cache failed: no DPoP proof is accepted." in caplog.text) == (kind is BrokenCache)
    secrets = [*raw.reveal().split("."), "the-name", KEYS["ES256"].thumbprint()]
    assert not any(secret in caplog.text for secret in secrets)


def test_a_cache_that_keeps_nothing_lets_a_proof_in_again(settings):
    """Which the system check says: nothing is known by the request itself."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    raw = make_proof()
    assert proved(raw)
    assert proved(raw)


def test_the_default_cache_is_asked(settings):
    """Others are for other things."""
    settings.CACHES = {
        "default": {"BACKEND": LOCMEM, "LOCATION": "proofs"},
        "pages": {"BACKEND": f"{__name__}.BrokenCache"},
    }
    proof = proved(make_proof())
    with pytest.raises(InvalidProof, match="used before"):
        use_once(proof)
    assert len(caches["default"]._cache) == 1


# Nonces


def test_where_a_nonce_is_needed_the_client_gets_to_know():
    """And may come again with it."""
    with pytest.raises(NonceNeeded):
        proved(make_proof(), needs_nonce=True)
    assert proved(make_proof(nonce=make_nonce(NOW)), needs_nonce=True)


def test_a_nonce_gets_old(clock):
    """By our clock, whatever that of the client says."""
    nonce = make_nonce(NOW)
    clock.shift(2 * STEP)
    with pytest.raises(NonceNeeded):
        proved(make_proof(nonce=nonce))


@pytest.mark.parametrize("fallbacks", [True, False])
def test_a_nonce_under_a_former_key_is_good_while_that_is_a_fallback(settings, fallbacks):
    """As all that is signed."""
    raw = make_proof(nonce=make_nonce(NOW))
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    settings.SECRET_KEY_FALLBACKS = [former] if fallbacks else []
    if fallbacks:
        assert proved(raw, needs_nonce=True)
    else:
        with pytest.raises(NonceNeeded):
            proved(raw, needs_nonce=True)


def test_the_address_is_the_one_of_these_tests():
    """Or those about another address would prove nothing."""
    assert asked().build_absolute_uri() == URL
    assert proving.MEMORY > 2 * STEP
