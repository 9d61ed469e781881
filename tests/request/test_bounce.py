"""Which requests are sent to the refresh URL and back, with what in the URL."""

import io
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.http import HttpResponse, UnreadablePostError
from django.test import RequestFactory
from django.urls import path, set_script_prefix
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.views import APIView

from tests import urls
from tokenauth.decorators import never_bounced
from tokenauth.request import bounce, refresh
from tokenauth.request.credentials import Credentials
from tokenauth.request.loops import Trace

HERE = {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_MODE": "navigate"}
NOON = 1_772_366_400
#: A payment provider's form in a browser that says nothing of Sec-Fetch.
FROM_A_PROVIDER = {
    "HTTP_ORIGIN": "https://pay.test",
    "HTTP_SEC_FETCH_SITE": None,
    "HTTP_SEC_FETCH_MODE": None,
}


@pytest.fixture(autouse=True)
def noon():
    """The refresh URL says the time."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def request(method="GET", path="/private/", **extra):
    """A request from a page of this site; ``extra`` is for its META, None drops a header."""
    body = "" if method in {"GET", "HEAD"} else "a=1"
    made = RequestFactory().generic(method, path, body, **HERE | extra)
    for name in [name for name, value in made.META.items() if value is None]:
        del made.META[name]
    return made


def refresh_url(made):
    """The refresh URL for a request whose access token expired at noon."""
    return bounce.refresh_url(made.get_full_path(), Trace(), NOON)


def can_bounce(made):
    return bounce.can_bounce(made, refresh_url(made))


# Who is bounced


@pytest.mark.parametrize(
    ("method", "extra"),
    [
        ("GET", {}),
        ("HEAD", {}),
        ("POST", {}),
        ("PUT", {"HTTP_SEC_FETCH_MODE": "cors"}),
        ("PATCH", {}),
        ("DELETE", {"CONTENT_LENGTH": None}),
        ("OPTIONS", {"CONTENT_LENGTH": None}),
        ("POST", {"CONTENT_LENGTH": "5000000"}),
        ("GET", {"HTTP_SEC_FETCH_DEST": "image", "HTTP_SEC_FETCH_MODE": "no-cors"}),
        ("GET", {"HTTP_ACCEPT": "text/event-stream"}),
        ("GET", {"HTTP_SEC_FETCH_SITE": None, "HTTP_SEC_FETCH_MODE": None}),
        ("GET", {"HTTP_SEC_FETCH_SITE": "none"}),
        ("GET", {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_DEST": "document"}),
        ("GET", {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_SEC_FETCH_DEST": "document"}),
        ("POST", {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_DEST": "document"}),
        ("POST", {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_SEC_FETCH_DEST": "document"}),
        ("POST", FROM_A_PROVIDER),
        ("GET", {"HTTP_SEC_FETCH_DEST": "worker", "HTTP_SEC_FETCH_MODE": "same-origin"}),
        ("GET", {"HTTP_UPGRADE": "h2c"}),
        ("GET", {"CONTENT_TYPE": "text/plain"}),
    ],
    ids=[
        "page",
        "head",
        "form",
        "fetch-put",
        "patch",
        "delete-without-body",
        "options-no-preflight",
        "upload",
        "image",
        "event-source",
        "no-browser-headers",
        "typed-address",
        "link-from-elsewhere",
        "link-from-sibling",
        "form-from-elsewhere",
        "form-from-sibling",
        "form-from-elsewhere-without-sec-fetch",
        "worker",
        "other-upgrade",
        "wsgirefs-content-type",
    ],
)
def test_what_a_browser_repeats_is_bounced(method, extra):
    """Every method, with and without body, survives a 307."""
    assert can_bounce(request(method, **extra)) is True


@pytest.mark.parametrize(
    ("method", "extra"),
    [
        ("GET", {"HTTP_UPGRADE": "WebSocket"}),
        ("OPTIONS", {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}),
        ("POST", {"HTTP_TRANSFER_ENCODING": "chunked"}),
        ("GET", {"HTTP_TRANSFER_ENCODING": "chunked"}),
        ("POST", {"CONTENT_LENGTH": None}),
        ("PUT", {"CONTENT_LENGTH": None}),
        ("PATCH", {"CONTENT_LENGTH": None}),
        ("GET", {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_DEST": "iframe"}),
        ("GET", {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_DEST": "image"}),
        ("GET", {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_SEC_FETCH_MODE": "cors"}),
        ("POST", {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_DEST": "iframe"}),
        ("GET", {"HTTP_SEC_FETCH_DEST": "serviceworker", "HTTP_SEC_FETCH_MODE": "same-origin"}),
        ("GET", {"HTTP_SEC_FETCH_DEST": None, "HTTP_SERVICE_WORKER": "script"}),
        ("POST", {"HTTP_SEC_FETCH_DEST": "report", "HTTP_SEC_FETCH_MODE": "no-cors"}),
        ("POST", {"CONTENT_TYPE": "application/csp-report"}),
        ("POST", {"CONTENT_TYPE": "application/reports+json; charset=utf-8"}),
        ("GET", {"HTTP_SEC_FETCH_DEST": "webidentity", "HTTP_SEC_FETCH_MODE": "no-cors"}),
    ],
    ids=[
        "websocket",
        "preflight",
        "streamed-post",
        "streamed-get",
        "post-without-length",
        "put-without-length",
        "patch-without-length",
        "embedded-frame",
        "embedded-image",
        "sibling-fetch",
        "form-into-a-frame-elsewhere",
        "service-worker",
        "service-worker-without-sec-fetch",
        "report",
        "csp-report",
        "reports",
        "federated-login",
    ],
)
def test_what_would_not_survive_is_left_to_the_view(method, extra):
    """Such a request reaches the view anonymously, which answers 401 or its login redirect."""
    assert can_bounce(request(method, **extra)) is False


@pytest.mark.parametrize(
    ("path", "options", "bounced"),
    [
        ("/auth/", {}, False),
        ("/auth/login/", {}, False),
        ("/auth/nothing/here/", {}, False),
        ("/authors/", {}, True),
        ("/accounts/x/", {"TOKENAUTH_REFRESH_COOKIE_PATH": "/accounts/"}, False),
        ("/auth/login/", {"TOKENAUTH_REFRESH_COOKIE_PATH": "/accounts/"}, False),
        ("/private/", {"TOKENAUTH_REFRESH_COOKIE_PATH": "/"}, False),
        ("/favicon.ico", {}, False),
        ("/favicon.ico/", {}, True),
        ("/static/site.css", {"STATIC_URL": "/static/"}, False),
        ("/statically/", {"STATIC_URL": "/static/"}, True),
        ("/static/site.css", {"STATIC_URL": "https://cdn.test/static/"}, True),
        ("/static/site.css", {"STATIC_URL": "/"}, True),
        ("/static/site.css", {"STATIC_URL": None}, True),
    ],
)
def test_where_a_bounce_does_no_good_there_is_none(settings, path, options, bounced):
    """Not where the refresh cookie would have come along, nor for files that everybody gets."""
    for name, value in options.items():
        setattr(settings, name, value)
    assert can_bounce(request(path=path)) is bounced


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_url_that_is_too_long_to_carry_is_not_bounced(method):
    """On the way back it has 2,048 bytes at most."""
    room = bounce.MAX_URL - len("/?a")
    assert can_bounce(request(method, path=f"/?a{'x' * room}")) is True
    assert can_bounce(request(method, path=f"/?a{'x' * (room + 1)}")) is False


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_url_that_is_too_long_when_quoted_is_not_bounced(method):
    """The request line to the refresh URL has 3,500 bytes at most; each "&" takes three."""
    line = f"{method} {refresh_url(request(path='/?a'))} HTTP/1.1"
    count, rest = divmod(bounce.MAX_REQUEST_LINE - len(line), 3)
    path = f"/?a{'&' * count}{'x' * rest}"
    assert can_bounce(request(method, path=path)) is True
    assert can_bounce(request(method, path=path + "x")) is False


@never_bounced
def marked(request):
    return HttpResponse()


@never_bounced
async def marked_async(request):
    return HttpResponse()


@method_decorator(never_bounced, name="dispatch")
class MarkedView(View):
    pass


@method_decorator(never_bounced, name="dispatch")
class MarkedAPIView(APIView):
    pass


urlpatterns = [
    *urls.urlpatterns,
    path("marked/", marked),
    path("marked-async/", marked_async),
    path("marked-class/", MarkedView.as_view()),
    path("marked-api/", MarkedAPIView.as_view()),
    path("marked-instance/", never_bounced(MarkedView.as_view())),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", ["", "-async", "-class", "-api", "-instance"])
def test_a_view_may_say_that_it_is_never_bounced(name):
    """For who takes a redirect for an error; a page beside it, or none at all, is bounced."""
    assert can_bounce(request(path=f"/marked{name}/")) is False
    assert can_bounce(request(path="/private/")) is can_bounce(request(path="/none/")) is True


@pytest.mark.parametrize("marks", [True, False])
def test_a_requests_own_urlconf_says_which_view_it_is(marks):
    """A middleware above may have chosen one for this host."""
    made = request(path="/marked/")
    if marks:
        made.urlconf = __name__
    assert can_bounce(made) is not marks


# Where to


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/private/",
        "/private/?a=1&b=%26&c=%C3%A9&d=+",
        "/caf%C3%A9/%2F/",
        "//evil.test/",
        "/a?next=/b&_rtx=1",
    ],
)
def test_the_refresh_url_leads_back_to_the_very_same_url(path):
    """Path and query come back byte for byte, on this host."""
    made = request(path=path)
    url = urlsplit(refresh_url(made))
    assert (url.scheme, url.netloc, url.path) == ("", "", "/auth/refresh/")
    assert parse_qs(url.query) == {
        "next": [made.get_full_path()],
        "_exp": [str(NOON)],
        "_rt": [str(NOON)],
    }


def test_the_refresh_url_stands_under_the_sites_prefix():
    """FORCE_SCRIPT_NAME moves both the refresh URL and the way back."""
    set_script_prefix("/sub/")
    try:
        made = RequestFactory(SCRIPT_NAME="/sub").get("/private/")
        assert refresh_url(made).startswith("/sub/auth/refresh/?next=/sub/private/&")
        assert can_bounce(RequestFactory(SCRIPT_NAME="/sub").get("/auth/x/")) is False
    finally:
        set_script_prefix("/")


def test_a_bounce_is_a_307_that_no_cache_keeps():
    """307 keeps method and body; 302 would turn the form post into a GET."""
    response = bounce.redirect("/auth/refresh/?next=/private/")
    assert response.status_code == 307
    assert response["Location"] == "/auth/refresh/?next=/private/"
    assert response["Cache-Control"] == "private, no-store"


# The body


class Upload(io.BytesIO):
    """A body that remembers the largest piece that anyone asked it for."""

    largest = 0

    def read(self, size=-1):
        self.largest = max(self.largest, size if size >= 0 else len(self.getvalue()))
        return super().read(size)


class LostUpload(io.BytesIO):
    """A body whose browser went away."""

    def read(self, size=-1):
        raise OSError("connection reset")


def uploading(body, length):
    return request("POST", CONTENT_LENGTH=str(length), **{"wsgi.input": body})


def test_the_body_is_read_to_its_end_in_pieces():
    """Gunicorn resets an upload that is left unread; a large one never stands in memory whole."""
    body = Upload(b"x" * 1_000_000)
    bounce.drain(uploading(body, 1_000_000))
    assert body.tell() == 1_000_000
    assert body.largest == bounce.CHUNK


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "query", "status", "whole"),
    [
        ("POST", "", 401, False),
        ("PUT", "", 405, False),
        ("POST", "?next=//evil.test", 400, False),
        ("POST", "?next=/private/", 307, True),
    ],
)
def test_only_a_body_that_is_bounced_on_is_read_to_its_end(method, query, status, whole):
    """Whom the refresh URL answers could otherwise keep a worker reading for hours."""
    body = Upload(b"x" * 1_000_000)
    made = RequestFactory().generic(
        method, f"/auth/refresh/{query}", CONTENT_LENGTH="1000000", **{"wsgi.input": body}
    )
    assert refresh.answer(Credentials(made), Trace()).status_code == status
    assert body.tell() == (1_000_000 if whole else bounce.MAX_UNUSED_BODY)


def test_a_browser_that_went_away_makes_no_error():
    """The answer is lost as well, and nobody reads a traceback about it."""
    made = uploading(LostUpload(), 10)
    with pytest.raises(UnreadablePostError):
        made.read(1)
    bounce.drain(made)
