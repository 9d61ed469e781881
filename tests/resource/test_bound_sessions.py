"""Sessions that are bound to a device, on a server that has a public key alone."""

import time
from uuid import UUID

import pytest
from django.test import RequestFactory

from tests.device.keys import ES256
from tests.resource import AUDIENCE, COOKIE, ISSUER, JWKS, KEYS, OTHER_SID, SID, new_keys, token
from tokenauth.device.tokens import issue_device_token
from tokenauth.request.jar.device import device_place
from tokenauth.resource.credentials import Credentials
from tokenauth.resource.keys.verifying import Verifier
from tokenauth.session.jwt.jwk import canonical, thumbprint_of

KEY, OTHER = canonical(ES256().jwk), canonical(ES256().jwk)
JKT = thumbprint_of(KEY)
NAME = device_place(UUID(SID)).name
NAVIGATION = {"sec_fetch_mode": "navigate", "sec_fetch_site": "cross-site"}


def device_token(keys=KEYS, **more):
    """A device token as the issuer signs it."""
    now = int(time.time())
    said = {"iss": ISSUER, "sid": SID, "jkt": JKT, "iat": now, "exp": now + 600, "proved": now}
    return keys.sign(said | more, "device+jwt").reveal()


def ask(visitor, device=None, *, path="/whoami/", access=None, **options):
    """Ask with both cookies, or without that of the device."""
    brought = [access or token(jkt=JKT)]
    if device is not None:
        # The visitor joins values of one cookie; here comes another one's name.
        brought[0] += f"; {NAME}={device}"
    return visitor.ask(path, *brought, **options)


def test_who_shows_the_device_token_is_let_in(visitor):
    """Bound or not: the access token says which."""
    assert ask(visitor, device_token()).content == b"7"
    assert ask(visitor, access=token()).content == b"7"
    assert ask(visitor, device_token(), access=token()).content == b"7"


def test_the_issuers_own_token_is_one(visitor, settings):
    """Made by the same code there."""
    settings.TOKENAUTH_ISSUER = ISSUER
    settings.TOKENAUTH_SIGNING_KEYS = [KEYS._first.reveal().as_pem(private=True).decode()]
    raw = issue_device_token(UUID(SID), KEY, proved=1, is_first=True).reveal()
    assert ask(visitor, raw).content == b"7"


DEVICES = {
    "none": None,
    "expired": device_token(exp=int(time.time()) - 1),
    "of another session": device_token(sid=OTHER_SID),
    "of another key": device_token(jkt=thumbprint_of(OTHER)),
    "by another issuer": device_token(iss="https://other.test/"),
    "by another issuer's key": device_token(new_keys()),
    "an access token": token(jkt=JKT),
    "nonsense": "nonsense",
}


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_without_a_good_one_nobody_is_there_and_a_script_is_told_why(visitor, device):
    """The session lives; a browser with the key may ask again in a moment."""
    assert ask(visitor, device).content == b"anonymous"
    answer = ask(visitor, device, path="/api/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api", error="device_proof_required"'
    assert answer["Retry-After"] == "2"


def test_it_is_not_sent_to_refresh(visitor):
    """Nobody there could do what only its device can."""
    old = token(jkt=JKT, exp=int(time.time()) - 1)
    assert ask(visitor, access=old, sec_fetch_mode="navigate").status_code == 200
    answer = ask(visitor, device_token(), access=old, sec_fetch_mode="navigate")
    assert answer.status_code == 307


def test_another_sites_link_leads_to_a_page_that_goes_on(visitor):
    """As on the authorization server."""
    answer = ask(visitor, path="/whoami/?a=1", **NAVIGATION)
    assert b'content="0;url=/whoami/?a=1"' in answer.content
    assert ask(visitor, device_token(), **NAVIGATION).content == b"7"
    assert ask(visitor, access=token(), **NAVIGATION).content == b"7"


def test_a_browser_that_could_not_prove_its_key_is_sent_round_once(visitor):
    """And no view sees the word that says so."""
    skipped = {"sec_fetch_mode": "navigate", "secure_session_skipped": "quota_exceeded"}
    again = ask(visitor, path="/whoami/?a=1", **skipped).content.decode()
    url = again.partition("0;url=")[2].partition('"')[0].replace("&amp;", "&")
    assert url.startswith("/whoami/?a=1&_dt=")
    assert ask(visitor, path=url, **skipped).content == b"anonymous"
    assert b"_dt" not in ask(visitor, path=f"/echo/?a=1&_dt={int(time.time())}").content


def test_a_key_of_the_issuers_that_is_new_is_fetched_for_a_device_token(resource_server):
    """As for an access token: it may come beside one of the key before."""
    keys, document = new_keys(), {"keys": [*JWKS["keys"]]}
    served = Served(document)
    credentials = Credentials(
        RequestFactory().get(
            "/", headers={"cookie": f"{COOKIE}={token(jkt=JKT)}; {NAME}={device_token(keys)}"}
        )
    )
    credentials.arrangement = credentials.arrangement._replace(keys=served)
    document["keys"] += keys.public.as_jwks()["keys"]
    flow = credentials.settle()
    step = next(flow)
    step.block()
    with pytest.raises(StopIteration):
        flow.send(None)
    assert credentials.claims["sub"] == "7"


class Served:
    """Keys that were fetched, and are fetched once more by whoever waits."""

    def __init__(self, document):
        self.document, self.now = document, self.read(document)

    def read(self, document):
        return Verifier.from_jwks(document, ISSUER, AUDIENCE)

    def verifier(self):
        return self.now

    def flight(self):
        return self

    def wait(self):
        self.now = self.read(self.document)


def test_a_header_brings_no_bound_session(visitor):
    """Apps have DPoP; of a browser's token a header accepts none."""
    assert visitor.ask("/whoami/", bearer=token(jkt=JKT)).content == b"anonymous"
