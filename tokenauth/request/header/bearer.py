"""Read the token of a client that is no browser: ``Authorization: Bearer`` (RFC 6750 §2.1).

Or ``DPoP``, with a proof of the key that its session is bound to (RFC 9449 §7.1).
"""

from functools import cached_property

from django.http import HttpRequest, HttpResponseBase

from tokenauth.conf import conf
from tokenauth.dpop import answers
from tokenauth.exceptions import InvalidProof, InvalidToken, NonceNeeded
from tokenauth.models import AuthSession
from tokenauth.request.jar.presentation import Presentation
from tokenauth.secret import Secret
from tokenauth.session.tokens import BearerAccessToken, Claims

#: What a 401 asks for, of whom has brought nothing of this kind.
CHALLENGE = 'Bearer realm="api"'
SCHEMES = ("bearer", "dpop")


class Bearer(Presentation):
    """What came in the header. It decides alone: of the cookies beside it none counts.

    A browser sends cookies whoever asks it to, and never this header by itself.
    """

    #: Once somebody has asked who this is: whether it is anybody, and why the proof was refused.
    counts = False
    flaw: InvalidProof | None = None

    def __init__(self, request: HttpRequest, raw: Secret[str], *, shows_key: bool) -> None:
        super().__init__(Secret(""))
        self.request, self.raw, self.shows_key = request, raw, shows_key

    @cached_property
    def access(self) -> Claims | None:
        """The token's claims; None if it is none of ours, perhaps the site's own simplejwt's."""
        try:
            return BearerAccessToken.read(self.raw)
        except InvalidToken:
            return None

    def look_up(self) -> AuthSession:
        """Return the session that the header signs in.

        Raises as ``AuthSessionManager.look_up``, InvalidToken and InvalidProof.
        """
        if self.access is None or self.access.expired:
            raise InvalidToken("expired, or none of ours")
        session: AuthSession = AuthSession.objects.look_up(self.access.sid)
        try:
            session.check_key(self._shown_key() if self.shows_key else None)
        except InvalidProof as flaw:
            self.flaw = flaw
            raise
        self.counts = True
        return session

    def _shown_key(self) -> str:
        try:
            from tokenauth.dpop.proving import prove  # noqa: PLC0415  # joserfc is optional
        except ImportError:
            raise InvalidProof("nothing that this site can read") from None
        proof = prove(self.request, self.raw, needs_nonce=False)
        if proof is None:
            raise InvalidProof("missing")
        return proof.thumbprint

    @property
    def challenge(self) -> str:
        """What a 401 says to whom a token was refused (RFC 6750 §3.1, RFC 9449 §7.1, §9)."""
        by_dpop = self.shows_key
        return answers.challenge(self.flaw) if by_dpop else f'{CHALLENGE}, error="invalid_token"'

    def finish(self, response: HttpResponseBase) -> None:
        """Say in an answer what the client is to do about its proof."""
        if isinstance(self.flaw, NonceNeeded):
            response.headers[answers.NONCE] = answers.fresh_nonce()
        if response.status_code == 401 and not self.counts:
            response.headers.setdefault("WWW-Authenticate", self.challenge)


def bearer_of(request: HttpRequest) -> Bearer | None:
    """Return what came in the header; None where none did, or the site takes none.

    Another scheme, Basic or simplejwt's own, is not ours.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if not header or not conf.takes_bearer_tokens:
        return None
    scheme, _, raw = header.partition(" ")
    if scheme.lower() not in SCHEMES:
        return None
    return Bearer(request, Secret(raw.strip()), shows_key=scheme.lower() == "dpop")
