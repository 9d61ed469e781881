"""allauth's OpenID Connect, and the nonce that it does not send."""

from typing import Any

from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, get_random_string

from demo_project.example_id.hops import begin


class ExampleID(OpenIDConnectProvider):
    """Send people away with a nonce; it waits for them in the state, as the PKCE verifier does."""

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **kwargs: Any,
    ) -> HttpResponse:
        """Send the browser to the provider."""
        nonce = get_random_string(32)
        kwargs["auth_params"] = {**(kwargs.get("auth_params") or {}), "nonce": nonce}
        kwargs |= {"nonce": nonce, "began": begin(request)}
        response: HttpResponse = super().redirect(request, process, next_url, data, **kwargs)
        return response


def is_nonce_ours(login: SocialLogin) -> bool:
    """Tell whether the ID token was made for this sign-in (OpenID Connect Core §3.1.3.7, 11)."""
    claims = login.account.extra_data.get("id_token", {})
    sent: str = login.state.get("nonce", "")
    return bool(sent) and constant_time_compare(sent, claims.get("nonce", ""))
