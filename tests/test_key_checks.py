"""The system checks of the keys: each by its id, with a hint that says what to edit."""

import errno
import re
import sys
from pathlib import Path

import pytest
from django.core.checks import Error
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tokenauth.checks import issuer

PRIVATE = ECKey.generate_key("P-256").as_pem(private=True).decode()
OTHER = OKPKey.generate_key("Ed25519")
PUBLIC = OTHER.as_pem(private=False).decode()
ISSUER = "https://example.com"


def claims(session):
    """What a site tells of a session."""
    return {}


GOOD = {"SIGNING_KEYS": [PRIVATE], "ISSUER": ISSUER, "AUDIENCE": ["https://api.example.com"]}
CASES = {
    "none": ({"SIGNING_KEYS": []}, []),
    "one": ({}, []),
    "several": ({"SIGNING_KEYS": (PRIVATE, "HS256", PUBLIC)}, []),
    "hs256-first": ({"SIGNING_KEYS": ["HS256", PRIVATE]}, []),
    "hs256-alone": ({"SIGNING_KEYS": ["HS256"]}, []),
    "one-audience": ({"AUDIENCE": "https://api.example.com"}, []),
    "nobody-else": ({"AUDIENCE": []}, []),
    "claims": ({"ACCESS_CLAIMS": f"{__name__}.claims"}, []),
    "issuer-with-path": ({"ISSUER": "https://example.com:8443/shop"}, []),
    "no-file": ({"SIGNING_KEYS": [PRIVATE, "/nowhere.pem"]}, ["E022"]),
    "no-pem": ({"SIGNING_KEYS": ["-----BEGIN NONSENSE-----"]}, ["E022"]),
    "number": ({"SIGNING_KEYS": [5]}, ["E022"]),
    "two-that-will-not-do": ({"SIGNING_KEYS": [5, PRIVATE, "hs256"]}, ["E022", "E022"]),
    "wrong-curve": (
        {"SIGNING_KEYS": [ECKey.generate_key("P-384").as_pem(private=True).decode()]},
        ["E022"],
    ),
    "public-first": ({"SIGNING_KEYS": [PUBLIC, PRIVATE]}, ["E023"]),
    "twice": ({"SIGNING_KEYS": [PRIVATE, PUBLIC, PRIVATE]}, ["E024"]),
    "three-times": ({"SIGNING_KEYS": [PRIVATE, PRIVATE, PRIVATE]}, ["E024", "E024"]),
    "both-halves": (
        {"SIGNING_KEYS": [OTHER.as_pem(private=True).decode(), PUBLIC]},
        ["E024"],
    ),
    "no-issuer": ({"ISSUER": None}, ["E025"]),
    "no-audience": ({"AUDIENCE": None}, ["E025"]),
    "neither": ({"ISSUER": None, "AUDIENCE": None}, ["E025"]),
    "number-for-audience": ({"AUDIENCE": [5]}, ["E026"]),
    "empty-audience": ({"AUDIENCE": [""]}, ["E026"]),
    "plain-http": ({"ISSUER": "http://example.com"}, ["E027"]),
    "no-url": ({"ISSUER": "example"}, ["E027"]),
    "no-host": ({"ISSUER": "https://"}, ["E027"]),
    "broken-host": ({"ISSUER": "https://[example"}, ["E027"]),
    "query": ({"ISSUER": "https://example.com?"}, ["E027"]),
    "fragment": ({"ISSUER": "https://example.com#"}, ["E027"]),
    "empty-issuer": ({"ISSUER": ""}, ["E027"]),
    "claims-of-nobody": ({"ACCESS_CLAIMS": "nowhere.claims"}, ["E028"]),
    "claims-of-no-function": ({"ACCESS_CLAIMS": f"{__name__}.ISSUER"}, ["E028"]),
    "claims-without-keys": (
        {"SIGNING_KEYS": [], "ACCESS_CLAIMS": f"{__name__}.claims"},
        ["W022"],
    ),
    "claims-in-hs256": (
        {"SIGNING_KEYS": ["HS256", PRIVATE], "ACCESS_CLAIMS": f"{__name__}.claims"},
        ["W022"],
    ),
    "refresh-token-everywhere": ({"REFRESH_COOKIE_PATH": "/"}, ["W024"]),
    "refresh-token-under-the-include": ({"REFRESH_COOKIE_PATH": "/auth/refresh/"}, []),
    "said-elsewhere": ({"SIGNING_KEYS": PRIVATE}, []),
}


@pytest.fixture(autouse=True)
def site(settings):
    """A site whose keys are in order, until a test changes something."""
    for name, value in GOOD.items():
        setattr(settings, f"TOKENAUTH_{name}", value)
    return settings


def found():
    return issuer.check_keys()


def ids():
    return [message.id.removeprefix("tokenauth.") for message in found()]


@pytest.mark.parametrize(("options", "expected"), CASES.values(), ids=CASES)
def test_a_check_finds_what_is_wrong_with_the_keys_and_nothing_else(site, options, expected):
    """And says which setting to edit."""
    for name, value in options.items():
        setattr(site, f"TOKENAUTH_{name}", value)
    assert ids() == expected
    assert all(re.search(r"Edit TOKENAUTH_|Set TOKENAUTH_", message.hint) for message in found())


def test_no_check_tells_a_key(site):
    """Nor the middle of one that was pasted badly."""
    middle = PRIVATE.splitlines()[1]
    site.TOKENAUTH_SIGNING_KEYS = [middle, PRIVATE[:80] + PRIVATE[90:], PRIVATE, PRIVATE]
    messages = found()
    assert ids() == ["E022", "E022", "E024"]
    assert [message for message in messages if middle[:20] in f"{message.msg} {message.hint}"] == []


def test_a_weak_key_is_told_by_its_place_and_size(site):
    """RSA under 2048 bits."""
    raw = RSAKey.binding.generate_private_key(1024)
    site.TOKENAUTH_SIGNING_KEYS = [PRIVATE, RSAKey(raw, raw).as_pem(private=True).decode()]
    (message,) = found()
    assert message.msg == (
        "No. 2 of TOKENAUTH_SIGNING_KEYS is RSA of 1024 bits: take 2048 to 4096."
    )


def test_without_the_library_it_says_what_to_install(monkeypatch):
    """And nothing else of the keys, which nobody can read."""
    monkeypatch.setitem(sys.modules, "tokenauth.session.jose.keys", None)
    monkeypatch.delattr("tokenauth.session.jose.keys", raising=False)
    (message,) = found()
    assert message.id == "tokenauth.E021"
    assert "pip install 'django-tokenauth[keys]'" in message.hint


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o600, []), (0o640, []), (0o604, ["W020"]), (0o602, ["W020"])]
)
def test_a_private_key_that_everybody_can_read_is_told(site, tmp_path, mode, expected):
    """Or replace; a group may be the web server's."""
    file = tmp_path / "key.pem"
    file.write_text(PRIVATE)
    file.chmod(mode)
    for entry in (file, str(file)):
        site.TOKENAUTH_SIGNING_KEYS = [entry]
        assert ids() == expected


def test_a_public_key_may_be_read_by_everybody(site, tmp_path):
    """That is what it is for; and a file that is not there has an error of its own."""
    file = tmp_path / "public.pem"
    file.write_text(PUBLIC)
    file.chmod(0o644)
    site.TOKENAUTH_SIGNING_KEYS = [PRIVATE, file]
    assert ids() == []
    site.TOKENAUTH_SIGNING_KEYS = [PRIVATE, tmp_path]
    assert ids() == ["E022"]


def test_a_file_that_may_not_be_read_is_told(site, tmp_path, monkeypatch):
    """With the system's own words."""

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    site.TOKENAUTH_SIGNING_KEYS = [tmp_path / "key.pem"]
    (message,) = found()
    assert message.msg == "No. 1 of TOKENAUTH_SIGNING_KEYS cannot be read: Permission denied."


def test_development_may_do_without_https(site):
    """A warning only, so that ``runserver`` starts."""
    site.DEBUG, site.TOKENAUTH_ISSUER = True, "http://localhost:8000"
    assert ids() == ["W021"]
    assert not [message for message in found() if isinstance(message, Error)]


def test_each_is_tried():
    """Those of the stream of revocations are in tests/test_checks.py."""
    tried = {name for _, names in CASES.values() for name in names} | {"E021", "W020", "W021"}
    source = Path(issuer.__file__).read_text()
    assert set(re.findall(r'"tokenauth\.([EW]\d+)"', source)) == tried | {"E043", "E044"}
