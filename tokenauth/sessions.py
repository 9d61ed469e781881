"""Where sites find the names that go with ``AuthSession.objects``."""

from tokenauth.session.endings import AuthSessionQuerySet, RevokeReason
from tokenauth.session.transitions import AuthSessionManager

__all__ = ["AuthSessionManager", "AuthSessionQuerySet", "RevokeReason"]
