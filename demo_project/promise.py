"""Two plays that show the promise: a stolen token ends the session, a lost answer does not.

They keep a copy of a token and drop cookies, which no real site may do: they are there under
``DEBUG`` only. Their pages lie under ``/auth/``, where the browser sends its refresh token.
"""

import json
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from tokenauth.conf import conf
from tokenauth.lazy import credentials_of
from tokenauth.models import AuthSession
from tokenauth.pages.wording import reason_of
from tokenauth.request import cookies
from tokenauth.request.cookies import Presented
from tokenauth.request.credentials import Credentials
from tokenauth.session.devices import describe, translated
from tokenauth.session.rotation import Step, decide
from tokenauth.session.tokens import hash_token

#: By session, in the memory of this process and nowhere else: what the thief has got hold of, after
#: which rotation an answer is to be lost, and which rotation was.
STOLEN: dict[UUID, Presented] = {}
TO_BE_LOST: dict[UUID, int] = {}
LOST: dict[UUID, int] = {}

THIEVES_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0"


# Play the thief


@login_required
def thief(request: HttpRequest) -> HttpResponse:
    """Copy the person's refresh token, wait until it is spent, use it in another browser."""
    credentials = credentials_of(request)
    session, held = credentials.session, credentials.presented.paired
    if session is None or held is None:  # a sign-in whose cookies are only on their way
        return redirect("private")
    action = request.POST.get("action")
    if action == "copy":
        STOLEN[session.pk] = held
    copy = STOLEN.get(session.pk)
    step = would_be(session, copy) if copy else None
    if copy and step is Step.REUSE and action == "use":
        return caught(request, session, copy, held)
    if request.method == "POST":
        return redirect("thief")
    return render(request, "demo/thief.html", {"copy": copy, **progress(credentials, step)})


def would_be(session: AuthSession, copy: Presented) -> Step:
    """Return what the server would do if the copy came now."""
    token_hash = hash_token(copy.raw)
    return decide(session, copy.claims.rot, token_hash, timezone.now(), conf.GRACE_PERIOD)


def progress(credentials: Credentials, step: Step | None) -> dict[str, Any]:
    """Say how far the play has come, and how many seconds it is to the next scene."""
    access = credentials.access
    confirmed_at = access.iat + conf.GRACE_PERIOD.total_seconds() + 2 if access else 0
    expires_at = access.exp if access else 0
    moment = confirmed_at if step is Step.REISSUE else expires_at
    return {"scene": step.name if step else "", "wait": max(0, int(moment - time.time()))}


def caught(
    request: HttpRequest, session: AuthSession, copy: Presented, held: Presented
) -> HttpResponse:
    """Let the thief's browser refresh, then the person's, and show what they were told."""
    own_browser = request.headers.get("User-Agent", "")
    answers = [refresh_as(THIEVES_BROWSER, copy, request), refresh_as(own_browser, held, request)]
    del STOLEN[session.pk]
    session.refresh_from_db(fields=["revoked_at", "revoke_reason"])
    why = reason_of(credentials_of(request).presented)
    return render(request, "demo/caught.html", {"answers": answers, "ended": session, "why": why})


def refresh_as(agent: str, token: Presented, request: HttpRequest) -> dict[str, Any]:
    """Ask this very server for new tokens, over HTTP, as a browser that holds this token."""
    connect = HTTPSConnection if request.is_secure() else HTTPConnection
    port = int(request.META["SERVER_PORT"])
    with closing(connect("127.0.0.1", port, timeout=10)) as server:
        try:
            server.request(
                "POST",
                reverse("tokenauth:refresh"),
                headers={
                    "Host": request.get_host(),
                    "User-Agent": agent,
                    "Cookie": f"{cookies.refresh_name()}={token.raw.reveal()}",
                },
            )
            answer = server.getresponse()
        except OSError as error:  # "from None": the frames below hold the token, for all to see
            raise RuntimeError(f"The server must answer while it asks itself: {error}") from None
        return {"device": translated(describe(agent)), "status": answer.status, **json.load(answer)}


# Lose an answer


@login_required
def lost_answer(request: HttpRequest) -> HttpResponse:
    """Drop the answer to the person's next refresh; show that nothing comes of it."""
    credentials = credentials_of(request)
    session, held = credentials.session, credentials.presented.paired
    if session is None or held is None:  # see thief()
        return redirect("private")
    if request.method == "POST":
        LOST.pop(session.pk, None)
        TO_BE_LOST[session.pk] = session.rotation
        return redirect("lost_answer")
    context = {
        "held": held.claims.rot,
        "armed": session.pk in TO_BE_LOST,
        "losing": will_be_lost(session),
        "lost": LOST.get(session.pk),
        **progress(credentials, None),
    }
    return render(request, "demo/lost_answer.html", context)


def will_be_lost(session: AuthSession) -> bool:
    """Tell whether this session was rotated just now, and the answer must not arrive."""
    return session.rotation > TO_BE_LOST.get(session.pk, session.rotation)


def lose_answer(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Be the bad network (a middleware, the outermost): new tokens do not reach the browser.

    Of a really lost answer nothing arrives; here the page does, to say what became of its cookies.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if cookies.refresh_name() in response.cookies:
            session = credentials_of(request).session
            if session is not None and will_be_lost(session):
                del TO_BE_LOST[session.pk]
                LOST[session.pk] = session.rotation
                del response.cookies[cookies.access_name()]
                del response.cookies[cookies.refresh_name()]
        return response

    return middleware
