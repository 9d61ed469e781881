"""Make what each column sends: a request as a dictionary that JSON can hold.

Each function here belongs to the columns that name it. It is given the number of requests, if
each must have a credential of its own; else it makes one.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.test import Client, override_settings
from django.utils import timezone
from django.utils.module_loading import import_string

from benchmarks.columns import ACCESS

Request = dict[str, Any]

#: What a browser says besides.
HEADERS = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-GB,en;q=0.5",
    "accept-encoding": "gzip, deflate, br, zstd",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}
PASSWORD = "correct horse battery staple"  # noqa: S105  # it opens nothing
CSRF = "a" * 32
MAKERS: dict[str, Callable[[int], Iterator[Request]]] = {}
GRACE = timedelta(minutes=2)


def maker(make: Callable[[int], Iterator[Request]]) -> Callable[[int], Iterator[Request]]:
    """Enter a function."""
    MAKERS[make.__name__] = make
    return make


def get(path: str, **headers: str) -> Request:
    """Return a GET."""
    return {"method": "GET", "path": path, "headers": HEADERS | headers, "body": ""}


def post(path: str, body: str, content_type: str, **headers: str) -> Request:
    """Return a POST of a page of this site."""
    more = {"origin": "https://testserver", "content-type": content_type, **headers}
    return {"method": "POST", "path": path, "headers": HEADERS | more, "body": body}


def form(path: str, fields: dict[str, str], **headers: str) -> Request:
    """Return a form's POST, with its CSRF token."""
    cookie = "; ".join(filter(None, [headers.pop("cookie", ""), f"csrftoken={CSRF}"]))
    body = urlencode({"csrfmiddlewaretoken": CSRF} | fields)
    return post(path, body, "application/x-www-form-urlencoded", cookie=cookie, **headers)


def send(path: str, data: dict[str, str]) -> Request:
    """Return a POST of JSON."""
    return post(path, json.dumps(data), "application/json")


def people(number: int) -> list[Any]:
    """Make that many people. Each is somebody's only session: none is slow for having others."""
    model = get_user_model()
    hashed, begin = make_password(PASSWORD), model.objects.count()
    return model.objects.bulk_create(
        model(username=f"person{begin + n}", password=hashed) for n in range(number)
    )


def jar(client: Client, path: str = "/") -> str:
    """Return the Cookie header that a browser sends to a path.

    Without the names that cookies have under DEBUG: tokenauth.testing sets both.
    """
    plain = {"access_token", "refresh_token"}
    cookies = [
        morsel
        for name, morsel in client.cookies.items()
        if morsel.value and name not in plain and path.startswith(morsel["path"] or "/")
    ]
    return "; ".join(f"{morsel.key}={morsel.value}" for morsel in cookies)


# Floors


@maker
def bare(number: int) -> Iterator[Request]:
    yield get("/silent/")


@maker
def bare_rest(number: int) -> Iterator[Request]:
    yield get("/api/silent/")


@maker
def bare_async(number: int) -> Iterator[Request]:
    yield get("/silent/async/")


@maker
def bare_post(number: int) -> Iterator[Request]:
    yield form("/silent/", {"username": "person1", "password": PASSWORD})


@maker
def bare_rest_post(number: int) -> Iterator[Request]:
    yield send("/api/silent/", {"username": "person1", "password": PASSWORD})


# Peers


def django_session(path: str) -> Iterator[Request]:
    client = Client()
    client.force_login(people(1)[0])
    yield get(path, cookie=jar(client))


@maker
def session(number: int) -> Iterator[Request]:
    yield from django_session("/asks/")


@maker
def session_silent(number: int) -> Iterator[Request]:
    yield from django_session("/silent/")


@maker
def session_db_async(number: int) -> Iterator[Request]:
    yield from django_session("/asks/async/")


@maker
def session_db_login(number: int) -> Iterator[Request]:
    for person in people(number):
        yield form("/login/", {"username": person.username, "password": PASSWORD})


def django_signed_in(number: int) -> Iterator[tuple[Any, str]]:
    """Make people, each with a browser that is signed in."""
    for person in people(number):
        client = Client()
        client.force_login(person)
        yield person, jar(client)


@maker
def session_db_again(number: int) -> Iterator[Request]:
    for person, cookie in django_signed_in(number):
        fields = {"username": person.username, "password": PASSWORD}
        yield form("/login/", fields, cookie=cookie)


@maker
def session_db_logout(number: int) -> Iterator[Request]:
    for _, cookie in django_signed_in(number):
        yield form("/logout/", {}, cookie=cookie)


def simplejwt_access() -> str:
    token = import_string("rest_framework_simplejwt.tokens.AccessToken")
    return str(token.for_user(people(1)[0]))


@maker
def simplejwt_header(number: int) -> Iterator[Request]:
    yield get("/api/asks/", authorization=f"Bearer {simplejwt_access()}")


@maker
def simplejwt_stateless(number: int) -> Iterator[Request]:
    yield from simplejwt_header(number)


@maker
def simplejwt_cookie(number: int) -> Iterator[Request]:
    yield get("/api/asks/", cookie=f"jwt={simplejwt_access()}")


@maker
def simplejwt_refresh(number: int) -> Iterator[Request]:
    token = import_string("rest_framework_simplejwt.tokens.RefreshToken")
    for person in people(number):
        yield send("/token/refresh/", {"refresh": str(token.for_user(person))})


@maker
def simplejwt_login(number: int) -> Iterator[Request]:
    for person in people(number):
        yield send("/token/", {"username": person.username, "password": PASSWORD})


def allauth_tokens(number: int) -> Iterator[tuple[str, str]]:
    """Sign in as an app does."""
    for person in people(number):
        body = {"username": person.username, "password": PASSWORD}
        with override_settings(ACCOUNT_RATE_LIMITS=False, ACCOUNT_EMAIL_VERIFICATION="none"):
            answer = Client().post("/_allauth/app/v1/auth/login", body, "application/json")
        meta = answer.json()["meta"]
        yield meta["access_token"], meta["refresh_token"]


@maker
def allauth(number: int) -> Iterator[Request]:
    for access, _ in allauth_tokens(1):
        yield get("/api/asks/", authorization=f"Bearer {access}")


@maker
def allauth_refresh(number: int) -> Iterator[Request]:
    for _, refresh in allauth_tokens(number):
        yield send("/_allauth/app/v1/tokens/refresh", {"refresh_token": refresh})


def toolkit_tokens(number: int) -> Iterator[tuple[str, str, str]]:
    """Make an application, and what it has been given for each person."""
    application = apps.get_model("oauth2_provider", "Application").objects.create(
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris="https://app.test/",
    )
    for n, person in enumerate(people(number)):
        access = apps.get_model("oauth2_provider", "AccessToken").objects.create(
            user=person,
            token=f"access{n:024}",
            application=application,
            expires=timezone.now() + ACCESS,
            scope="read",
        )
        apps.get_model("oauth2_provider", "RefreshToken").objects.create(
            user=person, token=f"refresh{n:023}", application=application, access_token=access
        )
        yield application.client_id, access.token, f"refresh{n:023}"


@maker
def oauth_toolkit(number: int) -> Iterator[Request]:
    for _, access, _ in toolkit_tokens(1):
        yield get("/api/asks/", authorization=f"Bearer {access}")


@maker
def oauth_toolkit_refresh(number: int) -> Iterator[Request]:
    for client, _, refresh in toolkit_tokens(number):
        fields = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": client}
        yield form("/o/token/", fields)


@maker
def knox(number: int) -> Iterator[Request]:
    _, token = apps.get_model("knox", "AuthToken").objects.create(user=people(1)[0])
    yield get("/api/asks/", authorization=f"Token {token}")


# Ours


@contextmanager
def earlier(by: timedelta) -> Iterator[None]:
    """Do something some time ago."""
    travel = import_string("time_machine.travel")
    with travel(timezone.now() - by, tick=False):
        yield


def sign_in(person: Any, age: timedelta, *, confirmed: bool = True) -> Client:
    """Return a browser that signed in a while ago, and has been back since then."""
    client = Client(headers=HEADERS)
    with earlier(age):
        import_string("tokenauth.testing.force_login")(client, person)
    if confirmed:
        with earlier(age - GRACE):
            client.get("/asks/", secure=True)
    return client


def ours(path: str) -> Iterator[Request]:
    client = sign_in(people(1)[0], GRACE)
    yield get(path, cookie=jar(client, path))


def expired(number: int) -> Iterator[Client]:
    """Yield browsers whose access token is over."""
    for person in people(number):
        yield sign_in(person, 2 * ACCESS)


@maker
def tokenauth_asks(number: int) -> Iterator[Request]:
    yield from ours("/asks/")


@maker
def tokenauth_silent(number: int) -> Iterator[Request]:
    yield from ours("/silent/")


@maker
def tokenauth_no_cookie(number: int) -> Iterator[Request]:
    yield get("/silent/")


@maker
def tokenauth_drf(number: int) -> Iterator[Request]:
    yield from ours("/api/asks/")


@maker
def tokenauth_async(number: int) -> Iterator[Request]:
    yield from ours("/asks/async/")


@maker
def tokenauth_refresh(number: int) -> Iterator[Request]:
    for client in expired(number):
        yield form("/auth/refresh/", {}, cookie=jar(client, "/auth/refresh/"))


@maker
def tokenauth_in_place(number: int) -> Iterator[Request]:
    for client in expired(number):
        yield get("/auth/asks/", cookie=jar(client, "/auth/asks/"))


@maker
def tokenauth_bounce(number: int) -> Iterator[Request]:
    for client in expired(number):
        yield get("/asks/", cookie=jar(client))


@maker
def tokenauth_bounce_back(number: int) -> Iterator[Request]:
    for client in expired(number):
        answer = Client().get("/asks/", headers=HEADERS | {"cookie": jar(client)}, secure=True)
        yield get(answer.headers["Location"], cookie=jar(client, "/auth/refresh/"))


@maker
def tokenauth_confirm(number: int) -> Iterator[Request]:
    for person in people(number):
        yield get("/asks/", cookie=jar(sign_in(person, GRACE, confirmed=False)))


@maker
def tokenauth_login(number: int) -> Iterator[Request]:
    for person in people(number):
        fields = {"username": person.username, "password": PASSWORD, "remember": "on"}
        yield form("/auth/login/", fields)


@maker
def tokenauth_login_alone(number: int) -> Iterator[Request]:
    yield from tokenauth_login(number)


def signed_in(number: int) -> Iterator[tuple[Any, str]]:
    """Make people, each with a browser that has signed in on the page, Django's session bound."""
    for person in people(number):
        fields = {"username": person.username, "password": PASSWORD, "remember": "on"}
        client = Client(headers=HEADERS)
        with earlier(GRACE):
            client.post("/auth/login/", fields, secure=True)
        yield person, jar(client, "/auth/")


@maker
def tokenauth_again(number: int) -> Iterator[Request]:
    for person, cookie in signed_in(number):
        fields = {"username": person.username, "password": PASSWORD, "remember": "on"}
        yield form("/auth/login/", fields, cookie=cookie)


@maker
def tokenauth_logout(number: int) -> Iterator[Request]:
    for _, cookie in signed_in(number):
        yield form("/auth/logout/", {}, cookie=cookie)
