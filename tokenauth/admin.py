"""Staff see every session, and end any of them at once."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import ngettext

from .models import AuthSession
from .sessions import RevokeReason


@admin.register(AuthSession)
class AuthSessionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """Read-only: nobody adds a session, and an editable user would hand over an account.

    Deleting stays allowed, or deleting a *user* would not be (simplejwt #266); only the bulk
    action goes, for it ends sessions without a trace.
    """

    actions = ("revoke",)
    list_display = ("user", "device", "ip_address", "last_seen_at", "created_at", "state")
    list_filter = ("revoke_reason", "last_seen_at")
    list_select_related = ("user",)
    show_full_result_count = False
    fields = (
        "user",
        "device",
        "user_agent",
        "ip_address",
        "backend",
        "created_at",
        "last_seen_at",
        "rotation",
        "rotated_at",
        "expires_at",
        "absolute_expires_at",
        "persistent",
        "state",
        "revoked_at",
    )

    @admin.display(description="device")
    def device(self, session: AuthSession) -> str:
        """Name the browser and the system."""
        return session.device or session.user_agent

    @admin.display(description="status")
    def state(self, session: AuthSession) -> str:
        """Say whether the session lives, and why not."""
        if session.revoked_at:
            return str(session.get_revoke_reason_display())
        return "active" if session.active else "expired"

    @admin.action(permissions=["revoke"], description="Revoke selected sessions")
    def revoke(self, request: HttpRequest, queryset: QuerySet[AuthSession]) -> None:
        """End the selected sessions with immediate effect."""
        count = AuthSession.objects.filter(pk__in=queryset).revoke(RevokeReason.ADMIN, request)
        message = ngettext("%d session was revoked.", "%d sessions were revoked.", count) % count
        self.message_user(request, message, messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a session starts by signing in."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuthSession | None = None) -> bool:
        """Refuse: a session can be ended, not edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuthSession | None = None) -> bool:
        """Let who may delete a user delete the user's sessions with it (simplejwt #266).

        Django asks for each row that goes with what is deleted. On our own pages it needs our
        permission.
        """
        page = request.resolver_match.url_name or "" if request.resolver_match else ""
        is_cascade = page.endswith(("_delete", "_changelist")) and "authsession" not in page
        return is_cascade or super().has_delete_permission(request, obj)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Revoking has a permission of its own."""
        return bool(request.user.has_perm("tokenauth.revoke_authsession"))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer no bulk deletion: revoking leaves a trace."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
