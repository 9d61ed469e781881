"""Know the issuers of ``TOKENAUTH_TRUSTED_ISSUERS``, and have their keys at hand.

Imported only where the setting names one: it needs joserfc.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from tokenauth.conf import conf
from tokenauth.resource.keys.fetching import Answer, FetchError, fetch
from tokenauth.resource.keys.published import PublishedKeys, Source
from tokenauth.session.jose.keys import KeySet, PublicKey, read_jwk
from tokenauth.session.jwt.jwk import keys_in

from .entries import flaw_of, is_address
from .jobs import name_of, shown

Claims = Mapping[str, Any]


class TrustedIssuer(NamedTuple):
    """Whose word on a job counts, and what a site makes of it."""

    issuer: str
    #: Who we are to it.
    audience: str
    #: The site's function: whose job that is, None for nobody's.
    find_user: Callable[[dict[str, Any]], Any]
    #: The site's function for a job's name, if it has one.
    find_name: Callable[[dict[str, Any]], Any] | None
    keys: Source[KeySet]

    def name_of(self, claims: dict[str, Any]) -> str:
        """Return what a job is called on the pages: printable, and never empty."""
        name = self.find_name(claims) if self.find_name else None
        return shown(name or "") or shown(name_of(claims)) or "CI job"


def usable_keys(document: Any) -> KeySet:
    """Return those keys of a set that can verify here.

    An issuer may publish others for others: for encryption, of another algorithm (RFC 7517 §5).

    Raises ValueError if there are none.
    """
    keys = [*readable(keys_in(document))]
    if not keys:
        raise ValueError("The key set has no key that could verify.")
    return KeySet(keys)


def readable(jwks: list[Any]) -> Iterator[PublicKey]:
    """Read what can be read."""
    for jwk in jwks:
        try:
            yield read_jwk(jwk)
        except ValueError:
            continue


class DiscoveredKeys(PublishedKeys[KeySet]):
    """The keys at the address that an issuer's own document names (OpenID Connect Discovery §4).

    It is asked each time: the address may change like the keys.
    """

    def __init__(self, issuer: str) -> None:
        super().__init__(
            f"{issuer.removesuffix('/')}/.well-known/openid-configuration", usable_keys
        )
        self.issuer = issuer

    def ask(self, etag: str) -> Answer:
        """Return the key set; raise FetchError. An ``etag`` might be one of another address."""
        return fetch(keys_url_in(fetch(self.url).document, self.issuer))


def keys_url_in(document: Any, issuer: str) -> str:
    """Return where an issuer's document says that its keys are.

    It must be the issuer's own (OpenID Connect Discovery §4.3): whoever could put another's there
    would choose whose keys count. From an issuer under https, nothing leads back to plain http.

    Raises FetchError.
    """
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise FetchError("its openid-configuration is of another issuer")
    url = document.get("jwks_uri")
    is_downgrade = issuer.startswith("https:") and not str(url).startswith("https:")
    if not is_address(url) or is_downgrade:
        raise FetchError("its openid-configuration has no 'jwks_uri' under https")
    return str(url)


def issuer_of(issuer: str, entry: Mapping[str, Any]) -> TrustedIssuer:
    """Return what an entry of the setting comes to.

    Raises ImproperlyConfigured, and what a module of the site's raises when it is imported.
    """
    flaw = flaw_of(issuer, entry)
    if flaw:
        raise ImproperlyConfigured(f"TOKENAUTH_TRUSTED_ISSUERS: {issuer!r} {flaw}.")
    url, name = entry.get("jwks_url"), entry.get("name")
    return TrustedIssuer(
        issuer,
        entry["audience"],
        import_string(entry["user"]),
        import_string(name) if name else None,
        PublishedKeys(url, usable_keys) if url else DiscoveredKeys(issuer),
    )


@cache
def arranged() -> dict[str, TrustedIssuer]:
    """Return the same until a test changes a setting."""
    return {issuer: issuer_of(issuer, entry) for issuer, entry in conf.TRUSTED_ISSUERS.items()}


#: One thread arranges: each has the same keys, and they are fetched once.
arranging = Lock()


def trusted() -> dict[str, TrustedIssuer]:
    """Return the trusted issuers, by what their tokens call them. Raises as ``issuer_of()``."""
    with arranging:
        return arranged()


def forget(**kwargs: Any) -> None:
    """Arrange anew."""
    arranged.cache_clear()


setting_changed.connect(forget, dispatch_uid="tokenauth.clients.forget")
