"""Staff see every session, and end any of them at once."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from tokenauth.models import AuthSession
from tokenauth.pages import wording
from tokenauth.session.devices import translated
from tokenauth.session.endings import RevokeReason
from tokenauth.session.transitions import AuthSessionQuerySet

from . import chart, listing, staff
from .users import AuthSessionsUserAdminMixin, extend_default_user_admin

__all__ = ["AuthSessionAdmin", "AuthSessionsUserAdminMixin"]

#: What an address may filter by: what our own links do.
FILTERS = {listing.StatusFilter.parameter_name, listing.PersonFilter.parameter_name}
TIMES = set[str]().union(*listing.TIMES.values())
#: On the page of a session that ended because of a token that came.
EVIDENCE = (
    gettext_lazy("Who brought the token that ended it"),
    {"fields": ("reuse_device", "reuse_user_agent", "reuse_ip_address")},
)


@admin.register(AuthSession)
class AuthSessionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """Read-only: nobody adds a session, and an editable user would hand over an account.

    Deleting stays allowed, or deleting a *user* would not be (simplejwt #266); only the bulk
    action goes, for it ends sessions without a trace.
    """

    actions = ("revoke",)
    list_display = (
        "person",
        "device_name",
        "address",
        "last_seen",
        "signed_in",
        "expires",
        "state",
    )
    list_display_links = ("device_name",)
    list_filter = (listing.StatusFilter, listing.PersonFilter)  # and see get_list_filter
    list_select_related = ("user",)
    paginator = listing.BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table
    search_fields = ("user", "ip_address")  # see get_search_results
    search_help_text = lazy(listing.search_help, str)()
    fieldsets = (
        (gettext_lazy("Person"), {"fields": ("user", "backend")}),
        (gettext_lazy("Device"), {"fields": ("device_name", "user_agent", "ip_address")}),
        (
            gettext_lazy("Life"),
            {
                "fields": (
                    *("created_at", "last_seen_at", "rotation", "rotated_at"),
                    *("expires_at", "absolute_expires_at", "persistent"),
                )
            },
        ),
        (gettext_lazy("End"), {"fields": ("state", "revoked_at")}),
    )

    class Media:
        css = {"all": ["tokenauth/admin.css"]}

    # What is shown

    @admin.display(description=gettext_lazy("user"))
    def person(self, session: AuthSession) -> str:
        """Name the person, and link to their page if there is one."""
        name, opts = session.user.get_username(), session.user._meta
        page = f"admin:{opts.app_label}_{opts.model_name}_change"
        try:
            url = reverse(page, args=[quote(session.user_id)], current_app=self.admin_site.name)
        except NoReverseMatch:
            return name
        return format_html('<a href="{}">{}</a>', url, name)

    @admin.display(description=gettext_lazy("device"))
    def device_name(self, session: AuthSession) -> str:
        """Name the browser and the system; else what it calls itself, which may be long."""
        name = translated(session.device) or Truncator(session.user_agent).chars(60)
        return name or _("Unknown device")

    @admin.display(description=gettext_lazy("device"))
    def reuse_device(self, session: AuthSession) -> str:
        """Name the browser and the system of who brought the token that ended the session."""
        return translated(session.reuse_device) or _("Unknown device")

    @admin.display(description=gettext_lazy("IP address"))
    def address(self, session: AuthSession) -> str | None:
        """Show the address; unlike the field, it offers no order that has no index."""
        return session.ip_address

    @admin.display(description=gettext_lazy("last seen"), ordering="last_seen_at")
    def last_seen(self, session: AuthSession) -> str:
        """Say how long ago, and exactly when to who asks."""
        return listing.moment(session.last_seen_at, wording.ago(session.last_seen_at))

    @admin.display(description=gettext_lazy("signed in"), ordering="created_at")
    def signed_in(self, session: AuthSession) -> str:
        """Show the day."""
        return listing.moment(session.created_at)

    @admin.display(description=gettext_lazy("expires"), ordering="expires_at")
    def expires(self, session: AuthSession) -> str:
        """Show the day."""
        return listing.moment(session.expires_at)

    @admin.display(description=gettext_lazy("revoked"), ordering="revoked_at")
    def revoked(self, session: AuthSession) -> str:
        """Show the day."""
        return listing.moment(session.revoked_at) if session.revoked_at else ""

    @admin.display(description=gettext_lazy("status"))
    def state(self, session: AuthSession) -> str:
        """Say whether the session lives, and why not."""
        if session.revoked_at:
            return str(session.get_revoke_reason_display())
        if not session.active:
            return _("expired")
        return _("active (this session)") if session.is_current else pgettext("session", "active")

    def get_fieldsets(self, request: HttpRequest, obj: AuthSession | None = None) -> Any:
        """Add the evidence, where there is some."""
        by_token = obj and obj.revoke_reason in {RevokeReason.REUSE, RevokeReason.MISMATCH}
        return [*super().get_fieldsets(request, obj), *([EVIDENCE] if by_token else [])]

    # What is listed

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[listing.SessionList]:
        """Use our list."""
        return listing.SessionList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Say of what was ended when it was, not when it would have expired."""
        shown = super().get_list_display(request)
        ended = "revoked_at" in listing.TIMES[listing.status_of(request)]
        return ["revoked" if ended and column == "expires" else column for column in shown]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Offer the times that there is an index for."""
        times = listing.TIMES[listing.status_of(request)]
        return [*super().get_list_filter(request), *((t, listing.TimeFilter) for t in times)]

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        """Put first who was here last; of what ended, what ended last."""
        return (f"-{listing.orders(request)[0]}",)

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """Offer the orders that there is an index for."""
        shown = self.get_list_display(request)
        columns = [getattr(self, str(name), name) for name in shown]
        orders = [getattr(column, "admin_order_field", column) for column in columns]
        allowed = listing.orders(request)
        return [name for name, order in zip(shown, orders, strict=True) if order in allowed]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[AuthSession], search_term: str
    ) -> tuple[models.QuerySet[AuthSession], bool]:
        """Search with the help of indexes."""
        term = search_term.strip()
        return (listing.search(queryset, term) if term else queryset), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Let nobody guess at a hash, letter by letter."""
        return lookup in FILTERS or lookup.partition("__")[0] in TIMES

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Put the picture above the list. Drawn by the template, and so only where it is shown."""
        picture = {"draw_chart": lambda: chart.draw(request.path)}
        return super().changelist_view(request, picture | (extra_context or {}))

    # What is done

    def get_urls(self) -> list[URLPattern]:
        """Add the page that revokes one session."""
        view = self.admin_site.admin_view(self.revoke_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_revoke"
        urls = [path("<path:object_id>/revoke/", view, name=name), *super().get_urls()]
        for url in urls:
            url.callback = staff.outside_transactions(url.callback)
        return urls

    @admin.action(permissions=["revoke"], description=gettext_lazy("Revoke selected sessions"))
    def revoke(self, request: HttpRequest, queryset: AuthSessionQuerySet) -> HttpResponse | None:
        """End the selected sessions with immediate effect."""
        if listing.BoundedPaginator(queryset, 1).is_cut:
            message = _("More than %d sessions are selected: nothing was revoked.") % listing.REACH
            self.message_user(request, message, messages.ERROR)
            return None
        chosen = ("action", "select_across", ACTION_CHECKBOX_NAME)
        fields = [(name, value) for name in chosen for value in request.POST.getlist(name)]
        back = request.get_full_path()
        return self._revoke(request, queryset, back, fields)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End one session."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and self.has_revoke_permission(request)):
            raise PermissionDenied
        session = self.get_object(request, unquote(object_id))
        if session is None:
            raise Http404
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        back = reverse(page, args=[session.pk], current_app=self.admin_site.name)
        sessions = AuthSession.objects.filter(pk=session.pk)
        return self._revoke(request, sessions, back) or HttpResponseRedirect(back)

    def _revoke(
        self,
        request: HttpRequest,
        sessions: AuthSessionQuerySet,
        back: str,
        fields: list[tuple[str, str]] | None = None,
    ) -> HttpResponse | None:
        if "confirmed" not in request.POST and staff.is_own(request, sessions):
            among = _("The session by which you are signed in is among them.")
            question = among if fields else _("This is the session by which you are signed in.")
            show = partial(staff.ask_first, request, self.admin_site, own=True)
            return show(question=question, back=back, fields=fields or [])
        self.message_user(request, staff.revoke(request, sessions), messages.SUCCESS)
        return None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Say whether this session can be revoked here, and whether it is one's own."""
        session: AuthSession = context["original"]
        session.is_current = session.pk == staff.current_session(request)
        context["can_revoke"] = session.active and self.has_revoke_permission(request)
        context["subtitle"] = self.device_name(session)
        return super().render_change_form(request, context, *args, **kwargs)

    # Who may

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
        return staff.may_revoke(request)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Offer no bulk deletion: revoking leaves a trace.

        ``action_location`` came with Django 6.1.
        """
        where = [] if action_location is None else [action_location]
        actions: dict[str, Any] = super().get_actions(request, *where)
        actions.pop("delete_selected", None)
        return actions


extend_default_user_admin(admin.site)
