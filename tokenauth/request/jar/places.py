"""Say where the two cookies are: their names and attributes, today's and former ones.

They are computed here alone, so that a deletion repeats exactly what was set (a browser ignores it
otherwise). A site that changes them tells the former ones (``FORMER_COOKIES``).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.urls import NoReverseMatch, URLResolver, get_resolver, get_script_prefix, reverse
from django.utils.translation import get_language

from tokenauth.conf import SameSite, conf
from tokenauth.session.tokens import AccessToken, RefreshToken, TokenMixin

#: What of our URLs is the same for everybody, below the include.
KEYS = "jwks.json"


def find_include() -> str:
    """Return the path under which ROOT_URLCONF includes ``tokenauth.urls``, with its script name.

    Raises NoReverseMatch when it doesn't.
    """
    return path_in(get_resolver(settings.ROOT_URLCONF), get_script_prefix(), get_language())


@lru_cache(maxsize=16)
def path_in(resolver: URLResolver, script_prefix: str, language: str | None) -> str:
    """Return the path by all that it depends on: reversing is slow, and each request needs it."""
    return reverse("tokenauth:login", resolver.urlconf_name).removesuffix("login/")  # type: ignore[arg-type]  # whatever ROOT_URLCONF is


def include_path() -> str:
    """Return the path of the auth URLs, or where they would be.

    A resource server has none: there they are its authorization server's. A site's tests put a
    URLconf without them in the place of its own, and no page of theirs may fail for it. That a site
    has them is a system check's to say.
    """
    try:
        return find_include()
    except NoReverseMatch:
        if conf.AUTHORIZATION_SERVER:
            return urlsplit(conf.AUTHORIZATION_SERVER).path
        return conf.REFRESH_COOKIE_PATH or f"{get_script_prefix()}auth/"


def refresh_path() -> str:
    """Return the path to which the browser sends the refresh token."""
    return conf.REFRESH_COOKIE_PATH or include_path()


def is_public(path: str) -> bool:
    """Tell whether a request's path is that of the public keys, which caches keep for all."""
    return path.endswith(KEYS) and path == unquote(include_path()) + KEYS


def is_under(path: str, folder: str) -> bool:
    """Tell whether a browser sends a cookie of path ``folder`` to ``path`` (RFC 6265 §5.1.4).

    ``path`` is a request's, which Django has decoded, ``folder`` reversed, and so quoted.
    """
    folder = unquote(folder)
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class Place(NamedTuple):
    """Where a browser keeps a cookie, and with which flags: what a deletion must repeat."""

    name: str
    path: str
    domain: str | None
    secure: bool
    samesite: SameSite

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What tells two cookies apart (RFC 6265 §5.3)."""
        return self.name, self.path, self.domain

    @property
    def is_plantable(self) -> bool:
        """Whether a sibling domain may set a cookie of this name."""
        return not self.name.startswith("__Host-")


def place(name: str, path: str, given: dict[str, Any]) -> Place:
    """Return a cookie's place under today's settings, but for those ``given``.

    Browsers hold a name with a prefix to its promises.
    """
    domain = given.get("COOKIE_DOMAIN", conf.COOKIE_DOMAIN)
    secure = given.get("COOKIE_SECURE", conf.COOKIE_SECURE)
    if secure and not name.startswith(("__Host-", "__Secure-")):
        name = ("__Secure-" if domain or path != "/" else "__Host-") + name
    return Place(name, path, domain, secure, given.get("COOKIE_SAMESITE", conf.COOKIE_SAMESITE))


def access_place(**given: Any) -> Place:
    """Return where the access cookie is, or was under the settings ``given``."""
    return place(given.get("ACCESS_COOKIE_NAME", conf.ACCESS_COOKIE_NAME), "/", given)


def refresh_place(**given: Any) -> Place:
    """See access_place().

    Where others verify access tokens, those alone go to the hosts of ``COOKIE_DOMAIN``: no resource
    server ever receives what only the authorization server has a use for.
    """
    path = given.get("REFRESH_COOKIE_PATH", conf.REFRESH_COOKIE_PATH) or include_path()
    name = given.get("REFRESH_COOKIE_NAME", conf.REFRESH_COOKIE_NAME)
    shared = place(name, path, given)
    if shared.domain and "COOKIE_DOMAIN" not in given and conf.SIGNING_KEYS:
        return place(name, path, given | {"COOKIE_DOMAIN": None})
    return shared


def access_name() -> str:
    """Return the name of the access cookie."""
    return access_place().name


def refresh_name() -> str:
    """Return the name of the refresh cookie."""
    return refresh_place().name


@dataclass(frozen=True)
class Kind:
    """One of the two cookies: which token is in it, and where it is."""

    token: type[TokenMixin]
    place: Callable[..., Place]
    #: The cookie's name in the settings, which is its own but for a prefix.
    name_given: Callable[[], str]

    def former(self) -> Iterator[tuple[Place, float]]:
        """Give each place where it was, until when (seconds since the epoch)."""
        for entry in conf.FORMER_COOKIES:
            place = self.place(**entry)
            if time.time() < former_until(entry) and place.key != self.place().key:
                yield place, entry["changed"].timestamp()


def former_until(entry: dict[str, Any]) -> float:
    """Return until when cookies of former settings are read (seconds since the epoch).

    No browser keeps one for longer than the idle lifetime.
    """
    idle: float = conf.REFRESH_TOKEN_LIFETIME.total_seconds()
    changed: float = entry["changed"].timestamp()
    return changed + idle


ACCESS = Kind(AccessToken, access_place, lambda: conf.ACCESS_COOKIE_NAME)
REFRESH = Kind(RefreshToken, refresh_place, lambda: conf.REFRESH_COOKIE_NAME)


def plantable_former_names() -> list[str]:
    """Return the former names of the access cookie under which a sibling domain can plant one."""
    today, former = access_name(), [place for place, _ in ACCESS.former()]
    return [place.name for place in former if place.is_plantable and place.name != today]


def former_refresh_paths() -> list[str]:
    """Return the paths to which browsers may still send a refresh token of former settings."""
    return [place.path for place, _ in REFRESH.former() if place.path != refresh_path()]


def refresh_urls() -> list[str]:
    """Return the refresh URL, then those that it had under former settings.

    A refresh token of then is sent there alone, so they answer too.
    """
    here = include_path()
    others = [path.rstrip("/") + "/" for path in former_refresh_paths() if not is_under(here, path)]
    return [f"{folder}refresh/" for folder in dict.fromkeys([here, *others])]


def refresh_url_after(path: str) -> str | None:
    """Return the one to try after that at a request's ``path``; None after the last."""
    return {unquote(url): following for url, following in pairwise(refresh_urls())}.get(path)


def domains_of(host: str) -> list[str | None]:
    """Return each domain for which a page of ``host`` can have set a cookie; None is host-only."""
    labels = host.partition(":")[0].split(".")
    if labels[-1].isdigit() or host.startswith("["):
        return [None]
    return [None, *(".".join(labels[i:]) for i in range(len(labels) - 1))]
