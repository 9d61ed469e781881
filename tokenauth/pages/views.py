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
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic import TemplateView, View

from tokenauth.conf import conf
from tokenauth.request.credentials import credentials_of
from tokenauth.session.devices import translated
from tokenauth.shortcuts import revoke_others, revoke_own, sessions_of, sign_in, sign_out

from .forms import LoginForm
from .wording import Entry, recently_ended, why_signed_out

log = logging.getLogger("tokenauth.security")

#: How many active sessions a page lists.
PER_PAGE = 25


class LoginView(auth_views.LoginView):
    """Django's login page, which starts a session of ours."""

    template_name = "tokenauth/login.html"
    authentication_form = LoginForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign the person in."""
        sign_in(self.request, form.get_user(), persistent=form.cleaned_data.get("remember"))
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again; 429 when it was not even looked at."""
        response = super().form_invalid(form)
        retry_after = getattr(form, "retry_after", None)
        if retry_after is not None:
            response.status_code = 429
            response.headers["Retry-After"] = str(retry_after)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add why the person was signed out, and whether the browser will refuse the cookies."""
        credentials = credentials_of(self.request)
        # Asking sweeps away what is left of a session that has ended.
        credentials.resolve()
        why = "" if credentials.session else why_signed_out(credentials.presented)
        insecure = conf.COOKIE_SECURE and not self.request.is_secure()
        if insecure:
            warn_of_http()
        return super().get_context_data(insecure=insecure, why_signed_out=why, **kwargs)


@cache
def warn_of_http() -> None:
    """Log that nobody can sign in: once, for anybody can ask for the page a million times."""
    log.warning(
        "The login page was served over http, but its cookies are Secure: nobody can "
        "sign in. Serve the site over https, and set SECURE_PROXY_SSL_HEADER behind a "
        "proxy; for a site without https set TOKENAUTH_COOKIE_SECURE = False."
    )


@method_decorator([csrf_protect, never_cache], name="dispatch")
class LogoutView(auth_views.RedirectURLMixin, View):
    """End this session, whatever cookies came."""

    http_method_names = ["post", "options"]  # Django's own idiom

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign the person out and show them out."""
        sign_out(request)
        return HttpResponseRedirect(self.get_success_url())

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
        entries = [Entry(session, session.pk == current) for session in page]
        ended = recently_ended(credentials.get_user())
        stolen = any(entry.was_stolen for entry in ended)
        context = {"page": page, "entries": entries, "ended": ended, "stolen": stolen}
        return super().get_context_data(**context, **kwargs)


@method_decorator([csrf_protect, never_cache], name="dispatch")
class SessionFormView(LoginRequiredMixin, View):
    """What only a form asks for."""

    http_method_names = ["post", "options"]  # Django's own idiom

    def handle_no_permission(self) -> HttpResponseRedirect:
        """Lead who must sign in first back to the page with the form: this URL takes no GET."""
        return redirect_to_login(resolve_url("tokenauth:session_list"), self.get_login_url())


class SessionRevokeView(SessionFormView):
    """Sign out one device."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End one of the person's sessions; anybody else's is not found."""
        page, device = revoke_own(request, pk)
        name = translated(device) or _("an unknown device")
        text = _("Signed out of %(device)s.") % {"device": name}
        messages.success(request, text, fail_silently=True)
        return redirect(page)


class SessionRevokeOthersView(SessionFormView):
    """Sign out everywhere else."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """End all of the person's sessions but this one."""
        count = revoke_others(request)
        text = ngettext(
            "Signed out of %(count)d device.", "Signed out of %(count)d devices.", count
        )
        messages.success(request, text % {"count": count}, fail_silently=True)
        return redirect("tokenauth:session_list")
