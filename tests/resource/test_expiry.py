"""An access token that has expired: to the authorization server and back, or a 401."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.resource import OTHER_SID, expired, token
from tokenauth.resource import expiry

NAVIGATE = {"sec_fetch_site": "same-origin", "sec_fetch_mode": "navigate"}
SCRIPT = {"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}
STALE = expired()
HERE, THERE = "/auth/refresh/", "https://app.site.test/auth/refresh/"


def way(answer):
    """Where an answer leads to, without its query, and that."""
    assert (answer.status_code, answer.content) == (307, b"")
    assert "no-store" in answer["Cache-Control"]
    url, _, query = answer["Location"].partition("?")
    return url, parse_qs(query, strict_parsing=True)


# On the authorization server's own host


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", NAVIGATE),
        ("POST", NAVIGATE),
        ("GET", SCRIPT),
        ("PUT", SCRIPT),
        ("DELETE", SCRIPT),
        ("GET", {}),
    ],
)
def test_on_one_host_every_method_is_bounced(visitor, method, headers):
    """As on the authorization server itself: the proxy leads its part of the host there."""
    data = {"note": "a"} if method in {"POST", "PUT"} else None
    answer = visitor.ask("/echo/?a=b", STALE, method=method, data=data, **headers)
    url, query = way(answer)
    assert url == HERE
    assert query["next"] == ["/echo/?a=b"]
    assert int(query["_exp"][0]) < time.time()
    assert abs(int(query["_rt"][0]) - time.time()) < 60


@pytest.mark.parametrize("page", ["/silent/", "/whoami/", "/api/", "/async-whoami/"])
def test_pages_that_ask_nobody_are_bounced_too(visitor, page):
    """Nobody knows beforehand whether the view asks."""
    assert way(visitor.ask(page, STALE, **NAVIGATE))[0] == HERE


def test_an_upload_is_bounced_if_it_arrives_in_time(visitor, monkeypatch):
    """A longer one would look like a theft, if another tab refreshed meanwhile."""
    monkeypatch.setattr(expiry, "MAX_BODY", 100_000)
    for size, status in ((90_000, 307), (110_000, 403)):
        data = {"file": SimpleUploadedFile("a.bin", b"a" * size)}
        answer = visitor.ask("/write/", STALE, method="POST", data=data, **NAVIGATE)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("page", "headers"),
    [
        ("/auth/api/session/", SCRIPT),
        ("/static/app.js", NAVIGATE),
        ("/favicon.ico", NAVIGATE),
        ("/gateway/", NAVIGATE),
        ("/whoami/", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}),
        ("/whoami/", {"upgrade": "websocket"}),
        ("/whoami/?" + "a" * 2048, NAVIGATE),
    ],
    ids=["auth", "static", "icon", "never", "embedded", "socket", "long"],
)
def test_who_would_not_survive_it_is_not_bounced(visitor, page, headers):
    """The rules are those of the authorization server."""
    assert visitor.ask(page, STALE, **headers).status_code in (200, 404)


def test_a_browser_that_was_bounced_in_vain_gets_the_views_answer(visitor):
    """No loop: a fresh marker stops it, and no view sees that."""
    now = int(time.time())
    answer = visitor.ask(f"/echo/?a=b&_rt={now}", STALE, **NAVIGATE)
    assert answer.json() == {"query": "a=b", "sub": None}
    assert visitor.ask(f"/private/?_rt={now}", STALE, **NAVIGATE).status_code == 302
    old = visitor.ask(f"/echo/?a=b&_rt={now - 60}", STALE, **NAVIGATE)
    assert way(old)[1]["next"] == ["/echo/?a=b"]


def test_a_request_that_was_long_on_its_way_is_not_sent_again(visitor):
    """Its note is for the authorization server; that there is one says that it was sent round."""
    answer = visitor.ask("/echo/?a=b&_rn=2-0-1772366400.x", STALE, **NAVIGATE)
    assert answer.json() == {"query": "a=b", "sub": None}
    assert answer["Referrer-Policy"] == "same-origin"
    good = visitor.ask("/echo/?a=b&_rn=2-0-1772366400.x", token(), **NAVIGATE)
    assert good.json() == {"query": "a=b", "sub": "7"}


def test_a_good_token_is_not_bounced(visitor):
    """Nor one of another session beside an expired one, which is nobody's."""
    assert visitor.ask("/whoami/", token(), **NAVIGATE).content == b"7"
    both = visitor.ask("/whoami/", STALE, token(sid=OTHER_SID), **NAVIGATE)
    assert both.content == b"anonymous"


@pytest.mark.parametrize(
    "raw", [expired(client_id="app"), expired(iss="https://evil.test/"), "a.b.c"]
)
def test_only_a_genuine_token_of_a_browsers_is_bounced(visitor, raw):
    """What does not verify asks for nothing."""
    assert visitor.ask("/whoami/", raw, **NAVIGATE).content == b"anonymous"


def test_an_expired_header_is_never_bounced(visitor):
    """An app refreshes by itself."""
    stale = expired(client_id="app")
    assert visitor.ask("/whoami/", bearer=stale, **NAVIGATE).content == b"anonymous"
    assert visitor.ask("/whoami/", STALE, bearer=stale, **NAVIGATE).content == b"anonymous"
    answer = visitor.ask("/api/", bearer=stale)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (
        401,
        'Bearer realm="api", error="invalid_token"',
    )


def test_without_an_authorization_server_nobody_is_bounced(visitor, resource_server):
    """A server that has keys alone."""
    resource_server.TOKENAUTH_AUTHORIZATION_SERVER = None
    assert visitor.ask("/whoami/", STALE, **NAVIGATE).content == b"anonymous"


# On another host of the site


@pytest.mark.parametrize(
    "headers",
    [
        NAVIGATE,
        NAVIGATE | {"sec_fetch_site": "none"},
        NAVIGATE | {"sec_fetch_site": "cross-site", "sec_fetch_dest": "document"},
        {},
    ],
    ids=["link", "typed", "link-from-elsewhere", "old-browser"],
)
def test_on_another_host_a_person_is_sent_there_and_back(sibling, headers):
    """To a whole address, which says whole where to come back to."""
    url, query = way(sibling.ask("/whoami/?a=b", STALE, **headers))
    assert url == THERE
    assert query["next"] == ["https://api.site.test/whoami/?a=b"]
    assert {"_exp", "_rt"} <= query.keys()


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", SCRIPT),
        ("POST", SCRIPT),
        ("POST", NAVIGATE),
        ("PUT", SCRIPT),
        ("HEAD", NAVIGATE),
        ("GET", {"sec_fetch_site": "same-origin", "sec_fetch_mode": "no-cors"}),
        (
            "GET",
            {
                "sec_fetch_site": "cross-site",
                "sec_fetch_mode": "navigate",
                "sec_fetch_dest": "iframe",
            },
        ),
    ],
    ids=["fetch", "fetch-post", "form", "put", "head", "image", "frame-elsewhere"],
)
def test_on_another_host_nothing_else_is_sent_anywhere(sibling, method, headers):
    """A script gets a 401 that says that it had better refresh."""
    answer = sibling.ask("/api/", STALE, method=method, **headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_on_another_host_there_is_no_loop_either(sibling):
    """By the same marker."""
    answer = sibling.ask(f"/echo/?_rt={int(time.time())}", STALE, **NAVIGATE)
    assert answer.json() == {"query": "", "sub": None}


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("app.site.test", True), ("APP.site.test", True), ("app.site.test:8443", False)],
)
def test_a_host_is_one_with_its_port(visitor, host, is_one):
    """Another port is another origin, though browsers send it the same cookies."""
    visitor.host = host
    url, _ = way(visitor.ask("/whoami/", STALE, **NAVIGATE))
    assert urlsplit(url).netloc == ("" if is_one else "app.site.test")
