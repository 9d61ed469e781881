"""Connect the app of a resource server to Django."""

from django.apps import AppConfig
from django.core.checks import Tags, register


class ResourceConfig(AppConfig):
    """The app's name, beside ``tokenauth`` itself, which has the database."""

    name = "tokenauth.resource"
    label = "tokenauth_resource"
    verbose_name = "Resource server"

    def ready(self) -> None:
        """Register the checks."""
        from . import checks  # noqa: PLC0415  # only a project that is checked needs them

        register(Tags.security)(checks.check_resource_server)
        register(Tags.security, deploy=True)(checks.check_deployment)
