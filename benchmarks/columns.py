"""What is compared: a column for each way to sign a request in, and the project around it.

A column's *floor* is a bare request of the same kind: the same method, path and body, answered by
a view that asks nobody, in a project without authentication. What a column costs is what it takes
above its floor, so the middleware that it needs counts as its own.

Django is not set up here: the parent reads this too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

#: How long an access token lives, everywhere: nobody's expires while it is measured.
ACCESS = timedelta(hours=1)
#: Refresh tokens, and sessions. simplejwt's and allauth's default is a day, Django's two weeks.
REFRESH = timedelta(days=14)
KEY = "benchmarks: not a secret, but long enough for everybody's HS256"

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "tokenauth.middleware.TokenAuthMiddleware"
REST = "REST_FRAMEWORK"


@dataclass(frozen=True)
class Column:
    """One way to sign a request in.

    ``credentials`` names the function of :mod:`benchmarks.credentials` that makes the requests.
    With ``spends``, each request needs a credential of its own.
    """

    name: str
    title: str
    group: str
    floor: str
    credentials: str
    apps: tuple[str, ...] = ()
    middleware: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    needs: str = ""
    status: int = 200
    spends: bool = False
    is_async: bool = False

    @property
    def missing(self) -> str:
        """The distribution that is not installed."""
        found = all(find_spec(app.partition(".")[0]) for app in (*self.apps, "django"))
        return "" if found else self.needs


@dataclass(frozen=True)
class Group:
    """A table: what is compared in it, and with which of its columns."""

    title: str
    references: tuple[str, ...]


GROUPS = {
    "request": Group("A request that is signed in", ("session_db", "simplejwt_cookie")),
    "async": Group("The same under ASGI", ("session_db_async",)),
    "refresh": Group("A refresh, and what belongs to it", ("simplejwt_refresh",)),
    "login": Group("A sign-in", ("session_db_login", "simplejwt_login")),
    "again": Group("A sign-in by who is signed in", ("session_db_again",)),
    "logout": Group("A sign-out", ("session_db_logout",)),
}


def rest(authentication: str) -> dict[str, Any]:
    """Return the settings of an API that believes one class."""
    return {REST: {"DEFAULT_AUTHENTICATION_CLASSES": [authentication]}}


SIMPLEJWT = {
    "ACCESS_TOKEN_LIFETIME": ACCESS,
    "REFRESH_TOKEN_LIFETIME": REFRESH,
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
}
simplejwt = {
    "needs": "djangorestframework-simplejwt",
    "apps": (
        "rest_framework",
        "rest_framework_simplejwt",
        "rest_framework_simplejwt.token_blacklist",
    ),
}
allauth = {
    "needs": "django-allauth[headless]",
    "apps": (
        "django.contrib.sessions",
        "rest_framework",
        "allauth",
        "allauth.account",
        "allauth.headless",
    ),
    "middleware": (SESSION, AUTH, "allauth.account.middleware.AccountMiddleware"),
    "settings": {
        "HEADLESS_TOKEN_STRATEGY": "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy",
        "HEADLESS_JWT_ALGORITHM": "HS256",
        "HEADLESS_JWT_STATEFUL_VALIDATION_ENABLED": True,
        "HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN": int(ACCESS.total_seconds()),
        "HEADLESS_JWT_REFRESH_TOKEN_EXPIRES_IN": int(REFRESH.total_seconds()),
        "HEADLESS_JWT_PRIVATE_KEY": KEY,
    }
    | rest("allauth.headless.contrib.rest_framework.authentication.JWTTokenAuthentication"),
}
toolkit = {
    "needs": "django-oauth-toolkit",
    "apps": ("rest_framework", "oauth2_provider"),
    "settings": {
        "OAUTH2_PROVIDER": {
            "ACCESS_TOKEN_EXPIRE_SECONDS": int(ACCESS.total_seconds()),
            "REFRESH_TOKEN_EXPIRE_SECONDS": int(REFRESH.total_seconds()),
        }
    }
    | rest("oauth2_provider.contrib.rest_framework.OAuth2Authentication"),
}
ours = {
    "apps": ("django.contrib.sessions", "rest_framework", "tokenauth"),
    "middleware": (SESSION, OURS),
    "settings": rest("tokenauth.authentication.CookieTokenAuthentication"),
}
django = {"apps": ("django.contrib.sessions",), "middleware": (SESSION, AUTH)}


def floors() -> Iterator[Column]:
    """Yield the bare requests."""
    restful = {"apps": ("rest_framework",), "needs": "djangorestframework"}
    yield Column("floor", "a bare page", "", "", "bare")
    yield Column("floor_rest", "a bare API view", "", "", "bare_rest", **restful)
    yield Column("floor_async", "a bare async page", "", "", "bare_async", is_async=True)
    yield Column("floor_post", "a bare POST", "", "", "bare_post")
    yield Column(
        "floor_rest_post", "a bare POST to an API view", "", "", "bare_rest_post", **restful
    )


def requests() -> Iterator[Column]:
    """Yield who is asked for on a page or in an API, once signed in."""
    engine = "django.contrib.sessions.backends"

    def session(name: str) -> dict[str, Any]:
        return {**django, "settings": {"SESSION_ENGINE": f"{engine}.{name}"}}

    def bearer(name: str, title: str, authentication: str) -> Column:
        chosen = {"settings": {"SIMPLE_JWT": SIMPLEJWT} | rest(authentication)}
        return Column(name, title, "request", "floor_rest", name, **simplejwt | chosen)

    def page(name: str, title: str, floor: str = "floor", **more: Any) -> Column:
        return Column(name, title, "request", floor, name, **ours, **more)

    yield Column("session_db", "Django session, db", "request", "floor", "session", **session("db"))
    yield Column(
        "session_cached_db",
        "Django session, cached_db",
        "request",
        "floor",
        "session",
        **session("cached_db"),
    )
    yield Column(
        "session_signed_cookies",
        "Django session, signed_cookies",
        "request",
        "floor",
        "session",
        **session("signed_cookies"),
    )
    jwt = "rest_framework_simplejwt.authentication"
    yield bearer("simplejwt_header", "simplejwt, header", f"{jwt}.JWTAuthentication")
    yield Column(
        "simplejwt_cookie",
        "simplejwt, cookie (dj-rest-auth)",
        "request",
        "floor_rest",
        "simplejwt_cookie",
        needs="dj-rest-auth",
        apps=(*simplejwt["apps"], "dj_rest_auth"),
        settings={
            "SIMPLE_JWT": SIMPLEJWT,
            "REST_AUTH": {"USE_JWT": True, "JWT_AUTH_COOKIE": "jwt", "TOKEN_MODEL": None},
        }
        | rest("dj_rest_auth.jwt_auth.JWTCookieAuthentication"),
    )
    yield bearer(
        "simplejwt_stateless", "simplejwt, stateless", f"{jwt}.JWTStatelessUserAuthentication"
    )
    yield Column(
        "allauth_jwt",
        "allauth headless JWT, stateful",
        "request",
        "floor_rest",
        "allauth",
        **allauth,
    )
    yield Column(
        "oauth_toolkit", "django-oauth-toolkit", "request", "floor_rest", "oauth_toolkit", **toolkit
    )
    yield Column(
        "knox",
        "knox",
        "request",
        "floor_rest",
        "knox",
        needs="django-rest-knox",
        apps=("rest_framework", "knox"),
        settings=rest("knox.auth.TokenAuthentication"),
    )

    def alone(name: str, title: str) -> Column:
        chosen = ours | {"apps": ours["apps"][1:], "middleware": (OURS,)}
        title = f"tokenauth without Django sessions, {title}"
        return Column(f"{name}_alone", title, "request", "floor", name, **chosen)

    yield Column(
        "session_db_silent",
        "Django session, db, a page that does not ask",
        "request",
        "floor",
        "session_silent",
        **session("db"),
    )
    for make, prefix in [(page, "tokenauth, "), (alone, "")]:
        yield make("tokenauth_asks", f"{prefix}a page that asks")
        yield make("tokenauth_silent", f"{prefix}a page that does not ask")
        yield make("tokenauth_no_cookie", f"{prefix}nobody signed in")
    yield page("tokenauth_drf", "tokenauth, REST framework", "floor_rest")


def asynchronous() -> Iterator[Column]:
    """Yield the two that have something to say there."""
    for name, title, chosen in [
        ("session_db_async", "Django session, db, async", django),
        ("tokenauth_async", "tokenauth, a page that asks, async", ours),
    ]:
        yield Column(name, title, "async", "floor_async", name, is_async=True, **chosen)


def refreshes() -> Iterator[Column]:
    """Yield what replaces a refresh token, and what a browser goes through for it."""

    def column(name: str, title: str, floor: str, chosen: dict[str, Any], **more: Any) -> Column:
        return Column(name, title, "refresh", floor, name, spends=True, **chosen, **more)

    yield column(
        "simplejwt_refresh",
        "simplejwt, with blacklist",
        "floor_rest_post",
        simplejwt | {"settings": {"SIMPLE_JWT": SIMPLEJWT}},
    )
    yield column("allauth_refresh", "allauth headless JWT", "floor_post", allauth)
    yield column("oauth_toolkit_refresh", "django-oauth-toolkit", "floor_post", toolkit)
    yield column("tokenauth_refresh", "tokenauth, POST refresh/", "floor_post", ours)
    yield column("tokenauth_in_place", "tokenauth, in place, with the page", "floor", ours)
    yield column("tokenauth_bounce", "tokenauth, bounce: the way there", "floor", ours, status=307)
    yield column(
        "tokenauth_bounce_back",
        "tokenauth, bounce: refresh, the way back",
        "floor",
        ours,
        status=307,
    )
    yield column("tokenauth_confirm", "tokenauth, the page that confirms it", "floor", ours)


def logins() -> Iterator[Column]:
    """Yield sign-ins with a password; its hash is MD5, or there would be nothing else to see."""

    def column(
        name: str, title: str, floor: str, chosen: dict[str, Any], status: int = 200
    ) -> Column:
        return Column(name, title, "login", floor, name, spends=True, status=status, **chosen)

    yield column("session_db_login", "Django session, db", "floor_post", django, 302)
    yield column(
        "simplejwt_login",
        "simplejwt, with blacklist",
        "floor_rest_post",
        simplejwt | {"settings": {"SIMPLE_JWT": SIMPLEJWT}},
    )
    yield column("tokenauth_login", "tokenauth", "floor_post", ours, 302)
    alone = ours | {"apps": ours["apps"][1:], "middleware": ours["middleware"][1:]}
    title = "tokenauth, without Django's sessions"
    yield column("tokenauth_login_alone", title, "floor_post", alone, 302)


def ends() -> Iterator[Column]:
    """Yield what ends a sign-in that is there: the next one of the same person, and a sign-out.

    With a Django session that is theirs, bound to our session.
    """
    for group, end in [("again", "login again"), ("logout", "logout")]:
        for name, title, chosen in [
            (f"session_db_{group}", f"Django session, db, {end}", django),
            (f"tokenauth_{group}", f"tokenauth, {end}, Django's session bound", ours),
        ]:
            yield Column(name, title, group, "floor_post", name, spends=True, status=302, **chosen)


COLUMNS = {
    column.name: column
    for maker in (floors, requests, asynchronous, refreshes, logins, ends)
    for column in maker()
}


def choose(names: list[str]) -> list[Column]:
    """Return the columns of these names, and of those that begin so; all if there are none.

    Raises KeyError for a name that nothing has.
    """
    offered = [column for column in COLUMNS.values() if column.group]
    if not names:
        return offered
    chosen = set()
    for name in names:
        begin = {c.name for c in offered if c.name.startswith(f"{name}_")}
        found = {name} if name in COLUMNS else begin
        if not found:
            raise KeyError(name)
        chosen |= found
    return [column for column in offered if column.name in chosen]
