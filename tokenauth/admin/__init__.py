"""What staff see: every session, and a button that ends it."""

from .sessions import AuthSessionAdmin
from .users import AuthSessionsUserAdminMixin

__all__ = ["AuthSessionAdmin", "AuthSessionsUserAdminMixin"]
