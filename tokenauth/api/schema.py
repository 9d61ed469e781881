"""Describe the API to drf-spectacular. Only imported where a site has that installed."""

from typing import Any

from django.contrib.auth import get_user_model
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiViewExtension
from drf_spectacular.utils import extend_schema, extend_schema_serializer, extend_schema_view
from rest_framework import serializers

from tokenauth.conf import conf
from tokenauth.models import CLIENTS
from tokenauth.request import cookies

from .views import LoginSerializer


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular's registry
    """Let the site's own views say that an app's token opens them."""

    target_class = "tokenauth.authentication.BearerTokenAuthentication"
    name = "tokenauthBearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Name the scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class CookieTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular's registry
    """Let the site's own views say that our cookie opens them."""

    target_class = "tokenauth.authentication.CookieTokenAuthentication"
    name = "tokenauthCookie"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Name the access cookie, as this site sets it."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": cookies.access_name(),
            "description": "Set by a login, and replaced by refreshes, for browsers alone. "
            "Requests that change something need the X-CSRFToken header too.",
        }


# Components have names of our own: a site may have a "Login" and a "Session" already. Their
# docstrings are for those who read the schema.


@extend_schema_serializer(component_name="TokenAuthLogin")
class Login(LoginSerializer):
    """Who signs in. ``username`` may also go by the name of the user model's own field."""


@extend_schema_serializer(component_name="TokenAuthUser")
class User(serializers.Serializer[Any]):
    """A person."""

    id = serializers.PrimaryKeyRelatedField(queryset=get_user_model()._default_manager.all())
    username = serializers.CharField()


@extend_schema_serializer(component_name="TokenAuthSession")
class Session(serializers.Serializer[Any]):
    """A device on which a person is signed in; ``current`` is the one that asks."""

    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    absolute_expires_at = serializers.DateTimeField()
    persistent = serializers.BooleanField()
    device = serializers.CharField(help_text="In English, like “Firefox on Linux”; may be empty.")
    device_kind = serializers.ChoiceField(["desktop", "phone", "tablet", ""])
    ip_address = serializers.IPAddressField(allow_null=True)
    address_label = serializers.CharField(help_text="What the site knows of the address, if any.")
    client = serializers.ChoiceField(CLIENTS)
    client_name = serializers.CharField(help_text="What an app or a CI job calls itself.")
    current = serializers.BooleanField()
    device_bound = serializers.BooleanField(
        required=False, help_text="Whether it is bound to a key of its device, where the site does."
    )


@extend_schema_serializer(component_name="TokenAuthTokens")
class Tokens(serializers.Serializer[Any]):
    """What an app or a CI job gets, and a browser never (RFC 6749 §5.1).

    Without ``refresh_token`` the client goes on with the one that it has; a CI job has none.
    """

    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(["Bearer", "DPoP"])
    expires_in = serializers.IntegerField(min_value=0)
    refresh_token = serializers.CharField(required=False)


@extend_schema_serializer(component_name="TokenAuthTokenRequest")
class TokenRequest(serializers.Serializer[Any]):
    """What is exchanged at the token endpoint."""

    grant_type = serializers.CharField()
    refresh_token = serializers.CharField(required=False)
    assertion = serializers.CharField(required=False)


@extend_schema_serializer(component_name="TokenAuthRevocationRequest")
class RevocationRequest(serializers.Serializer[Any]):
    """Either token of the session that is to end (RFC 7009)."""

    token = serializers.CharField()
    token_type_hint = serializers.CharField(required=False)


@extend_schema_serializer(component_name="TokenAuthOAuthError")
class OAuthError(serializers.Serializer[Any]):
    """What went wrong (RFC 6749 §5.2)."""

    error = serializers.CharField()
    error_description = serializers.CharField()


@extend_schema_serializer(component_name="TokenAuthSignedIn")
class SignedIn(serializers.Serializer[Any]):
    """Who is signed in, by which session, and until when; nulls for nobody."""

    user = User(allow_null=True)
    session = Session(allow_null=True)
    access_expires_at = serializers.DateTimeField(allow_null=True)
    session_expires_at = serializers.DateTimeField(allow_null=True)
    access_expires_in = serializers.IntegerField(allow_null=True, min_value=0)
    session_expires_in = serializers.IntegerField(allow_null=True, min_value=0)
    tokens = Tokens(required=False)


@extend_schema_serializer(component_name="TokenAuthError")
class Error(serializers.Serializer[Any]):
    """What went wrong: ``detail`` for people, ``code`` for scripts."""

    detail = serializers.CharField()
    code = serializers.CharField()


def errors(*statuses: int, form: Any = Error) -> dict[int, Any]:
    """Say with which statuses an operation fails."""
    return dict.fromkeys(statuses, form)


def describe(
    view: str, method: str, responses: Any, request: Any = None, module: str = "views"
) -> None:
    """Describe one of our views, which offers one method.

    Those of ``tokens`` are left out where the site has no clients but browsers.
    """

    def view_replacement(extension: Any) -> Any:
        is_off = module == "tokens" and not conf.takes_bearer_tokens
        described = extend_schema(request=request, responses=responses, exclude=is_off)
        return extend_schema_view(**{method: described})(type(view, (extension.target,), {}))

    # drf-spectacular keeps every subclass, and asks it when it meets the view.
    target = f"tokenauth.api.{module}.{view}"
    members = {"target_class": target, "view_replacement": view_replacement}
    type(f"{view}Description", (OpenApiViewExtension,), members)


describe("LoginView", "post", {200: SignedIn} | errors(400, 401, 403, 415, 429), Login)
describe("LogoutView", "post", {204: None} | errors(403))
describe("SessionView", "get", SignedIn)
describe("SessionListView", "get", {200: Session(many=True)} | errors(401))
describe("SessionDetailView", "delete", {204: None} | errors(401, 403, 404))
describe("SessionRevokeOthersView", "post", {204: None} | errors(401, 403))
describe(
    "TokenView",
    "post",
    {200: Tokens} | errors(400, 403, 404, 413, 415, 429, form=OAuthError),
    {"application/x-www-form-urlencoded": TokenRequest},
    "tokens",
)
describe(
    "RevokeTokenView",
    "post",
    {200: None} | errors(400, 403, 404, 413, 415, form=OAuthError),
    {"application/x-www-form-urlencoded": RevocationRequest},
    "tokens",
)
