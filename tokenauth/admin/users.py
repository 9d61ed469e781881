"""Show a person's sessions on their page in the admin, and end them all."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from tokenauth.models import AuthSession
from tokenauth.pages.wording import Entry
from tokenauth.session.endings import RevokeReason

from . import staff

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = object

#: How many of a person's sessions their page shows.
NEWEST = 10


class AuthSessionInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    """A person's newest sessions. For the eye only: the formset is empty, whatever is posted."""

    model = AuthSession
    template = "tokenauth/admin/user_sessions.html"
    fields = ("ip_address",)
    extra = max_num = 0
    can_delete = False

    class Media:
        css = {"all": ["tokenauth/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[AuthSession]:
        """Put no session into the form: Django would load them all, and a person may have many."""
        return super().get_queryset(request).none()

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Say what the template shows. There is one inline for each request."""
        sessions = AuthSession.objects.filter(user=obj).exclude(token_hash="")
        self.newest = sessions.order_by("-last_seen_at")[:NEWEST]
        self.may_sign_out = staff.may_revoke(request)
        self.sign_out_url = f"admin:{url_name(self.parent_model)}"
        return super().get_formset(request, obj, **kwargs)

    def entries(self) -> list[Entry]:
        """Return what the template shows."""
        return [Entry(session) for session in self.newest]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a session starts by signing in."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a session can be ended, not edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: not from here, and never without a trace."""
        return False


class AuthSessionsUserAdminMixin(Admin):
    """Give a site's own user admin the sessions of a person, and "Sign out everywhere".

    ::

        @admin.register(Member)
        class MemberAdmin(AuthSessionsUserAdminMixin, admin.ModelAdmin):
            ...

    An inline and not a template, so that a site's own ``change_form_template`` stays in use.
    """

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Add the sessions below whatever the site shows there."""
        inlines = super().get_inlines(request, obj)
        return [*inlines, AuthSessionInline] if obj else inlines

    def get_urls(self) -> list[URLPattern]:
        """Add the page that signs a person out."""
        view = staff.outside_transactions(self.admin_site.admin_view(self.sign_out_view))
        route = "<path:object_id>/sign-out/"
        return [path(route, view, name=url_name(self.model)), *super().get_urls()]

    def sign_out_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether to end every session of a person, and do so.

        Behind a link, not a button in the person's form: pressing Enter in a field of that form
        presses its first button.
        """
        person = self.get_object(request, unquote(object_id))
        if not (self.has_view_or_change_permission(request, person) and staff.may_revoke(request)):
            raise PermissionDenied
        if person is None:
            raise Http404
        sessions = AuthSession.objects.filter(user=person)
        opts = self.model._meta
        back = reverse(
            f"admin:{opts.app_label}_{opts.model_name}_change",
            args=[object_id],
            current_app=self.admin_site.name,
        )
        if request.method != "POST":
            question = _("All sessions of %(user)s will end at once, on every device.")
            question %= {"user": person.get_username()}
            own = staff.is_own(request, sessions)
            return staff.ask_first(request, self.admin_site, question=question, back=back, own=own)
        message = staff.revoke(request, sessions)
        # Also Django sessions that are older than tokenauth, which no list shows.
        AuthSession.objects.end_everywhere([person.pk], RevokeReason.ADMIN, request)
        self.log_change(request, person, _("Signed out everywhere."))
        self.message_user(request, message, messages.SUCCESS)
        return HttpResponseRedirect(back)


def url_name(model: type[models.Model]) -> str:
    """Return the name of the page that signs out a person of this model."""
    return f"{model._meta.app_label}_{model._meta.model_name}_sign_out"


class SessionsUserAdmin(AuthSessionsUserAdminMixin, UserAdmin):  # type: ignore[type-arg]  # see above
    """Django's own, with sessions."""


def extend_default_user_admin(site: admin.AdminSite) -> None:
    """Give Django's own user admin the sessions, if that is what the site uses.

    Only where ``auth.User`` is registered with exactly Django's class: what a site registered is
    the site's. Importing that class above has registered it, so the order of INSTALLED_APPS does
    not matter; and a site that comes later finds a registered ``User``, which it unregisters and
    registers as ever. Whoever does so, or has a user model of their own, adds the mixin.
    """
    if site.is_registered(User) and type(site.get_model_admin(User)) is UserAdmin:
        site.unregister(User)
        site.register(User, SessionsUserAdmin)
