"""Staff see every session, and end any of them at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.functional import lazy
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session.endings import AuthSessionQuerySet

from . import chart, columns, listing, searching, staff
from .users import AuthSessionsUserAdminMixin, extend_default_user_admin

__all__ = ["AuthSessionAdmin", "AuthSessionsUserAdminMixin"]

#: What an address may filter by: what our own links do.
OURS = (listing.StatusFilter, listing.PersonFilter, listing.BindingFilter)
FILTERS = {one.parameter_name for one in OURS}
TIME_COLUMNS = set[str]().union(*listing.TIMES.values())
#: Django 6.1 offers an action on the page of one object, too.
SEVERAL = gettext_lazy("Revoke selected sessions")
ACTION: dict[str, Any] = (
    {
        "location": list(admin.ActionLocation),
        "description": gettext_lazy("Revoke"),
        "description_plural": SEVERAL,
    }
    if hasattr(admin, "ActionLocation")
    else {"description": SEVERAL}
)


if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AuthSession]
else:  # django-unfold shows the actions of its own class alone
    theme = "unfold.admin" if apps.is_installed("unfold") else "django.contrib.admin"
    ModelAdmin = import_string(f"{theme}.ModelAdmin")


@admin.register(AuthSession)
class AuthSessionAdmin(columns.SessionColumns, ModelAdmin):
    """Read-only: nobody adds a session, and an editable user would hand over an account.

    Nobody deletes one either: that would end it without a trace. With a *user* they go, or
    deleting one would not be allowed (simplejwt #266).
    """

    actions = ("revoke",)
    list_display = (
        "person",
        "name",
        "address",
        "last_seen",
        "signed_in",
        "expires",
        "state",
    )
    list_display_links = ("name",)
    list_filter = OURS  # and see get_list_filter
    paginator = listing.BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table
    search_fields = ("user", "ip_address")  # see get_search_results
    search_help_text = lazy(searching.search_help, str)()
    fieldsets = (columns.FIRST, columns.DETAILS)

    class Media:
        css = {"all": ["tokenauth/admin.css"]}

    def get_fieldsets(self, request: HttpRequest, obj: AuthSession | None = None) -> Any:
        """Add the evidence, where there is some."""
        first, *others = super().get_fieldsets(request, obj)
        by_token = obj is not None and obj.revoke_reason in columns.BY_TOKEN
        evidence = [columns.EVIDENCE] if by_token else []
        return [columns.marked(first), *evidence, *columns.second_key_of(obj), *others]

    # What is listed

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[AuthSession]:
        """Load the people too: a session's page, and what the log says of it, name them."""
        rows = cast("AuthSessionQuerySet", super().get_queryset(request))
        return rows.lean().select_related("user")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[listing.SessionList]:
        """Use our list."""
        return listing.SessionList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Say of what was ended when it was, not when it would have expired.

        Whether it is bound to a device stands last, so that no column has another number.
        """
        shown = [*super().get_list_display(request), *(["bound"] if conf.DEVICE_BINDING else [])]
        ended = "revoked_at" in listing.TIMES[listing.status_of(request)]
        return ["revoked" if ended and column == "expires" else column for column in shown]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Offer the times that there is an index for."""
        times = listing.TIMES[listing.status_of(request)]
        return [*super().get_list_filter(request), *((t, listing.TimeFilter) for t in times)]

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        """Put first who signed in last; of what ended, what ended last."""
        return (f"-{listing.orders(request)[0]}",)

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """Offer the orders that there is an index for."""
        shown = self.get_list_display(request)
        methods = [getattr(self, str(name), name) for name in shown]
        orders = [getattr(method, "admin_order_field", method) for method in methods]
        allowed = listing.orders(request)
        return [name for name, order in zip(shown, orders, strict=True) if order in allowed]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[AuthSession], search_term: str
    ) -> tuple[models.QuerySet[AuthSession], bool]:
        """Search with the help of indexes."""
        term = search_term.strip()
        return (searching.search(queryset, term) if term else queryset), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Let nobody guess at a hash, letter by letter."""
        return lookup in FILTERS or lookup.partition("__")[0] in TIME_COLUMNS

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Put the picture above the list. Drawn by the template, and so only where it is shown."""
        context = {
            "draw_chart": lambda: chart.draw(request.path),
            "people_url": staff.people_url(request, self.admin_site),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    # What is done

    def get_urls(self) -> list[URLPattern]:
        """Add the page that revokes one session."""
        view = self.admin_site.admin_view(self.revoke_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_revoke"
        urls = [path("<path:object_id>/revoke/", view, name=name), *super().get_urls()]
        for url in urls:
            url.callback = staff.outside_transactions(url.callback)
        return urls

    @admin.action(  # type: ignore[untyped-decorator]  # the stubs are of an older Django
        permissions=["revoke"], **ACTION
    )
    def revoke(self, request: HttpRequest, queryset: AuthSessionQuerySet) -> HttpResponse | None:
        """End the selected sessions with immediate effect."""
        if listing.BoundedPaginator(queryset, 1).is_cut:
            message = _("More than %d sessions are selected: nothing was revoked.") % listing.REACH
            self.message_user(request, message, messages.ERROR)
            return None
        fields = [
            (name, str(value))
            for name, values in request.POST.lists()
            for value in values
            if name != "csrfmiddlewaretoken"
        ]
        return self._revoke(request, queryset, request.get_full_path(), fields)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End one session."""
        if not (self.has_view_permission(request) and self.has_revoke_permission(request)):
            raise PermissionDenied
        session = self.get_object(request, unquote(object_id))
        if session is None:
            raise Http404
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        back = reverse(page, args=[session.pk], current_app=self.admin_site.name)
        if request.method != "POST":  # who had to sign in again was led here
            return HttpResponseRedirect(back)
        sessions = AuthSession.objects.filter(pk=session.pk)
        return self._revoke(request, sessions, back) or HttpResponseRedirect(back)

    def _revoke(
        self,
        request: HttpRequest,
        sessions: AuthSessionQuerySet,
        back: str,
        fields: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            count, own = sessions.active().order_by().count(), staff.is_own(request, sessions)
            if own or count > 1:
                context: dict[str, Any] = {
                    "question": staff.question_about(count, own=own),
                    "names": staff.names_of(sessions) if count > 1 else [],
                    "own": own,
                }
                return staff.ask_first(
                    request, self.admin_site, back=back, fields=fields, **context
                )
        self.message_user(request, staff.revoke(request, sessions), messages.SUCCESS)
        return None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Say whether this session can be revoked here, and whether it is one's own."""
        session: AuthSession = context["original"]
        staff.show_to(request, self.admin_site, session)
        if session.active and self.has_revoke_permission(request):
            page = f"admin:{self.opts.app_label}_{self.opts.model_name}_revoke"
            session.revoke_url = reverse(page, args=[session.pk], current_app=self.admin_site.name)
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

        Django asks for each row that goes with what is deleted. Nowhere else: a session is ended.
        """
        page = request.resolver_match.url_name or "" if request.resolver_match else ""
        return page.endswith(("_delete", "_changelist")) and "authsession" not in page

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Revoking has a permission of its own."""
        return staff.may_revoke(request)


extend_default_user_admin(admin.site)
