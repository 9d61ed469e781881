"""The same for scripts: REST framework views that answer in JSON, and never with a token."""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied as DjangosPermissionDenied
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest
from django.middleware.csrf import get_token
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from rest_framework import serializers
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    NotFound,
    ParseError,
    PermissionDenied,
)
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tokenauth.authentication import CookieTokenAuthentication
from tokenauth.clients.answers import tokens_in_body
from tokenauth.clients.parameters import RequestRefused, refuse_browser
from tokenauth.clients.proofs import shown_key
from tokenauth.conf import conf
from tokenauth.exceptions import DeviceProofRequired
from tokenauth.lazy import credentials_of
from tokenauth.models import MAX_CLIENT_NAME_LENGTH
from tokenauth.permissions import demand_recent_login
from tokenauth.request.django_sessions.following import adopt_now
from tokenauth.request.origins import from_this_site
from tokenauth.request.throttling import LoginAttempt
from tokenauth.secret import Masked
from tokenauth.session.devices import Client
from tokenauth.session.jwt.access_claims import APP, BROWSER
from tokenauth.session.tokens import issue_access_token
from tokenauth.session.users import can_be_username
from tokenauth.shortcuts import (
    readable,
    revoke_others,
    revoke_own,
    sessions_of,
    sign_in,
    sign_out,
    start_in_app,
)
from tokenauth.stepup.challenges import InsufficientUserAuthentication

from . import answers


class BoundedJSONParser(JSONParser):
    """REST framework's parser; it lets the RecursionError of a deeply nested body through."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the body's value. Raises ParseError."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply") from error


class JSONAlone(DefaultContentNegotiation):
    """Answer in JSON whatever ``Accept`` says: a logout must not fail with 406."""

    def select_renderer(
        self, request: Any, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        """Return the one renderer there is."""
        return renderers[0], renderers[0].media_type


@method_decorator(never_cache, name="dispatch")
class TokenAuthView(APIView):
    """What our API views share, whatever the site has set for its own."""

    authentication_classes = [CookieTokenAuthentication]  # DRF's own idiom
    permission_classes = [IsAuthenticated]  # DRF's own idiom
    renderer_classes = [JSONRenderer]  # DRF's own idiom
    parser_classes = [BoundedJSONParser, FormParser, MultiPartParser]  # DRF's own idiom
    content_negotiation_class = JSONAlone
    throttle_classes = []  # DRF's own idiom; logins have limits of their own
    versioning_class = None

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Give every error the form ``{"detail", "code"}``."""
        return error_answer


class OpenView(TokenAuthView):
    """A view without authenticators: a stale cookie never locks anyone out (dj-rest-auth #150).

    It needs no CSRF token, so it refuses what another site sends.
    """

    authentication_classes = []  # DRF's own idiom
    permission_classes = [AllowAny]  # DRF's own idiom

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse other sites before anything is read."""
        super().initial(request, *args, **kwargs)
        if not from_this_site(request._request):
            raise PermissionDenied(_("This must come from a page of this site."), "cross_site")

    def get_authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes a failed login a 401; there is no authenticator."""
        return CookieTokenAuthentication().authenticate_header(request)


def error_answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer as REST framework does, in the form ``{"detail", "code"}``.

    But roll nothing back: our views have no transaction (``urls``), and one that a middleware
    opened around the request would be of no use to those that still have to answer.
    """
    if isinstance(error, RequestRefused):
        body: Any = {"detail": error.description, "code": error.error}
        return Response(body, status=error.status, headers=error.headers)
    if isinstance(error, Http404):
        error = NotFound(*error.args)
    elif isinstance(error, DjangosPermissionDenied):
        error = PermissionDenied(*error.args)
    if not isinstance(error, APIException):
        return None
    codes, detail = error.get_codes(), error.detail
    if isinstance(error, NotAuthenticated) and credentials_of(context["request"]).needs_proof:
        codes = DeviceProofRequired.code
    body = {
        "detail": detail if isinstance(detail, str) else one_line(detail),
        "code": codes if isinstance(codes, str) else "invalid",
    }
    if isinstance(error, InsufficientUserAuthentication):
        body = detail
    # Where REST framework notes the challenge, and how long to wait.
    noted = {"WWW-Authenticate": "auth_header", "Retry-After": "wait"}
    found = {header: getattr(error, name, None) for header, name in noted.items()}
    headers = {header: str(value) for header, value in found.items() if value}
    return Response(body, status=error.status_code, headers=headers)


def one_line(errors: Any) -> str:
    """Return a form's errors as a sentence for each field."""
    if not isinstance(errors, Mapping):
        return " ".join(map(str, errors))
    return " ".join(f"{field}: {one_line(messages)}" for field, messages in errors.items())


class LoginSerializer(serializers.Serializer[Any]):
    """What a login needs."""

    username = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=4096, trim_whitespace=False)
    remember = serializers.BooleanField(default=lambda: conf.persistent_by_default)
    client = serializers.ChoiceField([BROWSER, APP], default=BROWSER)
    client_name = serializers.CharField(
        max_length=MAX_CLIENT_NAME_LENGTH, default="", allow_blank=True
    )


class Login(NamedTuple):
    """Who signs in, and by what."""

    username: str
    password: Masked
    remember: bool
    client: str
    client_name: str


class LoginView(OpenView):
    """Sign in with ``username`` (or the user model's own field) and ``password``."""

    def post(self, request: Request) -> Response:
        """Start a session and say who is signed in; give an app its tokens."""
        login = login_of(request)
        key = demand_app(request._request) if login.client == APP else None
        user = check_password(request._request, login)
        if login.client == APP:
            client = Client(APP, readable(login.client_name), key)
            session = start_in_app(request._request, user, client)
            access = issue_access_token(session)
            tokens = tokens_in_body(session, *access)
            return Response(answers.signed_in_by(user, session, access[1]) | {"tokens": tokens})
        sign_in(request._request, user, persistent=login.remember)
        credentials = credentials_of(request)
        credentials.answers_at_once = True
        return Response(answers.signed_in(credentials))


def check_password(request: HttpRequest, login: Login) -> Any:
    """Return the person who has this name and this password.

    Raises AuthenticationFailed, and Throttled.
    """
    attempt = LoginAttempt(request, login.username)
    try:
        user = authenticate(request, username=login.username, password=login.password)
    except (ValidationError, ValueError):
        if can_be_username(login.username):
            raise
        user = None
    if user is None or not getattr(user, "is_active", True):
        raise AuthenticationFailed(AuthenticationForm().get_invalid_login_error().messages[0])
    attempt.succeeded()
    return user


def demand_app(request: HttpRequest) -> str | None:
    """Let no browser have tokens, nor anybody where the site has no apps.

    Returns the thumbprint of the key whose proof came along, if one did.

    Raises PermissionDenied and RequestRefused.
    """
    if not conf.APP_CLIENTS:
        raise PermissionDenied(
            _("No app signs in here, unless TOKENAUTH_APP_CLIENTS is set."), "app_clients_off"
        )
    refuse_browser(request)
    return shown_key(request)


def login_of(request: Request) -> Login:
    """Return what a login says. Raises ValidationError.

    What holds the password in plain (a serializer's repr does) is gone before the database is
    asked.
    """
    fields = LoginSerializer(data=login_fields(request.data))
    fields.is_valid(raise_exception=True)
    found = fields.validated_data
    return Login(
        unicodedata.normalize("NFKC", found["username"]),
        Masked(found["password"]),
        found["remember"],
        found["client"],
        found["client_name"],
    )


def login_fields(data: Any) -> Any:
    """Return the body with the user model's own field under the name ``username``."""
    if not isinstance(data, Mapping):
        return data
    fields = dict(data.items())
    fields.setdefault("username", fields.get(get_user_model().USERNAME_FIELD))
    # A plain dict: in a form, REST framework takes a box that is not there for an unticked one.
    return {name: value for name, value in fields.items() if value is not None}


class LogoutView(OpenView):
    """Sign out. Always works, also with garbage for cookies."""

    def post(self, request: Request) -> Response:
        """End this session."""
        # REST framework has put nobody on the request; ``user_logged_out`` shall say who left.
        credentials_of(request).attach()
        sign_out(request._request)
        return Response(status=204)


class SessionView(TokenAuthView):
    """Who am I, and until when? For nobody, nulls."""

    permission_classes = [AllowAny]  # DRF's own idiom

    def get(self, request: Request) -> Response:
        """Say who is signed in; set the CSRF cookie for the script's next request."""
        get_token(request._request)
        credentials = credentials_of(request)
        adopt_now(credentials)
        return Response(answers.signed_in(credentials))


class SessionListView(TokenAuthView):
    """My sessions."""

    def get(self, request: Request) -> Response:
        """List my sessions: the one that asks first, then the last seen first."""
        credentials = credentials_of(request)
        sessions = sessions_of(credentials)
        current = credentials.session.pk if credentials.session else None
        this_one_first = sorted(sessions, key=lambda session: session.pk != current)
        return Response([answers.one_session(session, current) for session in this_one_first])


class SessionDetailView(TokenAuthView):
    """One of my sessions."""

    def delete(self, request: Request, pk: UUID) -> Response:
        """End one of my sessions; anybody else's is not found."""
        if request.auth is None or request.auth.pk != pk:
            demand_proof(request)
        revoke_own(request._request, pk)
        return Response(status=204)


class SessionRevokeOthersView(TokenAuthView):
    """All my sessions but this one."""

    def post(self, request: Request) -> Response:
        """End all my sessions but this one."""
        demand_proof(request)
        revoke_others(request._request)
        return Response(status=204)


def demand_proof(request: Request) -> None:
    """Ask for a recent login before other sessions end, if the site wants that (ASVS 7.5.2).

    Raises InsufficientUserAuthentication.
    """
    max_age = conf.RECENT_LOGIN
    if max_age is not None:
        demand_recent_login(request, max_age)
