"""The system checks of device binding: each by its id, with a hint that says what to edit."""

import re
from datetime import timedelta

import pytest

from tokenauth.checks import device

CASES = {
    "off": ({"DEVICE_BINDING": False, "COOKIE_DOMAIN": "example.com"}, []),
    "on": ({}, []),
    "of several hosts": ({"COOKIE_DOMAIN": "example.com"}, ["E049"]),
    "ends before it can be shown": (
        {"DEVICE_TOKEN_LIFETIME": 179, "GRACE_PERIOD": 60},
        ["E050", "W036"],
    ),
    "ends too often for Chrome": (
        {"DEVICE_TOKEN_LIFETIME": 239, "GRACE_PERIOD": 10},
        ["W036"],
    ),
    "ends before a busy browser can show it": (
        {"DEVICE_TOKEN_LIFETIME": 415, "GRACE_PERIOD": 120},
        ["W036"],
    ),
    "as short as can be": ({"DEVICE_TOKEN_LIFETIME": timedelta(minutes=5)}, []),
    "as long as makes sense": ({"DEVICE_TOKEN_LIFETIME": timedelta(hours=1)}, []),
    "longer": ({"DEVICE_TOKEN_LIFETIME": timedelta(hours=1, seconds=1)}, ["W037"]),
    "over http": ({"COOKIE_SECURE": False}, ["W038"]),
    "no duration": ({"DEVICE_TOKEN_LIFETIME": "ten minutes"}, []),  # another check says so
}


@pytest.fixture
def site(settings):
    """One that binds sessions."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    return settings


@pytest.mark.parametrize(("options", "expected"), CASES.values(), ids=CASES)
def test_a_check_finds_what_is_wrong_with_the_binding_and_nothing_else(site, options, expected):
    """Each hint names a setting, and what to do with it."""
    for name, value in options.items():
        setattr(site, f"TOKENAUTH_{name}", value)
    found = device.check_device_binding()
    assert [message.id for message in found] == [f"tokenauth.{id_}" for id_ in expected]
    assert all(re.search(r"TOKENAUTH_\w+", message.hint) for message in found)


def test_without_the_library_it_says_what_to_install(site, monkeypatch):
    """Before the first request fails."""
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    [message] = device.check_device_binding()
    assert message.id == "tokenauth.E048"
    assert "django-tokenauth[keys]" in message.hint
