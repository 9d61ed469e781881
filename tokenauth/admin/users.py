"""Show a person's sessions on their page in the admin, and end them all."""

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Case, When
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from tokenauth.models import AuthSession
from tokenauth.pages.wording import Entry
from tokenauth.session.endings import AuthSessionQuerySet, RevokeReason

from . import staff
from .columns import state_of

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = object

#: How many of a person's sessions their page shows.
NEWEST = 10


class AuthSessionsUserAdminMixin(Admin):
    """Give a site's own user admin the sessions of a person, and "Sign out everywhere".

    ::

        @admin.register(Member)
        class MemberAdmin(AuthSessionsUserAdminMixin, admin.ModelAdmin):
            ...

    In a description above the form's fields, and not in a template, so that a site's own
    ``change_form_template`` stays in use, and so does any theme.
    """

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Put the sessions above whatever the site shows there."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not self.may_see_sessions(request):
            return fieldsets
        # Asked for several times, shown once.
        shown = SimpleLazyObject(partial(self.show_sessions, request, obj))
        # Django's own catalogue has "Sessions" too, and goes before ours.
        heading = capfirst(AuthSession._meta.verbose_name_plural)
        return [(heading, {"fields": (), "description": shown}), *fieldsets]

    def may_see_sessions(self, request: HttpRequest) -> bool:
        """Tell whether who asks may: as the site's admin of sessions says, if there is one."""
        if self.admin_site.is_registered(AuthSession):
            sessions = self.admin_site.get_model_admin(AuthSession)
            return bool(sessions.has_view_permission(request))
        return bool(request.user.has_perm("tokenauth.view_authsession"))

    @property
    def media(self) -> Media:
        """Add our style sheet to the site's."""
        return super().media + Media(css={"all": ["tokenauth/admin.css"]})

    def show_sessions(self, request: HttpRequest, person: Any) -> str:
        """Return a table of a person's sessions: what lives, and then what was seen last."""
        sessions = AuthSession.objects.lean().filter(user=person).exclude(token_hash="")
        is_listed = self.admin_site.is_registered(AuthSession)
        own, ours = url_name(self.model), "admin:tokenauth_authsession_"
        query = urlencode({"status": "all", "user__exact": person.pk})
        context: dict[str, Any] = {
            "active": sessions.active().order_by().count(),
            "entries": [self.entry(request, session) for session in living_first(sessions)],
            "change_url": f"{ours}change" if is_listed else "",
            "list_url": f"{self.url_of(f'{ours}changelist')}?{query}" if is_listed else "",
        }
        if staff.may_revoke(request):
            context["sign_out_url"] = self.url_of(f"admin:{own}", quote(person.pk))
        return render_to_string("tokenauth/admin/user_sessions.html", context, request)

    def entry(self, request: HttpRequest, session: AuthSession) -> tuple[Entry, str]:
        """Return what a row shows of a session."""
        staff.show_to(request, self.admin_site, session)
        return Entry(session), state_of(session)

    def url_of(self, name: str, *args: str) -> str:
        """Return the address of a page of this admin site."""
        return reverse(name, args=args, current_app=self.admin_site.name)

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
        back = self.url_of(f"admin:{opts.app_label}_{opts.model_name}_change", object_id)
        if request.method != "POST":
            question = _("All sessions of %(user)s will end at once, on every device.")
            context: dict[str, Any] = {
                "question": question % {"user": person.get_username()},
                "names": staff.names_of(sessions) if self.may_see_sessions(request) else [],
                "own": staff.is_own(request, sessions),
            }
            return staff.ask_first(request, self.admin_site, back=back, **context)
        message = staff.revoke(request, sessions)
        # Also Django sessions that are older than tokenauth, which no list shows.
        AuthSession.objects.end_everywhere([person.pk], RevokeReason.ADMIN, request)
        self.log_change(request, person, _("Signed out everywhere."))
        self.message_user(request, message, messages.SUCCESS)
        return HttpResponseRedirect(back)


def living_first(sessions: AuthSessionQuerySet) -> list[AuthSession]:
    """Return the sessions that a page shows: what lives, then the rest, each seen last first."""
    living = Case(When(pk__in=sessions.active().order_by().values("pk"), then=0), default=1)
    return list(sessions.order_by(living, "-last_seen_at")[:NEWEST])


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
