"""Read the token of a client that is no browser: ``Authorization: Bearer`` (RFC 6750 §2.1).

Nothing here touches the database.
"""

from functools import cached_property

from django.http import HttpRequest

from tokenauth.conf import conf
from tokenauth.exceptions import InvalidToken
from tokenauth.models import AuthSession
from tokenauth.request.jar.presentation import Presentation
from tokenauth.secret import Secret
from tokenauth.session.tokens import BearerAccessToken, Claims

#: What a 401 asks for.
CHALLENGE = 'Bearer realm="api"'


class Bearer(Presentation):
    """What came in the header. It decides alone: of the cookies beside it none counts.

    A browser sends cookies whoever asks it to, and never this header by itself.
    """

    def __init__(self, raw: Secret[str]) -> None:
        super().__init__(Secret(""))
        self.raw = raw

    @cached_property
    def access(self) -> Claims | None:
        """The token's claims; None if it is none of ours, perhaps the site's own simplejwt's."""
        try:
            return BearerAccessToken.read(self.raw)
        except InvalidToken:
            return None

    def look_up(self) -> AuthSession:
        """Return the session that the header signs in.

        Raises as ``AuthSessionManager.look_up``, and InvalidToken.
        """
        if self.access is None or self.access.expired:
            raise InvalidToken("expired, or none of ours")
        session = AuthSession.objects.look_up(self.access.sid)
        session.check_key(None)
        return session


def bearer_of(request: HttpRequest) -> Bearer | None:
    """Return what came in the header; None where none did, or the site takes none.

    Another scheme, Basic or simplejwt's own, is not ours.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if not header or not conf.takes_bearer_tokens:
        return None
    scheme, _, raw = header.partition(" ")
    return Bearer(Secret(raw.strip())) if scheme.lower() == "bearer" else None
