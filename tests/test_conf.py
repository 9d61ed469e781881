"""Settings: each has a default and is read at the moment it is used."""

from datetime import timedelta

import pytest

from tokenauth.conf import Conf, Setting, conf

DEFAULTS = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    "SESSION_LIFETIME": timedelta(days=180),
    "BROWSER_SESSION_LIFETIME": timedelta(hours=12),
    "GRACE_PERIOD": timedelta(seconds=60),
    "HISTORY_LIFETIME": timedelta(days=90),
    "ACCESS_COOKIE_NAME": "access_token",
    "REFRESH_COOKIE_NAME": "refresh_token",
    "REFRESH_COOKIE_PATH": None,
    "COOKIE_DOMAIN": None,
    "COOKIE_SAMESITE": "Lax",
    "COOKIE_SECURE": True,
    "MAX_SESSIONS_PER_USER": 100,
    "ADOPT_DJANGO_SESSIONS": True,
    "TRUSTED_PROXY_COUNT": 0,
    "LOGIN_RATES": {"address": "60/m", "account": "10/10m"},
    "SEND_NOTICES": False,
}
DURATIONS = [name for name, default in DEFAULTS.items() if isinstance(default, timedelta)]


def test_the_settings_and_their_defaults_are_those_that_are_promised():
    """No setting is missing, none is undocumented, and each has the promised default."""
    names = [name for name, value in vars(Conf).items() if isinstance(value, Setting)]
    assert {name: getattr(conf, name) for name in names} == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_setting_is_read_when_it_is_used(settings, name):
    """A change of settings takes effect at once, and ends at once."""
    given = timedelta(seconds=1) if name in DURATIONS else "given"
    setattr(settings, f"TOKENAUTH_{name}", given)
    assert getattr(conf, name) == given
    delattr(settings, f"TOKENAUTH_{name}")
    assert getattr(conf, name) == DEFAULTS[name]


@pytest.mark.parametrize("name", DURATIONS)
def test_a_number_is_a_length_of_time_in_seconds(settings, name):
    """Durations may be numbers, as elsewhere in Django's settings."""
    setattr(settings, f"TOKENAUTH_{name}", 90.5)
    assert getattr(conf, name) == timedelta(seconds=90.5)


@pytest.mark.parametrize("name", DURATIONS)
def test_only_the_two_token_lifetimes_fall_back_to_simplejwts(settings, name):
    """The rest of ``SIMPLE_JWT`` belongs to the site's own bearer API."""
    settings.SIMPLE_JWT = {name: timedelta(seconds=77)}
    falls_back = name.endswith("_TOKEN_LIFETIME")
    assert getattr(conf, name) == (timedelta(seconds=77) if falls_back else DEFAULTS[name])
    setattr(settings, f"TOKENAUTH_{name}", 88)
    assert getattr(conf, name) == timedelta(seconds=88)


@pytest.mark.parametrize("debug", [True, False], ids=["debug", "production"])
def test_cookies_are_secure_unless_debug_or_told_otherwise(settings, debug):
    """Development over http works unconfigured; production is safe unconfigured."""
    settings.DEBUG = debug
    assert conf.COOKIE_SECURE is not debug
    settings.TOKENAUTH_COOKIE_SECURE = debug
    assert conf.COOKIE_SECURE is debug
