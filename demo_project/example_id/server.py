"""Example ID, the OpenID provider: a process of its own, which ends with whoever started it.

oidc-provider-mock does the work. Here it learns what Google knows as well: it has a page of its own
for people, gives back the state when they refuse, and takes a code for its PKCE verifier alone.
"""

import os
import sys
import threading
import warnings
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import flask
import jinja2
import uvicorn

from demo_project.example_id.people import PEOPLE

PAGES = Path(__file__).parent / "pages"
AUTHORIZE, TOKEN = "/oauth2/authorize", "/oauth2/token"


def make_provider(*, require_nonce: bool) -> flask.Flask:
    """Return the provider, which asks each sign-in for PKCE, and for a nonce."""
    with warnings.catch_warnings(record=True):  # of its own parts, which are on their way out
        import oidc_provider_mock  # noqa: PLC0415  # only here

    users = [
        oidc_provider_mock.User(sub=name, claims={"preferred_username": name, **claims})
        for name, claims in PEOPLE.items()
    ]
    provider = oidc_provider_mock.app(require_nonce=require_nonce, user_claims=users)
    # Before the package's own page, which fetches its looks from another host.
    provider.jinja_loader = jinja2.ChoiceLoader(
        [jinja2.FileSystemLoader(PAGES), jinja2.PackageLoader(oidc_provider_mock.__name__)]
    )
    provider.jinja_env.globals["people"] = PEOPLE
    provider.after_request(give_state_back)
    ask_for_verifiers(provider)
    return provider


def give_state_back(response: flask.Response) -> flask.Response:
    """Add the state to a refusal that lacks it, as RFC 6749 §4.1.2.1 wants; 0.3 forgets it."""
    back, state = response.headers.get("Location", ""), flask.request.args.get("state")
    lacks_it = back and "state" not in parse_qs(urlsplit(back).query)
    if flask.request.path == AUTHORIZE and state and lacks_it:
        response.headers["Location"] = f"{back}&{urlencode({'state': state})}"
    return response


def ask_for_verifiers(provider: flask.Flask) -> None:
    """Take a code only from whoever knows what its challenge was made from (RFC 7636 §4.6)."""
    challenges: dict[str, str] = {}

    @provider.after_request
    def remember(response: flask.Response) -> flask.Response:
        query = parse_qs(urlsplit(response.headers.get("Location", "")).query)
        if flask.request.path == AUTHORIZE and "code" in query:
            challenges[query["code"][0]] = flask.request.args.get("code_challenge", "")
        return response

    @provider.before_request
    def compare() -> tuple[dict[str, str], int] | None:
        form = flask.request.form
        if flask.request.path != TOKEN or form.get("grant_type") != "authorization_code":
            return None
        challenge = challenges.pop(form.get("code", ""), None)
        if challenge == challenge_of(form.get("code_verifier", "")):
            return None
        return {"error": "invalid_grant"}, 400


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 §4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def end_with_parent() -> None:
    """Wait until the other end of standard input is gone, however it went; then end."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # http, on this machine
    threading.Thread(target=end_with_parent, daemon=True).start()
    uvicorn.run(
        make_provider(require_nonce="any nonce" not in sys.argv),
        interface="wsgi",
        fd=int(sys.argv[1]),
        log_level="warning",
    )
