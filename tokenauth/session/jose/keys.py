"""Sign access tokens with a private key, verify tokens with public ones (RFC 7515, 7517, 9068).

The only module that touches joserfc, and imported only where a site has keys. A key verifies under
its own algorithm alone, whatever a token's header says (RFC 8725 §3.1, §3.2). No message tells more
of a key than its ``kid``.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from django.views.decorators.debug import sensitive_variables
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tokenauth.exceptions import InvalidToken, UnknownKey
from tokenauth.secret import Secret, conceal
from tokenauth.session.jwt.form import ACCESS_TOKEN, HS256, Kind, check_form
from tokenauth.session.jwt.jwk import CURVES, WRONG_CURVE, is_of_later, keys_in, public_members

#: In bits: weaker keys can be broken (RFC 7518 §3.3), signatures of longer ones fill the cookie.
RSA_SIZES = range(2048, 4096 + 1)
KINDS: dict[str, Any] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
#: Headers that bring a key, or the address of one (RFC 8725 §3.10), or change the rules.
REFUSED = {"jku", "jwk", "x5u", "x5c", "crit", "b64"}
#: What joserfc and cryptography raise over a key or a token that they cannot read.
UNREADABLE = (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, RecursionError)


def algorithm_of(key: Any) -> str:
    """Return the one algorithm of a key.

    Raises ValueError, which says what is wrong with it.
    """
    if isinstance(key, RSAKey):
        size = key.public_key.key_size
        if size not in RSA_SIZES:
            raise ValueError(f"is RSA of {size} bits: take 2048 to 4096")
        return "RS256"
    try:
        return CURVES[key.curve_name]
    except KeyError:
        raise ValueError(WRONG_CURVE) from None


@dataclass(frozen=True, repr=False)
class PublicKey:
    """A key that verifies, under its own algorithm alone."""

    kid: str
    alg: str
    key: Any

    @classmethod
    def of(cls, key: Any, kid: str | None = None) -> "PublicKey":
        """Return the public half of a key; its ``kid`` is its thumbprint (RFC 7638)."""
        alg = algorithm_of(key)
        public = type(key)(key.public_key, key.public_key)
        return cls(kid or public.thumbprint(), alg, public)

    def as_jwk(self) -> dict[str, Any]:
        """Return it as a set publishes it (RFC 7517 §4)."""
        words = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        return self.key.as_dict(private=False) | words  # type: ignore[no-any-return]  # the key is Any

    @sensitive_variables()
    def has_signed(self, raw: Secret[str]) -> bool:
        """Tell whether it has signed a JWT; of which joserfc reads headers up to 512 bytes only."""
        signed, _, end = raw.reveal().encode().rpartition(b".")
        verify = jws.JWSRegistry.algorithms[self.alg].verify
        return bool(quietly(lambda: verify(signed, urlsafe_b64decode(end + b"=="), self.key)))


class KeySet:
    """Public keys that verify, by ``kid``."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys: dict[str, PublicKey] = {}
        for key in keys:
            if key.kid in self._keys:
                raise ValueError(f"The key {key.kid!r} is there twice.")
            self._keys[key.kid] = key

    def __repr__(self) -> str:
        return f"<KeySet: {', '.join(self.kids)}>"

    @classmethod
    def from_jwks(cls, document: Any) -> "KeySet":
        """Return the keys of a set (RFC 7517 §5), as an authorization server publishes it.

        Keys of a type that did not exist yet when this was written are left out, as §5 says.

        Raises ValueError, which says what is wrong, and with which key.
        """
        known = [read_jwk(key) for key in keys_in(document) if not is_of_later(key)]
        if not known:
            raise ValueError("The key set has no key that could verify.")
        return cls(known)

    @property
    def kids(self) -> list[str]:
        """The names of the keys, in order."""
        return list(self._keys)

    @property
    def algorithms(self) -> dict[str, str]:
        """The one algorithm of each key, by its ``kid``."""
        return {kid: key.alg for kid, key in self._keys.items()}

    def as_jwks(self) -> dict[str, Any]:
        """Return the set as it is published: the public parts alone."""
        return {"keys": [key.as_jwk() for key in self._keys.values()]}

    def verify(self, raw: Secret[str], kind: Kind = ACCESS_TOKEN) -> dict[str, Any]:
        """Return the payload of a token of this kind that one of the keys has signed.

        Its claims are still to be judged.

        Raises InvalidToken, and UnknownKey when it names none of the keys.
        """
        check_form(raw, kind.longest)
        payload = self._payload_of(raw, kind)
        if not isinstance(payload, dict):
            raise InvalidToken("not signed by any of the keys")
        return payload

    @sensitive_variables()
    def _payload_of(self, raw: Secret[str], kind: Kind) -> Any:
        try:
            token = jws.extract_compact(raw.reveal().encode())
            key = self._key_for(token.headers(), kind)
            registry = jws.JWSRegistry(algorithms=[key.alg], strict_check_header=False)
            if jws.validate_compact(token, key.key, registry=registry):
                return json.loads(token.payload)
        except UNREADABLE:
            pass
        return None

    def _key_for(self, header: Any, kind: Kind) -> PublicKey:
        """Return the key that a header names, if the token says what the key allows.

        RFC 9068 §4 (``typ``), RFC 8725 §3.1 (``alg``), §3.10, §3.11.
        """
        if not isinstance(header, dict) or REFUSED & set(header):
            raise InvalidToken("a header that is not accepted")
        if str(header.get("typ", "")).lower().removeprefix("application/") not in kind.types:
            raise InvalidToken(f"not typed as {kind.name}")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise InvalidToken("names no key")
        key = self._keys.get(kid)
        if key is None:
            raise UnknownKey("signed with a key that is not known here")
        if header.get("alg") != key.alg:
            raise InvalidToken("not the algorithm of its key")
        return key


def read_jwk(jwk: Any) -> PublicKey:
    """Return the public key that a JWK is.

    Raises ValueError, which says what is wrong with it.
    """
    if not isinstance(jwk, Mapping):
        raise ValueError("A key of the set is no JSON object.")
    kid = jwk.get("kid")
    if not isinstance(kid, str | None):
        raise ValueError("A key of the set has a 'kid' that is no string.")
    try:
        return PublicKey.of(import_jwk(jwk), kid)
    except ValueError as flaw:
        why = str(flaw)
    raise ValueError(f"The key {kid!r:.80} {why}.")


def import_jwk(jwk: Mapping[str, Any]) -> Any:
    """Return the key that a JWK describes; raise ValueError with what is wrong with it."""
    members, kind = public_members(jwk), KINDS[jwk["kty"]]
    native = quietly(kind.binding.import_from_dict, members)
    if native is None:
        raise ValueError("cannot be read")
    key = kind(native, native)
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm_of(key)) != algorithm_of(key):
        raise ValueError(f"is not for signatures by {algorithm_of(key)}")
    return key


@sensitive_variables()
def quietly(read: Any, *args: Any) -> Any:
    """Return what joserfc makes of a key, None if it cannot read it.

    Its error is not passed on: it would carry frames in which the key lies open.
    """
    try:
        return read(*args)
    except UNREADABLE:
        return None


def import_pem(pem: Secret[str]) -> Any:
    """Return the key of a PEM, private or public; raise ValueError with what is wrong with it."""
    if "ENCRYPTED" in pem.reveal():
        raise ValueError("is encrypted: nobody is there to type a passphrase")
    for kind in KINDS.values():
        native = quietly(kind.binding.import_from_bytes, pem.reveal().encode())
        if native:
            return kind(native, native)
    raise ValueError("is no PEM of a P-256, Ed25519 or RSA key")


def text_of(entry: Secret[Any]) -> Secret[str]:
    """Return the PEM that a site gave, as text or as the path of a file.

    Raises ValueError, which says why it cannot be read. Not by its name, which may be a key that
    somebody has pasted badly.
    """
    if isinstance(entry.reveal(), str) and "-----BEGIN" in entry.reveal():
        return entry
    try:
        return Secret(Path(entry.reveal()).read_text())
    except OSError as error:
        why = str(error.strerror)
    except (TypeError, ValueError):
        why = "neither PEM text nor the path of a PEM file"
    raise ValueError(f"cannot be read: {why}")


def read_entry(entry: Secret[Any]) -> Any:
    """Return the key of one entry of ``TOKENAUTH_SIGNING_KEYS``, if it is one that may be used.

    Raises ValueError, which says what is wrong with it.
    """
    key = import_pem(text_of(entry))
    algorithm_of(key)
    return key


class SigningKeys:
    """The keys of ``TOKENAUTH_SIGNING_KEYS``: the first signs, all verify.

    Raises ValueError, which says what is wrong, and with which of them.
    """

    def __init__(self, given: Secret[Sequence[Any]] | Sequence[Any]) -> None:
        entries = [Secret(entry) for entry in conceal(given).reveal()]
        is_hs256 = [entry.reveal() == HS256 for entry in entries]
        #: Whether a token under ``SECRET_KEY`` verifies, and whether that is what is issued.
        self.verifies_hs256 = any(is_hs256)
        self.uses_hs256_first = is_hs256[:1] == [True]
        keys = {
            number: self._read(number, entry)
            for number, entry in enumerate(entries, 1)
            if entry.reveal() != HS256
        }
        self.public = KeySet(map(PublicKey.of, keys.values()))
        self._first: Secret[Any] = Secret(keys.get(1))
        if not self.uses_hs256_first and not (keys and keys[1].is_private):
            raise ValueError("The first is a public key, which cannot sign.")

    @staticmethod
    def _read(number: int, entry: Secret[Any]) -> Any:
        try:
            return read_entry(entry)
        except ValueError as flaw:
            why = str(flaw)
        raise ValueError(f"No. {number} {why}.")

    def sign(self, claims: Mapping[str, Any], typ: str = "at+jwt") -> Secret[str]:
        """Return a token that the first key has signed: an access token (RFC 9068 §2.1)."""
        kid = self.public.kids[0]
        alg = self.public.algorithms[kid]
        header = {"alg": alg, "typ": typ, "kid": kid}
        body = json.dumps(claims, separators=(",", ":"))
        return Secret(jws.serialize_compact(header, body, self._first.reveal(), [alg]))


#: What ``tokenauth_key`` makes, by algorithm: the kind of key, and which curve or how many bits.
MAKES: dict[str, tuple[Any, Any]] = {
    "ES256": (ECKey, "P-256"),
    "Ed25519": (OKPKey, "Ed25519"),
    "RS256": (RSAKey, 3072),
}


def make_key(alg: str) -> tuple[str, Secret[str]]:
    """Make a private key for an algorithm; return its ``kid`` and its PEM."""
    kind, size = MAKES[alg]
    key = kind.generate_key(size)
    return key.thumbprint(), Secret(key.as_pem(private=True).decode())
