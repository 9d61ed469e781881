"""The two cookies: their names, which of several counts, how they are set and deleted."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import set_script_prefix
from django.utils import timezone

from tokenauth.request import cookies
from tokenauth.request.cookies import Presentation
from tokenauth.secret import Secret
from tokenauth.session import tokens


class Session(SimpleNamespace):
    """What of a session its tokens are made from, and the two cookies of a browser that has it."""

    def __init__(self, *, rotation=0, sid=None):
        now = timezone.now()
        super().__init__(
            id=sid or uuid4(),
            rotation=rotation,
            rotated_at=now,
            expires_at=now + timedelta(days=30),
            token_hash="",
            client="browser",
            device_thumbprint="",
        )
        self.token_hash = tokens.hash_token(
            tokens.make_refresh_token(self, tokens.secret_keys()[0])
        )

    def rotated(self):
        return Session(rotation=self.rotation + 1, sid=self.id)

    @property
    def access(self):
        return f"{cookies.access_name()}={tokens.issue_access_token(self)[0].reveal()}"

    @property
    def refresh(self):
        return f"{cookies.refresh_name()}={tokens.remake_refresh_token(self).reveal()}"


def present(*pairs):
    return Presentation(Secret("; ".join(pairs)))


# Names


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("__Host-access_token", "__Secure-refresh_token")),
        ({"REFRESH_COOKIE_PATH": "/"}, ("__Host-access_token", "__Host-refresh_token")),
        ({"COOKIE_DOMAIN": "site.test"}, ("__Secure-access_token", "__Secure-refresh_token")),
        (
            {"COOKIE_DOMAIN": "site.test", "REFRESH_COOKIE_PATH": "/"},
            ("__Secure-access_token", "__Secure-refresh_token"),
        ),
        ({"COOKIE_SECURE": False}, ("access_token", "refresh_token")),
        ({"ACCESS_COOKIE_NAME": "a", "REFRESH_COOKIE_NAME": "r"}, ("__Host-a", "__Secure-r")),
        ({"ACCESS_COOKIE_NAME": "__Secure-a"}, ("__Secure-a", "__Secure-refresh_token")),
        ({"ACCESS_COOKIE_NAME": "__Host-a"}, ("__Host-a", "__Secure-refresh_token")),
    ],
    ids=["default", "root", "domain", "domain-on-root", "http", "renamed", "secure-", "host-"],
)
def test_names_carry_the_strongest_prefix_that_fits(settings, options, names):
    """A browser holds a prefixed cookie to its promises; a plain http site can have none."""
    for name, value in options.items():
        setattr(settings, f"TOKENAUTH_{name}", value)
    assert (cookies.access_name(), cookies.refresh_name()) == names


def test_the_refresh_cookies_path_is_that_of_the_include():
    """So the refresh token never travels with ordinary requests, under a script name too."""
    assert cookies.refresh_path() == cookies.include_path() == "/auth/"
    set_script_prefix("/sub/")
    try:
        assert cookies.refresh_path() == "/sub/auth/"
    finally:
        set_script_prefix("/")


@pytest.mark.urls("django.contrib.auth.urls")
@pytest.mark.parametrize(
    ("chosen", "script", "path"),
    [
        (None, "/", "/auth/"),
        (None, "/sub/", "/sub/auth/"),
        ("/members/", "/", "/members/"),
        ("/", "/", "/"),
    ],
)
def test_without_our_urls_the_cookie_is_where_the_setting_says(settings, chosen, script, path):
    """A test's own ROOT_URLCONF need not know of ours; what is missing a check says."""
    settings.TOKENAUTH_REFRESH_COOKIE_PATH = chosen
    set_script_prefix(script)
    try:
        assert cookies.refresh_path() == cookies.include_path() == path
    finally:
        set_script_prefix("/")


@pytest.mark.parametrize(
    ("path", "folder", "sent"),
    [
        ("/auth/", "/auth/", True),
        ("/auth/refresh/", "/auth/", True),
        ("/auth/refresh/", "/auth", True),
        ("/auth", "/auth", True),
        ("/auth", "/auth/", False),
        ("/author/", "/auth", False),
        ("/auth/", "/authX", False),
        ("/", "/auth/", False),
        ("/anything", "/", True),
        ("/", "/", True),
    ],
)
def test_paths_match_as_in_a_browser(path, folder, sent):
    """RFC 6265 §5.1.4."""
    assert cookies.is_under(path, folder) is sent


# Finding


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        ("u", []),
        ("t=1", ["1"]),
        ("a=0; t=1; b=2", ["1"]),
        ("t=1;t=2", ["1", "2"]),
        ("t=1; t=1", ["1"]),
        ("t=a=b", ["a=b"]),
        (" \tt\t = 1 \t", ["1"]),
        ("\u00a0t=1", []),
        ("\u2003t=1; t=2", ["2"]),
        ("tt=1; T=2", []),
        ("t=", [""]),
        (";;=;t=1;", ["1"]),
        ('t="1"', ['"1"']),
        ("t\x00=1; t=2\x00", ["2\x00"]),
    ],
    ids=repr,
)
def test_every_value_of_a_name_is_found_in_the_raw_header(header, values):
    """Twins are both found; a Unicode space before a name makes it another name."""
    assert [value.reveal() for value in cookies.parse(Secret(header), "t")] == values


# Which of them to believe


def test_nobody_is_presented_without_cookies():
    """An empty header presents nothing."""
    nobody = present()
    assert (nobody.access, nobody.paired, nobody.single, nobody.refresh) == (None,) * 4


def test_a_pair_of_one_session_counts():
    """The usual browser: both cookies, one session."""
    alice = Session()
    browser = present(alice.access, alice.refresh)
    assert browser.access.sid == browser.paired.claims.sid == alice.id
    assert browser.refresh == browser.paired
    assert browser.single is None


def test_a_planted_twin_never_counts_against_a_pair():
    """Every engine sends a sibling host's cookie first; only the pair's own counts."""
    alice, mallory = Session(), Session()
    for planted in ([mallory.refresh, alice.refresh], [alice.refresh, mallory.refresh]):
        assert present(alice.access, *planted).refresh.claims.sid == alice.id
    assert present(alice.access, mallory.refresh).refresh is None


def test_two_sessions_access_tokens_cancel_out():
    """With access tokens of two people, nobody knows whose browser it is."""
    alice, mallory = Session(), Session()
    browser = present(alice.access, mallory.access, alice.refresh)
    assert (browser.access, browser.refresh) == (None, None)


def test_of_several_tokens_of_one_session_the_newest_counts():
    """A browser may hold copies of one session's cookies on two paths."""
    old = Session()
    new = old.rotated()
    new.expires_at = old.expires_at = timezone.now() + timedelta(minutes=1)
    old_access = old.access
    new.expires_at += timedelta(minutes=1)
    for pairs in ([old_access, new.access], [new.access, old_access]):
        assert present(*pairs).access.rot == 1
    old, new = Session(sid=old.id), Session(sid=old.id).rotated()
    for pairs in ([old.refresh, new.refresh], [new.refresh, old.refresh]):
        assert present(new.access, *pairs).paired.claims.rot == 1
        assert present(*pairs).single.claims.rot == 1


def test_a_lone_refresh_token_is_single_if_it_is_one():
    """Of two sessions' refresh tokens without an access token, none counts."""
    alice, mallory = Session(), Session()
    assert present(alice.refresh).single.claims.sid == alice.id
    assert present(alice.refresh).refresh.claims.sid == alice.id
    assert present(alice.refresh).paired is None
    assert present(alice.refresh, mallory.refresh).refresh is None


@pytest.mark.parametrize(
    ("path", "in_browser", "options", "counts"),
    [
        ("/shop/", False, {}, True),
        ("/shop/", True, {}, False),
        ("/shop/", True, {"REFRESH_COOKIE_PATH": "/shop/"}, False),
        ("/shop/", True, {"REFRESH_COOKIE_PATH": "/"}, True),
        ("/shop/", True, {"REFRESH_COOKIE_PATH": "/", "COOKIE_DOMAIN": "site.test"}, False),
        ("/shop/", True, {"REFRESH_COOKIE_PATH": "/", "COOKIE_SECURE": False}, False),
        ("/shop/", False, {"COOKIE_SECURE": False}, True),
        ("/auth/sessions/", False, {"REFRESH_COOKIE_PATH": "/"}, False),
    ],
    ids=[
        "no browser",
        "where it is not sent",
        "between the include and the root",
        "on the root",
        "shared with siblings",
        "plain http",
        "plain http, no browser",
        "under the include",
    ],
)
def test_a_lone_refresh_token_counts_where_no_sibling_can_plant_it(
    settings, path, in_browser, options, counts
):
    """In a browser only under a name with ``__Host-``; beside its access token everywhere."""
    for name, value in options.items():
        setattr(settings, f"TOKENAUTH_{name}", value)
    alice = Session()
    lone, pair = present(alice.refresh), present(alice.access, alice.refresh)
    assert (lone.refresh_at(path, in_browser=in_browser) is not None) == counts
    assert pair.refresh_at(path, in_browser=in_browser).claims.sid == alice.id


def test_what_a_browser_holds_is_told_by_either_token():
    """By the access token if there is one, else by a single refresh token."""
    session = Session(rotation=2)
    for pair in ([session.access, session.refresh], [session.access], [session.refresh]):
        assert present(*pair).held.rot == 2
    assert present(session.refresh, Session().refresh).held is None


def test_what_does_not_verify_is_as_if_it_were_not_there():
    """Garbage twins neither count nor get in the way."""
    alice = Session()
    garbage = [f"{cookies.access_name()}=a.b.c", f"{cookies.refresh_name()}={'x' * 5000}"]
    assert present(*garbage).refresh is present(*garbage).access is None
    browser = present(*garbage, alice.access, alice.refresh)
    assert browser.access.sid == browser.refresh.claims.sid == alice.id


def test_no_repr_tells_a_token():
    """What was presented can be logged by anybody."""
    alice = Session()
    browser = present(alice.access, alice.refresh)
    raw = browser.refresh.raw.reveal()
    assert raw == tokens.remake_refresh_token(alice).reveal()
    for thing in (browser, browser.refresh, browser.access, vars(browser)["refresh_tokens"]):
        assert raw not in repr(thing)
        assert alice.token_hash not in repr(thing)


# Setting and deleting

PUTS = pytest.mark.parametrize(
    ("put", "name", "path"),
    [
        (cookies.put_access, "__Host-access_token", "/"),
        (cookies.put_refresh, "__Secure-refresh_token", "/auth/"),
    ],
    ids=["access", "refresh"],
)


@PUTS
def test_cookies_are_closed_to_scripts_http_and_other_sites(put, name, path):
    """HttpOnly, Secure, SameSite=Lax, and the path that was promised."""
    put(response := HttpResponse(), Secret("value"), 60)
    morsel = response.cookies[name]
    assert (morsel.value, morsel["path"], morsel["max-age"]) == ("value", path, 60)
    assert (morsel["httponly"], morsel["secure"], morsel["samesite"]) == (True, True, "Lax")
    assert morsel["domain"] == ""


@PUTS
def test_a_cookie_until_the_browser_closes_has_no_max_age(put, name, path):
    """Neither Max-Age nor Expires."""
    put(response := HttpResponse(), Secret("value"), None)
    assert (response.cookies[name]["max-age"], response.cookies[name]["expires"]) == ("", "")


@PUTS
def test_a_deletion_is_understood_without_max_age_too(put, name, path):
    """By its date, as Django's own are; a cookie that is set has one to come."""
    put(response := HttpResponse(), None, 0)
    assert response.cookies[name]["expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    for max_age in (1, 60):
        put(response := HttpResponse(), Secret("value"), max_age)
        assert "1970" not in response.cookies[name]["expires"]


@pytest.mark.parametrize(
    "options",
    [{}, {"COOKIE_DOMAIN": "site.test"}, {"COOKIE_SAMESITE": "None"}, {"COOKIE_SECURE": False}],
    ids=["default", "domain", "samesite", "http"],
)
@pytest.mark.parametrize("put", [cookies.put_access, cookies.put_refresh], ids=["a", "r"])
def test_a_deletion_repeats_every_attribute(settings, put, options):
    """A browser ignores a deletion that names another cookie than was set."""
    for name, value in options.items():
        setattr(settings, f"TOKENAUTH_{name}", value)

    def attributes(value, max_age):
        put(response := HttpResponse(), value, max_age)
        [(name, morsel)] = response.cookies.items()
        lifetimes = {"max-age", "expires"}
        return name, {key: morsel[key] for key in morsel if key not in lifetimes}, morsel["max-age"]

    name, same, max_age = attributes(Secret("value"), 60)
    assert attributes(None, 0) == (name, same, 0)
    assert max_age == 60
    for option, value in options.items():
        assert same[option.removeprefix("COOKIE_").lower()] == (value or "")


@pytest.mark.parametrize(
    "header",
    [
        "CDN-Cache-Control",
        "Cloudflare-CDN-Cache-Control",
        "Surrogate-Control",
        "surrogate-control",
        "Edge-Control",
        "X-Accel-Expires",
        "Expires",
        "Cache-Control",
    ],
)
def test_no_header_lets_a_cache_keep_a_response_with_cookies(header):
    """Whatever a view told whichever cache, a response with tokens is stored by none."""
    response = HttpResponse(headers={header: "public, max-age=600", "Vary": "Accept", "X-Own": "1"})
    cookies.forbid_caching(response)
    assert dict(response.headers) == {
        "Content-Type": "text/html; charset=utf-8",
        "Vary": "Accept, Cookie",
        "X-Own": "1",
        "Cache-Control": "private, no-store",
    }


def test_a_header_of_any_bytes_is_read(rf: RequestFactory):
    """Whatever bytes a server lets through, nobody is presented and nothing breaks."""
    junk = bytes(range(1, 256)).decode("latin-1")
    request = rf.get("/", HTTP_COOKIE=f"{cookies.access_name()}={junk}; \udcff={junk}")
    assert Presentation(Secret(request.META["HTTP_COOKIE"])).access is None
