"""Settings: each has a default and is read at the moment it is used."""

from datetime import UTC, date, datetime, timedelta, timezone

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
    "FORMER_COOKIES": [],
    "MAX_SESSIONS_PER_USER": 100,
    "ADOPT_DJANGO_SESSIONS": True,
    "ADOPT_UNTIL": None,
    "TRUSTED_PROXY_COUNT": 0,
    "LOGIN_RATES": {"address": "60/m", "account": "10/10m"},
    "ISSUER": None,
    "REVOCATIONS": None,
    "REVOCATION_INTERVAL": timedelta(seconds=0.25),
    "REVOCATIONS_DOWN": "accept",
    "RECENT_LOGIN": None,
    "APP_CLIENTS": False,
    "DEVICE_BINDING": False,
    "DEVICE_TOKEN_LIFETIME": timedelta(minutes=10),
    "TRUSTED_ISSUERS": {},
    "SEND_NOTICES": False,
    "ADDRESS_LABEL": None,
    "PASSWORD_CHANGE_URL": None,
    "PASSWORD_RESET_URL": None,
    "SIGNING_KEYS": [],
    "AUDIENCE": None,
    "ACCESS_CLAIMS": None,
    "RESOURCE_SERVERS": [],
    "AUTHORIZATION_SERVER": None,
    "JWKS_URL": None,
    "PUBLIC_KEYS": None,
    "RESOURCE_USER": None,
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


def test_an_optional_length_of_time_may_be_a_number_too(settings):
    """In seconds; None is none."""
    for given, held in ((90.5, timedelta(seconds=90.5)), (None, None)):
        settings.TOKENAUTH_RECENT_LOGIN = given
        assert held == conf.RECENT_LOGIN


@pytest.mark.parametrize("name", DURATIONS)
def test_only_the_two_token_lifetimes_fall_back_to_simplejwts(settings, name):
    """The rest of ``SIMPLE_JWT`` belongs to the site's own bearer API."""
    settings.SIMPLE_JWT = {name: timedelta(seconds=77)}
    falls_back = name in ("ACCESS_TOKEN_LIFETIME", "REFRESH_TOKEN_LIFETIME")
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


# A site's policy for Django's own sessions


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({"SESSION_COOKIE_AGE": 900}, (900, 900, 300, 60)),
        ({"SESSION_COOKIE_AGE": 120}, (120, 120, 40, 20)),
        ({"SESSION_COOKIE_AGE": 7 * 86400}, (7 * 86400, 43200, 900, 60)),
        ({"SESSION_COOKIE_AGE": 1209600}, (1209600, 43200, 900, 60)),
        ({"SESSION_COOKIE_AGE": 900, "REFRESH": 86400}, (86400, 900, 300, 60)),
        ({"SESSION_COOKIE_AGE": 900, "BROWSER": 43200}, (900, 43200, 300, 60)),
        ({"SESSION_COOKIE_AGE": 900, "SIMPLE_JWT": 3600}, (3600, 900, 300, 60)),
        ({"SESSION_COOKIE_AGE": 900, "REFRESH": 7200, "SIMPLE_JWT": 3600}, (7200, 900, 300, 60)),
        ({"SIMPLE_JWT": 3600}, (3600, 3600, 900, 60)),
        ({"REFRESH": 1800}, (1800, 1800, 600, 60)),
        ({"REFRESH": 1800, "ACCESS": 300}, (1800, 1800, 300, 60)),
        ({"REFRESH": 1800, "ACCESS": 1800, "GRACE": 400}, (1800, 1800, 600, 300)),
        ({"BROWSER": 1800}, (30 * 86400, 1800, 600, 60)),
        ({}, (30 * 86400, 43200, 900, 60)),
    ],
)
def test_a_sites_policy_for_idle_sessions_counts_and_the_rest_fits_into_it(settings, options, held):
    """Ours, else simplejwt's, else Django's if the site has set it, else 30 days."""
    ours = {
        "REFRESH": "TOKENAUTH_REFRESH_TOKEN_LIFETIME",
        "BROWSER": "TOKENAUTH_BROWSER_SESSION_LIFETIME",
        "ACCESS": "TOKENAUTH_ACCESS_TOKEN_LIFETIME",
        "GRACE": "TOKENAUTH_GRACE_PERIOD",
    }
    if "SIMPLE_JWT" in options:
        options = options | {"SIMPLE_JWT": {"REFRESH_TOKEN_LIFETIME": timedelta(hours=1)}}
    for name, value in options.items():
        setattr(settings, ours.get(name, name), value)
    read = conf.REFRESH_TOKEN_LIFETIME, conf.BROWSER_SESSION_LIFETIME
    read += conf.ACCESS_TOKEN_LIFETIME, conf.GRACE_PERIOD
    assert tuple(duration.total_seconds() for duration in read) == held


@pytest.mark.parametrize("at_close", [True, False])
def test_a_site_that_signs_out_with_the_browser_does_so_here(settings, at_close):
    """Unless a person says otherwise."""
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = at_close
    assert conf.persistent_by_default is not at_close


# Until when Django sessions are adopted

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EAST = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("until", "adopts"),
    [
        (None, True),
        (date(2026, 3, 2), True),
        (date(2026, 3, 1), False),
        (datetime(2026, 3, 1, 12, 1), True),  # noqa: DTZ001  # a site may well write this
        (datetime(2026, 3, 1, 12, 0), False),  # noqa: DTZ001  # a site may well write this
        (datetime(2026, 3, 1, 21, 1, tzinfo=EAST), True),
        (datetime(2026, 3, 1, 20, 59, tzinfo=EAST), False),
    ],
)
@pytest.mark.parametrize("use_tz", [True, False], ids=["aware", "naive"])
def test_django_sessions_are_adopted_until_a_moment(settings, until, adopts, use_tz):
    """A date begins in UTC, and so does what names no time zone."""
    settings.USE_TZ = use_tz
    settings.TOKENAUTH_ADOPT_UNTIL = until
    now = NOON if use_tz else datetime.fromtimestamp(NOON.timestamp())  # noqa: DTZ006  # as Django
    assert conf.adopts(now) is adopts
    settings.TOKENAUTH_ADOPT_DJANGO_SESSIONS = False
    assert not conf.adopts(now)
