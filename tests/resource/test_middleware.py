"""Who a request is from, on a server that has a public key alone."""

import json
import time

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory

from tests.resource import (
    AUDIENCE,
    COOKIE,
    ISSUER,
    KEYS,
    OTHER_SID,
    SID,
    claims,
    expired,
    new_keys,
    token,
)
from tokenauth.exceptions import InvalidToken
from tokenauth.resource.credentials import Credentials
from tokenauth.resource.middleware import ResourceServerMiddleware
from tokenauth.resource.users import ResourceUser
from tokenauth.session.jose.keys import SigningKeys


def name_at(visitor, *cookies, **options):
    answer = visitor.ask("/whoami/", *cookies, **options)
    assert answer.status_code == 200
    return answer.content.decode()


# Who counts


def test_a_browser_is_known_by_its_cookie(visitor):
    """By the claim ``sub``; no database is asked (there is none in this test)."""
    assert name_at(visitor, token(sub="7")) == "7"
    assert visitor.ask("/async-whoami/", token(sub="8")).content == b"8"


def test_an_app_is_known_by_its_header(visitor):
    """Whatever the case of the scheme (RFC 7235 §2.1)."""
    for client in ("app", "ci"):
        assert name_at(visitor, bearer=token(client_id=client)) == "7"
    assert name_at(visitor, authorization=f"bEARER {token(client_id='app')}") == "7"


@pytest.mark.parametrize("path", ["/whoami/", "/async-whoami/"])
def test_who_brings_nothing_is_anonymous(visitor, path):
    """In sync and in async views."""
    assert visitor.ask(path).content == b"anonymous"


@pytest.mark.parametrize(
    "options",
    [
        {"bearer": token()},
        {"bearer": token(client_id="browser")},
        {"bearer": ""},
        {"bearer": "garbage"},
        {"authorization": "Bearer"},
        {"authorization": token(client_id="app")},
        {"authorization": f"Basic {token(client_id='app')}"},
        {"authorization": f"Bearer {token(client_id='app')}, Bearer {token(client_id='app')}"},
    ],
    ids=["browsers", "browser", "empty", "garbage", "alone", "no-scheme", "basic", "two"],
)
def test_a_header_accepts_no_browsers_token_and_no_nonsense(visitor, options):
    """A token that was read out of a cookie is worth nothing to a script."""
    assert name_at(visitor, **options) == "anonymous"


@pytest.mark.parametrize("client", ["app", "ci", "Browser", ""])
def test_a_cookie_accepts_nothing_but_a_browsers_token(visitor, client):
    """An app's token in a cookie would act without a CSRF token of its own."""
    assert name_at(visitor, token(client_id=client)) == "anonymous"


def test_a_header_decides_alone(visitor):
    """A good cookie beside a bad header helps nobody; beside a good one it is not looked at."""
    assert name_at(visitor, token(sub="7"), bearer="garbage") == "anonymous"
    assert name_at(visitor, token(client_id="app"), bearer="garbage") == "anonymous"
    assert name_at(visitor, token(sub="7"), bearer=token(sub="8", client_id="app")) == "8"
    assert name_at(visitor, token(sub="7"), authorization="Basic YTpi") == "7"


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://evil.test/"},
        {"iss": None},
        {"aud": [ISSUER]},
        {"aud": "https://evil.test/"},
        {"sub": None},
        {"sub": ""},
        {"sid": "nobody"},
        {"exp": None},
        {"exp": "4000000000"},
        {"exp": 4e9},
        {"client_id": None},
        {"cnf": {"jkt": "x"}},
    ],
    ids=str,
)
def test_a_token_that_is_not_ours_or_not_for_us_counts_nowhere(visitor, more):
    """RFC 9068 §4, and tokens that are bound to a key, which nobody proves here."""
    assert name_at(visitor, token(**more)) == "anonymous"
    assert name_at(visitor, bearer=token(**{"client_id": "app"} | more)) == "anonymous"


def test_one_audience_may_stand_alone(visitor):
    """RFC 7519 §4.1.3."""
    assert name_at(visitor, token(aud=AUDIENCE)) == "7"


@pytest.mark.parametrize(
    "raw",
    ["", "a.b.c", "x" * 5000, "....", token()[:-4], "é.é.é", token().replace(".", "", 1)],
    ids=["empty", "dots", "long", "more-dots", "cut", "unicode", "two-parts"],
)
def test_garbage_is_nobody(visitor, raw):
    """And never an error."""
    assert name_at(visitor, raw.encode().decode("latin-1")) == "anonymous"


def test_a_token_of_another_key_counts_nothing(visitor):
    """Though it names one of ours."""
    thief = new_keys()
    kid, key = KEYS.public.kids[0], thief.public._keys.pop(thief.public.kids[0])
    thief.public._keys[kid] = type(key)(kid, key.alg, key.key)
    assert name_at(visitor, token(thief)) == "anonymous"


def test_of_several_cookies_the_newest_of_one_session_counts(visitor):
    """A site that changed its COOKIE_DOMAIN leaves one behind."""
    old = token(sub="7", exp=int(time.time()) + 5)
    assert name_at(visitor, old, token(sub="7"), expired()) == "7"
    assert name_at(visitor, "garbage", token(sub="8")) == "8"


def test_nobody_is_known_by_the_cookies_of_two_sessions(visitor):
    """One of them may be planted by a sibling host."""
    assert name_at(visitor, token(sid=SID), token(sub="8", sid=OTHER_SID)) == "anonymous"


# The person and the claims


def test_the_person_has_no_rights_until_the_site_gives_some():
    """A stateless user: the key is the claim ``sub``."""
    user = ResourceUser(claims(sub="7"))
    assert (user.pk, user.id, str(user), user.get_username()) == ("7", "7", "7", "7")
    assert (user.is_authenticated, user.is_active, user.is_anonymous) == (True, True, False)
    rights = [user.has_perm("auth.add_user"), user.has_perms(["auth.add_user"])]
    assert not any([*rights, user.is_staff, user.is_superuser, user.has_module_perms("auth")])
    assert user == ResourceUser(claims(sub="7")) != ResourceUser(claims(sub="8"))
    assert len({user, ResourceUser(claims(sub="7"))}) == 1
    assert user != "7"


def found(said):
    """A site's own: a person whom it knows, one who is locked out, nobody."""
    user = ResourceUser(said)
    user.is_active = said["sub"] != "locked"
    return None if said["sub"] == "stranger" else user


@pytest.mark.parametrize("path", ["/whoami/", "/async-whoami/"])
def test_a_site_may_have_people_of_its_own(visitor, resource_server, path):
    """A function of the claims finds them; whom it does not find, or who is inactive, is nobody."""
    resource_server.TOKENAUTH_RESOURCE_USER = f"{__name__}.found"
    assert visitor.ask(path, token(sub="7")).content == b"7"
    for sub in ("stranger", "locked"):
        assert visitor.ask(path, token(sub=sub)).content == b"anonymous"


def test_the_claims_are_those_of_the_token_that_counts(visitor):
    """With what the site has put into it; empty for nobody."""
    said = visitor.ask("/told/", token(roles=["editor"], plan={"seats": 5})).json()
    assert (said["sub"], said["roles"], said["plan"]) == ("7", ["editor"], {"seats": 5})
    assert visitor.ask("/told/").json() == {}


def test_a_view_that_changes_the_claims_changes_its_own_copy(visitor):
    """Tokens are remembered: the next request with this one would find it."""
    raw = token(roles=["reader"], plan={"seats": [5]})
    for _ in range(2):
        changed = visitor.ask("/changed/", raw).json()
        assert (changed["roles"], changed["plan"]) == (["reader", "admin"], {"seats": [5, 6]})


def test_a_token_that_was_seen_before_costs_no_cryptography(visitor, monkeypatch):
    """It is remembered; what is wrong is tried each time."""
    known = token()
    assert name_at(visitor, known) == "7"

    def verify(keys, raw):
        raise InvalidToken

    monkeypatch.setattr("tokenauth.session.jose.keys.KeySet.verify", verify)
    assert name_at(visitor, known) == "7"
    assert name_at(visitor, token(sub="8")) == "anonymous"


def test_a_remembered_token_is_for_one_audience_and_one_set_of_keys(visitor, resource_server):
    """Other settings are other keys, and another name."""
    known = token()
    assert name_at(visitor, known) == "7"
    resource_server.TOKENAUTH_AUDIENCE = "https://other.site.test/"
    assert name_at(visitor, known) == "anonymous"
    resource_server.TOKENAUTH_AUDIENCE = AUDIENCE
    resource_server.TOKENAUTH_PUBLIC_KEYS = new_keys().public.as_jwks()
    assert name_at(visitor, known) == "anonymous"


def test_keys_may_stand_in_a_file(visitor, resource_server, tmp_path):
    """Nothing is fetched."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(KEYS.public.as_jwks()))
    for path in (file, str(file)):
        resource_server.TOKENAUTH_PUBLIC_KEYS = path
        assert name_at(visitor, token()) == "7"


def test_keys_that_can_not_be_used_are_told_at_once(resource_server):
    """By an error that names the setting, and by `check` before."""
    resource_server.TOKENAUTH_PUBLIC_KEYS = {"keys": []}
    with pytest.raises(ImproperlyConfigured, match="TOKENAUTH_PUBLIC_KEYS: The key set has no key"):
        Credentials(RequestFactory().get("/"))


# The answer


def test_an_answer_depends_on_the_token_only_if_somebody_asked(visitor):
    """For caches: who asks for the user or the claims, gets another page."""
    assert "Vary" not in visitor.ask("/silent/", token())
    for path in ("/whoami/", "/told/"):
        assert visitor.ask(path, token())["Vary"] == "Authorization, Cookie"
        assert visitor.ask(path)["Vary"] == "Authorization, Cookie"


@pytest.mark.parametrize(
    ("options", "challenge"),
    [
        (dict, 'Bearer realm="api"'),
        (lambda: {"bearer": token(client_id="app")}, 'Bearer realm="api"'),
        (lambda: {"bearer": "garbage"}, 'Bearer realm="api", error="invalid_token"'),
        (lambda: {"bearer": expired(client_id="app")}, 'Bearer realm="api", error="invalid_token"'),
    ],
    ids=["nothing", "good", "garbage", "expired"],
)
def test_a_views_own_401_says_whether_to_refresh(visitor, options, challenge):
    """RFC 6750 §3: no error where nothing came."""
    assert visitor.ask("/bare-401/", **options())["WWW-Authenticate"] == challenge


def test_a_private_page_sends_a_stranger_to_the_authorization_server(visitor):
    """By Django's own decorator, and a LOGIN_URL that is a whole address."""
    assert visitor.ask("/private/", token()).content == b"Private: 7"
    answer = visitor.ask("/private/")
    assert answer["Location"].startswith("https://app.site.test/auth/login/?next=")


def test_no_cookie_is_set_nor_deleted(visitor):
    """They are the authorization server's."""
    for cookie in (token(), expired(), "garbage"):
        assert not visitor.ask("/whoami/", cookie).cookies


# CSRF


def test_a_form_that_a_cookie_authenticates_needs_the_csrf_token(visitor):
    """Django's own middleware asks for it."""
    assert visitor.ask("/write/", token(), method="POST").status_code == 403


def test_a_form_that_a_header_authenticates_needs_none(visitor):
    """No other site can make a browser send that; a bad header opens nothing."""
    good = visitor.ask("/write/", bearer=token(client_id="app"), method="POST")
    assert (good.status_code, good.content) == (200, b"7 wrote None")
    for bad in ("garbage", token(), expired(client_id="app")):
        assert visitor.ask("/write/", token(), bearer=bad, method="POST").status_code == 403


# Odds and ends


def test_django_takes_it_for_its_own_middleware(resource_server):
    """So that the admin's and the auth app's checks are content."""
    messages = run_checks(tags=["admin", "security"])
    assert {"admin.E408", "auth.E013"} & {message.id for message in messages} == set()


def test_a_middleware_of_others_may_call_process_request():
    """As some do with Django's own."""
    request = RequestFactory().get("/")
    ResourceServerMiddleware(lambda request: None).process_request(request)
    assert request.user == AnonymousUser()
    assert request.claims == {}


def test_no_token_is_in_a_repr(resource_server):
    """Of what a frame on the way to an error has in its variables."""
    raw = token()
    request = RequestFactory().get("/", headers={"cookie": f"{COOKIE}={raw}"})
    credentials = Credentials(request)
    assert raw not in f"{credentials!r} {vars(credentials)}"
    assert SigningKeys.__name__ not in f"{vars(credentials)}"
