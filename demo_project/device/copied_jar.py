"""A play: somebody copies all cookies of a bound session, and what that is worth.

It keeps a copy of cookies, which no real site may do: it is there under ``DEBUG`` only, and over
https. Its page lies under ``/auth/``, where the browser sends its refresh token too.
"""

import re
import ssl
import time
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from typing import NamedTuple
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from demo_project.promise import THIEVES_BROWSER
from tokenauth.lazy import credentials_of
from tokenauth.models import AuthSession
from tokenauth.request.credentials import Credentials
from tokenauth.request.jar.device import good_device_token
from tokenauth.secret import Secret

#: By session, in the memory of this process and nowhere else: what the thief has got hold of.
COPIES: dict[UUID, "Copy"] = {}


class Attempt(NamedTuple):
    """What the thief asked for, how long after he copied the jar, and what he was told."""

    seconds: int
    asked: str
    status: int
    error: str


@dataclass
class Copy:
    """All cookies of a browser, when they were copied, and when their device token ends."""

    header: Secret[str]
    at: float
    ends: int
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def wait(self) -> int:
        """For how many seconds the device token is still good."""
        return max(0, self.ends + 1 - int(time.time()))

    def use(self, request: HttpRequest, method: str, name: str) -> None:
        """Ask this very server for something, as a browser that has these cookies."""
        port, context = int(request.META["SERVER_PORT"]), ssl.create_default_context()
        headers = {"Host": request.get_host(), "User-Agent": THIEVES_BROWSER}
        headers["Cookie"] = self.header.reveal()
        with closing(HTTPSConnection("127.0.0.1", port, timeout=10, context=context)) as server:
            try:
                server.request(method, reverse(name), headers=headers)
                answer = server.getresponse()
            except OSError as error:  # "from None": the frames below hold the cookies
                text = f"The server must answer while it asks itself: {error}"
                raise RuntimeError(text) from None
        seconds, asked = int(time.time() - self.at), f"{method} {reverse(name)}"
        named = re.search(r'error="(\w+)"', answer.getheader("WWW-Authenticate", ""))
        self.attempts.append(Attempt(seconds, asked, answer.status, named[1] if named else ""))


@login_required
def copied_jar(request: HttpRequest) -> HttpResponse:
    """Copy the person's cookies, use them at once, and again when the device token has ended."""
    credentials = credentials_of(request)
    session = credentials.session
    if session is None:  # a sign-in whose cookies are only on their way
        return redirect("private")
    if request.method == "POST":
        act(request, credentials, session)
        return redirect("copied_jar")
    context = {"session": session, "copy": COPIES.get(session.pk)}
    return render(request, "demo/copied_jar.html", context)


def act(request: HttpRequest, credentials: Credentials, session: AuthSession) -> None:
    """Do what a button asks for, if it is time for that."""
    action, copy = request.POST.get("action"), COPIES.get(session.pk)
    token = good_device_token(credentials.presented.header, session.pk)
    if action == "copy" and token is not None and session.is_bound:
        if credentials.outgoing is not None:
            messages.info(request, "Your tokens were replaced at this very moment: copy once more.")
            return
        copy = COPIES[session.pk] = Copy(credentials.presented.header, time.time(), token.exp)
        copy.use(request, "GET", "api_notes")
    elif action == "use" and copy is not None and not copy.wait:
        copy.use(request, "GET", "api_notes")
        copy.use(request, "POST", "tokenauth:refresh")
