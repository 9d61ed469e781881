"""Say to clients what time it is, in a word that they can't make up (RFC 9449 §8, §9).

Who may use a key for a moment only, by a script on a page of the client's, can't sign proofs for
tomorrow with it (§11.2). A nonce is one for all clients, and kept nowhere.
"""

import base64

from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.debug import sensitive_variables

from tokenauth.secret import Secret
from tokenauth.session.tokens import secret_keys

#: In seconds: how long one nonce is handed out; it is accepted for as long again.
STEP = 300


def make_nonce(now: float) -> str:
    """Return the nonce of a moment, in seconds since the epoch.

    It fits a header as it is (RFC 9449 §8.1).
    """
    return nonce_of(int(now) // STEP, secret_keys()[0])


@sensitive_variables()
def nonce_of(step: int, key: Secret[str | bytes]) -> str:
    """Return the nonce that is handed out for one step, under one ``SECRET_KEY``."""
    mac = salted_hmac("tokenauth.dpop.nonce", str(step), secret=key.reveal(), algorithm="sha256")
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


def is_nonce(nonce: str, now: float) -> bool:
    """Tell whether a nonce was handed out five to ten minutes ago at most, by this site."""
    current = int(now) // STEP
    good = [nonce_of(step, key) for key in secret_keys() for step in (current, current - 1)]
    return nonce.isascii() and any(constant_time_compare(nonce, one) for one in good)
