"""Ask people to prove again who they are (step-up), without losing what they have just sent."""

from datetime import timedelta
from inspect import signature
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import get_backends
from django.contrib.auth.backends import ModelBackend, RemoteUserBackend
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.generic import FormView

from tokenauth.conf import conf
from tokenauth.lazy import credentials_of
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials
from tokenauth.request.django_sessions.following import adopt_now
from tokenauth.session.endings import is_in_flight
from tokenauth.session.jwt.access_claims import BROWSER
from tokenauth.shortcuts import sign_in
from tokenauth.stepup import allauths
from tokenauth.stepup.challenges import plain_answer
from tokenauth.stepup.interrupted import Interrupted, pack, unpack
from tokenauth.stepup.recency import is_recent

from .forms import ReauthenticationForm, with_status
from .links import password_reset
from .redirects import OnThisHost

PAGE = "tokenauth/reauthenticate.html"
#: The hidden field in which a form waits.
WAITING = "interrupted"


def demand_recent_login(request: HttpRequest, max_age: timedelta) -> HttpResponse | None:
    """Return what asks for a recent login; None for a person who has one."""
    credentials = credentials_of(request)
    if not credentials.get_user().is_authenticated:
        return redirect_to_login(request.get_full_path())
    session = credentials.get_session()
    if session and is_recent(session.authenticated_at, timezone.now(), max_age):
        return None
    client = session.client if session else BROWSER
    if client != BROWSER or not is_read_by_a_person(request):
        return plain_answer(max_age, client)
    if request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(address(request.get_full_path()))
    answer: HttpResponse = interrupt(request)
    return answer


def ask_for_ending(request: HttpRequest) -> HttpResponse | None:
    """Return what asks for a recent login before other sessions end, if the site wants that."""
    max_age = conf.RECENT_LOGIN
    return None if max_age is None else demand_recent_login(request, max_age)


def is_read_by_a_person(request: HttpRequest) -> bool:
    """Tell whether the answer will be a page: not to a ``fetch``, nor to a method of no form.

    Browsers say so (Fetch Metadata); of others, those are people that ask for HTML, or for nothing.
    """
    mode, accepted = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Accept", "html")
    is_page = mode == "navigate" if mode else "html" in accepted
    return is_page and request.method in ("GET", "HEAD", "POST")


def address(then: str) -> str:
    """Return our page, which leads on from there."""
    return f"{reverse('tokenauth:reauthenticate')}?{urlencode({'next': then})}"


@never_cache
@csrf_protect  # the view's own may be exempt: what another site sends is not kept
@sensitive_variables()
def interrupt(request: HttpRequest) -> HttpResponse:
    """Answer a form that was sent too late with the page that asks for a proof; it waits there.

    Where allauth asks, it waits in the Django session.
    """
    # Where they go who do not send it: to the page with the form, if the view finds it is ours.
    before, kept = request.headers.get("Referer", ""), Interrupted.of(request)
    then = address(before)
    elsewhere = allauths.page_for(request, then)
    if elsewhere and kept is not None and allauths.keep(request, kept):
        return HttpResponseRedirect(elsewhere)
    credentials = credentials_of(request)
    owners, person = owners_of(credentials, credentials.session), credentials.get_user()
    context = page_context(before, elsewhere, person)
    waiting = pack(kept, owners[0]) if kept and owners and context["can_ask"] else ""
    context |= {
        "form": ReauthenticationForm(request, person=person),
        "waiting": waiting,
        "is_lost": not waiting,
    }
    return render(request, PAGE, context, status=200 if waiting else 403)


def owners_of(credentials: Credentials, session: AuthSession | None) -> list[str]:
    """Return for whom a form in a hidden field is signed, the one of now first.

    The session, which the proof is about to replace: so the field is worth nothing to any other, of
    this person either, and nothing once it was used. Or a Django session that is not adopted yet.
    None, where another app signs the person in.
    """
    store = credentials.store
    owners = [f"session {session.pk}"] if session else []
    key = store.session_key if store is not None else None
    return [*owners, f"django session {key}"] if key else owners


def just_replaced(credentials: Credentials) -> AuthSession | None:
    """Return the session that this browser had until a moment ago.

    Who clicks twice sends the form twice, and the browser drops the first answer, with the tokens
    of the session that it began. The password counts again, for the same person.
    """
    held = credentials.presented.held
    rows = AuthSession.objects.select_related("user")
    found = rows.filter(pk=held.sid).first() if held else None
    return found if found and is_in_flight(found.revoke_reason, found.revoked_at) else None


def page_context(then: str, elsewhere: str | None, person: Any) -> dict[str, Any]:
    """Return what the page says of a person."""
    return {
        "username": str(person.get_username()),
        "elsewhere": elsewhere,
        "can_ask": elsewhere is None and may_have_password(person),
        "next": then,
        "password_reset_url": password_reset(),
        "sign_in_url": redirect_to_login(then).url,
    }


def may_have_password(person: Any) -> bool:
    """Tell whether a person may know a password: ours, or a directory's (LDAP)."""
    return person.has_usable_password() or any(map(knows_passwords, get_backends()))


def knows_passwords(backend: Any) -> bool:
    """Tell whether a backend takes passwords that are not in the user model."""
    method = type(backend).authenticate
    if method in (ModelBackend.authenticate, RemoteUserBackend.authenticate):
        return False
    try:
        signature(backend.authenticate).bind(None, username="", password="")  # nobody's
    except TypeError:
        return False
    return True


@method_decorator([sensitive_post_parameters(), csrf_protect, never_cache], name="dispatch")
class ReauthenticateView(OnThisHost, FormView):  # type: ignore[type-arg]  # Django's takes none when it runs
    """Prove again who you are; then go on."""

    template_name = PAGE
    form_class = ReauthenticationForm
    http_method_names = ["get", "head", "post", "options"]  # Django's own idiom

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let nobody in who is not signed in: a login is as good a proof."""
        self.credentials = credentials_of(request)
        adopt_now(self.credentials)
        self.person: Any = self.credentials.get_user()
        self.session = self.credentials.session
        if not self.person.is_authenticated:
            self.session = just_replaced(self.credentials) if request.method == "POST" else None
            if self.session is None:
                return redirect_to_login(self.get_success_url())
            self.person = self.session.user
        self.elsewhere = allauths.page_for(request, self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask, or let allauth ask; show what has waited until it had."""
        has_waited, interrupted = allauths.take(request)
        if has_waited:
            return self.resume(interrupted)
        return HttpResponseRedirect(self.elsewhere) if self.elsewhere else super().get(request)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the password, where that is what the site accepts."""
        return super().post(request) if self.elsewhere is None else self.get(request)

    @sensitive_variables()
    def form_valid(self, form: Any) -> HttpResponse:
        """Start a session anew, like the one that it replaces."""
        packed, owners = (
            self.request.POST.get(WAITING, ""),
            owners_of(self.credentials, self.session),
        )
        interrupted = unpack(packed, owners) if packed else None
        persistent = self.session.persistent if self.session else None
        sign_in(self.request, form.get_user(), persistent=persistent)
        self.credentials.answers_at_once = True
        return self.resume(interrupted) if packed else super().form_valid(form)

    def resume(self, interrupted: Interrupted | None) -> HttpResponse:
        """Show what was about to happen, and let the person send it; or say that it is lost."""
        context = {"interrupted": interrupted, "next": self.get_success_url()}
        return render(self.request, "tokenauth/resume.html", context)

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show the form again; 429 when it was not even looked at."""
        return with_status(super().form_invalid(form), form)

    def get_form_kwargs(self) -> dict[str, Any]:
        """Hand on who is signed in."""
        return super().get_form_kwargs() | {"request": self.request, "person": self.person}

    def get_default_redirect_url(self) -> str:
        """Return where a login leads."""
        return resolve_url(settings.LOGIN_REDIRECT_URL)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add who is signed in, and what waits."""
        own = page_context(self.get_success_url(), self.elsewhere, self.person)
        return super().get_context_data(**own, waiting=self.request.POST.get(WAITING, ""), **kwargs)
