"""Where sites find the names that go with ``AuthSession.objects``."""

from tokenauth.session.endings import RevokeReason
from tokenauth.session.transitions import AuthSessionManager, AuthSessionQuerySet

__all__ = ["AuthSessionManager", "AuthSessionQuerySet", "RevokeReason"]
