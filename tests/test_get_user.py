"""Django's own get_user() agrees with request.user: sites and packages call it."""

import asyncio

import pytest
from django.contrib.auth import aget_user, get_user
from django.test import AsyncClient, Client
from django.utils.decorators import sync_and_async_middleware

from tests.factories import SessionFactory, UserFactory
from tokenauth.models import AuthSession
from tokenauth.session import tokens

pytestmark = pytest.mark.django_db(transaction=True)


def tell_both(get_response):
    def middleware(request):
        response = get_response(request)
        response["X-Both"] = f"{get_user(request).pk} {request.user.pk}"
        return response

    return middleware


@sync_and_async_middleware
def tell_both_async(get_response):
    if not asyncio.iscoroutinefunction(get_response):
        return tell_both(get_response)

    async def middleware(request):
        response = await get_response(request)
        asked = await aget_user(request)
        response["X-Both"] = f"{asked.pk} {(await request.auser()).pk}"
        return response

    return middleware


def own(user):
    """Tokens whose Django session is gone: expired, cleared, or never made."""
    session = SessionFactory(user=user)
    return {"__Host-access_token": tokens.issue_access_token(session)[0].reveal()}


def own_beside_a_strangers(user):
    """Tokens beside the Django session of somebody else, planted."""
    stranger = Client()
    stranger.force_login(UserFactory(username="mallory"))
    return own(user) | {"sessionid": stranger.cookies["sessionid"].value}


def ended(user):
    """Tokens of a session that has ended, beside the Django session that was its own."""
    client = Client()
    client.force_login(user)
    client.get("/whoami/", secure=True)
    AuthSession.objects.all().revoke("admin")
    return {name: morsel.value for name, morsel in client.cookies.items()}


def nothing(user):
    """A stranger."""
    return {}


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("bring", "is_in"),
    [(own, True), (own_beside_a_strangers, True), (ended, False), (nothing, False)],
)
def test_djangos_get_user_agrees_with_the_request(settings, user, client_class, bring, is_in):
    """Sites and packages call it, and aget_user(); it reads the request's Django session."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.tell_both_async"]
    client = client_class(headers={"X-Forwarded-Proto": "https"})
    client.cookies.load(bring(user))
    answer = client.get("/whoami/")
    answer = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
    asked, known = answer["X-Both"].split()
    assert asked == known == (str(user.pk) if is_in else "None")
