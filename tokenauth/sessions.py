"""Where sites find the names that go with ``AuthSession.objects``."""

from tokenauth.session.transitions import AuthSessionManager, AuthSessionQuerySet, RevokeReason

__all__ = ["AuthSessionManager", "AuthSessionQuerySet", "RevokeReason"]
