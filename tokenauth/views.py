"""The pages: sign in, sign out, refresh, and your sessions. None needs JavaScript."""

import logging
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth import views as auth_views
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.auth.views import redirect_to_login
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.middleware.csrf import rotate_token
from django.shortcuts import get_object_or_404, redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import TemplateView, View
from rest_framework.exceptions import MethodNotAllowed

from . import answers, bounce, django_sessions, settlement
from .conf import conf
from .credentials import Credentials, credentials_of
from .forms import LoginForm
from .models import AuthSession
from .origins import from_this_site, is_navigation, is_path_here
from .rotation import Step
from .sessions import AuthSessionQuerySet, RevokeReason
from .wording import Entry, recently_ended, why_signed_out

log = logging.getLogger("tokenauth.security")

#: An access token this close to its end (seconds) is refreshed rather than called valid: the
#: server that will see it next may have a clock that is a little ahead.
CLOCK_SKEW = 5


def sign_in(
    request: HttpRequest, user: AbstractBaseUser, *, persistent: bool = True
) -> AuthSession:
    """Sign in a person that ``authenticate()`` returned, as our own views do.

    With Django's ``login()`` where sessions are installed: it sends ``user_logged_in``, drops the
    previous person's data and replaces the CSRF token.
    """
    credentials = credentials_of(request)
    store = django_sessions.store_of(request)
    if store is None:
        rotate_token(request)
        user_logged_in.send(sender=type(user), request=request, user=user)
    else:
        login(request, user)  # type: ignore[arg-type]  # the stubs know one user model
        if not persistent:
            store.set_expiry(0)
    return credentials.start(user, persistent=persistent)


def sign_out(request: HttpRequest, reason: str = RevokeReason.LOGOUT) -> None:
    """Sign the person out, as our own views do. Works with any cookie in the jar, or none."""
    credentials = credentials_of(request)
    if django_sessions.store_of(request) is None:
        user = credentials.get_user()
        person = user if user.is_authenticated else None
        user_logged_out.send(sender=type(person), request=request, user=person)
    else:
        logout(request)
    credentials.end(reason)


def sessions_of(credentials: Credentials) -> AuthSessionQuerySet:
    """Return the signed-in person's active sessions, the last seen first.

    An old Django session is adopted first: then ``credentials.session`` is the one that asks.
    """
    settlement.adopt_now(credentials)
    user: Any = credentials.get_user()
    return AuthSession.objects.at_writer().active().filter(user=user.pk).order_by("-last_seen_at")


class LoginView(auth_views.LoginView):
    """Django's login page, which starts a session of ours."""

    template_name = "tokenauth/login.html"
    authentication_form = LoginForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign the person in."""
        sign_in(self.request, form.get_user(), persistent=form.cleaned_data["remember"])
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
            log.warning(
                "The login page was served over http, but its cookies are Secure: nobody can "
                "sign in. Serve the site over https, and set SECURE_PROXY_SSL_HEADER behind a "
                "proxy; for a site without https set TOKENAUTH_COOKIE_SECURE = False."
            )
        return super().get_context_data(insecure=insecure, why_signed_out=why, **kwargs)


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


@method_decorator([csrf_exempt, never_cache], name="dispatch")
class RefreshView(View):
    """Rotate: for a script that POSTs here, or for a request that the middleware bounced here."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer any method that comes with ``next``, and POST without."""
        bounce.drain(request)
        target = request.GET.get("next")
        if target is None and request.method != "POST":
            error = MethodNotAllowed(str(request.method))
            response = refusal(error.status_code, str(error), error.default_code)
            response["Allow"] = "POST"
            return response
        if target is not None and not is_path_here(target):
            return refusal(400, _("“next” must be a path on this host."), "unsafe_next")
        if not (from_this_site(request) or (target and is_navigation(request))):
            return refusal(403, _("This must come from a page of this site."), "cross_site")
        credentials = credentials_of(request)
        return self.answer(credentials) if target is None else self.send_back(credentials, target)

    def answer(self, credentials: Credentials) -> HttpResponse:
        """Rotate and say until when the person is signed in."""
        token = credentials.presented.refresh
        if token is None or credentials.refresh(token) is None:
            code = "session_ended" if credentials.ended else "not_authenticated"
            response = refusal(401, _("Nobody is signed in here."), code)
            response["WWW-Authenticate"] = 'Cookie realm="api"'
            return response
        return JsonResponse(answers.expiry(credentials))

    def send_back(self, credentials: Credentials, target: str) -> HttpResponse:
        """Rotate and send the browser back to where it was bounced from.

        Anything but a clean rotation marks the URL, so that cookies which do not stick (or are
        gone) end in the view's own answer and not in a loop.
        """
        presented = credentials.presented
        if presented.access is not None and presented.access.valid_for(CLOCK_SKEW):
            return bounce.redirect(target)
        lone_token_counts = credentials.request.method == "POST"
        token = presented.refresh if lone_token_counts else presented.paired
        step = credentials.refresh(token) if token is not None else None
        return bounce.redirect(target if step is Step.ROTATE else bounce.add_marker(target))


def refusal(status: int, detail: str, code: str) -> JsonResponse:
    """Return an error in the API's form."""
    return JsonResponse({"detail": detail, "code": code}, status=status)


@method_decorator(never_cache, name="dispatch")
class SessionListView(LoginRequiredMixin, TemplateView):
    """The devices on which a person is signed in."""

    template_name = "tokenauth/session_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """List the active sessions, the one that asks first, and those that ended lately."""
        credentials = credentials_of(self.request)
        sessions = sessions_of(credentials)
        current = credentials.session.pk if credentials.session else None
        entries = [Entry(session, session.pk == current) for session in sessions]
        entries.sort(key=lambda entry: not entry.is_current)
        ended = recently_ended(credentials.get_user())
        stolen = any(entry.was_stolen for entry in ended)
        return super().get_context_data(entries=entries, ended=ended, stolen=stolen, **kwargs)


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
        text = _("Signed out of %(device)s.") % {"device": device or _("an unknown device")}
        messages.success(request, text, fail_silently=True)
        return redirect(page)


def revoke_own(request: HttpRequest, pk: UUID) -> tuple[str, str]:
    """End one of the person's sessions; return the name of the page to show then, and the device.

    Raises Http404 for anybody else's.
    """
    credentials = credentials_of(request)
    session = get_object_or_404(sessions_of(credentials), pk=pk)
    if credentials.session is not None and session.pk == credentials.session.pk:
        sign_out(request, RevokeReason.USER)
        return "tokenauth:login", session.device
    AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.USER, request)
    return "tokenauth:session_list", session.device


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


def revoke_others(request: HttpRequest) -> int:
    """End all of the person's sessions but the one that asks; return how many."""
    credentials = credentials_of(request)
    others = sessions_of(credentials)
    if credentials.session is not None:
        others = others.exclude(pk=credentials.session.pk)
    return others.revoke(RevokeReason.USER, request)
