"""Ask a client which key it holds, where its session is to be bound to one (RFC 9449 §5)."""

from django.http import HttpRequest

from tokenauth.dpop.answers import NONCE, fresh_nonce
from tokenauth.exceptions import InvalidProof, NonceNeeded

from .parameters import RequestRefused


def shown_key(request: HttpRequest) -> str | None:
    """Return the thumbprint of the key whose proof came with a request; None if none came.

    Asked before anything changes: a request without its proof ends and spends nothing.

    Raises RequestRefused.
    """
    if "DPoP" not in request.headers:
        return None
    try:
        from tokenauth.dpop.proving import prove  # noqa: PLC0415  # joserfc is optional
    except ImportError:
        raise refusal(
            InvalidProof("not asked for here: the site needs django-tokenauth[keys]")
        ) from None
    try:
        proof = prove(request, None, needs_nonce=True)
    except InvalidProof as flaw:
        raise refusal(flaw) from None
    return proof.thumbprint if proof else None


def refusal(flaw: InvalidProof) -> RequestRefused:
    """Return what a client is told of a bad proof (RFC 9449 §5.1, §8)."""
    if isinstance(flaw, NonceNeeded):
        return RequestRefused(
            "use_dpop_nonce", f"The DPoP proof is {flaw}.", headers={NONCE: fresh_nonce()}
        )
    return RequestRefused("invalid_dpop_proof", f"The DPoP proof is refused: {flaw}.")
