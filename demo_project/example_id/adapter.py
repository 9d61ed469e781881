"""What the demo tells allauth: who Example ID is, and where people land, come what may."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base.constants import AuthError
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, resolve_url
from requests import RequestException, Session

from demo_project.example_id import CLIENT_ID, PROVIDER_ID, hops, provider_url
from demo_project.example_id.provider import is_nonce_ours

CANCELLED = "You said no at Example ID. Nothing has changed."
NOT_BEGUN = (
    "Nobody was signed in. Example ID's answer belongs to no sign-in that this browser has begun,"
    " or came too late."
)
REFUSED = "Nobody was signed in: Example ID's answer was not accepted."
SILENT = "Nobody was signed in: Example ID does not answer. Try again, or use your password."
DISABLED = "Example ID knows you, but your account here is disabled."


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """One provider; its failures end on the login page."""

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        """Return Example ID, if it runs: its address is known only then."""
        app = SocialApp(
            provider="openid_connect",
            provider_id=PROVIDER_ID,
            name="Example ID",
            client_id=CLIENT_ID,
            secret="example-id-accepts-any",  # noqa: S106  # and it runs on this machine alone
            settings={"server_url": provider_url()},
        )
        wanted = provider in {None, app.provider, PROVIDER_ID} and client_id in {None, CLIENT_ID}
        return [app] if provider_url() and wanted else []

    def get_requests_session(self) -> Session:
        """Return the back channel, which notes for the picture who was asked."""
        session: Session = super().get_requests_session()  # type: ignore[no-untyped-call]  # theirs
        if self.request is not None:
            session.hooks["response"].append(hops.asked(self.request))
        return session

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse an ID token that was made for another sign-in; note what the picture shows."""
        if not is_nonce_ours(sociallogin):
            raise ImmediateHttpResponse(back_to_login(request, REFUSED))
        hops.arrive(request, sociallogin.state)

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Lead people back to the login page, with where they wanted to go."""
        state = (extra_context or {}).get("state")
        if state is None:
            words = NOT_BEGUN
        elif error == AuthError.CANCELLED:
            words = CANCELLED
        else:
            words = SILENT if isinstance(exception, RequestException) else REFUSED
        raise ImmediateHttpResponse(back_to_login(request, words, (state or {}).get("next")))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        """Show the picture after an account was connected, too."""
        return resolve_url("example_id_hops")


class AccountAdapter(DefaultAccountAdapter):
    """Where people land who wanted to go nowhere else."""

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Show the picture."""
        return resolve_url("example_id_hops")

    get_signup_redirect_url = get_login_redirect_url

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Say on the login page why nobody was signed in."""
        return back_to_login(request, DISABLED)


def back_to_login(request: HttpRequest, words: str, then: str | None = None) -> HttpResponse:
    """Return the way to the login page, which says why."""
    messages.error(request, words)
    query = QueryDict(mutable=True)
    if then:
        query["next"] = then
    return redirect(f"{resolve_url('tokenauth:login')}?{query.urlencode(safe='/')}".rstrip("?"))
