"""Say who sends a request, and send a browser whose access token has expired to refresh it."""

import os
import time
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request, Response

from .revocations import Revocations
from .tokens import Keys, TokenError, UnavailableError, Verifier

ISSUER = os.environ["TOKENAUTH_ISSUER"]
REFRESH = "/auth/refresh/"
#: Over https it is "__Host-access_token", a name that no other host can set.
COOKIE = os.environ.get("TOKENAUTH_ACCESS_COOKIE", "__Host-access_token")
CHALLENGE = 'Bearer realm="api"'
SAFE = {"GET", "HEAD", "OPTIONS"}
#: Bytes of a body that goes round with its request, and of an address that can.
MAX_BODY, MAX_URL = 5 * 1024 * 1024, 2048
#: Seconds in which a request is not sent round again.
MARKER_LIFETIME = 15

verifier = Verifier(Keys(f"{ISSUER}/auth/jwks.json"), ISSUER, os.environ["TOKENAUTH_AUDIENCE"])
revocations = Revocations(os.environ["TOKENAUTH_REVOCATIONS"], ISSUER)


async def person(request: Request, response: Response) -> dict[str, Any]:
    """Return the claims of who sends a request; the answer to nobody is an HTTPException."""
    response.headers["Vary"] = "Authorization, Cookie"
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    by_header = scheme.lower() == "bearer"  # then it decides alone
    raw = bearer.strip() if by_header else request.cookies.get(COOKIE)
    if raw is None:
        raise refusal(CHALLENGE)
    try:
        claims = await verifier.claims_of(raw)
        counts = claims["exp"] > time.time() and not await revocations.refuse(claims)
    except UnavailableError:
        raise HTTPException(503, headers={"Retry-After": "2"}) from None
    except TokenError:
        raise refusal(f'{CHALLENGE}, error="invalid_token"') from None
    if (claims["client_id"] == "browser") is by_header:  # a browser's token counts in its cookie
        raise refusal(f'{CHALLENGE}, error="invalid_token"')
    if not counts:
        raise await way_out(request, claims["exp"], by_header=by_header)
    if not by_header and request.method not in SAFE and not is_from_this_site(request):
        raise HTTPException(403, "This must come from a page of this site.")
    return claims


#: Who sends a request: ``async def view(person: Person)``.
Person = Annotated[dict[str, Any], Depends(person)]


def refusal(challenge: str) -> HTTPException:
    """Return a 401 that says why (RFC 6750 §3)."""
    return HTTPException(401, headers={"WWW-Authenticate": challenge})


def is_from_this_site(request: Request) -> bool:
    """Tell whether a page of this very host sent it: a browser sends cookies whoever asks."""
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


async def way_out(request: Request, exp: int, *, by_header: bool) -> HTTPException:
    """Return the 307 to the refresh URL and back, or a 401 for whom that would be in vain."""
    url = None if by_header else refresh_url(request, exp)
    if url is None:
        return refusal(f'{CHALLENGE}, error="invalid_token"')
    async for _ in request.stream():
        pass  # a server that answers before it has read an upload may break the connection
    return HTTPException(307, headers={"Location": url, "Cache-Control": "no-store"})


def refresh_url(request: Request, exp: int) -> str | None:
    """Return where to refresh a token that ended at ``exp`` and come back with method and body.

    None for a request that was there just now, or that a browser can't send again.
    """
    pairs = [pair for pair in request.url.query.split("&") if pair]
    rest = [pair for pair in pairs if not pair.startswith(("_rt=", "_rn="))]
    back = request.scope["raw_path"].decode("latin-1") + ("?" + "&".join(rest) if rest else "")
    headers = request.headers
    is_streamed = "Transfer-Encoding" in headers
    too_long = int(headers.get("Content-Length", 0)) > MAX_BODY or len(back) > MAX_URL
    if was_there(pairs) or is_streamed or too_long:
        return None
    return f"{REFRESH}?next={quote(back)}&_exp={exp}&_rt={int(time.time())}"


def was_there(pairs: list[str]) -> bool:
    """Tell whether the refresh URL has just sent this request back (``_rt``: when it was tried)."""
    times = [at for pair in pairs if pair.startswith("_rt=") for at in pair[4:].split("~")]
    just = [at for at in times if at.isdecimal() and abs(time.time() - int(at)) < MARKER_LIFETIME]
    return bool(just) or any(pair.startswith("_rn=") for pair in pairs)
