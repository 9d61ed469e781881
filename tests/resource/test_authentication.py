"""REST framework on a resource server: 401, CSRF, and what a view is given."""

import pytest
from django.contrib.auth.models import AnonymousUser
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from tests.resource import SID, expired, token
from tokenauth.resource.authentication import ResourceServerAuthentication
from tokenauth.resource.users import ResourceUser

FRESH = 'Bearer realm="api"'
REFUSED = 'Bearer realm="api", error="invalid_token"'
ORIGIN = {"origin": "https://app.site.test", "sec_fetch_site": "same-origin"}


def test_a_view_is_given_the_person_and_the_claims(visitor):
    """By cookie and by header."""
    for answer in (
        visitor.ask("/api/", token()),
        visitor.ask("/api/", bearer=token(client_id="app")),
    ):
        assert (answer.status_code, answer.json()) == (200, {"pk": "7", "sid": SID})


@pytest.mark.parametrize(
    ("cookie", "bearer", "challenge"),
    [
        (None, None, FRESH),
        ("garbage", None, REFUSED),
        (token(client_id="app"), None, REFUSED),
        (None, "garbage", REFUSED),
        (None, token(), REFUSED),
        (None, expired(client_id="app"), REFUSED),
        (token(), "garbage", REFUSED),
    ],
    ids=["nothing", "bad-cookie", "apps-cookie", "bad", "browsers", "expired", "both"],
)
def test_nobody_gets_a_401_that_says_why(visitor, cookie, bearer, challenge):
    """RFC 6750 §3.1: ``invalid_token`` where one came."""
    answer = visitor.ask("/api/", *filter(None, [cookie]), bearer=bearer)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, challenge)


def test_an_open_view_refuses_a_bad_header_alone(visitor):
    """A cookie may be of somebody who is signed out, and locks nobody out."""
    assert visitor.ask("/open-api/", "garbage").json() == {"pk": None, "auth": None}
    assert visitor.ask("/open-api/").json() == {"pk": None, "auth": None}
    assert visitor.ask("/open-api/", bearer="garbage").status_code == 401


def test_a_cookie_needs_the_csrf_token(visitor):
    """Another site's form brings the cookie, too."""
    evil = {"origin": "https://evil.test", "sec_fetch_site": "cross-site"}
    for headers in (ORIGIN, evil):
        answer = visitor.ask("/api/", token(), method="POST", **headers)
        assert (answer.status_code, "CSRF" in answer.json()["detail"]) == (403, True)


def test_with_the_csrf_token_a_cookie_may_write(visitor):
    """As from the site's own script."""
    secret = "a" * 32
    cookie = f"{token()}; csrftoken={secret}"
    answer = visitor.ask("/api/", cookie, method="POST", x_csrftoken=secret, **ORIGIN)
    assert answer.status_code == 200


def test_a_header_needs_no_csrf_token(visitor):
    """No other site can make a browser send it."""
    answer = visitor.ask("/api/", bearer=token(client_id="ci"), method="POST")
    assert answer.status_code == 200


class View(APIView):
    authentication_classes = [ResourceServerAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response(request.user.pk)


def test_a_test_may_put_a_person_there():
    """REST framework's own way, without any middleware."""
    request = APIRequestFactory().get("/")
    force_authenticate(request, ResourceUser({"sub": "5"}))
    assert View.as_view()(request).data == "5"
    answer = View.as_view()(APIRequestFactory().get("/"))
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, FRESH)


class Nobody:
    """A site's middleware, that lets nobody in."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.user = AnonymousUser()
        return self.get_response(request)


def test_a_middleware_may_put_nobody_there(visitor, resource_server):
    """It knows more of the person than the token."""
    resource_server.MIDDLEWARE = [*resource_server.MIDDLEWARE, f"{__name__}.Nobody"]
    assert visitor.ask("/api/", token()).status_code == 401
    assert NotAuthenticated.status_code == 401
