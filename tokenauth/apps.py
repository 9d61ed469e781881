"""Connect the app to Django: checks, and Django's own login signals."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _

from .conf import conf
from .lazy import find_credentials

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class TokenAuthConfig(AppConfig):
    """The app's name and what it listens to."""

    name = "tokenauth"
    verbose_name = _("Sign-ins")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks and the receivers."""
        from . import signals  # noqa: PLC0415  # they import models
        from .checks import admin, deployment, device, issuer, policy, site  # noqa: PLC0415  # the same
        from .pages import notices  # noqa: PLC0415  # the same
        from .sockets import checks as sockets  # noqa: PLC0415  # the same

        register(Tags.security)(site.check_site)
        register(Tags.security)(policy.check_settings)
        register(Tags.security)(admin.check_admin)
        register(Tags.security)(admin.check_logins)
        register(Tags.security)(issuer.check_keys)
        register(Tags.security)(issuer.check_revocations)
        register(Tags.security)(device.check_device_binding)
        register(Tags.security)(sockets.check_channel_layer)
        register(Tags.security, deploy=True)(deployment.check_deployment)
        user_logged_in.connect(follow_login, dispatch_uid="tokenauth.follow_login")
        user_logged_out.connect(follow_logout, dispatch_uid="tokenauth.follow_logout")
        signals.session_started.connect(
            notices.tell_of_sign_in, dispatch_uid="tokenauth.tell_of_sign_in"
        )
        signals.refresh_token_reused.connect(
            notices.tell_of_reuse, dispatch_uid="tokenauth.tell_of_reuse"
        )
        if apps.is_installed("allauth.account"):
            from .stepup import allauths  # noqa: PLC0415  # it imports models

            allauths.connect()
        if conf.REVOCATIONS:
            from .session.revocations import doors  # noqa: PLC0415  # needs redis

            doors.connect()
        if getattr(settings, "CHANNEL_LAYERS", None) and find_spec("channels"):
            from .sockets import doors as doors_of_sockets  # noqa: PLC0415  # needs channels

            doors_of_sockets.connect()
        if apps.is_installed("drf_spectacular"):
            from .api import schema  # noqa: F401, PLC0415  # found there by drf-spectacular; optional


def follow_login(request: Any, user: "AbstractBaseUser", **kwargs: Any) -> None:
    """Tell the request's credentials that Django signed somebody in."""
    from .request.django_sessions.signals import on_login  # noqa: PLC0415  # it imports models

    credentials = find_credentials(request)
    if credentials is not None:
        on_login(credentials, user)


def follow_logout(request: Any, **kwargs: Any) -> None:
    """Tell the request's credentials that Django signed the person out."""
    from .request.django_sessions.signals import on_logout  # noqa: PLC0415  # it imports models

    credentials = find_credentials(request)
    if credentials is not None:
        on_logout(credentials)
