"""Where the include is: in one URLconf of several, or under a path that has to be quoted."""

from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.test import Client, TestCase
from django.urls import include, path
from django.utils import timezone

from tests import urls, views
from tests.factories import PASSWORD, UserFactory
from tests.pages.test_notices import send_through
from tokenauth.models import AuthSession

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
SHOP = {"host": "shop.site.test"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def signed_in(user, url="/auth/login/"):
    client = Client()
    data = {"username": user.get_username(), "password": PASSWORD, "remember": "on"}
    assert client.post(url, data).status_code == 302
    return client


# Hosts with URLs of their own (django-hosts, django-tenants)


class Shop:
    """Another host's pages; ours are not among them, or elsewhere."""

    urlpatterns = [
        path("whoami/", views.whoami),
        path("django-login/", views.django_login),
        path("account/", include("tokenauth.urls")),
    ]


def by_host(get_response):
    def middleware(request):
        if request.get_host() == SHOP["host"]:
            request.urlconf = Shop
        return get_response(request)

    return middleware


@pytest.fixture
def hosts(settings):
    """A site that has two."""
    settings.MIDDLEWARE = [f"{__name__}.by_host", *settings.MIDDLEWARE]


@pytest.mark.usefixtures("hosts")
def test_a_host_without_our_pages_is_told_that_a_session_has_ended(user):
    """The cookie's name and path are those of the site, on whichever host it is deleted."""
    client = signed_in(user)
    assert client.get("/whoami/", headers=SHOP).text == user.get_username()
    AuthSession.objects.all().revoke("admin")
    answer = client.get("/whoami/", headers=SHOP)
    assert answer.text == "anonymous"
    assert (answer.cookies[REFRESH].value, answer.cookies[REFRESH]["path"]) == ("", "/auth/")


@pytest.mark.usefixtures("hosts")
def test_a_host_without_our_pages_signs_in(user):
    """By Django's login()."""
    client = Client(headers=SHOP)
    data = {"username": user.get_username(), "password": PASSWORD}
    answer = client.post("/django-login/", data)
    assert answer.cookies[REFRESH]["path"] == "/auth/"
    assert client.get("/whoami/").text == user.get_username()


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize("url", ["/auth/refresh/", "/account/refresh/"])
def test_a_host_with_urls_of_its_own_refreshes(user, clock, url):
    """At the site's refresh URL, where the cookie goes, and at its own."""
    client = signed_in(user)
    clock.shift(timedelta(minutes=20))
    assert client.post(url, headers=SHOP).status_code == 200
    assert AuthSession.objects.get().rotation == 1


@pytest.mark.usefixtures("hosts")
def test_a_host_without_our_pages_adopts(user):
    """A Django session that is older than tokenauth."""
    client = Client(headers=SHOP)
    client.force_login(user)
    assert REFRESH in client.get("/whoami/").cookies
    assert AuthSession.objects.get().user == user


@pytest.mark.usefixtures("hosts")
def test_a_host_without_our_pages_sends_notices(settings):
    """They lead to the page that the site has."""
    settings.TOKENAUTH_SEND_NOTICES = True
    send_through(settings, "django.core.mail.backends.locmem.EmailBackend")
    settings.ALLOWED_HOSTS = [SHOP["host"]]
    user = UserFactory(email="alice@site.test")
    data = {"username": user.get_username(), "password": PASSWORD}
    with TestCase.captureOnCommitCallbacks(execute=True):
        for agent in ("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0", "curl/8"):
            Client(headers=SHOP | {"User-Agent": agent}).post("/django-login/", data)
    assert ["/auth/sessions/" in message.body for message in mail.outbox] == [True]


# A path that has to be quoted


class Umlaut:
    """A site that does not speak ASCII alone."""

    urlpatterns = [*urls.urlpatterns, path("über uns/auth/", include("tokenauth.urls"))]
    urlpatterns = [found for found in urlpatterns if str(found.pattern) != "auth/"]


@pytest.fixture
def umlaut(settings):
    settings.ROOT_URLCONF = Umlaut


@pytest.mark.usefixtures("umlaut")
def test_under_a_quoted_path_nobody_is_led_in_circles(user, clock):
    """A browser that has lost its refresh cookie is a stranger."""
    client = signed_in(user, "/über uns/auth/login/")
    clock.shift(timedelta(minutes=20))
    del client.cookies[REFRESH]
    hops = ["/whoami/"]
    while len(hops) < 5:
        answer = client.get(hops[-1], headers={"Sec-Fetch-Mode": "navigate"})
        if answer.status_code == 200:
            break
        hops.append(answer["Location"])
    assert (answer.text, len(hops)) == ("anonymous", 3)


@pytest.mark.usefixtures("umlaut")
def test_under_a_quoted_path_people_stay_signed_in(user, clock):
    """By a bounce."""
    client = signed_in(user, "/über uns/auth/login/")
    clock.shift(timedelta(minutes=20))
    refresh = client.cookies.pop(REFRESH)
    bounced = client.get("/whoami/", headers={"Sec-Fetch-Mode": "navigate"})
    assert bounced["Location"].startswith(refresh["path"])
    client.cookies[REFRESH] = refresh.value
    back = client.get(bounced["Location"], headers={"Sec-Fetch-Mode": "navigate"})
    assert client.get(back["Location"]).text == user.get_username()
    assert AuthSession.objects.get().rotation == 1


@pytest.mark.usefixtures("umlaut")
def test_under_a_quoted_path_a_lone_refresh_token_signs_nobody_in(user):
    """Another host of the site may have planted it."""
    client = signed_in(user, "/über uns/auth/login/")
    del client.cookies[ACCESS]
    assert client.get("/über uns/auth/sessions/").status_code == 302
