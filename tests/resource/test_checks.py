"""The system checks of a resource server: each by its id, with a hint that says what to edit."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from tests.resource import JWKS
from tests.resource.conftest import OURS
from tokenauth.resource import checks

DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]


@pytest.fixture(autouse=True)
def site(resource_server):
    """A resource server as it should be: on a live host, without ``tokenauth``."""
    resource_server.INSTALLED_APPS = [*APPS, "tokenauth.resource"]
    resource_server.MIDDLEWARE = [OURS]
    resource_server.ALLOWED_HOSTS = ["api.site.test"]
    return resource_server


def function_middleware(get_response):
    return get_response


class Extended(checks.import_string(OURS)):
    """A site's own."""


def someone(claims):
    return None


def found():
    """Every message, as `check --deploy` finds them."""
    return [*checks.check_resource_server(), *checks.check_deployment()]


def ours(**options):
    return {f"TOKENAUTH_{name}": value for name, value in options.items()}


NO_KEYS = ours(PUBLIC_KEYS=None, AUTHORIZATION_SERVER=None)
SHARED = {"ALLOWED_HOSTS": [".site.test"], "MIDDLEWARE": [SESSIONS, OURS]}

CASES = {
    "both-apps": ({"INSTALLED_APPS": [*APPS, "tokenauth", "tokenauth.resource"]}, ["E030"]),
    "no-auth-app": ({"INSTALLED_APPS": ["tokenauth.resource"]}, ["E031", "E031"]),
    "no-middleware": ({"MIDDLEWARE": [DJANGOS]}, ["E033"]),
    "beside-djangos": ({"MIDDLEWARE": [DJANGOS, OURS]}, ["E034"]),
    "twice": ({"MIDDLEWARE": [OURS, OURS]}, ["E034"]),
    "server-without-slash": (ours(AUTHORIZATION_SERVER="https://app.site.test/auth"), ["E035"]),
    "server-without-scheme": (ours(AUTHORIZATION_SERVER="app.site.test/auth/"), ["E035"]),
    "server-with-query": (ours(AUTHORIZATION_SERVER="https://app.site.test/?a/"), ["E035"]),
    "server-with-user": (ours(AUTHORIZATION_SERVER="https://a@app.site.test/"), ["E035"]),
    "server-of-another-scheme": (ours(AUTHORIZATION_SERVER="file:///auth/"), ["E035"]),
    "number-for-server": (ours(AUTHORIZATION_SERVER=5), ["E007"]),
    "jwks-path": (ours(JWKS_URL="/auth/jwks.json"), ["E036"]),
    "jwks-file": (ours(JWKS_URL="file:///etc/jwks.json"), ["E036"]),
    "no-issuer": (ours(ISSUER=None), ["E037"]),
    "empty-issuer": (ours(ISSUER=""), ["E037"]),
    "no-audience": (ours(AUDIENCE=None), ["E038"]),
    "list-of-audiences": (ours(AUDIENCE=["https://api.site.test/"]), ["E038"]),
    "no-keys": (NO_KEYS, ["E039"]),
    "no-key-set": (ours(PUBLIC_KEYS={"keys": []}), ["E040"]),
    "no-such-file": (ours(PUBLIC_KEYS="/nowhere/jwks.json"), ["E040"]),
    "file-that-is-no-json": (ours(PUBLIC_KEYS=Path(__file__)), ["E040"]),
    "list-of-keys": (ours(PUBLIC_KEYS=JWKS["keys"]), ["E007"]),
    "user-of-no-module": (ours(RESOURCE_USER="nowhere.someone"), ["E041"]),
    "user-that-is-no-function": (ours(RESOURCE_USER=f"{__name__}.DJANGOS"), ["E041"]),
    "shared-session-cookie": (SHARED, ["W030"]),
    "shared-by-any-host": (SHARED | {"ALLOWED_HOSTS": ["*"]}, ["W030"]),
    "plain-http": (ours(COOKIE_SECURE=False), ["W031"]),
    "keys-over-http": (
        ours(PUBLIC_KEYS=None, AUTHORIZATION_SERVER="http://app.site.test/auth/"),
        ["W032"],
    ),
    "misspelt": (ours(AUTHORISATION_SERVER="https://app.site.test/auth/"), ["W001"]),
    "prefix": (ours(ACCESS_COOKIE_NAME="__Host-token"), ["E014"]),
    "several": (ours(TYPO=1, ISSUER=5) | {"MIDDLEWARE": []}, ["E007", "E033", "W001"]),
}


@pytest.mark.parametrize(("options", "ids"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_found_and_named(site, options, ids):
    """Exactly the messages that belong to a mistake, each telling where to edit what."""
    for name, value in options.items():
        setattr(site, name, value)
    messages = found()
    assert sorted(message.id.removeprefix("tokenauth.") for message in messages) == ids
    for message in messages:
        assert re.match("Edit|Set|Known", message.hint)


GOOD = {
    "keys-given": {},
    "keys-fetched": ours(PUBLIC_KEYS=None),
    "keys-fetched-inside": ours(
        PUBLIC_KEYS=None,
        AUTHORIZATION_SERVER="http://app.site.test/",
        JWKS_URL="http://auth:8000/auth/jwks.json?a=b",
    ),
    "keys-alone": ours(AUTHORIZATION_SERVER=None),
    "functions": {"MIDDLEWARE": [f"{__name__}.function_middleware", f"{__name__}.Extended"]},
    "people": ours(RESOURCE_USER=f"{__name__}.someone"),
    "own-session-cookie": SHARED | {"SESSION_COOKIE_NAME": "api_sessionid"},
    "own-host": SHARED | {"ALLOWED_HOSTS": ["api.site.test"]},
    "port": ours(AUTHORIZATION_SERVER="https://app.site.test:8443/"),
}


@pytest.mark.parametrize("options", GOOD.values(), ids=GOOD)
def test_what_is_right_passes(site, options):
    """No message about a resource server that works."""
    for name, value in options.items():
        setattr(site, name, value)
    assert found() == []


def test_a_file_of_keys_is_read(site, tmp_path):
    """What the authorization server answers, saved."""
    site.TOKENAUTH_PUBLIC_KEYS = tmp_path / "jwks.json"
    site.TOKENAUTH_PUBLIC_KEYS.write_text(json.dumps(JWKS))
    assert found() == []


def test_the_library_for_keys_is_missed_by_name(monkeypatch):
    """It is an extra, so somebody will forget it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "joserfc" else find(name))
    (message,) = found()
    assert message.id == "tokenauth.E032"
    assert "django-tokenauth[keys]" in message.hint


def test_each_is_tried():
    """Every message that there is."""
    ids = re.findall(r'id="tokenauth\.(\w+)"', Path(checks.__file__).read_text())
    assert set(ids) <= {name for _, names in CASES.values() for name in names} | {"E032"}
