"""Read what a client posts to the token endpoint, and refuse it in OAuth's own words."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, QueryDict

from tokenauth.exceptions import TokenAuthError
from tokenauth.secret import Secret

#: In bytes. A form has one token of 8 kB at most.
MAX_FORM = 64 * 1024
#: What a browser says of itself with each request that a script or a page makes it send.
BROWSERS_OWN = ("Sec-Fetch-Site", "Origin")


class RequestRefused(TokenAuthError):  # noqa: N818  # named for the state, like Django's own
    """A request that the token endpoint does not grant (RFC 6749 §5.2).

    ``description`` is for whoever writes the client: English, and none of what was sent.
    """

    def __init__(
        self,
        error: str,
        description: str,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status
        self.headers = dict(headers or {})


def invalid_request(description: str, status: int = 400) -> RequestRefused:
    """Return the refusal of a request that is not put together rightly."""
    return RequestRefused("invalid_request", description, status)


def refuse_browser(request: HttpRequest) -> None:
    """Raise RequestRefused where a browser asks: it has cookies, which no script can read.

    What a script can read, an injected one can steal (ASVS 3.3.4).
    """
    if any(name in request.headers for name in BROWSERS_OWN):
        raise RequestRefused(
            "tokens_in_browser",
            "A browser gets no tokens: sign in there without client=app, and use the cookies.",
            403,
        )


class Parameters:
    """The parameters of a request, each at most once (RFC 6749 §3.2).

    Raises RequestRefused.
    """

    def __init__(self, form: Any) -> None:
        form = form or QueryDict()  # no body has no type
        repeated = sorted(name for name, values in form.lists() if len(values) > 1)
        if repeated:
            raise invalid_request(f"Send each parameter once: {known(repeated)}.")
        self._secrets = {name: Secret(str(value)) for name, value in form.items() if value}

    def need(self, name: str) -> Secret[str]:
        """Return a parameter; one that is empty counts as left out (RFC 6749 §3.2).

        Raises RequestRefused.
        """
        found = self._secrets.get(name)
        if found is None:
            raise invalid_request(f"The parameter {name} is missing.")
        return found


def known(names: list[str]) -> str:
    """Return those of the names that are ours to say; what else was sent is not repeated."""
    ours = {"assertion", "grant_type", "refresh_token", "token", "token_type_hint"}
    return ", ".join(sorted(ours & set(names))) or "one that is not needed came twice"
