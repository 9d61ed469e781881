"""Read by what a browser proves that it holds a device key (W3C DBSC).

Nothing here touches a request or the database. Imported only where a browser proves one: joserfc,
which it needs, is optional.
"""

import json

from django.views.decorators.debug import sensitive_variables

from tokenauth.secret import Secret
from tokenauth.session.jose.keys import PublicKey, import_jwk
from tokenauth.session.jose.self_signed import Kind, check_signer, part_of, signer_of
from tokenauth.session.jwt.jwk import canonical

#: ``none`` and HS256 are of no use: anybody could prove such a key.
KIND = Kind("dbsc+jwt", ("ES256", "RS256"))


def unquoted(header: str) -> Secret[str]:
    """Return what a header says; browsers send a string of RFC 9651 §3.3.3, in quotes."""
    is_quoted = len(header) > 1 and header[0] == header[-1] == '"'
    return Secret(header[1:-1] if is_quoted else header)


@sensitive_variables()
def read_registration(raw: Secret[str]) -> tuple[str, object]:
    """Return the key that a proof brings, written canonically, and the challenge it has signed.

    Raises InvalidProof.
    """
    key = signer_of(raw, KIND)
    return canonical(key.as_jwk()), part_of(raw, 1).get("jti")


@sensitive_variables()
def read_proof(raw: Secret[str], key: str) -> object:
    """Return the challenge that a known key has signed. Raises InvalidProof."""
    check_signer(raw, KIND, PublicKey.of(import_jwk(json.loads(key))))
    challenge: object = part_of(raw, 1).get("jti")
    return challenge
