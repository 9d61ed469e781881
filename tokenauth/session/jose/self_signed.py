"""Read a JWT by which a client proves that it holds a key (RFC 9449 §4.2, W3C DBSC §9).

Nothing here touches a request, a cache or the database. No message tells anything of what the JWT
says, and no error of a library is passed on: it would carry the text. Imported only where clients
prove keys: ``keys`` needs joserfc.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.views.decorators.debug import sensitive_variables

from tokenauth.exceptions import InvalidProof, InvalidToken
from tokenauth.secret import Secret
from tokenauth.session.jwt.form import check_form

from .keys import REFUSED, PublicKey, import_jwk

#: In characters. One with an RSA key of 4,096 bits has about 2,200.
MAX_PROOF = 4096


class Kind(NamedTuple):
    """Which proofs are wanted where: one kind never passes as another (RFC 8725 §3.11)."""

    typ: str
    #: What their ``alg`` may be.
    algorithms: tuple[str, ...]


@sensitive_variables()
def signer_of(raw: Secret[str], kind: Kind) -> PublicKey:
    """Return the key in a proof's header, which has signed it. Its ``kid`` is its thumbprint.

    Raises InvalidProof.
    """
    header = header_of(raw, kind)
    if (REFUSED - {"jwk"}) & set(header):
        raise InvalidProof("its header brings what is not accepted")
    key = key_of(header.get("jwk"))
    check_signature(raw, header, key)
    return key


@sensitive_variables()
def check_signer(raw: Secret[str], kind: Kind, key: PublicKey) -> None:
    """Let pass a proof that this key has signed, which is known already.

    Raises InvalidProof.
    """
    header = header_of(raw, kind)
    if REFUSED & set(header):
        raise InvalidProof("its header brings what is not accepted")
    check_signature(raw, header, key)


@sensitive_variables()
def header_of(raw: Secret[str], kind: Kind) -> dict[str, Any]:
    """Return the header of a proof, if it is one JWT of this kind.

    Raises InvalidProof.
    """
    if not is_jwt(raw):
        raise InvalidProof(f"not one JWT of at most {MAX_PROOF} characters")
    header = part_of(raw, 0)
    if header.get("typ") != kind.typ:
        raise InvalidProof(f"its typ is not {kind.typ}")
    if header.get("alg") not in kind.algorithms:
        names = " or ".join([", ".join(kind.algorithms[:-1]), kind.algorithms[-1]])
        raise InvalidProof(f"its alg is not accepted: take {names}")
    return header


def is_jwt(raw: Secret[str]) -> bool:
    """Tell whether it may be one JWT: two headers are joined by a comma, which none has."""
    try:
        check_form(raw, MAX_PROOF)
    except InvalidToken:
        return False
    return True


def check_signature(raw: Secret[str], header: Mapping[str, Any], key: PublicKey) -> None:
    """Let pass what a key has signed under its own algorithm."""
    if header["alg"] != key.alg:
        raise InvalidProof("its alg is not that of its key")
    if not key.has_signed(raw):
        raise InvalidProof("not signed by its key")


@sensitive_variables()
def part_of(raw: Secret[str], number: int) -> dict[str, Any]:
    """Return the header (0) or the claims (1) of a JWT. Raises InvalidProof."""
    try:
        text = base64.urlsafe_b64decode(raw.reveal().split(".")[number] + "==").decode()
        found = json.loads(text, object_pairs_hook=members_of)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidProof("its header or its claims can't be read")
    return found


def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, if it has no name twice (RFC 7515 §4, RFC 7519 §4)."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("A name is there twice.")
    return members


@sensitive_variables()
def key_of(jwk: Any) -> PublicKey:
    """Return the public key that a proof's header brings. Raises InvalidProof."""
    if not isinstance(jwk, Mapping):
        raise InvalidProof("its header has no jwk")
    try:
        return PublicKey.of(import_jwk(jwk))
    except ValueError as flaw:
        why = str(flaw)
    raise InvalidProof(f"its jwk {why}")
