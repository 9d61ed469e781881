"""What people are told of a session that is bound to its device: on the pages and by the API."""

import time

import pytest
from django.db import connection
from django.http import HttpResponse
from django.template import RequestContext, Template
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse
from joserfc.jwk import ECKey

from tests import urls
from tests.factories import PASSWORD, SessionFactory
from tokenauth.device.tokens import issue_device_token
from tokenauth.models import AuthSession
from tokenauth.request.jar.device import device_place
from tokenauth.session.jwt.jwk import canonical
from tokenauth.session.tokens import issue_access_token

pytestmark = pytest.mark.django_db

KEY = canonical(ECKey.generate_key("P-256").as_dict(private=False))
ACCESS = "__Host-access_token"
COLUMNS = "device_key", "second_key_at"
BOUND, ELSEWHERE = "Bound to this device", "Bound to that device"
SENTENCE = "a copy of it is of no use to anybody"
UNPROVED = "this browser has not proved that it is that device"
PAGES = {
    "devices": reverse("tokenauth:session_list"),
    "login": reverse("tokenauth:login"),
    "api": reverse("tokenauth:api_session"),
}


def site_login(request):
    """A site's own login page."""
    template = Template("{% load tokenauth %}{% why_signed_out %}")
    return HttpResponse(template.render(RequestContext(request)))


class WithLoginPage:
    """A site that has one."""

    urlpatterns = [*urls.urlpatterns, path("site-login/", site_login)]


@pytest.fixture(autouse=True)
def _site(settings):
    settings.TOKENAUTH_DEVICE_BINDING = True


@pytest.fixture
def session(client, user):
    """Alice's, in the browser ``client``."""
    data = {"username": "alice", "password": PASSWORD, "remember": "on"}
    client.post(PAGES["login"], data, secure=True)
    return AuthSession.objects.get(user=user)


def bind(session, client=None):
    """Bind a session to a key, as ``client`` has proved."""
    AuthSession.objects.filter(pk=session.pk).update(device_key=KEY)
    if client is not None:
        token = issue_device_token(session.pk, KEY, proved=int(time.time()))
        client.cookies[device_place(session.pk).name] = token.reveal()


def see(client, page):
    return client.get(PAGES[page], secure=True)


def said(page):
    return " ".join(page.content.decode().split())


# Your devices


def test_a_bound_session_is_marked_on_the_list_of_devices(client, session):
    """One's own by "this device", and one sentence says what that means."""
    bind(session, client)
    bind(SessionFactory(user=session.user))
    page = said(see(client, "devices"))
    assert (page.count(BOUND), page.count(ELSEWHERE), page.count(SENTENCE)) == (1, 1, 1)


def test_a_session_that_is_bound_to_nothing_has_no_mark(client, session):
    """Beside a bound one either."""
    assert "ound to" not in said(see(client, "devices"))
    bind(SessionFactory(user=session.user))
    page = said(see(client, "devices"))
    assert BOUND not in page
    assert ELSEWHERE in page


def test_further_sign_ins_of_one_kind_are_marked_one_by_one(client, session):
    """They stand below the first, in a list of their own."""
    others = [SessionFactory(user=session.user) for _ in range(3)]
    for other in others[:2]:
        bind(other)
    assert said(see(client, "devices")).count(ELSEWHERE) == 2


@pytest.mark.parametrize("page", PAGES)
def test_a_site_that_binds_nothing_reads_no_column_more(client, session, settings, page):
    """And says nothing: what is in the rows counts no more."""
    bind(session)
    settings.TOKENAUTH_DEVICE_BINDING = False
    with CaptureQueriesContext(connection) as made:
        text = said(see(client, page))
    assert not [sql for sql in (q["sql"] for q in made) if any(name in sql for name in COLUMNS)]
    assert "ound to" not in text
    assert "device_bound" not in text


# The API


@pytest.mark.parametrize("is_bound", [True, False])
def test_the_api_says_whether_a_session_is_bound(client, session, is_bound):
    """Of the one that asks, and of each in the list."""
    if is_bound:
        bind(session, client)
    assert see(client, "api").json()["session"]["device_bound"] is is_bound
    [listed] = client.get(reverse("tokenauth:api_session_list"), secure=True).json()
    assert listed["device_bound"] is is_bound


def test_a_script_that_refreshes_without_a_proof_is_told_to_try_again(client, session):
    """By the body's code and the header; nothing is spent, and nothing ended."""
    bind(session)
    answer = client.post(reverse("tokenauth:refresh"), secure=True)
    assert answer.status_code == 401
    assert answer.json()["code"] == "device_proof_required"
    assert answer["WWW-Authenticate"] == 'Cookie realm="api", error="device_proof_required"'
    assert int(answer["Retry-After"]) > 0
    before = session.token_hash
    session.refresh_from_db()
    assert (session.token_hash, session.active) == (before, True)


# The login page


@pytest.mark.parametrize("page", ["/auth/login/", "/site-login/"])
def test_a_login_page_says_why_when_a_key_is_gone(client, session, settings, page):
    """Ours and, by the tag, a site's own; nothing is deleted, for the key may come back."""
    settings.ROOT_URLCONF = WithLoginPage
    bind(session)
    answer = client.get(page, secure=True)
    assert UNPROVED in said(answer)
    assert [name for name in answer.cookies if name.endswith("_token")] == []
    session.refresh_from_db()
    assert session.active


def test_the_login_page_leads_to_where_the_browser_is_asked_for_a_proof(client, session):
    """Whoever opens it by themselves was not asked yet; on the login page itself nobody is."""
    bind(session)
    page = said(client.get(f"{PAGES['login']}?next=/private/", secure=True))
    assert '<a class="tokenauth-button" href="/private/">Try once more</a>' in page


def test_signing_in_again_replaces_the_session_whose_key_is_gone(client, session):
    """The new one is bound to nothing yet."""
    bind(session)
    data = {"username": "alice", "password": PASSWORD}
    assert client.post(PAGES["login"], data, secure=True).status_code == 302
    session.refresh_from_db()
    assert session.revoke_reason == "replaced"
    assert see(client, "api").json()["session"]["device_bound"] is False


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda session: AuthSession.objects.revoke("admin"), "staff of this site ended"),
        (lambda session: session.user.set_password("new"), "password of your account has changed"),
        (lambda session: setattr(session.user, "is_active", False), "Sign in"),
    ],
    ids=["ended", "new password", "not active"],
)
def test_what_matters_more_than_a_key_is_said_in_its_place(client, session, change, sentence):
    """An end, a new password; nothing to who may not sign in again."""
    bind(session)
    session.refresh_from_db()
    # One that says so, as it is handed out from then on.
    client.cookies[ACCESS] = issue_access_token(session)[0].reveal()
    change(session)
    session.user.save()
    page = said(see(client, "login"))
    assert sentence in page
    assert UNPROVED not in page
