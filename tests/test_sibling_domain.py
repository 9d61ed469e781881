"""A sibling domain plants a ``sessionid``, in Chromium.

Names under ``localhost`` are trustworthy to it, so the tokens are Secure here as on a site.
"""

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from tests import urls, views
from tests.chromium import Window
from tests.factories import PASSWORD, UserFactory
from tokenauth.models import AuthSession

SITE = "site.localhost"
PLANT = "([key, domain]) => { document.cookie = `sessionid=${key}; Domain=${domain}; Path=/`; }"


def vault(request):
    """Open to who has passed a second factor, as sites note it."""
    opened = request.user.is_authenticated and request.session.get("second_factor")
    return views.text("open" if opened else "closed")


def connect(request):
    """Come back from where somebody began to connect an account with this site's."""
    account = request.session.pop("account", None)
    return views.text(f"{account} is {views.name(request.user)}'s" if account else "no account")


def read(request):
    """Ask for the data before anybody asks who is there."""
    return views.text(f"{request.session.get('data')} {views.name(request.user)}")


@csrf_exempt
def write(request):
    request.session.update(request.GET.dict())
    return views.text("")


urlpatterns = [
    *urls.urlpatterns,
    path("vault/", vault),
    path("connect/", connect),
    path("read/", read),
    path("write/", write),
]

pytestmark = [
    pytest.mark.urls(__name__),
    pytest.mark.parametrize("server", ["wsgi", "asgi"], indirect=True),
]


@pytest.fixture
def window(settings, chromium_process, server):
    """A Chromium window on a host that has siblings."""
    settings.ALLOWED_HOSTS = [f".{SITE}", "testserver"]
    window = Window(chromium_process, server, host=f"www.{SITE}")
    yield window
    window.close()


@pytest.fixture
def victim(window, user):
    """A tab in which Alice has signed in."""
    tab = window.tab()
    tab.login(user)
    return tab


@pytest.fixture(params=["of somebody signed in", "of nobody"])
def planter(request, db):
    """Somebody who has filled a Django session of their own."""
    client = Client()
    if request.param == "of somebody signed in":
        fields = {"username": UserFactory(username="mallory").get_username(), "password": PASSWORD}
        client.post("/django-login/", fields)
    client.post("/write/?second_factor=passed&account=mallory@github&data=theirs")
    return client


def plant(window, planter):
    """Visit a sibling, whose script sets a cookie for the whole site."""
    sibling = window.tab(window.origin.replace("www.", "shop.") + "/whoami/")
    assert sibling.text == "anonymous"
    planted = planter.cookies["sessionid"].value
    sibling.evaluate(PLANT, [planted, SITE])
    # Chromium writes later than the script goes on, and reads after it has written.
    assert planted in sibling.evaluate("() => document.cookie")


def show(tab, path):
    tab.goto(path)
    return tab.text


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/vault/", "closed"), ("/connect/", "no account"), ("/read/", "None alice")],
)
def test_what_a_sibling_plants_is_not_the_signed_in_persons(window, victim, planter, path, shown):
    """No second factor, no account of the planter's, no data; and Alice stays Alice."""
    plant(window, planter)
    assert show(victim, path) == shown
    assert show(victim, "/whoami/") == "alice"
    assert AuthSession.objects.get(user__username="alice").active


def test_what_is_written_beside_a_planted_cookie_is_not_the_planters(window, victim, planter):
    """Chromium sends both cookies, and Django takes the last: hers is out of sight meanwhile."""
    victim.fetch("POST", "/write/?data=mine")
    assert show(victim, "/read/") == "mine alice"
    plant(window, planter)
    assert show(victim, "/read/") == "None alice"
    for data in ("once", "twice"):
        victim.fetch("POST", f"/write/?data={data}")
        assert planter.get("/read/").content.startswith(b"theirs ")
    assert Session.objects.count() == 2
