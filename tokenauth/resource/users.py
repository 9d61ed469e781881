"""Say which person a token's claims are."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils.module_loading import import_string

from tokenauth.conf import conf


class ResourceUser:
    """Somebody of whom this server knows what their token says, and nothing else.

    There is no row, and there are no permissions: what a person may do here is for the site to
    decide, by ``sub`` or by claims of its own (``request.claims``).
    """

    is_active = True
    is_anonymous = False
    is_authenticated = True
    is_staff = False
    is_superuser = False

    def __init__(self, claims: Mapping[str, Any]) -> None:
        self.pk: str = claims["sub"]

    @property
    def id(self) -> str:
        """The same as ``pk``: the authorization server's primary key, as text."""
        return self.pk

    def __str__(self) -> str:
        return self.pk

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourceUser) and other.pk == self.pk

    def __hash__(self) -> int:
        return hash(self.pk)

    def get_username(self) -> str:
        """Return ``sub``: there is no other name, unless a claim has one."""
        return self.pk

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Say no."""
        return False

    def has_perms(self, perm_list: object, obj: object = None) -> bool:
        """Say no."""
        return False

    def has_module_perms(self, module: str) -> bool:
        """Say no."""
        return False


def user_of(claims: dict[str, Any]) -> Any:
    """Return the person whom the function of ``TOKENAUTH_RESOURCE_USER`` finds.

    AnonymousUser for one whom it does not find, or who is inactive.
    """
    user = import_string(conf.RESOURCE_USER or "")(claims)
    is_there = user is not None and getattr(user, "is_active", True)
    return user if is_there else AnonymousUser()
