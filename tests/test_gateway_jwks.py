"""A real nginx that verifies access tokens itself, by the page's own lines."""

import json
import re
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
import time_machine
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from django.utils import timezone
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from tests.browser import Browser
from tests.conftest import leave_out
from tests.live import Server
from tests.nginx import find_nginx, find_njs, free_port, nginx
from tests.processes import ROOT
from tests.test_nginx import serve_app

ISSUER, AUDIENCE = "https://example.com", "https://api.example.com"
COOKIE = "__Host-access_token"
EXPIRY = timedelta(minutes=16)
KEY = ECKey.generate_key("P-256")
PEM = KEY.as_pem(private=True).decode()
STRANGER = ECKey.generate_key("P-256")

one_server = pytest.mark.parametrize("server", ["wsgi"], indirect=True)


@pytest.fixture(autouse=True)
def issuer(settings):
    """A site that signs with a private key."""
    settings.TOKENAUTH_SIGNING_KEYS = [PEM]
    settings.TOKENAUTH_ISSUER, settings.TOKENAUTH_AUDIENCE = ISSUER, [AUDIENCE]


@pytest.fixture
def gateway(server, tmp_path):
    """A browser before the page's nginx, an app and Django behind it."""
    program = find_nginx() or leave_out("nginx was not found: install it")
    module = find_njs() or leave_out("njs was not found: install libnginx-mod-http-js")
    page = (ROOT / "docs/how-to/gateway-jwks.md").read_text("utf-8")
    [config] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    [script] = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    port = free_port()
    with serve_app() as app:
        config = config.replace("443 ssl", f"127.0.0.1:{port}")
        config = config.replace("http://app", f"http://127.0.0.1:{app}")
        config = config.replace("http://django", f"http://127.0.0.1:{server.port}")
        # The tests' browser speaks https as far as Django can tell, and nginx does not.
        config = config.replace("$scheme", "https")
        with nginx(program, config, port, module=module, script=script):
            browser = Browser(Server("nginx", port))
            yield browser
            browser.close()


@pytest.fixture
def clock():
    """The clock of Django and of the browser, not of nginx."""
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@one_server
def test_the_app_is_told_whose_token_came(gateway, user):
    """After a login on Django's page; a header of the client's own is replaced."""
    gateway.login(user)
    told = f"/app/?a=1&b=2 {user.pk} "
    assert gateway.get("/app/?a=1&b=2").text == f"GET {told}"
    assert gateway.get("/app/?a=1&b=2", headers={"X-Auth-User": "0"}).text == f"GET {told}"
    form = gateway.send_form("/app/", {"note": "x" * 100_000})
    assert form.text == f"POST /app/ {user.pk} note={'x' * 100_000}"


@one_server
def test_an_expired_token_is_refused_and_the_script_refreshes(gateway, user, clock):
    """As the page about a second site has it: a 401 that says so, a refresh, and once more."""
    clock.shift(-2 * EXPIRY)
    gateway.login(user)
    refused = gateway.fetch("GET", "/app/")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    nobody = gateway.client.get("/app/", headers={"Cookie": "other=1"})
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    clock.shift(2 * EXPIRY)
    assert gateway.fetch("POST", "/auth/refresh/").status_code == 200
    assert gateway.fetch("GET", "/app/").text == f"GET /app/ {user.pk} "


def token(key=KEY, *, header=None, **more):
    """An access token of the issuer's; what is None is left out."""
    now = int(timezone.now().timestamp())
    claims = {"iss": ISSUER, "aud": [ISSUER, AUDIENCE], "sub": "7", "client_id": "app"}
    claims |= {"iat": now, "exp": now + 3600} | more
    protected = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.thumbprint()} | (header or {})
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(protected, claims, key, algorithms=["ES256", "HS256"])


def ask(gateway, *, bearer=None, cookies=()):
    """What the app is told, or None where the gateway refuses."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
    headers |= {"Cookie": "; ".join(f"{COOKIE}={cookie}" for cookie in cookies)} if cookies else {}
    answer = gateway.client.get("/app/", headers=headers)
    assert answer.status_code in {200, 401}
    return answer.text if answer.status_code == 200 else None


@one_server
def test_an_app_sends_its_token_in_a_header(gateway):
    """Whose primary key is no plain text, is quoted."""
    assert ask(gateway, bearer=token()) == "GET /app/ 7 "
    assert ask(gateway, bearer=token(aud=AUDIENCE, sub="é\r\nX: y")) == (
        "GET /app/ %C3%A9%0D%0AX%3A%20y "
    )


PUBLIC_AS_SECRET = OctKey.import_key(KEY.as_dict(private=False)["x"])
REFUSED = {
    "nothing": lambda: None,
    "a word": lambda: "x",
    "garbage": lambda: "a.b.c",
    "another key": lambda: token(STRANGER),
    "unknown kid": lambda: token(header={"kid": "unknown"}),
    "no kid": lambda: token(header={"kid": ""}),
    "HS256 with the public key": lambda: token(PUBLIC_AS_SECRET, header={"alg": "HS256"}),
    "none by name": lambda: spoilt(0, headed("none")),
    "ES512 by name": lambda: signed_all_the_same("ES512"),
    "none, and unsigned": lambda: f"{headed('none')}.{token().split('.')[1]}.",
    "another type": lambda: token(header={"typ": "JWT"}),
    "another issuer": lambda: token(iss="https://evil.example"),
    "another audience": lambda: token(aud=["https://other.example"]),
    "no audience": lambda: token(aud=None),
    "expired": lambda: token(exp=int(timezone.now().timestamp()) - 1),
    "never expires": lambda: token(exp=None),
    "a browser's": lambda: token(client_id="browser"),
    "bound to a key": lambda: token(cnf={"jkt": "x"}),
    "changed": lambda: spoilt(2, "A" * 86),
    "cut off": lambda: token().rpartition(".")[0],
    "longer": lambda: f"{token()}.x",
}


def headed(algorithm):
    """A token's first part, with this for the algorithm."""
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEY.thumbprint()}
    return urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")


def signed_all_the_same(algorithm):
    """A token that is signed by ES256, and calls it something else."""
    text = f"{headed(algorithm)}.{token().split('.')[1]}"
    halves = decode_dss_signature(KEY.private_key.sign(text.encode(), ECDSA(SHA256())))
    signature = b"".join(half.to_bytes(32) for half in halves)
    return f"{text}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


def spoilt(part, text):
    """A token with another part."""
    parts = token().split(".")
    return ".".join([*parts[:part], text, *parts[part + 1 :]])


@one_server
def test_what_is_no_token_for_it_is_refused(gateway):
    """Each with a 401, and none with an error of nginx."""
    told = {name: ask(gateway, bearer=make()) for name, make in REFUSED.items()}
    assert told == dict.fromkeys(REFUSED)
    assert ask(gateway, bearer=signed_all_the_same("ES256")) == "GET /app/ 7 "


@one_server
def test_a_cookie_is_a_browsers_and_alone(gateway):
    """A header that came decides; of two cookies neither counts."""
    browsers = token(client_id="browser")
    assert ask(gateway, cookies=[browsers]) == "GET /app/ 7 "
    assert ask(gateway, cookies=[token()]) is None
    assert ask(gateway, cookies=[browsers, browsers]) is None
    assert ask(gateway, cookies=[browsers], bearer="garbage") is None


@one_server
def test_the_keys_are_kept_while_django_is_away(gateway, monkeypatch):
    """Before they were had once, no token counts; afterwards those count that did."""
    with monkeypatch.context() as away:
        away.setattr("tokenauth.api.jwks.signing_keys", raise_error)
        assert ask(gateway, bearer=token()) is None
    assert ask(gateway, bearer=token()) == "GET /app/ 7 "
    monkeypatch.setattr("tokenauth.api.jwks.signing_keys", raise_error)
    assert ask(gateway, bearer=token()) == "GET /app/ 7 "
    assert gateway.client.get("/_keys").status_code == 404


def raise_error():
    raise OSError("away")


def test_envoys_lines_name_what_is_so_here():
    """They are not run; but they can be read, and name the same cookie and the same claims."""
    page = (ROOT / "docs/how-to/gateway-jwks.md").read_text("utf-8")
    [lines] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    check, _ = yaml.safe_load(lines)["http_filters"]
    provider = check["typed_config"]["providers"]["tokenauth"]
    assert (provider["issuer"], provider["audiences"]) == (ISSUER, [AUDIENCE])
    assert provider["from_cookies"] == [COOKIE]
    assert provider["remote_jwks"]["http_uri"]["uri"] == f"{ISSUER}/auth/jwks.json"
