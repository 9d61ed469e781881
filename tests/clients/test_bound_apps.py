"""An app's session that is bound to a key: without a proof of it, its tokens are worth nothing."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.cache import cache

from tests.app import App
from tests.dpop.proofs import KEYS, make_proof
from tests.factories import UserFactory
from tokenauth.models import AuthSession
from tokenauth.secret import Secret
from tokenauth.session import tokens
from tokenauth.session.jose.keys import make_key

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SITE = "http://testserver"
TOKEN, REVOKE, LOGIN = "/auth/token/", "/auth/token/revoke/", "/auth/api/login/"


class BoundApp(App):
    """An app that signs a proof for each request, with whatever nonce it was last given."""

    def __init__(self, key="ES256"):
        super().__init__()
        self.key, self.nonce = key, None

    def proof(self, method, path, **claims):
        """The header for one request."""
        claims = {"htm": method, "htu": f"{SITE}{path}", "nonce": self.nonce} | claims
        return {"dpop": make_proof(self.key, **claims).reveal()}

    def heed(self, answer):
        """Keep the nonce that an answer brings (RFC 9449 §8.2)."""
        self.nonce = answer.headers.get("DPoP-Nonce", self.nonce)
        return answer

    def sign_in(self, user):
        """The first is refused, and brings the nonce."""
        for _try in range(2):
            self.http.defaults["HTTP_DPOP"] = self.proof("POST", LOGIN)["dpop"]
            answer = self.heed(super().sign_in(user))
            del self.http.defaults["HTTP_DPOP"]
        return answer

    def get(self, path="/whoami/", **claims):
        """With the token, and a proof that is of it."""
        token = self.tokens["access_token"]
        claims = {"ath": hash_of(token)} | claims
        headers = {"authorization": f"DPoP {token}"} | self.proof("GET", path, **claims)
        return self.http.get(path, headers=headers)

    def send(self, path=TOKEN, *, headers=None, **parameters):
        """With a proof."""
        headers = self.proof("POST", path) if headers is None else headers
        return self.heed(super().send(path, headers=headers, **parameters))


def hash_of(token):
    """The ``ath`` of a token."""
    from tests.dpop import proofs  # noqa: PLC0415  # its name would hide this one's

    return proofs.hash_of(token)


@pytest.fixture(autouse=True)
def clock():
    """Noon on a day in March, until a test shifts it."""
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture(autouse=True)
def site(settings):
    """A site that has apps, and has seen no proof yet."""
    settings.TOKENAUTH_APP_CLIENTS = True
    cache.clear()


@pytest.fixture
def user():
    """Whose app it is."""
    return UserFactory(username="alice")


@pytest.fixture(params=sorted(KEYS))
def app(request, user):
    """An app with alice signed in, and a key of its own."""
    app = BoundApp(request.param)
    assert app.sign_in(user).status_code == 200
    return app


@pytest.fixture
def thief(app):
    """Somebody who has all tokens of the app, and another key."""
    thief = BoundApp(next(key for key in KEYS if key != app.key))
    thief.tokens = dict(app.tokens)
    thief.nonce = app.nonce
    return thief


def test_a_login_with_a_proof_binds_the_session(app):
    """The tokens say which scheme they want."""
    assert app.tokens["token_type"] == "DPoP"
    assert AuthSession.objects.get().key_thumbprint
    assert app.get().content == b"alice"
    assert app.get("/api/for-apps/").json() == {"username": "alice", "client": "app"}


def test_a_token_that_others_verify_says_to_which_key_it_is_bound(user, settings):
    """RFC 9449 §6.1: a resource server asks for the same proof, and has no row to look at."""
    settings.TOKENAUTH_SIGNING_KEYS = [make_key("ES256")[1].reveal()]
    settings.TOKENAUTH_ISSUER = "http://testserver/auth/"
    app = BoundApp()
    app.sign_in(user)
    said = tokens.signing_keys().public.verify(Secret(app.tokens["access_token"]))
    assert said["cnf"] == {"jkt": AuthSession.objects.get().key_thumbprint}
    assert said["client_id"] == "app"
    assert app.get().content == b"alice"


def test_a_proof_without_a_nonce_is_told_one(user):
    """And nobody is signed in, nor any failure counted (RFC 9449 §8)."""
    app = BoundApp()
    app.http.defaults["HTTP_DPOP"] = app.proof("POST", LOGIN)["dpop"]
    answer = App.sign_in(app, user)
    assert (answer.status_code, answer.json()["code"]) == (400, "use_dpop_nonce")
    assert answer["DPoP-Nonce"]
    assert not AuthSession.objects.exists()


def test_it_is_refreshed_with_a_proof_for_months(app, clock):
    """Each answer brings the nonce for the next."""
    for _week in range(4):
        clock.shift(timedelta(days=7))
        assert app.refresh().json()["error"] == "use_dpop_nonce"
        answer = app.keep(app.refresh())
        assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
        assert answer["DPoP-Nonce"]
        assert app.get().content == b"alice"
    assert AuthSession.objects.get().rotation == 4


def test_a_thief_with_every_token_can_do_nothing(app, thief, clock):
    """Use, refresh, give back: each is refused, and ends and spends nothing."""
    assert thief.get().content == b"anonymous"
    assert App.get(thief).content == b"anonymous"
    for headers in (None, {}):
        refused = thief.send(
            headers=headers, grant_type="refresh_token", refresh_token=app.tokens["refresh_token"]
        )
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")
        for token in app.tokens["refresh_token"], app.tokens["access_token"]:
            refused = thief.send(REVOKE, headers=headers, token=token)
            assert refused.json()["error"] == "invalid_dpop_proof"
    session = AuthSession.objects.get()
    assert (session.rotation, session.revoked_at) == (0, None)
    assert app.get().content == b"alice"


def test_not_even_a_spent_token_says_anything_without_its_key(app, thief, clock):
    """Proofs are verified before anything changes (Keycloak, doorkeeper): no reuse by strangers."""
    clock.shift(timedelta(minutes=16))
    app.refresh()
    app.keep(app.refresh())
    clock.shift(timedelta(seconds=70))
    assert app.get().content == b"alice"
    thief.nonce = app.nonce
    assert thief.refresh().json()["error"] == "invalid_dpop_proof"
    assert app.get().content == b"alice"


def reuse(app, user, clock):
    """Its own spent token comes back, with a proof: somebody has the key, too."""
    stolen = app.tokens["refresh_token"]
    clock.shift(timedelta(minutes=16))
    app.refresh()
    app.keep(app.refresh())
    clock.shift(timedelta(seconds=70))
    assert app.get().content == b"alice"
    assert app.refresh(stolen).json()["error"] == "invalid_grant"


WAYS = {
    "token/revoke/": lambda app, user, clock: app.sign_out(),
    "staff": lambda app, user, clock: AuthSession.objects.all().revoke("admin"),
    "password": lambda app, user, clock: (user.set_password("another-pass-2"), user.save()),
    "reuse": reuse,
}


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
def test_whoever_ends_it_the_next_request_is_refused(app, user, clock, end):
    """A proof of the key makes nothing good that is over."""
    end(app, user, clock)
    assert app.get().content == b"anonymous"
    app.refresh()
    assert app.refresh().json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "claims",
    [{"ath": None}, {"ath": "x"}, {"htm": "POST"}, {"htu": f"{SITE}/elsewhere/"}],
    ids=["no ath", "another token's", "another method", "another address"],
)
def test_a_proof_is_of_one_request(app, claims):
    """With its token, method and address."""
    assert app.get(**claims).content == b"anonymous"


def test_a_proof_counts_once(app):
    """Whoever has seen it in a log has nothing."""
    proof = app.proof("GET", "/whoami/", ath=hash_of(app.tokens["access_token"]))
    headers = {"authorization": f"DPoP {app.tokens['access_token']}"} | proof
    assert app.http.get("/whoami/", headers=headers).content == b"alice"
    assert app.http.get("/whoami/", headers=headers).content == b"anonymous"


def test_the_token_is_no_bearer_token(app):
    """RFC 9449 §7.1; the answer says what it wants."""
    assert App.get(app).content == b"anonymous"
    headers = {"authorization": f"DPoP {app.tokens['access_token']}"}
    answer = app.http.get("/api/for-apps/", headers=headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == (
        'DPoP realm="api", algs="ES256 Ed25519 RS256", error="invalid_dpop_proof"'
    )


def test_a_client_whose_clock_is_wrong_is_told_a_nonce(app):
    """At any view, so that it can sign another proof."""
    wrong = (NOW - timedelta(hours=2)).timestamp()
    answer = app.get("/api/for-apps/", iat=int(wrong), nonce=None)
    assert answer.status_code == 401
    assert 'error="use_dpop_nonce"' in answer["WWW-Authenticate"]
    app.heed(answer)
    assert app.get("/api/for-apps/", iat=int(wrong)).status_code == 200


def test_a_session_without_a_key_is_not_bound_later(user):
    """A thief of its tokens could bind it to theirs."""
    plain = App()
    plain.sign_in(user)
    app = BoundApp()
    app.tokens = plain.tokens
    app.refresh()
    assert app.refresh().json()["error"] == "invalid_dpop_proof"
    assert app.get().content == b"anonymous"
    assert plain.get().content == b"alice"


def test_a_good_token_that_is_over_is_refused_as_such(app, clock):
    """The proof is not at fault."""
    clock.shift(timedelta(minutes=16))
    answer = app.get("/api/for-apps/")
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]


def test_where_joserfc_is_missing_the_answer_says_so(user, monkeypatch):
    """It is an extra; nobody is signed in as if there had been no proof."""
    monkeypatch.setitem(sys.modules, "tokenauth.dpop.proving", None)
    app = BoundApp()
    app.http.defaults["HTTP_DPOP"] = app.proof("POST", LOGIN)["dpop"]
    answer = App.sign_in(app, user)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_dpop_proof")
    assert "django-tokenauth[keys]" in answer.json()["detail"]
    plain = App()
    plain.sign_in(user)
    headers = {"authorization": f"DPoP {plain.tokens['access_token']}"}
    assert plain.http.get("/whoami/", headers=headers).content == b"anonymous"
