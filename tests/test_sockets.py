"""WebSockets through Channels: signed in as pages are, and closed when the session ends."""

import asyncio
import io
import re
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from django.test import Client
from django.urls import path
from django.utils import timezone

from tests.device.keys import ES256
from tests.factories import PASSWORD, SessionFactory, StaffFactory, UserFactory
from tests.processes import PATIENCE, ROOT, expired_access_token, run_django
from tests.session.test_revocations import DOORS, change_password, deactivate, sign_in
from tokenauth.channels import TokenAuthMiddlewareStack
from tokenauth.device.tokens import issue_device_token
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.request.jar.device import device_place
from tokenauth.session import tokens
from tokenauth.session.endings import RevokeReason
from tokenauth.session.jwt.jwk import canonical
from tokenauth.session.tokens import remake_refresh_token
from tokenauth.sockets import doors, looking, registry, telling

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.users]

MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CLOSED = {"type": "websocket.close", "code": 4401}
GONE = {"type": "websocket.disconnect", "code": 4401}
HERE = "https://testserver"
ACCEPT = {"type": "websocket.accept"}


@pytest.fixture(autouse=True)
def site(settings, monkeypatch):
    """A site with Channels and a layer; a busy machine is in no hurry."""
    settings.CHANNEL_LAYERS = MEMORY
    monkeypatch.setattr(telling, "TIMEOUT", PATIENCE)
    monkeypatch.setattr(registry, "TIMEOUT", PATIENCE)
    apps.get_app_config("tokenauth").ready()
    yield settings
    doors.disconnect()


@pytest.fixture(autouse=True)
async def tidy():
    """Nothing is left running when the sockets are gone, nor a query of what was cancelled."""
    yield
    await in_thread(lambda: None)()  # there is one thread: PostgreSQL empties no table that is read
    assert registry._registries == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Site:
    """A site's application: accepts, echoes, and notes what it was given and what it heard."""

    def __init__(self):
        self.scope, self.heard = None, []

    async def __call__(self, scope, receive, send):
        self.scope = scope
        while not self.heard or self.heard[-1]["type"] != "websocket.disconnect":
            self.heard.append(message := await receive())
            if message["type"] == "websocket.connect":
                await send(ACCEPT)
            elif message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})

    @property
    def person(self):
        return self.scope["user"].get_username() or "anonymous"


class Browser(ApplicationCommunicator):
    """Opens a socket from a page, with what its jar has for the path.

    Not Channels' own communicator: that one needs daphne.
    """

    def __init__(self, jar="", origin=HERE, site=None, subprotocols=(), application=None):
        self.site = site or Site()
        headers = {"host": "testserver", "x-forwarded-proto": "https", "cookie": jar}
        headers |= {"origin": origin} if origin else {}
        scope = {
            "type": "websocket",
            "path": "/ws/",
            "query_string": b"\xff",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "subprotocols": [*subprotocols],
        }
        super().__init__(application or TokenAuthMiddlewareStack(self.site), scope)

    async def says(self):
        return await self.receive_output(PATIENCE)

    async def connect(self):
        """Ask for it; return the answer."""
        await self.send_input({"type": "websocket.connect"})
        return await self.says()

    async def open(self):
        assert await self.connect() == ACCEPT
        return self.site

    async def echo(self, text):
        await self.send_input({"type": "websocket.receive", "text": text})
        return (await self.says())["text"]

    async def leave(self):
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(PATIENCE)

    async def is_refused(self):
        """Whether it is closed with 4401, and the site's application knows nothing of it."""
        assert (await self.connect())["type"] == "websocket.accept"
        assert await self.says() == CLOSED
        await self.wait(PATIENCE)
        return self.site.scope is None


def jar(*values, **more):
    """A ``Cookie`` header: access tokens, then others."""
    pairs = [(cookies.access_name(), value) for value in values]
    return "; ".join(f"{name}={value}" for name, value in [*pairs, *more.items()])


def jar_of(client):
    """What a browser sends to any path."""
    found = client.cookies.values()
    return "; ".join(f"{m.key}={m.value}" for m in found if m["path"] == "/" and m.value)


def token_of(session):
    return tokens.issue_access_token(session)[0].reveal()


async def wait_for(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # most of what is waited for is no event
            await asyncio.sleep(0.01)


def in_thread(call):
    """What a request does, beside the event loop."""
    return sync_to_async(call)


@pytest.fixture
def session(user):
    return SessionFactory(user=user)


# Who opens it


async def test_a_socket_is_signed_in_as_pages_are(session):
    """By the cookie alone."""
    browser = Browser(jar(token_of(session)))
    site = await browser.open()
    assert site.scope["user"] == session.user
    assert site.scope["auth_session"] == session
    assert await browser.echo("hello") == "hello"
    await browser.leave()
    assert [message["type"].partition(".")[2] for message in site.heard] == [
        *("connect", "receive", "disconnect")
    ]


@pytest.mark.parametrize(("known", "count"), [(True, 1), (False, 0)])
async def test_a_handshake_costs_one_query_and_that_of_nobody_none(site, session, known, count):
    """Without a layer nothing is looked at beside it."""
    site.CHANNEL_LAYERS = {}
    browser = Browser(jar(token_of(session)) if known else jar("", sessionid="x" * 32))
    queries = []

    def record(execute, sql, *args):
        queries.append(sql)
        return execute(sql, *args)

    wrappers = await in_thread(lambda: connections["default"].execute_wrappers)()
    wrappers.append(record)
    await browser.open()
    await browser.leave()
    wrappers.remove(record)
    assert len([sql for sql in queries if not sql.startswith("SET ")]) == count  # as it connects


@pytest.mark.parametrize("value", [None, "", "garbage"])
async def test_nobody_passes_as_anonymous(value):
    """As Channels lets them."""
    browser = Browser(jar() if value is None else jar(value))
    site = await browser.open()
    assert site.person == "anonymous"
    assert site.scope["auth_session"] is None
    await browser.leave()


async def test_what_is_no_websocket_is_refused_with_what_to_edit():
    """Django answers HTTP."""
    with pytest.raises(ValueError, match="Edit your ASGI application"):
        await TokenAuthMiddlewareStack(Site())({"type": "http"}, None, None)


@pytest.mark.parametrize("first", [True, False])
async def test_a_planted_twin_signs_nobody_in(session, first):
    """Of two living sessions none counts, as on pages; a dead or broken one is passed over."""
    other = await in_thread(SessionFactory)()
    both = [token_of(session), token_of(other)]
    browser = Browser(jar(*both[:: 1 if first else -1]))
    assert (await browser.open()).person == "anonymous"
    await browser.leave()
    await in_thread(AuthSession.objects.filter(pk=other.pk).revoke)(RevokeReason.ADMIN)
    browser = Browser(jar(*both[:: 1 if first else -1], "garbage"))
    assert (await browser.open()).scope["user"] == session.user
    await browser.leave()


# A refresh is due


def revoke(session):
    AuthSession.objects.filter(pk=session.pk).revoke(RevokeReason.ADMIN)


def expire(session):
    past = timezone.now() - timedelta(days=2)
    AuthSession.objects.filter(pk=session.pk).update(expires_at=past)


def suspend(session):
    deactivate(session.user)


@pytest.mark.parametrize("origin", [HERE, None])
async def test_an_expired_token_is_closed_with_4401(session, monkeypatch, origin):
    """Nothing is looked up. It is accepted first: of a refused handshake no page sees a code."""
    monkeypatch.setattr("tokenauth.channels.watched", None)
    expired = await in_thread(expired_access_token)(session)
    assert await Browser(jar(expired), origin).is_refused()
    refresh = {cookies.refresh_name(): remake_refresh_token(session).reveal()}
    assert await Browser(jar(expired, **refresh), origin).is_refused()
    assert (await AuthSession.objects.aget()).rotation == 0


@pytest.mark.parametrize("change", [revoke, expire, suspend])
async def test_a_session_that_does_not_count_is_closed_with_4401(session, change):
    """The answer to the refresh says the rest: 401."""
    await in_thread(change)(session)
    assert await Browser(jar(token_of(session))).is_refused()


@pytest.mark.parametrize("knows", [True, False], ids=["its claim", "its row alone"])
async def test_a_bound_session_opens_one_with_its_device_token_alone(site, session, knows):
    """Of a copy of the jar it is closed with 4401, as if a refresh could help."""
    site.TOKENAUTH_DEVICE_BINDING = True
    before, key = token_of(session), canonical(ES256().jwk)
    session.device_key = key
    await in_thread(session.save)()
    access = token_of(session) if knows else before
    assert await Browser(jar(access)).is_refused()
    device = {device_place(session.pk).name: issue_device_token(session.pk, key, proved=1).reveal()}
    browser = Browser(jar(access, **device))
    assert (await browser.open()).person == session.user.get_username()
    await browser.leave()


async def test_the_page_is_told_the_code_though_it_asked_for_a_subprotocol(session):
    """Chromium fails a connection whose answer names none, with 1006."""
    expired = await in_thread(expired_access_token)(session)
    browser = Browser(jar(expired), subprotocols=["graphql-transport-ws", "other"])
    assert await browser.connect() == ACCEPT | {"subprotocol": "graphql-transport-ws"}
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)


@pytest.mark.parametrize(
    ("settings_", "origin", "refused"),
    [
        ({}, HERE, True),
        ({"TOKENAUTH_COOKIE_DOMAIN": "testserver"}, HERE, False),
        ({"TOKENAUTH_COOKIE_DOMAIN": "testserver"}, None, True),
    ],
    ids=["browser", "may be planted", "no browser"],
)
async def test_a_lone_refresh_token_is_asked_for_where_it_would_count(
    site, session, settings_, origin, refused
):
    """With the refresh cookie on ``/``; one that a sibling can plant closes nobody's socket."""
    site.TOKENAUTH_REFRESH_COOKIE_PATH = "/"
    for name, value in settings_.items():
        setattr(site, name, value)
    browser = Browser(
        jar(**{cookies.refresh_name(): remake_refresh_token(session).reveal()}), origin
    )
    if refused:
        assert await browser.is_refused()
    else:
        assert (await browser.open()).person == "anonymous"
        assert not await browser.site.scope["session"].aget("data")
        await browser.leave()


# Other sites

FOREIGN = ["https://evil.test", "http://testserver", "https://testserver:8443", "null", "https://["]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_another_sites_page_opens_no_socket_of_a_signed_in_person(session, origin):
    """Whatever its token is worth; 403 before it is accepted."""
    expired = await in_thread(expired_access_token)(session)
    for value in (token_of(session), expired):
        browser = Browser(jar(value), origin)
        assert await browser.connect() == {"type": "websocket.close"}
        await browser.wait(PATIENCE)
        assert browser.site.scope is None


async def test_a_trusted_origin_may(site, session):
    """Where the site says so."""
    site.CSRF_TRUSTED_ORIGINS = ["https://*.example.com"]
    browser = Browser(jar(token_of(session)), "https://app.example.com")
    assert (await browser.open()).scope["user"] == session.user
    await browser.leave()


async def test_another_sites_page_gets_nobodys_data():
    """Who is not signed in may have a cart."""
    key = await in_thread(anonymous_data)("cart")
    for origin, data in [("https://evil.test", None), (HERE, "cart"), (None, "cart")]:
        browser = Browser(jar(sessionid=key), origin)
        assert await (await browser.open()).scope["session"].aget("data") == data
        await browser.leave()


def anonymous_data(data):
    """The ``sessionid`` of somebody who is not signed in."""
    client = Client()
    client.post("/session-data/", {"data": data}, secure=True)
    return client.cookies["sessionid"].value


# The Django session


def signed_in_with_data(person, data):
    client = Client()
    client.post(
        "/django-login/", {"username": person.get_username(), "password": PASSWORD}, secure=True
    )
    client.post("/session-data/", {"data": data}, secure=True)
    return client


async def test_the_django_session_is_that_very_persons(user):
    """A borrowed ``sessionid`` reads as empty."""
    other = await in_thread(UserFactory)()
    mine = await in_thread(signed_in_with_data)(user, "mine")
    theirs = await in_thread(signed_in_with_data)(other, "theirs")
    access = mine.cookies[cookies.access_name()].value
    for client, data in ((mine, "mine"), (theirs, None)):
        browser = Browser(jar(access, sessionid=client.cookies["sessionid"].value))
        site = await browser.open()
        assert site.scope["user"] == user
        assert await site.scope["session"].aget("data") == data
        await browser.leave()
    browser = Browser(jar(sessionid=theirs.cookies["sessionid"].value))
    site = await browser.open()
    assert site.person == "anonymous"
    assert await site.scope["session"].aget("data") is None
    await browser.leave()


async def test_a_django_session_is_not_adopted_by_a_socket(user):
    """Its answer could not carry the tokens: a page adopts it."""
    client = Client()
    await in_thread(client.force_login)(user)
    browser = Browser(jar_of(client))
    site = await browser.open()
    assert site.person == "anonymous"
    assert await site.scope["session"].aget("_auth_user_id") is None
    await browser.leave()
    await in_thread(client.get)("/whoami/", secure=True)
    browser = Browser(jar_of(client))
    assert (await browser.open()).scope["user"] == user
    await browser.leave()


# Every door


def change_password_by_form(client, session):
    fields = {"old_password": PASSWORD, "new_password1": "other-pass-2"}
    answer = client.post("/password/", fields | {"new_password2": "other-pass-2"}, secure=True)
    assert answer.status_code == 302


def revoke_in_the_admin(client, session):
    staff = Client()
    staff.force_login(StaffFactory())
    answer = staff.post(
        "/admin/tokenauth/authsession/",
        {"action": "revoke", "confirmed": "yes", "_selected_action": [session.pk]},
        secure=True,
    )
    assert answer.status_code == 302


def revoke_by_command(client, session):
    name = session.user.get_username()
    call_command("tokenauth_revoke", "--user", name, stdout=io.StringIO())


def bring_a_spent_token(client, session):
    spent = remake_refresh_token(session)
    an_hour_ago = timezone.now() - timedelta(hours=1)
    AuthSession.objects.filter(pk=session.pk).update(issued_at=an_hour_ago)
    AuthSession.objects.rotate(spent)
    AuthSession.objects.filter(pk=session.pk).update(confirmed=True)
    thief = Client()
    thief.cookies[cookies.refresh_name()] = spent.reveal()
    assert thief.post("/auth/refresh/", secure=True).status_code == 401


def delete_the_person(client, session):
    session.user.delete()


def delete_the_people(client, session):
    get_user_model().objects.filter(pk=session.user.pk).delete()


def set_a_password(client, session):
    change_password(session.user)


def deactivate_the_person(client, session):
    deactivate(session.user)


ALL_DOORS = [
    *(*DOORS, change_password_by_form, revoke_in_the_admin, revoke_by_command, bring_a_spent_token),
    *(delete_the_person, delete_the_people, set_a_password, deactivate_the_person),
]


@pytest.mark.parametrize("door", ALL_DOORS)
async def test_a_running_socket_is_closed_whatever_door_its_session_ends_by(site, user, door):
    """And its application is told; others run on."""
    client, session = await in_thread(sign_in)(user)
    site.TOKENAUTH_MAX_SESSIONS_PER_USER = 1 if door.__name__ == "exceed_the_limit" else 100
    stranger = Browser(jar(token_of(await in_thread(SessionFactory)())))
    browsers = [Browser(jar_of(client)) for _ in range(2)]
    for browser in (*browsers, stranger):
        await browser.open()
    await in_thread(door)(client, session)
    for browser in browsers:
        assert await browser.says() == CLOSED
        await browser.wait(PATIENCE)
        assert browser.site.heard[-1] == GONE
    assert await stranger.echo("still here") == "still here"
    await stranger.leave()


def log_in(person):
    person.last_login = timezone.now()
    person.save(update_fields=["last_login"])


def rename(person):
    person.first_name = "Alice"
    person.save()


def load(person):
    person.is_active = False
    person.save_base(raw=True)


@pytest.mark.parametrize("change", [log_in, rename, load])
async def test_other_changes_of_a_person_are_not_told(session, monkeypatch, change):
    """Nor what a fixture loads, or who has no session."""
    told = []
    monkeypatch.setattr(doors, "tell", told.append)
    await in_thread(change)(session.user)
    await in_thread(UserFactory)()
    await in_thread(deactivate)(await in_thread(UserFactory)())
    assert told == []


def test_a_person_who_is_saved_costs_one_query_and_who_logs_in_none(
    user, django_assert_num_queries
):
    """However many sessions they have."""
    SessionFactory.create_batch(3, user=user)
    for change, count in ((log_in, 0), (rename, 1), (deactivate, 1)):
        with django_assert_num_queries(count + 1):
            change(user)


def test_an_end_is_told_when_others_can_see_it(session, monkeypatch):
    """Who looked before the commit would let the socket run on."""
    told = []
    monkeypatch.setattr(doors, "tell", told.append)
    with transaction.atomic():
        revoke(session)
        assert told == []
    assert told == [[str(session.pk)]]


async def test_an_end_that_is_rolled_back_closes_nothing(session):
    """It is told after the commit."""
    browser = Browser(jar(token_of(session)))
    await browser.open()

    def fail():
        with transaction.atomic():
            revoke(session)
            deactivate(session.user)
            transaction.set_rollback(True)

    await in_thread(fail)()
    assert await browser.echo("still here") == "still here"
    await browser.leave()


async def test_what_has_no_socket_here_is_not_looked_at(session, monkeypatch):
    """Each process hears of all that end, and asks about its own."""
    browser, looked = Browser(jar(token_of(session))), []
    await browser.open()
    look = looking.usable_among
    monkeypatch.setattr(registry, "usable_among", lambda sids: looked.append(sids) or look(sids))
    await in_thread(revoke)(await in_thread(SessionFactory)())
    await in_thread(revoke)(session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    assert looked
    assert all(sids == {str(session.pk)} for sids in looked)


async def test_a_new_password_sent_by_a_session_closes_the_socket_of_that_one_too(user):
    """The page refreshes and connects as the session that took its place."""
    client, session = await in_thread(sign_in)(user)
    browser = Browser(jar_of(client))
    await browser.open()
    await in_thread(change_password_by_form)(client, session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    browser = Browser(jar_of(client))
    assert (await browser.open()).scope["auth_session"] != session
    await browser.leave()


async def test_many_at_once_are_told_in_few_messages(user, monkeypatch):
    """So that no layer is flooded when a site signs everybody out."""
    sessions = await in_thread(SessionFactory.create_batch)(7, user=user)
    monkeypatch.setattr("tokenauth.session.database.batches.BATCH", 3)
    layer, sent = get_channel_layer(), []
    group_send = layer.group_send

    async def send(group, message):
        sent.append(len(message["sids"]))
        await group_send(group, message)

    monkeypatch.setattr(layer, "group_send", send)
    browsers = [Browser(jar(token_of(session))) for session in sessions]
    for browser in browsers:
        await browser.open()
    await in_thread(deactivate)(user)
    assert sent == [3, 3, 1]
    for browser in browsers:
        assert await browser.says() == CLOSED
        await browser.wait(PATIENCE)


# The how-to page


async def test_the_application_of_the_how_to_lets_people_in(session, monkeypatch):
    """As it stands there, with routes of the site's."""
    chat = Site()
    routing = SimpleNamespace(websocket_urlpatterns=[path("ws/", chat)])
    monkeypatch.setitem(sys.modules, "chat", SimpleNamespace(routing=routing))
    monkeypatch.setitem(sys.modules, "chat.routing", routing)
    page = (ROOT / "docs" / "how-to" / "websockets.md").read_text(encoding="utf-8")
    block = re.compile(r"^```python\n(# mysite/asgi.*?)^```$", re.MULTILINE | re.DOTALL)
    names = {}
    exec(block.search(page)[1], names)  # noqa: S102  # our own page
    browser = Browser(jar(token_of(session)), application=names["application"])
    await browser.open()
    assert chat.scope["user"] == session.user
    await browser.leave()


# What nobody tells


@pytest.mark.parametrize("has_layer", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        expire,
        lambda s: get_user_model().objects.filter(pk=s.user.pk).update(is_active=False),
        lambda s: AuthSession.objects.filter(pk=s.pk).delete(),
    ],
    ids=["expired", "updated", "deleted"],
)
async def test_every_socket_is_looked_at_again_now_and_then(site, session, change, has_layer):
    """Once in the life of an access token: what no signal tells, or no layer."""
    site.CHANNEL_LAYERS = MEMORY if has_layer else {}
    browser = Browser(jar(token_of(session)))
    site.TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=0.1)
    await browser.open()
    await asyncio.sleep(0.3)
    assert await browser.echo("still here") == "still here"
    await in_thread(change)(session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)


async def test_a_socket_keeps_no_session_alive(site, session):
    """Nor does a page: only a refresh does."""
    before = await AuthSession.objects.aget()
    browser = Browser(jar(token_of(session)))
    site.TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=0.1)
    await browser.open()
    await asyncio.sleep(0.3)
    await browser.leave()
    after = await AuthSession.objects.aget()
    assert (before.expires_at, before.last_seen_at) == (after.expires_at, after.last_seen_at)


# Moments


async def test_a_session_that_ends_while_it_is_looked_up_opens_nothing(session, monkeypatch):
    """The look-up found it alive, the message came meanwhile."""
    look_up = AuthSession.objects.look_up

    def slow_look_up(sid, key=None):
        result = look_up(sid, key)
        revoke(session)
        return result

    monkeypatch.setattr(AuthSession.objects, "look_up", slow_look_up)
    browser = Browser(jar(token_of(session)))
    assert (await browser.connect())["type"] == "websocket.accept"
    while (said := await browser.says()) != CLOSED:
        assert said["type"] == "websocket.send"
    await browser.wait(PATIENCE)


async def test_a_socket_that_is_not_accepted_yet_is_accepted_to_be_closed(session):
    """Or its page would see no code."""
    site = Site()
    waits = asyncio.Event()

    async def hesitate(scope, receive, send):
        site.heard.append(await receive())
        await waits.wait()
        await send(ACCEPT)
        site.heard.append(await receive())

    browser = Browser(jar(token_of(session)), site=hesitate)
    await browser.send_input({"type": "websocket.connect"})
    await wait_for(lambda: site.heard)
    await in_thread(revoke)(session)
    assert (await browser.says())["type"] == "websocket.accept"
    assert await browser.says() == CLOSED
    waits.set()
    await browser.wait(PATIENCE)
    assert site.heard[-1] == GONE
    assert browser.output_queue.empty()


async def test_an_application_that_goes_on_is_cut_off(session):
    """What it sends goes nowhere, and what the page still sends does not reach it."""
    heard, goes_on = [], asyncio.Event()

    async def deaf(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await goes_on.wait()
        await send({"type": "websocket.send", "text": "secret"})
        while len(heard) < 2:
            heard.append(await receive())
        await send({"type": "websocket.close"})

    browser = Browser(jar(token_of(session)), site=deaf)
    await browser.open()
    await in_thread(revoke)(session)
    assert await browser.says() == CLOSED
    goes_on.set()
    await wait_for(lambda: heard == [GONE])
    await browser.send_input({"type": "websocket.receive", "text": "delete everything"})
    await browser.send_input({"type": "websocket.disconnect", "code": 4401})
    await browser.wait(PATIENCE)
    assert [message["type"] for message in heard] == ["websocket.disconnect"] * 2
    assert browser.output_queue.empty()


async def test_a_message_that_comes_with_the_end_is_not_delivered(session):
    """Whichever of the two was first."""
    browser = Browser(jar(token_of(session)))
    site = await browser.open()
    (socket,) = next(iter(registry._registries.values())).sockets[str(session.pk)]
    browser.input_queue.put_nowait({"type": "websocket.receive", "text": "delete everything"})
    socket.end()
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    assert site.heard[1:] == [GONE]


async def test_a_servers_own_time_out_reaches_the_application(session):
    """It is no end of ours."""

    async def receive():
        raise TimeoutError

    application = TokenAuthMiddlewareStack(lambda scope, receive, send: receive())
    scope = Browser(jar(token_of(session))).scope
    with pytest.raises(TimeoutError):
        await application(scope, receive, None)


@pytest.mark.parametrize("message", ["websocket.close", "websocket.http.response.start"])
async def test_what_the_application_has_closed_is_not_closed_again(session, message):
    """A server takes a second close for an error; the body of an answer goes through."""
    ends = asyncio.Event()

    async def denier(scope, receive, send):
        await receive()
        await send({"type": message})
        await ends.wait()
        await send({"type": "websocket.http.response.body"})

    browser = Browser(jar(token_of(session)), site=denier)
    assert (await browser.connect())["type"] == message
    other = Browser(jar(token_of(session)))
    await other.open()
    await in_thread(revoke)(session)
    assert await other.says() == CLOSED
    await other.wait(PATIENCE)
    ends.set()
    assert (await browser.says())["type"] == "websocket.http.response.body"
    await browser.wait(PATIENCE)


async def test_a_connection_that_is_gone_is_no_error(session):
    """Servers say so in their own ways."""

    async def send(message):
        raise OSError("gone")

    await in_thread(revoke)(session)
    site = Site()
    await TokenAuthMiddlewareStack(site)(Browser(jar(token_of(session))).scope, None, send)
    assert site.scope is None


async def test_the_server_gets_its_time_to_close(session):
    """Who returns earlier is cut off, and the page sees no code."""
    sent, is_written = [], asyncio.Event()

    async def send(message):
        sent.append(message)
        if message == CLOSED:
            await is_written.wait()

    await in_thread(revoke)(session)
    scope = Browser(jar(token_of(session))).scope
    task = asyncio.create_task(TokenAuthMiddlewareStack(Site())(scope, None, send))
    await wait_for(lambda: CLOSED in sent)
    await asyncio.sleep(0.05)
    assert not task.done()
    is_written.set()
    await task


async def test_a_server_that_cancels_leaves_nothing_behind(session):
    """As daphne does with who takes long to leave."""
    browser = Browser(jar(token_of(session)))
    await browser.open()
    browser.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await browser.future


@pytest.mark.parametrize("kind", [AsyncWebsocketConsumer, WebsocketConsumer])
async def test_the_consumers_of_channels_are_told(session, kind):
    """``disconnect()`` runs with 4401."""
    codes = []

    class Chat(kind):
        def note(self, code):
            codes.append(code)

        if kind is WebsocketConsumer:
            disconnect = note
        else:

            async def disconnect(self, code):
                self.note(code)

    browser = Browser(jar(token_of(session)), site=Chat.as_asgi())
    assert (await browser.connect())["type"] == "websocket.accept"
    await in_thread(revoke)(session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    assert codes == [4401]


# What may be away


async def test_a_database_that_is_away_closes_nothing_and_is_asked_again(
    session, monkeypatch, caplog
):
    """One line in the log, and one when it is back."""
    monkeypatch.setattr(registry, "RETRY", 0.01)
    usable_among, tries = looking.usable_among, []

    def broken(sids):
        tries.append(sids)
        if len(tries) < 5:
            raise OperationalError("with what no log may have")
        return usable_among(sids)

    monkeypatch.setattr(registry, "usable_among", broken)
    browser = Browser(jar(token_of(session)))
    await browser.open()
    await wait_for(lambda: tries)
    await in_thread(revoke)(session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    assert [record.getMessage() for record in caplog.records if "away" in record.getMessage()] == [
        "The database is away, so sockets end late: OperationalError."
    ]
    assert "The database is back." in caplog.text
    assert "no log may have" not in caplog.text


@pytest.mark.parametrize("error", [ValueError, OperationalError])
async def test_one_person_who_cannot_be_looked_at_keeps_no_other_socket_open(
    session, monkeypatch, caplog, error
):
    """A backend of the site's may raise anything; a database that is away is asked again."""
    monkeypatch.setattr(registry, "RETRY", 0.01)
    other = await in_thread(SessionFactory)()
    browsers = [Browser(jar(token_of(each))) for each in (session, other)]
    for browser in browsers:
        await browser.open()
    check, failures = AuthSession.check_usable, []

    def check_usable(found):
        if found.pk == other.pk and (error is ValueError or not failures):
            failures.append(found)
            raise error
        check(found)

    monkeypatch.setattr(AuthSession, "check_usable", check_usable)
    await in_thread(AuthSession.objects.filter(pk=session.pk).delete)()  # which nobody tells
    await in_thread(telling.tell)([str(other.pk), str(session.pk)])
    assert await browsers[0].says() == CLOSED
    await browsers[0].wait(PATIENCE)
    assert await browsers[1].echo("still here") == "still here"
    await browsers[1].leave()
    assert failures
    assert (error is ValueError) == ("could not be looked at again" in caplog.text)


async def test_a_layer_that_is_away_keeps_nobody_from_anything(session, monkeypatch, caplog):
    """Sockets open, sessions end; when it is back, what was missed is looked at."""
    monkeypatch.setattr(registry, "RETRY", 0.01)
    layer, away = get_channel_layer(), [True]

    def fails(call):
        async def called(*args):
            if away:
                raise ConnectionError("redis://:password@host")
            return await call(*args)

        return called

    for name in ("new_channel", "group_send"):
        monkeypatch.setattr(layer, name, fails(getattr(layer, name)))
    browser = Browser(jar(token_of(session)))
    await browser.open()
    await in_thread(revoke)(session)
    assert await browser.echo("still here") == "still here"
    away.clear()
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    words = [record.getMessage() for record in caplog.records]
    assert words == [
        "The channel layer is away, so sockets end late: ConnectionError.",
        "Open sockets will end late: the layer failed (ConnectionError).",
        "The channel layer is back.",
    ]


async def test_a_layer_that_forgets_its_group_is_joined_again(session, monkeypatch):
    """Redis without its memory does not say so; channels_redis forgets after a day."""
    monkeypatch.setattr(registry, "RENEWAL", 0.01)
    browser = Browser(jar(token_of(session)))
    await browser.open()
    layer = get_channel_layer()
    await wait_for(lambda: layer.groups)
    layer.groups.clear()
    await wait_for(lambda: layer.groups)
    await in_thread(revoke)(session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)


@pytest.mark.parametrize("name", ["group_add", "group_discard"])
async def test_a_layer_that_fails_at_the_edges_is_no_matter(session, monkeypatch, name):
    """Joining anew, and leaving."""
    monkeypatch.setattr(registry, "RENEWAL", 0.01)
    browser = Browser(jar(token_of(session)))
    await browser.open()
    layer, failures = get_channel_layer(), []
    await wait_for(lambda: layer.groups)

    async def fail(*args):
        failures.append(args)
        raise ConnectionError

    monkeypatch.setattr(layer, name, fail)
    if name == "group_add":
        await wait_for(lambda: failures)
    await in_thread(revoke)(session)
    assert await browser.says() == CLOSED
    await browser.wait(PATIENCE)
    assert failures


def test_a_site_without_channels_pays_nothing():
    """Neither an import nor a receiver."""
    code = "import sys; from django.db.models.signals import post_save;"
    code += "from tokenauth import signals;"
    code += "assert not [name for name in sys.modules if name.startswith('channels')];"
    code += "assert not signals.sessions_ended.receivers and not post_save.receivers"
    run_django(code, {})


@pytest.mark.parametrize("name", ["receive", "group_add"])
async def test_a_layer_that_swallows_a_cancellation_is_left_all_the_same(
    session, monkeypatch, name
):
    """As redis-py does, which takes it for a connection that broke."""
    monkeypatch.setattr(registry, "RENEWAL", 0.01)
    layer, waits = get_channel_layer(), []
    call = getattr(layer, name)

    async def swallow(*args):
        if name == "group_add" and not waits:
            waits.append("the first time it joins")
            return await call(*args)
        waits.append("for ever")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None

    monkeypatch.setattr(layer, name, swallow)
    browser = Browser(jar(token_of(session)))
    await browser.open()
    await wait_for(lambda: "for ever" in waits)
    await browser.leave()


async def test_a_registry_without_sockets_ends_by_itself(site):
    """Also if the last cancellation was swallowed: nothing is left in the event loop."""
    tasks = [*registry.Registry().tasks]
    assert tasks
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


async def test_without_a_layer_nobody_is_told(site, session, caplog):
    """A signal that was connected while there was one does nothing, and fails at nothing."""
    site.CHANNEL_LAYERS = {}
    await in_thread(revoke)(session)
    assert not await in_thread(AuthSession.objects.active().filter(pk=session.pk).exists)()
    assert caplog.text == ""


@pytest.mark.parametrize("layer", [{}, MEMORY])
def test_a_stack_without_a_layer_says_so(site, caplog, layer):
    """Once, when it is made."""
    site.CHANNEL_LAYERS = layer
    TokenAuthMiddlewareStack(Site())
    assert ("Edit CHANNEL_LAYERS" in caplog.text) == (not layer)
