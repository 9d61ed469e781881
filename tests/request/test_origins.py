"""Where a request comes from, and where one may be sent to."""

import pytest
from django.test import RequestFactory

from tokenauth.request.origins import from_this_site, is_navigation, is_path_here, no_response

SITE, EVIL = "https://testserver", "https://evil.test"


def request(method="POST", **headers):
    """A request over https to testserver, with these headers."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestFactory().generic(method, "/auth/refresh/", secure=True, headers=headers)


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "none", "origin": SITE}, True),
        ({"sec_fetch_site": "none", "origin": "null"}, False),
        ({"sec_fetch_site": "none", "origin": EVIL}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": ""}, False),
        ({"sec_fetch_site": "nonsense"}, False),
        ({"sec_fetch_site": "cross-site", "origin": SITE}, False),
        ({"sec_fetch_site": "same-origin", "origin": "null"}, True),
        ({"origin": SITE}, True),
        ({"origin": "http://testserver"}, False),
        ({"origin": "https://testserver:8443"}, False),
        ({"origin": "https://testserver.evil.test"}, False),
        ({"origin": EVIL}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "https://["}, False),
        ({"origin": "https://partner.test"}, True),
        ({"origin": "https://www.friends.test"}, True),
    ],
    ids=str,
)
def test_only_a_page_of_this_site_or_no_browser_at_all_passes(settings, headers, ours):
    """Sec-Fetch-Site decides where it is sent, else the Origin, by Django's own rule."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://partner.test", "https://*.friends.test"]
    assert from_this_site(request(**headers)) is ours


def test_a_wrong_host_header_is_not_this_site():
    """A host that Django disallows has no origin of its own."""
    other = RequestFactory().post("/", headers={"origin": EVIL, "host": "evil.test"}, secure=True)
    assert from_this_site(other) is False


@pytest.mark.parametrize(
    ("method", "mode", "navigates"),
    [
        ("GET", "navigate", True),
        ("HEAD", "navigate", True),
        ("POST", "navigate", True),
        ("GET", None, True),
        ("POST", None, True),
        ("GET", "cors", False),
        ("GET", "no-cors", False),
        ("POST", "same-origin", False),
    ],
)
def test_a_navigation_is_a_person_who_goes_to_a_page(method, mode, navigates):
    """By a link or a form; so is what a browser says nothing about."""
    headers = {"sec_fetch_mode": mode} if mode else {}
    assert is_navigation(request(method, **headers)) is navigates
    half = request(method, sec_fetch_site="cross-site")
    assert is_navigation(half) is False  # no browser says one without the other


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/private/",
        "/a/b?x=1&y=2#z",
        "/?next=https://elsewhere.test/",
        "/a?next=//evil.test",
        "/caf%C3%A9/",
        "/é/",
        "/a:b",
        "/a//b",
        f"/?{'x' * 3500}",
    ],
)
def test_a_path_on_this_host_is_one(url):
    """With any query, and longer than Django's own limit where only the query is long."""
    assert is_path_here(url) is True


@pytest.mark.parametrize(
    "url",
    [
        "",
        "private/",
        "?x=1",
        "//evil.test/",
        "///evil.test/",
        "/\\evil.test/",
        "\\\\evil.test/",
        "/\t/evil.test/",
        "/\n/evil.test/",
        "/\r\n/evil.test/",
        "\t//evil.test/",
        " //evil.test/",
        "/ok\r\nSet-Cookie: a=b",
        "/ok?\nx",
        "/\x00",
        "/\x7f",
        "https://evil.test/",
        "https:/evil.test/",
        "https:evil.test",
        "http:///evil.test",
        "javascript:alert(1)",
        "data:,x",
        "@evil.test/",
        "/" + "x" * 3000,
    ],
    ids=repr,
)
def test_anything_else_is_not_a_path_on_this_host(url):
    """No host, no scheme, nothing that a browser reads otherwise than Django does."""
    assert is_path_here(url) is False


def test_the_stand_in_for_a_view_is_never_called():
    """It exists because a Django middleware wants one."""
    with pytest.raises(NotImplementedError):
        no_response(request())
