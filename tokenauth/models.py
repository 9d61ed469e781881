"""The session: one row for one sign-in on one device, however often its token rotates."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .conf import conf
from .exceptions import (
    DeviceProofRequired,
    InvalidProof,
    SessionEnded,
    SessionExpired,
    SignedOutElsewhere,
)
from .secret import Masked, Secret
from .session import devices, django_sessions, tokens, users
from .session.database.fields import MaskedField
from .session.endings import RevokeReason
from .session.jwt.access_claims import APP, BROWSER, CI
from .session.jwt.jwk import thumbprint_of
from .session.rotation import Step
from .session.transitions import ATTEMPTS, AuthSessionManager

#: How wrong a server's clock may be before an expired session counts as ended for good: until then
#: it signs nobody in, but nothing is deleted that would sign people out when the clock is right.
CLOCK_ERROR = timedelta(days=1)


CLIENTS = [(BROWSER, _("browser")), (APP, _("app")), (CI, _("CI job"))]
MAX_CLIENT_NAME_LENGTH = 100
#: In characters: RSA of 4,096 bits takes 720.
MAX_DEVICE_KEY_LENGTH = 800


class AuthSession(models.Model):
    """One sign-in on one device."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="auth_sessions",
        verbose_name=_("user"),
        db_index=False,  # tokenauth_user begins with it
    )
    backend = models.CharField(_("authentication backend"), max_length=255)
    auth_hash = MaskedField(max_length=255, blank=True, editable=False)
    token_hash = MaskedField(max_length=64, editable=False)
    rotation = models.PositiveIntegerField(_("rotations"), default=0)
    rotated_at = models.DateTimeField(_("last rotated"))
    issued_at = models.DateTimeField(_("token last handed out"))
    confirmed = models.BooleanField(_("token confirmed"), default=False)
    created_at = models.DateTimeField(_("signed in"))
    #: When its person proved who they are; None where nobody did: it was adopted, or a web server
    #: named them. Only a new session has a new one.
    authenticated_at = models.DateTimeField(null=True, default=None, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"))
    expires_at = models.DateTimeField(_("expires"))
    absolute_expires_at = models.DateTimeField(_("expires in any case"))
    persistent = models.BooleanField(_("kept signed in"), default=True)
    adopted_from = MaskedField(
        max_length=64, unique=True, null=True, editable=False
    )  # null: unique only among those adopted
    django_session = models.CharField(max_length=40, null=True, default=None, editable=False)  # noqa: DJ001  # none is not the empty key
    ip_address = models.GenericIPAddressField(_("IP address"), null=True, unpack_ipv4=True)
    user_agent = models.CharField(
        _("user agent"), max_length=devices.MAX_USER_AGENT_LENGTH, blank=True
    )
    #: The user agent in words, like "Firefox on Linux", and which kind of device that is.
    device = models.CharField(_("device"), max_length=devices.MAX_DEVICE_LENGTH, blank=True)
    device_kind = models.CharField(max_length=10, blank=True, editable=False)
    # The database's own defaults: servers that don't know the columns yet go on signing people in.
    client = models.CharField(
        _("client"), max_length=10, choices=CLIENTS, default=BROWSER, db_default=BROWSER
    )
    client_name = models.CharField(
        _("client name"), max_length=MAX_CLIENT_NAME_LENGTH, blank=True, default="", db_default=""
    )
    #: Of the key that a client which is no browser proves to hold (RFC 9449, RFC 7638).
    key_thumbprint = MaskedField(max_length=43, null=True, default=None, editable=False)
    revoked_at = models.DateTimeField(_("ended"), null=True)
    revoke_reason = models.CharField(
        _("reason"), max_length=10, choices=RevokeReason.choices, blank=True
    )
    #: When its person got a new password or was deactivated: what resource servers are told of a
    #: session that is not over, if there are any.
    told = models.DateTimeField(null=True, default=None, editable=False)
    #: Who brought the token that ended the session.
    reuse_ip_address = models.GenericIPAddressField(_("IP address"), null=True, unpack_ipv4=True)
    reuse_user_agent = models.CharField(
        _("user agent"), max_length=devices.MAX_USER_AGENT_LENGTH, blank=True
    )
    # Last, for a site that binds no sessions to devices reads neither: see ``lean()``.
    #: The public key that a browser's device proves to hold (W3C DBSC), as RFC 7638 writes it;
    #: empty: the session is bound to none.
    device_key = MaskedField(
        max_length=MAX_DEVICE_KEY_LENGTH, blank=True, default="", db_default="", editable=False
    )
    #: When another key was shown for it, the first time.
    second_key_at = models.DateTimeField(_("second device key"), null=True, default=None)

    objects: ClassVar[AuthSessionManager] = AuthSessionManager()

    #: The refresh token, where it was made just now: making it again costs as much once more.
    fresh_token: Secret[str] | None = None
    #: What ``rotate`` did; None on a session that comes from elsewhere.
    step: Step | None = None
    #: The hashes of the password that was found good, under each key, that of today's first.
    auth_hashes: Sequence[str] = ()
    #: Whether the row of its Django session is there; ``look_up`` asks.
    has_django_session: bool | None = None
    #: Whether ``rotate`` was the first to do so on a day of the session's life.
    begins_day: bool = False
    #: What the site tells resource servers of it; None until it was asked.
    site_claims: dict[str, Any] | None = None
    #: Whether this is the session of the staff member who looks at it in the admin.
    is_current: bool = False
    #: Where they may end it there, and see its person; empty if they may not.
    revoke_url: str = ""
    person_url: str = ""

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        default_permissions = ("view",)  # ended, not deleted
        permissions = [("revoke_authsession", _("Can revoke session"))]  # Django's own idiom
        ordering = ("-created_at",)
        # For the admin (tests/admin/test_scale.py shows which is for what). The reason of a session
        # that was not revoked is empty, so the active ones stand together, in the list's order.
        # A change of what is in one of them makes PostgreSQL write to all. So none has the time a
        # session was last seen: confirming one writes to no index, and rotating it to few.
        indexes = [
            models.Index(fields=["created_at"], name="tokenauth_created"),
            models.Index(fields=["user", "created_at"], name="tokenauth_person"),
            models.Index(fields=["ip_address", "created_at"], name="tokenauth_address"),
            models.Index(fields=["revoke_reason", "created_at"], name="tokenauth_status"),
            models.Index(
                fields=["revoked_at", "revoke_reason", "expires_at"], name="tokenauth_revoked"
            ),
            models.Index(
                fields=["told"], condition=models.Q(told__isnull=False), name="tokenauth_told"
            ),
            models.Index(
                fields=["created_at"], condition=~models.Q(device_key=""), name="tokenauth_bound"
            ),
            models.Index(
                fields=["second_key_at"],
                condition=models.Q(second_key_at__isnull=False),
                name="tokenauth_second_key",
            ),
        ]

    def __str__(self) -> str:
        """Name the person, if that costs no query, and the device."""
        is_loaded = AuthSession._meta.get_field("user").is_cached(self)
        who = str(self.user.get_username()) if is_loaded else ""
        device = devices.translated(self.device) or str(_("Unknown device"))
        return ", ".join(filter(None, [who, device]))

    def __repr__(self) -> str:
        return f"<AuthSession {self.pk}>"

    def __getstate__(self) -> dict[str, Any]:
        """Leave the token out of what a receiver pickles into a queue or a cache."""
        return {name: v for name, v in super().__getstate__().items() if name != "fresh_token"}

    @classmethod
    def check(cls, **kwargs: Any) -> list[CheckMessage]:
        """Leave out that MariaDB makes an index of a part of the rows one of all: it may."""
        return [found for found in super().check(**kwargs) if found.id != "models.W037"]

    @property
    def active(self) -> bool:
        """Whether the session is neither revoked nor expired."""
        return not self.revoked_at and self.ends_at > timezone.now()

    @property
    def address_label(self) -> str:
        """What the site knows of the address, in words; empty if nothing."""
        return devices.label_of(self.ip_address)

    @property
    def reuse_device(self) -> str:
        """In words, who brought the token that ended the session."""
        return devices.describe(self.reuse_user_agent)

    @property
    def parties(self) -> tuple[Any, ...]:
        """For the log: whose session it was and where, and who brought the token that ended it."""
        kept = (self.pk, self.user_id, self.device, self.ip_address)
        return (*kept, self.reuse_device, self.reuse_ip_address)

    @property
    def ends_at(self) -> datetime:
        """When the session expires, idle or not."""
        return min(self.expires_at, self.absolute_expires_at)

    @property
    def seconds_left(self) -> int:
        """For how many whole seconds the session lasts without further use, at least one.

        Rounded up: the milliseconds since the row was written would make 30 days 2,591,999 s.
        """
        return max(1, math.ceil((self.expires_at - timezone.now()).total_seconds()))

    def age(self, moment: datetime) -> timedelta:
        """Return how old the session is. Days of it, not of a calendar, end at different times."""
        return moment - self.created_at

    def idle_end(self, now: datetime) -> datetime:
        """Return when the session ends if it is not used after ``now``."""
        idle = conf.REFRESH_TOKEN_LIFETIME if self.persistent else conf.BROWSER_SESSION_LIFETIME
        return min(now + idle, self.absolute_expires_at)

    @property
    def is_mark(self) -> bool:
        """Whether this was never a session: it keeps a Django session from being adopted."""
        return not self.token_hash

    @property
    def lost_its_data(self) -> bool:
        """Whether its Django session was deleted by somebody else, who meant to sign it out.

        Long after the last rotation the row may be gone because its time was over.
        """
        key = self.django_session
        if not key or timezone.now() - self.rotated_at > timedelta(
            seconds=settings.SESSION_COOKIE_AGE
        ):
            return False
        there = self.has_django_session
        return not (django_sessions.exists(key) if there is None else there)

    def set_refresh_token(self) -> None:
        """Make the token that belongs to the session's present state, and note its hash."""
        self.fresh_token = tokens.make_refresh_token(self, tokens.secret_keys()[0])
        self.token_hash = tokens.hash_token(self.fresh_token)

    @property
    def refresh_token(self) -> Secret[str]:
        """The token whose hash this is. Raises InvalidToken as ``tokens.remake_refresh_token``."""
        fresh = self.fresh_token
        is_current = fresh is not None and tokens.hash_token(fresh) == self.token_hash
        return fresh if fresh and is_current else tokens.remake_refresh_token(self)

    def set_user(self, user: Any) -> None:
        """Remember the user, from whichever database they were read: a router may forbid more."""
        AuthSession._meta.get_field("user").set_cached_value(self, user)

    def check_usable(self) -> None:
        """Raise SessionEnded or SessionSuspended unless the session may be used now."""
        self.check_not_over()
        if self.lost_its_data:
            raise SignedOutElsewhere(self.pk, RevokeReason.LOGOUT)
        self.set_user(users.vouch_for(self))
        self.auth_hashes = users.check_auth_hash(self.user, self.auth_hash)

    def check_not_over(self) -> None:
        """Raise SessionEnded or SessionExpired if it is over, whoever its person is by now."""
        if self.active:
            return
        if self.revoked_at or timezone.now() - self.ends_at > CLOCK_ERROR:
            raise SessionEnded(self.pk, self.revoke_reason, self.revoked_at)
        raise SessionExpired("its time is over, unless the clock is wrong")

    def check_key(self, thumbprint: str | None) -> None:
        """Raise InvalidProof unless this is the key that the session is bound to, if it is."""
        if self.key_thumbprint == thumbprint:
            return
        if self.key_thumbprint is None:
            raise InvalidProof("the session is bound to no key, sign in with a proof to bind it")
        raise InvalidProof("the session is bound to a key, and this is no proof of it")

    @property
    def is_bound(self) -> bool:
        """Whether it is bound to a device key; not where the site binds none."""
        return conf.DEVICE_BINDING and bool(self.device_key)

    @property
    def device_thumbprint(self) -> str:
        """Of the device key that it is bound to; empty: to none, or the site binds none."""
        return thumbprint_of(self.device_key) if self.is_bound else ""

    def check_device(self, thumbprint: str) -> None:
        """Raise DeviceProofRequired unless this is the device key's, if it is bound to one."""
        if self.device_thumbprint not in ("", thumbprint):
            raise DeviceProofRequired("it is bound to a device, and no proof of its key came")

    def as_decided_on(self) -> dict[str, Any]:
        """Return what must still be so when a step is taken that was decided on this row.

        Who brings no proof must not outrun the device that binds itself.
        """
        decided: dict[str, Any] = {"pk": self.pk, "token_hash": self.token_hash}
        return decided | ({"device_key": self.device_key} if conf.DEVICE_BINDING else {})

    @property
    def upgraded_auth_hash(self) -> str:
        """The auth hash under today's key, when the row still holds that of a fallback key."""
        return self.auth_hashes[0] if self.auth_hash in self.auth_hashes[1:] else ""

    def set_auth_hash(self, auth_hash: str) -> None:
        """Write the hash of the user's new password, unless the password changed once more.

        Another request may have upgraded the old hash to today's key in the meantime, or to the
        one that is today's on its server.
        """
        auth_hash = Masked(auth_hash)
        known = {self.auth_hash, *self.auth_hashes}
        rows = AuthSession.objects.filter(pk=self.pk, auth_hash__in=known)
        if rows.swap(auth_hash=auth_hash):
            self.auth_hash, self.auth_hashes = auth_hash, ()

    def note_django_session(self, key: str | None) -> None:
        """Write down which Django session belongs to this one, in the place of the one before.

        That goes: by Django's auth keys in it a socket would still be signed in after a revoke.
        """
        for _attempt in range(ATTEMPTS):
            before = self.django_session
            if key == before:
                return
            rows = AuthSession.objects.active().filter(pk=self.pk)
            if rows.filter(django_session=before).swap(django_session=key):
                self.django_session = key
                break
            # Another request was faster.
            self.django_session = rows.values_list("django_session", flat=True).first()
        else:
            before = key  # ended meanwhile
        # Each host that shares the tokens may have a ``sessionid`` of its own.
        if before and not conf.COOKIE_DOMAIN:
            django_sessions.delete([before])

    def confirm(self) -> None:
        """Note that the client has kept the current token."""
        current = {"pk": self.pk, "rotation": self.rotation, "confirmed": False}
        changes = {"confirmed": True, "last_seen_at": timezone.now()}
        AuthSession.objects.swap_active(current, changes)
