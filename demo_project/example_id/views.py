"""The picture of a sign-in by Example ID."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from demo_project.example_id import hops, provider_url
from tokenauth.request import cookies

#: What allauth's OAuth 2 client adds to the provider's address, and our nonce.
SENT_AWAY_WITH = (
    "client_id",
    "redirect_uri",
    "scope",
    "response_type",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)

AWAY = (
    "The demo made three random values and kept them in your Django session. Your browser left "
    "with two of them, state (this browser has begun it) and nonce (for the ID token of this "
    "sign-in alone), and with a hash of the third, code_challenge: PKCE. That secret stays here."
)
WHO = (
    "Between your browser and Example ID alone. The demo saw neither the page nor what you typed "
    "there: at Google, a password or a passkey."
)
BACK = (
    "The code came in the address, where histories and logs keep it. So it is good once, and only "
    "together with the secret that the demo kept."
)
TOKENS = (
    "From server to server. The code and the secret (code_verifier) went, Example ID's own tokens "
    "came. Your browser never had one of them, and the demo has kept none."
)
CLAIMS = "With Example ID's access token, this once. What came back says who you are."
OURS = (
    "allauth called Django's login(). tokenauth followed it, and set its two cookies: tokens of "
    "this site. Example ID is not asked again, however long you stay."
)


@never_cache
@login_required
def picture(request: HttpRequest) -> HttpResponse:
    """Draw the six hops of this session's sign-in, or say how to make some."""
    noted = request.session.get(hops.KEY)
    context: dict[str, Any] = {"noted": noted}
    if noted:
        asked = [call["path"] for call in noted["calls"]]
        context |= {"hops": drawn(request, noted), "discovery": hops.DISCOVERY in asked}
    return render(request, "demo/hops.html", context)


def drawn(request: HttpRequest, noted: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the hops in their order."""
    calls = noted["calls"]
    return [
        *front_channel(request, noted),
        *[back_channel("The code for tokens", TOKENS, c) for c in calls if "code" in c["sent"]],
        *[back_channel("Who is it?", CLAIMS, c) for c in calls if "Authorization" in c["sent"]],
        signed_in(request, noted),
    ]


def front_channel(request: HttpRequest, noted: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the hops that the browser made, up to its return."""
    here, there = request.get_host(), urlsplit(provider_url()).netloc
    back = noted["back"]
    return [
        {
            "name": "Away",
            "words": AWAY,
            "way": "browser-demo",
            "host": here,
            "line": f"POST {noted['began']['path']}",
            "at": moment(noted["began"]["at"]),
            "answered": SENT_AWAY_WITH,
        },
        {
            "name": "Who are you?",
            "words": WHO,
            "way": "browser-provider",
            "host": there,
            "line": "GET /oauth2/authorize",
            "sent": SENT_AWAY_WITH,
            "answered": back["brought"],
        },
        {
            "name": "Back",
            "words": BACK,
            "way": "browser-demo",
            "host": here,
            "line": f"GET {back['path']}",
            "at": moment(back["at"]),
            "sent": back["brought"],
        },
    ]


def back_channel(name: str, words: str, call: dict[str, Any]) -> dict[str, Any]:
    """Return a hop between the two servers."""
    return {
        "name": name,
        "words": words,
        "way": "demo-provider",
        "host": call["host"],
        "line": f"{call['method']} {call['path']}",
        "at": moment(call["at"]),
        "sent": call["sent"],
        "answered": call["answered"],
    }


def signed_in(request: HttpRequest, noted: dict[str, Any]) -> dict[str, Any]:
    """Return the last hop: the answer that the browser waited for."""
    return {
        "name": "Signed in",
        "words": OURS,
        "way": "browser-demo",
        "host": request.get_host(),
        "line": f"The answer to GET {noted['back']['path']}",
        "at": request.auth_session.created_at,  # type: ignore[attr-defined]  # ours
        "answered": [cookies.access_name(), cookies.refresh_name()],
        "ours": True,
    }


def moment(seconds: float) -> datetime:
    """Return a point in time."""
    return datetime.fromtimestamp(seconds, UTC)
