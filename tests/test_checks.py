"""The system checks: each by its id, with a hint that says what to edit."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.sessions.backends import signed_cookies
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.urls import include, path
from django.utils import timezone
from django.utils.translation import gettext_lazy
from django.views import debug

import tokenauth
from tokenauth.checks import deployment, names, policy, site
from tokenauth.checks import settings as setting_checks
from tokenauth.middleware import TokenAuthMiddleware
from tokenauth.sockets import checks as sockets

pytestmark = pytest.mark.django_db  # Django's own checks look at the database

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "tokenauth.middleware.TokenAuthMiddleware"
FUNCTION = f"{__name__}.function_middleware"
SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"

#: Tried here, though they stand beside those of the keys.
STREAM = {"E043", "E044"}
#: Tried with what they are about, in tests/clients.
TRUST = {"E045", "E046", "E047"}

REDIS = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}

#: A site with Channels, and a layer for one process.
SOCKETS = {"INSTALLED_APPS": [*site_settings.INSTALLED_APPS, "channels"]}
LAYER = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


@pytest.fixture(autouse=True)
def live_site(settings):
    """What a live site has and a test does without; it stands behind no proxy."""
    settings.CACHES = REDIS
    settings.SECURE_PROXY_SSL_HEADER = None


def function_middleware(get_response):
    return get_response


class SessionStore(signed_cookies.SessionStore):
    """A site's own, for the engine that is this module."""


class AuthRouter:
    """That of Django's documentation: people in a database of their own."""

    def db_for_write(self, model, **hints):
        return "auth_db" if model._meta.app_label in self.labels else None

    labels = {"auth", "contenttypes", "tests"}


class WholeAuthRouter(AuthRouter):
    """The same, with their sessions beside them."""

    labels = {*AuthRouter.labels, "tokenauth"}


class Bare:
    """A site without our URLs."""

    urlpatterns = []


class Translated:
    """A site whose every URL starts with its language."""

    urlpatterns = i18n_patterns(path("auth/", include("tokenauth.urls")))


class TranslatedDeep:
    """The same, with the include in an include."""

    urlpatterns = i18n_patterns(
        path("people/", include([path("auth/", include("tokenauth.urls"))])),
        path("other/", include(Bare)),
    )


class TranslatedPath:
    """A site whose path to us is a word in the reader's language."""

    urlpatterns = [path(gettext_lazy("Log out"), include([path("/a/", include("tokenauth.urls"))]))]


class TranslatedUnderAnotherName:
    """The same, with an instance namespace of the site's own."""

    urlpatterns = i18n_patterns(
        path("auth/", include(("tokenauth.urls", "tokenauth"), namespace="accounts"))
    )


@pytest.fixture(autouse=True)
def adoption_ends(settings):
    """What every site is asked for, and most of these sites have."""
    settings.TOKENAUTH_ADOPT_UNTIL = date(2030, 1, 1)


def found():
    """Every message about tokenauth, as `check --deploy` finds them."""
    messages = run_checks(tags=["security"], include_deployment_checks=True)
    return [message for message in messages if message.id.startswith("tokenauth.")]


def ours(**options):
    return {f"TOKENAUTH_{name}": value for name, value in options.items()}


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def former(**entry):
    return ours(FORMER_COOKIES=[{"changed": timezone.now()} | entry])


def backend(path):
    return {"CACHES": {"default": {"BACKEND": path, "LOCATION": "somewhere"}}}


def apps(cache):
    """A site with app clients, where something else limits logins."""
    return backend(f"django.core.cache.backends.{cache}") | ours(APP_CLIENTS=True, LOGIN_RATES=None)


def city(address):
    """Where an address is, as a site would tell."""
    return {"192.0.2.7": "Berlin, Germany"}.get(address)


class Named:
    """A site with pages of its own, one of which is somebody's."""

    own = [path("secret/", function_middleware, name="own_secret")]
    urlpatterns = [
        path("auth/", include("tokenauth.urls")),
        path("own/", include((own, "people"))),
        path("forgotten/", function_middleware, name="forgotten"),
        path("<int:pk>/password/", function_middleware, name="password_of"),
    ]


def named(**options):
    return {"ROOT_URLCONF": Named} | ours(**options)


class OwnCache(LocMemCache):
    """A site's own, made from Django's."""


CASES = {
    "no-middleware": ({"MIDDLEWARE": [SESSIONS, DJANGOS]}, ["E001"]),
    "no-middleware-at-all": ({"MIDDLEWARE": []}, ["E001"]),
    "beside-djangos": ({"MIDDLEWARE": [SESSIONS, OURS, DJANGOS]}, ["E002"]),
    "twice": ({"MIDDLEWARE": [SESSIONS, OURS, OURS]}, ["E002"]),
    "before-sessions": ({"MIDDLEWARE": [OURS, SESSIONS]}, ["E003"]),
    "no-urls": ({"ROOT_URLCONF": Bare}, ["E004"]),
    "translated-urls": ({"ROOT_URLCONF": Translated}, ["E005"]),
    "translated-urls-deep": ({"ROOT_URLCONF": TranslatedDeep}, ["E005"]),
    "translated-path": ({"ROOT_URLCONF": TranslatedPath}, ["E005"]),
    "translated-urls-renamed": ({"ROOT_URLCONF": TranslatedUnderAnotherName}, ["E005"]),
    "cookie-elsewhere": (ours(REFRESH_COOKIE_PATH="/elsewhere/"), ["E006"]),
    "cookie-on-no-path": (ours(REFRESH_COOKIE_PATH="auth/"), ["E006"]),
    "text-for-duration": (ours(GRACE_PERIOD="60"), ["E007"]),
    "flag-for-duration": (ours(GRACE_PERIOD=True), ["E007"]),
    "none-for-duration": (ours(SESSION_LIFETIME=None), ["E007"]),
    "simplejwts-text": ({"SIMPLE_JWT": {"ACCESS_TOKEN_LIFETIME": "15m"}}, ["E007"]),
    "number-for-name": (ours(ACCESS_COOKIE_NAME=5), ["E007"]),
    "number-for-domain": (ours(COOKIE_DOMAIN=5), ["E007"]),
    "number-for-path": (ours(REFRESH_COOKIE_PATH=5), ["E007"]),
    "number-for-flag": (ours(COOKIE_SECURE=1), ["E007"]),
    "text-for-flag": (ours(ADOPT_DJANGO_SESSIONS="no"), ["E007"]),
    "text-for-count": (ours(MAX_SESSIONS_PER_USER="3"), ["E007"]),
    "flag-for-count": (ours(TRUSTED_PROXY_COUNT=True), ["E007"]),
    "zero-seconds": (ours(ACCESS_TOKEN_LIFETIME=0), ["E008"]),
    "no-time-for-a-recent-login": (ours(RECENT_LOGIN=0), ["E008"]),
    "a-text-for-a-recent-login": (ours(RECENT_LOGIN="5m"), ["E007"]),
    "a-recent-login": (ours(RECENT_LOGIN=timedelta(minutes=5)), []),
    "negative": (ours(GRACE_PERIOD=timedelta(seconds=-1)), ["E008"]),
    "not-a-number": (ours(GRACE_PERIOD=float("nan")), ["E008"]),
    "infinite": (ours(SESSION_LIFETIME=float("inf")), ["E008"]),
    "beyond-the-calendar": (ours(SESSION_LIFETIME=timedelta.max), ["E008"]),
    "unknown-samesite": (ours(COOKIE_SAMESITE="lax"), ["E009"]),
    "no-issuer": (ours(REVOCATIONS="redis://127.0.0.1"), ["E043"]),
    "unknown-answer": (ours(REVOCATIONS_DOWN="ignore"), ["E044"]),
    "negative-limit": (ours(MAX_SESSIONS_PER_USER=-1), ["E010"]),
    "no-session-for-anybody": (ours(MAX_SESSIONS_PER_USER=0), ["E010"]),
    "negative-proxies": (ours(TRUSTED_PROXY_COUNT=-1), ["E010"]),
    "access-outlives-refresh": (ours(REFRESH_TOKEN_LIFETIME=900), ["W006"]),
    "access-outlives-cookie-age": ({"SESSION_COOKIE_AGE": 900}, ["W006"]),
    "access-and-grace-outlive-cookie-age": ({"SESSION_COOKIE_AGE": 300}, ["W002", "W006"]),
    "cookie-age-outlives-session": ({"SESSION_COOKIE_AGE": 365 * 86400}, ["W005"]),
    "text-for-cookie-age": ({"SESSION_COOKIE_AGE": "900"}, ["E007", "E007"]),
    "refresh-outlives-session": (ours(SESSION_LIFETIME=86400 * 29), ["W005"]),
    "bearer-lifetime-outlives-session": (
        {"SIMPLE_JWT": {"REFRESH_TOKEN_LIFETIME": timedelta(days=365)}},
        ["W005"],
    ),
    "access-outlives-browser": (ours(ACCESS_TOKEN_LIFETIME=43200), ["W006", "W014"]),
    "access-outlives-session": (ours(SESSION_LIFETIME=900), ["E011", "W005"]),
    "one-name": (ours(ACCESS_COOKIE_NAME="refresh_token"), ["E012"]),
    "none-without-secure": (ours(COOKIE_SAMESITE="None", COOKIE_SECURE=False), ["E013", "W004"]),
    "host-prefix": (ours(ACCESS_COOKIE_NAME="__Host-token"), ["E014"]),
    "secure-prefix": (ours(REFRESH_COOKIE_NAME="__Secure-token"), ["E014"]),
    "name-with-space": (ours(ACCESS_COOKIE_NAME="access token"), ["E015"]),
    "name-with-semicolon": (ours(ACCESS_COOKIE_NAME="token;b"), ["E015"]),
    "name-with-equals": (ours(REFRESH_COOKIE_NAME="token=b"), ["E015"]),
    "name-with-newline": (ours(REFRESH_COOKIE_NAME="token\n"), ["E015"]),
    "name-with-umlaut": (ours(ACCESS_COOKIE_NAME="zugriffstoken-schlüssel"), ["E015"]),
    "no-name": (ours(ACCESS_COOKIE_NAME=""), ["E015", "W012"]),
    "origin-with-slash": (ours(RESOURCE_SERVERS=["https://api.example.com/"]), ["E042"]),
    "origin-with-usual-port": (
        ours(RESOURCE_SERVERS=["https://api.example.com:443", "http://localhost:80"]),
        ["E042", "E042"],
    ),
    "origin-in-capitals": (ours(RESOURCE_SERVERS=["https://API.example.com"]), ["E042"]),
    "origin-with-last-dot": (ours(RESOURCE_SERVERS=["https://api.example.com."]), ["E042"]),
    "origin-with-user": (ours(RESOURCE_SERVERS=["https://me@api.example.com"]), ["E042"]),
    "origin-without-scheme": (ours(RESOURCE_SERVERS=["api.example.com"]), ["E042"]),
    "origin-with-wildcard": (ours(RESOURCE_SERVERS=["https://*.example.com"]), ["E042"]),
    "number-for-origin": (ours(RESOURCE_SERVERS=[443]), ["E042"]),
    "text-for-origins": (ours(RESOURCE_SERVERS="https://api.example.com"), ["E007"]),
    "unknown-limit": (ours(LOGIN_RATES={"user": "5/m"}), ["E016"]),
    "unreadable-rate": (ours(LOGIN_RATES={"account": "5 per minute"}), ["E016"]),
    "rate-of-nothing": (ours(LOGIN_RATES={"address": "0/m"}), ["E016"]),
    "number-for-rate": (ours(LOGIN_RATES={"account": 5}), ["E016"]),
    "text-for-rates": (ours(LOGIN_RATES="5/m"), ["E007"]),
    "text-for-notices": (ours(SEND_NOTICES="yes"), ["E007"]),
    "former-text": (ours(FORMER_COOKIES="access_token"), ["E007"]),
    "former-names-alone": (ours(FORMER_COOKIES=["access_token"]), ["E018"]),
    "former-without-a-date": (ours(FORMER_COOKIES=[{"COOKIE_DOMAIN": "site.test"}]), ["E018"]),
    "former-naive-date": (former(changed=datetime(2030, 1, 1)), ["E018"]),  # noqa: DTZ001  # refused
    "former-text-for-date": (former(changed="2030-01-01"), ["E018"]),
    "former-misspelt": (former(COOKIE_DOMAINS=None), ["E018"]),
    "former-full-name": (former(TOKENAUTH_COOKIE_DOMAIN=None), ["E018"]),
    "former-number-for-flag": (former(COOKIE_SECURE=0), ["E018"]),
    "former-prefix": (former(ACCESS_COOKIE_NAME="__Host-a"), ["E018"]),
    "former-name-with-space": (former(REFRESH_COOKIE_NAME="a b"), ["E018"]),
    "former-path-of-nothing": (former(REFRESH_COOKIE_PATH="auth/"), ["E018"]),
    "former-samesite": (former(COOKIE_SAMESITE="lax"), ["E018"]),
    "former-and-over": (former(COOKIE_SAMESITE="Lax", changed=LONG_AGO), ["W015"]),
    "former-plain-http": (former(COOKIE_SECURE=False), ["W016"]),
    "former-domain": (former(COOKIE_DOMAIN="site.test"), ["W016"]),
    "misspelt": (ours(ACCESS_TOKEN_LIFETYME=5), ["W001"]),
    "long-grace": (ours(GRACE_PERIOD=451), ["W002"]),
    "signed-cookies": ({"SESSION_ENGINE": SIGNED_COOKIES}, ["W003"]),
    "made-from-signed-cookies": ({"SESSION_ENGINE": __name__}, ["W003"]),
    "adopts-for-ever": (ours(ADOPT_UNTIL=None), ["W007"]),
    "text-for-date": (ours(ADOPT_UNTIL="2030-01-01"), ["E007"]),
    "people-elsewhere": ({"DATABASE_ROUTERS": [AuthRouter()]}, ["E017"]),
    "label-of-no-module": (ours(ADDRESS_LABEL="nowhere.city"), ["E019"]),
    "label-of-no-name": (ours(ADDRESS_LABEL=f"{__name__}.country"), ["E019"]),
    "label-without-a-module": (ours(ADDRESS_LABEL="city"), ["E019"]),
    "label-that-is-no-function": (ours(ADDRESS_LABEL=f"{__name__}.OURS"), ["E019"]),
    "label-given-as-a-function": (ours(ADDRESS_LABEL=city), ["E007"]),
    "change-of-no-name": (named(PASSWORD_CHANGE_URL="own_secret"), ["E020"]),
    "change-that-needs-a-person": (named(PASSWORD_CHANGE_URL="password_of"), ["E020"]),
    "reset-of-no-name": (named(PASSWORD_RESET_URL="forgoten"), ["E020"]),
    "reset-of-no-namespace": (named(PASSWORD_RESET_URL="people:forgotten"), ["E020"]),
    "neither-has-a-name": (
        named(PASSWORD_CHANGE_URL="secret", PASSWORD_RESET_URL="forgoten"),
        ["E020", "E020"],
    ),
    "number-for-page": (ours(PASSWORD_CHANGE_URL=5), ["E007"]),
    "plain-http": (ours(COOKIE_SECURE=False), ["W004"]),
    "debug": ({"DEBUG": True}, ["W004"]),
    "cache-of-one-process": (backend("django.core.cache.backends.locmem.LocMemCache"), ["W010"]),
    "cache-made-from-it": (backend(f"{__name__}.OwnCache"), ["W010"]),
    "cache-that-keeps-nothing": (backend("django.core.cache.backends.dummy.DummyCache"), ["W010"]),
    "cache-in-a-database": (backend("django.core.cache.backends.db.DatabaseCache"), ["W010"]),
    "cache-in-files": (backend("django.core.cache.backends.filebased.FileBasedCache"), ["W010"]),
    "weak-cache-one-limit": (
        backend("django.core.cache.backends.dummy.DummyCache")
        | ours(LOGIN_RATES={"address": None}),
        ["W010"],
    ),
    "proofs-of-one-process": (apps("locmem.LocMemCache"), ["W035"]),
    "proofs-in-a-cache-that-keeps-nothing": (apps("dummy.DummyCache"), ["W035"]),
    "proofs-in-files": (apps("filebased.FileBasedCache"), ["W035"]),
    "proxy-not-counted": ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_SCHEME", "https")}, ["W011"]),
    "proxys-host": ({"USE_X_FORWARDED_HOST": True}, ["W011"]),
    "one-cookie-shown": (ours(ACCESS_COOKIE_NAME="sid"), ["W012"]),
    "both-cookies-shown": (
        ours(ACCESS_COOKIE_NAME="sid", REFRESH_COOKIE_NAME="rid"),
        ["W012", "W012"],
    ),
    "shared-django-session": ({"SESSION_COOKIE_DOMAIN": ".example.com"}, ["W013"]),
    "long-access": (ours(ACCESS_TOKEN_LIFETIME=3601), ["W014"]),
    "simplejwts-long-access": (
        {"SIMPLE_JWT": {"ACCESS_TOKEN_LIFETIME": timedelta(hours=2)}},
        ["W014"],
    ),
    "sockets-without-a-layer": (SOCKETS, ["W033"]),
    "sockets-without-a-default": (SOCKETS | {"CHANNEL_LAYERS": {"chat": LAYER}}, ["W033"]),
    "sockets-with-a-layer-in-memory": (SOCKETS | {"CHANNEL_LAYERS": {"default": LAYER}}, ["W034"]),
    "several": (ours(GRACE_PERIOD="1", SESSION_LIFETIME=0, TYPO=1), ["E007", "E008", "W001"]),
}


@pytest.mark.parametrize(("options", "ids"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_found_and_named(settings, options, ids):
    """Exactly the messages that belong to a mistake, each telling where to edit what."""
    for name, value in options.items():
        setattr(settings, name, value)
    messages = found()
    assert sorted(message.id.removeprefix("tokenauth.") for message in messages) == ids
    for message in messages:
        assert re.match("Edit|Move|Remove|Set|tokenauth needs|Known", message.hint)
        named = [name for name in options if name.startswith(("TOKENAUTH_", "MIDDLEWARE"))]
        assert not named or any(name in f"{message.msg} {message.hint}" for name in named)


GOOD = {
    "as-shipped": {},
    "no-sessions": {"MIDDLEWARE": [OURS]},
    "function-middleware": {"MIDDLEWARE": [FUNCTION, SESSIONS, OURS]},
    "cookie-on-root": ours(REFRESH_COOKIE_PATH="/"),
    "cookie-without-slash": ours(REFRESH_COOKIE_PATH="/auth"),
    "seconds": ours(ACCESS_TOKEN_LIFETIME=600, GRACE_PERIOD=30.5),
    "former-path": former(REFRESH_COOKIE_PATH="/"),
    "former-include": former(REFRESH_COOKIE_PATH=None, COOKIE_DOMAIN=None),
    "demo": ours(ACCESS_TOKEN_LIFETIME=30, GRACE_PERIOD=5),
    "origins": ours(RESOURCE_SERVERS=["https://api.example.com", "http://localhost:8001"]),
    "login-rates": ours(LOGIN_RATES={"address": None, "account": "10/15min"}),
    "no-login-rates": ours(LOGIN_RATES=None),
    "limit": ours(MAX_SESSIONS_PER_USER=3, TRUSTED_PROXY_COUNT=2),
    "sockets-with-redis": SOCKETS
    | {"CHANNEL_LAYERS": {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}},
    "sockets-in-development": SOCKETS
    | ours(COOKIE_SECURE=True)
    | {"CHANNEL_LAYERS": {"default": LAYER}, "DEBUG": True},
    "memcached": backend("django.core.cache.backends.memcached.PyMemcacheCache"),
    "weak-cache-no-limits": backend("django.core.cache.backends.dummy.DummyCache")
    | ours(LOGIN_RATES={"address": None, "account": None}),
    "proofs-in-a-database": apps("db.DatabaseCache"),
    "proofs-in-redis": apps("redis.RedisCache"),
    "weak-cache-beside-the-default": {
        "CACHES": REDIS | {"pages": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    },
    "no-default-cache": {"CACHES": {"pages": REDIS["default"]}},
    "cache-that-django-cannot-load": backend("nowhere.Cache"),
    "proxy-counted": {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_SCHEME", "https")}
    | ours(TRUSTED_PROXY_COUNT=1),
    "cookies-that-django-hides": ours(ACCESS_COOKIE_NAME="api", REFRESH_COOKIE_NAME="authentic"),
    "an-hour-of-access": ours(ACCESS_TOKEN_LIFETIME=3600),
    "simplejwts-lifetimes": {"SIMPLE_JWT": {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=5)}},
    "refresh-lives-as-long": ours(SESSION_LIFETIME=timedelta(days=30)),
    "samesite-none": ours(COOKIE_SAMESITE="None"),
    "label": ours(ADDRESS_LABEL=f"{__name__}.city"),
    "label-by-an-object": ours(ADDRESS_LABEL=f"{__name__}.OwnCache"),
    "no-label": ours(ADDRESS_LABEL=""),
    "pages-by-name": named(PASSWORD_CHANGE_URL="people:own_secret", PASSWORD_RESET_URL="forgotten"),
    "pages-by-path": ours(PASSWORD_CHANGE_URL="/password/", PASSWORD_RESET_URL="/password/new/"),
    "pages-elsewhere": ours(PASSWORD_CHANGE_URL="https://id.site.test/password"),
    "no-pages": ours(PASSWORD_CHANGE_URL="", PASSWORD_RESET_URL=None),
    "signed-cookies-not-adopted": {
        "SESSION_ENGINE": SIGNED_COOKIES,
        "TOKENAUTH_ADOPT_DJANGO_SESSIONS": False,
    },
    "nothing-adopted": ours(ADOPT_DJANGO_SESSIONS=False, ADOPT_UNTIL=None),
    "people-and-sessions-elsewhere": {"DATABASE_ROUTERS": [WholeAuthRouter()]},
    "two-weeks-as-policy": {"SESSION_COOKIE_AGE": 1209600},
    "a-quarter-of-an-hour-as-policy": {"SESSION_COOKIE_AGE": 900} | ours(ACCESS_TOKEN_LIFETIME=300),
    "a-policy-that-ours-overrules": {"SESSION_COOKIE_AGE": 900}
    | ours(REFRESH_TOKEN_LIFETIME=86400, BROWSER_SESSION_LIFETIME=43200),
}


@pytest.mark.parametrize("options", GOOD.values(), ids=GOOD)
def test_what_is_right_passes(settings, options):
    """No message about a site that works."""
    for name, value in options.items():
        setattr(settings, name, value)
    assert found() == []


def test_a_subclass_of_our_middleware_will_do(settings):
    """A site may extend it."""
    settings.MIDDLEWARE = [SESSIONS, f"{__name__}.Extended"]
    assert found() == []


class Extended(TokenAuthMiddleware):
    """A site's own."""


class OwnFilter(debug.SafeExceptionReporterFilter):
    """A site's own rule of what error reports leave out."""

    hidden_settings = re.compile("SID$", re.IGNORECASE)


@pytest.fixture
def own_filter(settings):
    """A site that has set it; Django makes it once for each process."""
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.OwnFilter"
    debug.get_default_exception_reporter_filter.cache_clear()
    yield
    debug.get_default_exception_reporter_filter.cache_clear()


def test_a_sites_own_filter_decides_what_error_reports_show(settings, own_filter):
    """It may know our cookies by other names, and forget those of the default."""
    settings.TOKENAUTH_ACCESS_COOKIE_NAME = "sid"
    (message,) = found()
    assert message.id == "tokenauth.W012"
    assert "'__Secure-refresh_token'" in message.msg


def ids_in(*sources):
    """The ids of the messages that stand there."""
    return [name for source in sources for name in re.findall(r'id="tokenauth\.([EW]\d+)"', source)]


def test_ids_are_unique():
    """An id is never given to another message, here or on a resource server."""
    ids = ids_in(*(path.read_text() for path in Path(tokenauth.__file__).parent.rglob("*.py")))
    assert len(ids) == len(set(ids)) > 60


def test_each_is_tried():
    """The admin, the logins, the keys and the trusted issuers have tests of their own."""
    modules = (setting_checks, names, site, policy, deployment, sockets)
    tried = {name for _, ids in CASES.values() for name in ids}
    known = {*ids_in(*(Path(module.__file__).read_text() for module in modules))}
    assert tried | TRUST == known | STREAM


def test_a_label_whose_module_fails_is_told_with_the_error(settings, tmp_path, monkeypatch):
    """Whatever that is: no other check is lost by it."""
    (tmp_path / "broken_labels.py").write_text("open('nowhere.mmdb')")
    monkeypatch.syspath_prepend(tmp_path)
    settings.TOKENAUTH_ADDRESS_LABEL = "broken_labels.city"
    (message,) = found()
    assert message.id == "tokenauth.E019"
    assert "No such file or directory: 'nowhere.mmdb'" in message.msg


def test_manage_py_check_runs_them(settings, capsys):
    """Django's own command finds our errors, and lets the test site pass with the admin in it."""
    call_command("check")
    settings.TOKENAUTH_GRACE_PERIOD = "60"
    settings.MIDDLEWARE = [DJANGOS]
    with pytest.raises(SystemCheckError) as caught:
        call_command("check")
    assert "tokenauth.E001" in str(caught.value)
    assert "tokenauth.E007" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "id_"), [("COOKIE_SECURE", False, "W004"), ("ADOPT_UNTIL", None, "W007")]
)
def test_only_a_deployment_check_minds_it(settings, name, value, id_):
    """Development over http is no mistake, and has no Django sessions to adopt."""
    setattr(settings, f"TOKENAUTH_{name}", value)
    call_command("check", tags=["security"], fail_level="WARNING")
    with pytest.raises(SystemCheckError, match=rf"tokenauth\.{id_}"):
        call_command("check", deploy=True, tags=["security"], fail_level="WARNING")


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({"SESSION_COOKIE_AGE": 900}, "Access tokens live 300 seconds only"),
        (ours(BROWSER_SESSION_LIFETIME=90), "Access tokens live 30 seconds only"),
        ({"SESSION_COOKIE_AGE": 300}, "The grace period is 50 seconds only"),
        (ours(ACCESS_TOKEN_LIFETIME=30), "The grace period is 15 seconds only"),
    ],
)
def test_a_check_says_what_holds_where_a_duration_is_cut(settings, options, held):
    """Nobody has to work out what becomes of their policy."""
    for name, value in options.items():
        setattr(settings, name, value)
    assert any(held in message.msg for message in found())
