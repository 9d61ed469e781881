"""No response that carries a token cookie can be stored: a cache would sign strangers in."""

import gzip
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings as site
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone, translation
from django.views.decorators.cache import cache_control, cache_page
from django.views.decorators.http import condition
from django.views.decorators.vary import vary_on_headers

from tests import urls
from tests.factories import PASSWORD
from tokenauth.models import AuthSession

OURS = {"__Host-access_token", "__Secure-refresh_token"}
TEXT = "the same for everybody. " * 100

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

#: Headers that tell some cache to keep a response, whatever ``Cache-Control`` says.
STORE = {
    "Expires": "Thu, 31 Dec 2099 23:59:59 GMT",
    "CDN-Cache-Control": "max-age=600",
    "Cloudflare-CDN-Cache-Control": "max-age=600",
    "Netlify-CDN-Cache-Control": "public, max-age=600, durable",
    "Vercel-CDN-Cache-Control": "max-age=600",
    "surrogate-control": "max-age=600",
    "Edge-Control": "!no-store, max-age=600",
    "X-Accel-Expires": "600",
    "X-LiteSpeed-Cache-Control": "public, max-age=600",
}


def article(request: HttpRequest) -> HttpResponse:
    return HttpResponse(TEXT, content_type="text/plain")


def cdn(request: HttpRequest) -> HttpResponse:
    """Do all that a site can do to have a page cached."""
    return HttpResponse(TEXT, headers=STORE | {"Cache-Control": "public, s-maxage=600"})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse([TEXT], headers={"Cache-Control": "public, max-age=600"})


urlpatterns = [
    *urls.urlpatterns,
    path("article/", article),
    path("cached/", cache_page(600)(article)),
    path("public/", cache_control(public=True, max_age=600)(article)),
    path("cdn/", cdn),
    path("stream/", stream),
    path("any/", vary_on_headers("*")(article)),
    path("etag/", condition(etag_func=lambda request: '"1"')(article)),
]
PAGES = ["/article/", "/cached/", "/public/", "/cdn/", "/stream/", "/any/", "/etag/"]


@pytest.fixture(autouse=True)
def cached_site(settings):
    """A site that keeps every page it may, and compresses it."""
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        *site.MIDDLEWARE[:2],
        "django.middleware.locale.LocaleMiddleware",
        *site.MIDDLEWARE[2:],
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    cache.clear()
    with translation.override(translation.get_language()):  # LocaleMiddleware leaves one behind
        yield
    cache.clear()


@pytest.fixture
def clock():
    """The time, which stands still until the test moves it."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def login(user):
    """What the login form sends."""
    return {"username": user.get_username(), "password": PASSWORD, "remember": "on"}


@pytest.fixture
def alice(clock, client, login):
    """A browser in which Alice has signed in."""
    assert client.post("/auth/login/", login).status_code == 302
    return client


@pytest.fixture
def expired(clock, alice):
    """Alice's browser after her access token has expired."""
    clock.shift(timedelta(minutes=20))
    return alice


def check_unstorable(response):
    """It sets or deletes a token cookie, and no cache may keep it."""
    assert OURS & set(response.cookies)
    assert response.headers["Cache-Control"] == "private, no-store"
    assert "Cookie" in response.headers["Vary"] or response.headers["Vary"] == "*"
    assert not {name.lower() for name in STORE} & {name.lower() for name in response.headers}


def body(response):
    content = b"".join(response)
    return gzip.decompress(content) if "gzip" in response.get("Content-Encoding", "") else content


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_refreshed_is_not_kept(expired, page, encoding):
    """Whatever the page says; the stranger after it gets the text and no cookie."""
    headers = {"accept-encoding": encoding}
    response = expired.get(page, headers=headers)
    check_unstorable(response)
    assert body(response) == TEXT.encode()
    for visitor in (Client(), Client()):
        response = visitor.get(page, headers=headers)
        assert not response.cookies
        assert body(response) == TEXT.encode()


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("/any/", "/stream/")])
def test_a_page_that_a_cache_answers_still_refreshes(expired, page):
    """The cookies are the reader's own, beside a body that the cache had."""
    Client().get(page)
    response = expired.get(page)
    check_unstorable(response)
    assert body(response) == TEXT.encode()
    assert AuthSession.objects.get().rotation == 1


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_token_cookies_is_kept_as_the_site_wants(alice, page):
    """Staying signed in costs a site no cached page."""
    assert not OURS & set(alice.get(page).cookies)
    expected = Client().get(page).headers.get("Cache-Control")
    assert alice.get(page).headers.get("Cache-Control") == expected
    assert expected is None or "no-store" not in expected


@pytest.mark.parametrize("page", ["/etag/", "/article/"])
def test_an_answer_that_says_not_modified_is_not_kept(alice, clock, page):
    """A 304 carries the cookies too, and caches update what they have from its headers."""
    etag = alice.get(page).headers["ETag"]
    clock.shift(timedelta(minutes=20))
    response = alice.get(page, headers={"if-none-match": etag})
    check_unstorable(response)
    assert response.status_code in (200, 304)
    assert response.status_code == 304 or page == "/article/"


@pytest.mark.parametrize(
    ("url", "method"),
    [
        ("/auth/refresh/", "post"),
        ("/auth/refresh/?next=/", "get"),
        ("/auth/login/", "post"),
        ("/auth/api/login/", "post"),
        ("/auth/logout/", "post"),
        ("/auth/api/logout/", "post"),
        ("/django-login/", "post"),
        ("/django-logout/", "post"),
        ("/auth/sessions/", "get"),
        ("/auth/api/session/", "get"),
        ("/private/", "get"),
        ("/api/ping/", "get"),
        ("/password/", "get"),
        ("/events/", "get"),
    ],
)
def test_what_sets_or_deletes_a_token_cookie_is_not_kept(expired, login, url, method):
    """Signing in, out and on, by Django's views and ours."""
    check_unstorable(expired.post(url, login) if method == "post" else expired.get(url))


@pytest.mark.parametrize("page", [*PAGES, "/whoami/"])
def test_a_page_that_deletes_cookies_is_not_kept(expired, page):
    """A stored deletion would sign strangers out."""
    AuthSession.objects.revoke("admin")
    check_unstorable(expired.get(page))
    assert not Client().get(page).cookies


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_deletion_of_one_cookie_is_not_kept(alice, name):
    """Whichever of the two came."""
    AuthSession.objects.revoke("admin")
    del alice.cookies[(OURS - {name}).pop()]
    check_unstorable(alice.get("/whoami/"))


def test_a_page_that_adopts_is_not_kept(client, user):
    """It is the first that carries tokens."""
    client.force_login(user)
    check_unstorable(client.get("/whoami/"))


@pytest.mark.parametrize("page", ["/whoami/", "/article/"])
def test_a_bounce_is_not_kept(expired, page):
    """It sets no cookie, but is one person's way."""
    del expired.cookies["__Secure-refresh_token"]
    response = expired.get(page)
    assert response.status_code == 307
    assert response.headers["Cache-Control"] == "private, no-store"
    assert Client().get(page).status_code == 200


def test_a_page_about_a_person_is_kept_for_that_person_only(alice, user):
    """It varies on the cookie: no stranger is called Alice."""
    assert body(alice.get("/whoami/")).decode() == user.get_username()
    assert body(Client().get("/whoami/")) == b"anonymous"
    assert body(alice.get("/whoami/")).decode() == user.get_username()


@pytest.mark.parametrize("language", ["de", "fr", "en"])
def test_pages_come_in_the_readers_language(expired, language, user):
    """LocaleMiddleware and the refresh do not get in each other's way."""
    response = expired.get("/private/", headers={"accept-language": language})
    check_unstorable(response)
    assert response.headers["Content-Language"] == language
    assert user.get_username() in body(response).decode()
