"""Say in JSON who is signed in and how long; never a token."""

from typing import Any
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials
from tokenauth.request.refresh import expiry, in_utc
from tokenauth.session.tokens import Claims


def person(user: Any) -> dict[str, Any] | None:
    """Describe a signed-in person; None for nobody."""
    if not isinstance(user, AbstractBaseUser):
        return None
    return {"id": user.pk, "username": str(user.get_username())}


def one_session(session: AuthSession, current: UUID | None) -> dict[str, Any]:
    """Describe a session; ``current`` is the id of the one that asks."""
    binding = {"device_bound": session.is_bound} if conf.DEVICE_BINDING else {}
    return {
        "id": session.pk,
        "created_at": in_utc(session.created_at),
        "last_seen_at": in_utc(session.last_seen_at),
        "expires_at": in_utc(session.expires_at),
        "absolute_expires_at": in_utc(session.absolute_expires_at),
        "persistent": session.persistent,
        "device": session.device,
        "device_kind": session.device_kind,
        "ip_address": session.ip_address,
        "address_label": session.address_label,
        "client": session.client,
        "client_name": session.client_name,
        "current": session.pk == current,
        **binding,
    }


def signed_in(credentials: Credentials) -> dict[str, Any]:
    """Say who is signed in here, by which session, and until when."""
    user, session = credentials.get_user(), credentials.session
    return signed_in_by(user, session, credentials.access)


def signed_in_by(user: Any, session: AuthSession | None, access: Claims | None) -> dict[str, Any]:
    """Say the same of a person, a session and its access token."""
    return {
        "user": person(user),
        "session": one_session(session, session.pk) if session else None,
        **expiry(access, session),
    }
