"""Views of a site that do what few do: threads, flushes, passwords, visitors who do not wait."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
import time_machine
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth import alogout, get_user_model, login, logout, update_session_auth_hash
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from tests import urls
from tests.factories import PASSWORD
from tests.views import name, text
from tokenauth.models import AuthSession
from tokenauth.session.transitions import AuthSessionManager

pytestmark = pytest.mark.urls(__name__)


def threads(request: HttpRequest) -> HttpResponse:
    """Ask who is there in two threads, the second while the first is being told."""

    def ask(number: int) -> str:
        time.sleep(0.05 * number)
        try:
            return name(request.user)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        names = [*pool.map(ask, range(2))]
    return text(" ".join([*names, name(request.user)]))


async def async_careless(request: HttpRequest) -> HttpResponse:
    """Ask in two tasks, of which one does not await, as a template would."""

    async def ask() -> str:
        await asyncio.sleep(0.05)
        with suppress(SynchronousOnlyOperation):
            return name(request.user)
        return "an error"

    user, other = await asyncio.gather(request.auser(), ask())
    return text(f"{name(user)}, {other}, {name(request.user)}")


def login_and_flush(request: HttpRequest) -> HttpResponse:
    login(request, get_user_model().objects.get())
    request.session.flush()
    return text("bye")


@csrf_exempt
def flush(request: HttpRequest) -> HttpResponse:
    """A sign-out that knows no ``logout()``."""
    request.user.is_authenticated  # noqa: B018  # the look-up is all that is wanted
    request.session.flush()
    return text("bye")


@csrf_exempt
def new_password(request: HttpRequest) -> HttpResponse:
    """Read the person again, as the admin does."""
    if "login" in request.GET:
        login(request, get_user_model().objects.get())
    person = get_user_model().objects.get(pk=request.user.pk)
    person.set_password("another")
    person.save()
    update_session_auth_hash(request, person)
    return text(name(request.user))


def slow_logout(request: HttpRequest) -> HttpResponse:
    logout(request)
    time.sleep(0.5)
    return text("bye")


async def slow_alogout(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    await asyncio.sleep(0.5)
    return text("bye")


async def slow(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.5)
    return text("still here")


urlpatterns = [
    *urls.urlpatterns,
    path("threads/", threads),
    path("careless/", async_careless),
    path("login-and-flush/", login_and_flush),
    path("flush/", flush),
    path("new-password/", new_password),
    path("slow-logout/", slow_logout),
    path("slow-alogout/", slow_alogout),
    path("slow/", slow),
]


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def signed_in(client, user):
    data = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    post = async_to_sync(client.post) if isinstance(client, AsyncClient) else client.post
    assert post("/auth/login/", data).status_code == 302
    return client


# Who else asks meanwhile


@pytest.fixture
def slow_look_up(monkeypatch):
    look_up = AuthSessionManager.look_up

    def slow(manager, sid, key=None):
        time.sleep(0.3)
        return look_up(manager, sid, key)

    monkeypatch.setattr(AuthSessionManager, "look_up", slow)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("slow_look_up")
def test_a_second_thread_of_one_view_is_told_the_same(user):
    """It does not take who is being looked up for a stranger."""
    client = signed_in(Client(), user)
    assert client.get("/threads/").text == "alice alice alice"


@pytest.mark.django_db
@pytest.mark.usefixtures("slow_look_up")
def test_a_task_that_does_not_await_takes_nobody_for_a_stranger(user):
    """It gets Django's error, as it would without us, and spoils nothing for the others."""
    client = signed_in(AsyncClient(), user)
    assert async_to_sync(client.get)("/careless/").text == "alice, an error, alice"


# Django's session is emptied


@pytest.mark.django_db
@pytest.mark.parametrize("before", [False, True], ids=["stranger", "signed-in"])
def test_a_login_that_is_flushed_is_none(user, before):
    """And ends what this browser was signed in by, as ``logout()`` would."""
    client = signed_in(Client(), user) if before else Client()
    assert client.get("/login-and-flush/").text == "bye"
    assert client.get("/whoami/").text == "anonymous"
    assert not AuthSession.objects.active().exists()


@pytest.mark.django_db
def test_a_flush_in_the_first_request_adopts_nobody(user):
    """The Django session that was older than tokenauth is gone."""
    client = Client()
    client.force_login(user)
    assert client.post("/flush/").text == "bye"
    assert client.get("/whoami/").text == "anonymous"
    assert not AuthSession.objects.active().exists()


# A new password


@pytest.mark.django_db
@pytest.mark.parametrize("minutes", [0, 20])
@pytest.mark.parametrize("door", ["", "?login"], ids=["adopted", "login"])
def test_who_changes_the_password_in_their_first_request_stays_signed_in(
    user, clock, door, minutes
):
    """The session starts with the hash that the view left, not with that of the old password."""
    client = Client()
    if not door:
        client.force_login(user)
    assert client.post(f"/new-password/{door}").text == user.get_username()
    clock.shift(timedelta(minutes=minutes))
    assert client.get("/whoami/", follow=True).text == user.get_username()


# The browser goes away


async def visit_and_leave(url, cookies):
    """Request a page over ASGI, and be gone before its answer."""
    scope = AsyncRequestFactory().get(url).scope | {"type": "http"}
    scope["headers"] = [(b"host", b"testserver"), (b"cookie", cookies.encode())]
    talk = ApplicationCommunicator(get_asgi_application(), scope)
    await talk.send_input({"type": "http.request", "body": b""})
    await asyncio.sleep(0.25)
    await talk.send_input({"type": "http.disconnect"})
    with suppress(asyncio.CancelledError):
        await talk.wait(10)


def sync_only(get_response):
    """A middleware as Django's documentation writes one."""

    def middleware(request):
        return get_response(request)

    return middleware


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("below", [[], [f"{__name__}.sync_only"]], ids=["async", "sync"])
@pytest.mark.parametrize("url", ["/slow-logout/", "/slow-alogout/"])
def test_who_signs_out_and_closes_the_tab_is_signed_out(user, settings, url, below):
    """Django cancels the request, but its own session is gone by then, and so shall be ours."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *below]
    client = signed_in(Client(), user)
    jar = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    async_to_sync(visit_and_leave)(url, jar)
    assert not Session.objects.exists()
    assert AuthSession.objects.get().revoke_reason == "logout"


@pytest.mark.django_db(transaction=True)
def test_who_closes_the_tab_stays_signed_in(user):
    """Nothing else is made of it."""
    client = signed_in(Client(), user)
    jar = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    async_to_sync(visit_and_leave)("/slow/", jar)
    assert AuthSession.objects.get().revoked_at is None
    assert client.get("/whoami/").text == user.get_username()
