"""The page beside the app: start it, see what it does, sign it out.

An app asks for a password, or has the person sign in somewhere else. This one is handed its tokens
by the page, so that nobody has to type: a play, which is there under ``DEBUG`` only.
"""

from contextlib import suppress

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from demo_project.app_client.process import APPS, RunningApp
from demo_project.views import access_lifetime, person
from tokenauth.decorators import recent_login_required
from tokenauth.models import AuthSession
from tokenauth.shortcuts import revoke_own, sign_in_app

NAME = "Demo app"


@never_cache
@login_required
def app(request: HttpRequest) -> HttpResponse:
    """Show the app, and its row of "Your devices"."""
    running = APPS.get(request.user.pk)
    session = AuthSession.objects.active().filter(pk=running.sid).first() if running else None
    context = {"app": running, "session": session, "seconds": 4 * access_lifetime()}
    return render(request, "demo/app.html", context)


@require_POST
@recent_login_required
@sensitive_variables()
def start(request: HttpRequest) -> HttpResponse:
    """Sign the person in in an app, which this starts; whoever reads their screen could, too."""
    running = APPS.get(request.user.pk)
    if running is None or not running.runs:
        user = person(request)
        tokens = sign_in_app(request, user, client_name=NAME)
        session = AuthSession.objects.filter(user=user, client="app").latest("created_at")
        APPS[user.pk] = running = RunningApp(session.pk)
        lifetime = access_lifetime()
        site = f"{request.scheme}://127.0.0.1:{request.META['SERVER_PORT']}"
        running.begin(
            {"site": site, "tokens": tokens, "seconds": 4 * lifetime, "pause": lifetime / 10}
        )
    return redirect("app")


@require_POST
@login_required
def stop(request: HttpRequest) -> HttpResponse:
    """End the app's session, as "Your devices" does; it will be told when it asks."""
    running = APPS.get(request.user.pk)
    if running is not None:
        with suppress(Http404):  # over already
            revoke_own(request, running.sid)
    return redirect("app")
