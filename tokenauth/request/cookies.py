"""Name, find, choose, set and delete the two cookies.

Names and attributes are computed here alone, so that a deletion repeats exactly what was set
(a browser ignores it otherwise). Nothing here touches a request or the database.
"""

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.cache import patch_vary_headers

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.secret import Masked, Secret
from tokenauth.session.tokens import AccessToken, Claims, RefreshToken

#: Headers by which a view or a cache decorator tells some cache to keep a response.
CACHE_HEADERS = ("Expires", "Surrogate-Control", "Edge-Control", "X-Accel-Expires")

#: The date that Django's own ``delete_cookie`` sets, for a client that knows no Max-Age.
LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


def find_include() -> str:
    """Return the path under which ROOT_URLCONF includes ``tokenauth.urls``, with its script name.

    Raises NoReverseMatch when it doesn't.
    """
    return reverse("tokenauth:login", settings.ROOT_URLCONF).removesuffix("login/")


def include_path() -> str:
    """Return the path of the auth URLs, or where they would be.

    A site's tests put a URLconf without them in the place of its own, and no page of theirs may
    fail for it. That a site has them is a system check's to say.
    """
    try:
        return find_include()
    except NoReverseMatch:
        return conf.REFRESH_COOKIE_PATH or f"{get_script_prefix()}auth/"


def refresh_path() -> str:
    """Return the path to which the browser sends the refresh token."""
    return conf.REFRESH_COOKIE_PATH or include_path()


def is_under(path: str, folder: str) -> bool:
    """Tell whether a browser sends a cookie of path ``folder`` to ``path`` (RFC 6265 §5.1.4).

    ``path`` is a request's, which Django has decoded, ``folder`` reversed, and so quoted.
    """
    folder = unquote(folder)
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def prefixed(name: str, path: str) -> str:
    """Return a cookie's full name: browsers hold a name with a prefix to its promises."""
    if not conf.COOKIE_SECURE or name.startswith(("__Host-", "__Secure-")):
        return name
    host_only = path == "/" and not conf.COOKIE_DOMAIN
    return ("__Host-" if host_only else "__Secure-") + name


def access_name() -> str:
    """Return the name of the access cookie."""
    return prefixed(conf.ACCESS_COOKIE_NAME, "/")


def refresh_name() -> str:
    """Return the name of the refresh cookie."""
    return prefixed(conf.REFRESH_COOKIE_NAME, refresh_path())


def parse(header: Secret[str], name: str) -> list[Secret[str]]:
    """Return each distinct value that a raw ``Cookie`` header gives to ``name``.

    ``request.COOKIES`` won't do: of two cookies of one name it keeps only the last, which a
    sibling subdomain can plant, and it takes a Unicode space before a name for none.
    """
    pairs = (part.partition("=") for part in header.reveal().split(";"))
    values = dict.fromkeys(v.strip(" \t") for n, _, v in pairs if n.strip(" \t") == name)
    return [Secret(value) for value in values]


@dataclass(frozen=True, repr=False)
class Presented:
    """A genuine refresh token that came in a cookie."""

    raw: Secret[str]
    claims: Claims


class Presentation:
    """The genuine tokens in a request's ``Cookie`` header, and which of them to believe.

    What does not verify is ignored: it may be a clock, a rolling deploy, or planted.
    """

    def __init__(self, header: Secret[str]) -> None:
        self.header = header

    @cached_property
    def access_tokens(self) -> list[Claims]:
        """The claims of every access token, expired or not."""
        found = []
        for raw in parse(self.header, access_name()):
            try:
                found.append(AccessToken.read(raw))
            except InvalidToken:
                continue
        return found

    @cached_property
    def refresh_tokens(self) -> list[Presented]:
        """Every refresh token, expired or not."""
        found = []
        for raw in parse(self.header, refresh_name()):
            try:
                found.append(Presented(raw, RefreshToken.read(raw)))
            except InvalidToken:
                continue
        return found

    @cached_property
    def access(self) -> Claims | None:
        """The access token: the newest one, and nobody's if they name two sessions."""
        if len({claims.sid for claims in self.access_tokens}) != 1:
            return None
        return max(self.access_tokens, key=lambda claims: claims.exp)

    @property
    def paired(self) -> Presented | None:
        """The refresh token of the access token's session.

        A planted one is of another session, so it never counts.
        """
        if self.access is None:
            return None
        same = [token for token in self.refresh_tokens if token.claims.sid == self.access.sid]
        return max(same, key=lambda token: token.claims.rot, default=None)

    @property
    def single(self) -> Presented | None:
        """The refresh token of a browser that has no access token, if it has only one."""
        if self.access_tokens or len({token.claims.sid for token in self.refresh_tokens}) != 1:
            return None
        return max(self.refresh_tokens, key=lambda token: token.claims.rot)

    @property
    def held(self) -> Claims | None:
        """What the browser holds of a session, good or expired: the access token, or a lone one."""
        return self.access or (self.single.claims if self.single else None)

    @property
    def refresh(self) -> Presented | None:
        """The refresh token that counts where a lone one may."""
        return self.paired or self.single

    def refresh_at(self, path: str, *, in_browser: bool) -> Presented | None:
        """Return the refresh token that may be rotated on this page.

        A lone one could be planted by a sibling domain, to put a person who is signed out into
        somebody else's account. So it signs nobody in under the include; nor, in a browser, under a
        name that a sibling may give to a cookie: all but those with the prefix ``__Host-``.
        """
        plantable = in_browser and not refresh_name().startswith("__Host-")
        if plantable or is_under(path, include_path()):
            return self.paired
        return self.refresh


def put(
    response: HttpResponseBase, name: str, raw: Secret[str] | None, path: str, max_age: int | None
) -> None:
    """Set one cookie; ``max_age`` is in seconds, ``None`` until the browser closes."""
    response.set_cookie(
        name,
        Masked(raw.reveal() if raw else ""),
        max_age=max_age,
        expires=LONG_AGO if max_age == 0 else None,
        path=path,
        domain=conf.COOKIE_DOMAIN,
        secure=conf.COOKIE_SECURE,
        httponly=True,
        samesite=conf.COOKIE_SAMESITE,
    )


def put_access(response: HttpResponseBase, raw: Secret[str] | None, max_age: int | None) -> None:
    """Set the access cookie. It outlives its token: an expired one asks for a refresh."""
    put(response, access_name(), raw, "/", max_age)


def put_refresh(response: HttpResponseBase, raw: Secret[str] | None, max_age: int | None) -> None:
    """Set the refresh cookie, on the auth URLs' path alone."""
    put(response, refresh_name(), raw, refresh_path(), max_age)


def put_django_session(response: HttpResponseBase, key: str, max_age: int) -> None:
    """Set Django's session cookie anew, with the attributes that SessionMiddleware gives it."""
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        key,
        max_age=max_age,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=settings.SESSION_COOKIE_HTTPONLY,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def forbid_caching(response: HttpResponseBase) -> None:
    """Keep a response out of every cache: a stored Set-Cookie signs a stranger in."""
    for name in [*response.headers]:
        if name.lower().endswith("-cache-control") or name.title() in CACHE_HEADERS:
            del response.headers[name]
    response.headers["Cache-Control"] = "private, no-store"
    patch_vary_headers(response, ("Cookie",))
