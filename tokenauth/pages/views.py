"""The pages: sign in, sign out, and your sessions. None needs JavaScript."""

import logging
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.db.models import Case, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic import TemplateView, View

from tokenauth.conf import conf
from tokenauth.lazy import credentials_of
from tokenauth.session.devices import translated
from tokenauth.shortcuts import revoke_others, revoke_own, sessions_of, sign_in, sign_out

from . import links
from .forms import LoginForm, with_status
from .reauthentication import ask_for_ending
from .redirects import OnThisHost
from .wording import Entry, group, recent_thefts, recently_ended, why_signed_out

log = logging.getLogger("tokenauth.security")

#: How many active sessions a page lists.
PER_PAGE = 25


class LoginView(OnThisHost, auth_views.LoginView):
    """Django's login page, which starts a session of ours."""

    template_name = "tokenauth/login.html"
    authentication_form = LoginForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign the person in."""
        sign_in(self.request, form.get_user(), persistent=form.cleaned_data.get("remember"))
        credentials_of(self.request).answers_at_once = True
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again; 429 when it was not even looked at."""
        return with_status(super().form_invalid(form), form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add who is signed in, or why nobody is, and whether the browser refuses the cookies."""
        insecure = conf.COOKIE_SECURE and not self.request.is_secure()
        if insecure:
            warn_of_http()
        credentials = credentials_of(self.request)
        person = credentials.get_user()
        context = {
            "insecure": insecure,
            # Here, no browser is asked for a proof: where it leads on, it is.
            "may_prove": credentials.needs_proof and not credentials.ended,
            "why_signed_out": why_signed_out(self.request),
            "signed_in_as": person.get_username() if person.is_authenticated else "",
            "go_on_url": self.get_success_url(),
            "password_reset_url": links.password_reset(),
        }
        return super().get_context_data(**context | kwargs)


@cache
def warn_of_http() -> None:
    """Log that nobody can sign in: once, for anybody can ask for the page a million times."""
    log.warning(
        "The login page was served over http, but its cookies are Secure: nobody can "
        "sign in. Serve the site over https, and set SECURE_PROXY_SSL_HEADER behind a "
        "proxy; for a site without https set TOKENAUTH_COOKIE_SECURE = False."
    )


@method_decorator([csrf_protect, never_cache], name="dispatch")
class LogoutView(OnThisHost, View):
    """End this session, whatever cookies came."""

    http_method_names = ["post", "options"]  # Django's own idiom

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign the person out and show them out."""
        sign_out(request)
        target = self.get_success_url()
        if target == resolve_url("tokenauth:login"):  # another page may not show it, or much later
            messages.success(request, _("You have signed out."), fail_silently=True)
        return HttpResponseRedirect(target)

    def get_default_redirect_url(self) -> str:
        """Return where Django's own logout leads, else the login page."""
        return resolve_url(settings.LOGOUT_REDIRECT_URL or "tokenauth:login")


@method_decorator(never_cache, name="dispatch")
class SessionListView(LoginRequiredMixin, TemplateView):
    """The devices on which a person is signed in."""

    template_name = "tokenauth/session_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """List a page of the active sessions, the one that asks first, and what ended lately."""
        credentials = credentials_of(self.request)
        sessions = sessions_of(credentials)
        current = credentials.session.pk if credentials.session else None
        own_first = sessions.order_by(
            Case(When(pk=current, then=0), default=1), "-last_seen_at", "pk"
        )
        page = Paginator(own_first, PER_PAGE).get_page(self.request.GET.get("page"))
        listed = [Entry(session, session.pk == current) for session in page]
        person: Any = credentials.get_user()
        context = {
            "page": page,
            "entries": group(listed),
            "any_bound": any(entry.binding for entry in listed),
            "ended": recently_ended(person),
            "thefts": recent_thefts(person),
            "password_change_url": links.password_change(),
            # Nobody is left of who was adopted by a parallel request and signed out there.
            "has_password": person.is_authenticated and person.has_usable_password(),
        }
        return super().get_context_data(**context, **kwargs)


@method_decorator([csrf_protect, never_cache], name="dispatch")
class SessionFormView(LoginRequiredMixin, View):
    """What only a form asks for."""

    http_method_names = ["post", "options"]  # Django's own idiom

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Lead who must sign in first back to the page with the form: this URL takes no GET."""
        return redirect_to_login(resolve_url("tokenauth:session_list"), self.get_login_url())


class SessionRevokeView(SessionFormView):
    """Sign out one device; asked with GET, by a link in an e-mail, first say which it is."""

    http_method_names = ["get", "head", "post", "options"]  # Django's own idiom

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Come back here after signing in, from an e-mail; else see above."""
        if self.request.method == "POST":
            return super().handle_no_permission()
        return redirect_to_login(self.request.get_full_path(), self.get_login_url())

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether it was the person who signed in there."""
        credentials = credentials_of(request)
        session = sessions_of(credentials).filter(pk=pk).first()
        if session is None:
            return self.no_such_session(request)
        this = credentials.session
        entry = Entry(session, is_current=this is not None and this.pk == session.pk)
        return render(request, "tokenauth/session_revoke.html", {"entry": entry})

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End one of the person's sessions; anybody else's is not found."""
        credentials = credentials_of(request)
        person: Any = credentials.get_user()
        this = credentials.get_session()
        asked = None if this is not None and this.pk == pk else ask_for_ending(request)
        if asked is not None:
            return asked
        try:
            page, device = revoke_own(request, pk)
        except Http404:
            return self.no_such_session(request)
        name = translated(device) or _("an unknown device")
        text = _("Signed out of %(device)s.") % {"device": name}
        messages.success(request, text, fail_silently=True)
        if "unknown" in request.POST and person.has_usable_password():
            advice = _("Whoever signed in there knows your password. Change it now.")
            messages.warning(request, advice, fail_silently=True)
        return redirect(page)

    def no_such_session(self, request: HttpRequest) -> HttpResponse:
        """Reassure nobody: it may be the living session of another account."""
        text = _("This account has no such sign-in: it has ended, or is of another account.")
        messages.info(request, text, fail_silently=True)
        return redirect("tokenauth:session_list")


class SessionRevokeOthersView(SessionFormView):
    """Sign out everywhere else."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """End all of the person's sessions but this one."""
        asked = ask_for_ending(request)
        if asked is not None:
            return asked
        count = revoke_others(request)
        text = ngettext(
            "Signed out of %(count)d device.", "Signed out of %(count)d devices.", count
        )
        messages.success(request, text % {"count": count}, fail_silently=True)
        return redirect("tokenauth:session_list")
