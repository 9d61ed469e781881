"""From the offer to the bond, and what a bound session asks of who brings its cookies."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.models import F
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path

from tests import urls
from tests.device.keys import ES256
from tests.device.wire import open_browser
from tests.factories import PASSWORD
from tests.views import name
from tokenauth.decorators import device_proof_required
from tokenauth.device.tokens import issue_device_token
from tokenauth.exceptions import DeviceProofRequired
from tokenauth.middleware import TokenAuthMiddleware
from tokenauth.models import AuthSession
from tokenauth.secret import Secret
from tokenauth.session.jwt.jwk import canonical
from tokenauth.session.tokens import AccessToken

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

OFFER = "Secure-Session-Registration"
ACCESS, REFRESH_COOKIE = "__Host-access_token", "__Secure-refresh_token"
MINUTE = timedelta(minutes=1)


@device_proof_required
def proven(request):
    """For who holds the key at this moment."""
    return HttpResponse(f"{name(request.user)} sent {request.POST.get('amount')}")


@device_proof_required(max_age=30, otherwise=None)
async def proven_alone(request):
    """For bound sessions alone."""
    return HttpResponse("proven")


urlpatterns = [
    *urls.urlpatterns,
    path("silent/", lambda request: HttpResponse("for all")),
    path("proven/", proven),
    path("proven-alone/", proven_alone),
]


@pytest.fixture
def clock():
    with time_machine.travel(datetime(2026, 11, 20, 12, 1, tzinfo=UTC), tick=False) as clock:
        yield clock


@pytest.fixture
def new_browser(settings, clock):
    """A function that opens another browser."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    opened = []

    def open_one():
        opened.append(open_browser())
        return opened[-1]

    yield open_one
    for browser in opened:
        browser.close()


@pytest.fixture
def browser(new_browser):
    return new_browser()


@pytest.fixture
def bound(browser, user, clock):
    """A browser whose session is bound."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    assert browser.get("/whoami/").text == user.get_username()
    return browser


@pytest.fixture
def thief(bound, new_browser, clock):
    """Who has a copy of that browser's jar, when the device token in it has ended."""
    thief = new_browser()
    clock.shift(timedelta(seconds=540))
    thief.paste_cookies([c for c in bound.copy_cookies() if not c.name.startswith("__Host-dev")])
    return thief


def offers(browser, since=0):
    """How many answers have offered to bind the session."""
    return [OFFER in answer.headers for answer in browser.history[since:]].count(True)


def claims_of(browser):
    """What the browser's access token says."""
    return AccessToken.read(Secret(browser.value(ACCESS)))


# The offer


def test_a_login_offers_to_bind_and_so_does_each_rotation_until_there_is_a_key(
    browser, user, clock
):
    """But nothing that hands tokens out again."""
    browser.network.register = lambda *offer: None
    browser.login(user)
    assert offers(browser) == 1
    clock.shift(16 * MINUTE)
    browser.get("/whoami/")
    assert offers(browser) == 2
    assert browser.fetch("POST", "/auth/refresh/").status_code == 200  # again, within a minute
    assert offers(browser) == 2


def test_who_has_a_first_device_token_is_offered_nothing_more(browser, user, clock, settings):
    """A second key would be one too many."""
    settings.TOKENAUTH_DEVICE_TOKEN_LIFETIME = 3600
    settings.TOKENAUTH_GRACE_PERIOD = 400
    browser.login(user)
    assert offers(browser) == 1
    seen = len(browser.history)
    clock.shift(timedelta(seconds=1000))
    with_no_view = browser.fetch("POST", "/auth/refresh/")
    assert with_no_view.status_code == 200
    assert offers(browser, seen) == 0


def test_a_lost_registration_is_made_up_for_at_the_next_rotation(browser, user, clock):
    """Nothing was written; the new key takes the old one's place."""
    wire = browser.network.transport
    wire.answers["/auth/device/register/"] = 500
    browser.login(user)
    assert not browser.keys
    del wire.answers["/auth/device/register/"]
    clock.shift(16 * MINUTE)
    browser.get("/whoami/")
    clock.shift(2 * MINUTE)
    assert browser.get("/whoami/").text == user.get_username()
    assert AuthSession.objects.get().device_key


def test_over_http_nothing_is_offered(settings, clock, user, client):
    """A key that anybody on the way can have registered binds to nobody's device."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    settings.TOKENAUTH_COOKIE_SECURE = False
    answer = client.post("/auth/login/", {"username": user.get_username(), "password": PASSWORD})
    assert answer.status_code == 302
    assert OFFER not in answer


def test_a_site_that_does_not_bind_offers_nothing_and_reads_no_column(
    settings, clock, user, django_assert_num_queries
):
    """Off is the default; then a key in the row has no say."""
    browser = open_browser()
    browser.login(user)
    assert offers(browser) == 0
    AuthSession.objects.update(device_key=canonical(ES256().jwk))
    with django_assert_num_queries(1) as queries:
        assert browser.get("/whoami/").text == user.get_username()
    assert "device_key" not in queries[0]["sql"]
    assert AuthSession.objects.look_up(AuthSession.objects.get().pk).device_thumbprint == ""
    browser.close()


# The bond


def test_a_session_is_bound_when_its_first_device_token_is_shown_after_the_grace_period(
    browser, user, clock
):
    """Before, a browser that is killed has neither key nor cookie on its disk."""
    browser.login(user)
    clock.shift(timedelta(seconds=60))
    browser.get("/whoami/")
    assert AuthSession.objects.get().device_key == ""
    assert claims_of(browser).jkt == ""
    clock.shift(timedelta(seconds=2))
    browser.get("/whoami/")
    session = AuthSession.objects.get()
    assert session.device_key == canonical(next(iter(browser.keys.values())).key.jwk)
    assert claims_of(browser).jkt == session.device_thumbprint


def test_a_page_that_asks_nobody_binds_nothing(browser, user, clock):
    """It makes no query, either."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    browser.get("/silent/")
    assert AuthSession.objects.get().device_key == ""


def test_the_answer_that_says_so_may_be_lost(browser, user, clock):
    """The next one says it again: by that claim a link from elsewhere is known to need a proof."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    before = browser.copy_cookies()
    browser.get("/whoami/")
    browser.paste_cookies(before)
    assert claims_of(browser).jkt == ""
    browser.get("/whoami/")
    assert claims_of(browser).jkt == AuthSession.objects.get().device_thumbprint


def test_its_new_access_token_is_of_the_rotation_that_the_browser_holds(browser, user, clock):
    """The answer of the last one may be lost: nothing else may say that it came."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    AuthSession.objects.rotate(browser.value(REFRESH_COOKIE))
    browser.get("/whoami/")
    session = AuthSession.objects.get()
    assert session.device_key
    assert (claims_of(browser).rot, session.rotation) == (0, 1)
    assert claims_of(browser).jkt == session.device_thumbprint


def test_a_view_that_is_slow_binds_nothing_too_early(browser, user, clock, settings):
    """The browser may be killed while it runs, with neither key nor cookie on its disk."""
    browser.login(user)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.slow"]
    slow.clock = clock
    clock.shift(timedelta(seconds=25))
    browser.get("/whoami/")
    assert AuthSession.objects.get().device_key == ""
    browser.get("/whoami/")
    assert AuthSession.objects.get().device_key != ""


def slow(get_response):
    """A middleware below ours that takes forty seconds."""

    def middleware(request):
        slow.clock.shift(timedelta(seconds=40))
        return get_response(request)

    return middleware


def test_a_session_that_ends_while_the_view_runs_gets_no_new_token(browser, user, clock, settings):
    """A resource server would believe it."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    before = browser.copy_cookies()
    browser.get("/whoami/")
    browser.paste_cookies(before)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.ends_sessions"]
    answer = browser.get("/whoami/")
    assert answer.text == user.get_username()
    assert ACCESS not in answer.headers.get("Set-Cookie", "")


def test_a_session_that_is_rotated_while_the_view_runs_gets_no_older_token(
    browser, user, clock, settings
):
    """The answer of that rotation brought a newer one, which this would overwrite."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    before = browser.copy_cookies()
    browser.get("/whoami/")
    browser.paste_cookies(before)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.rotates_sessions"]
    assert ACCESS not in browser.get("/whoami/").headers.get("Set-Cookie", "")


def test_what_another_request_has_bound_meanwhile_is_offered_nothing(
    browser, user, clock, settings
):
    """Or the browser would register a second key, and staff be told of it."""
    browser.network.register = lambda *offer: None
    browser.login(user)
    clock.shift(16 * MINUTE)
    seen = len(browser.history)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.binds_sessions"]
    browser.get("/auth/sessions/")
    assert AuthSession.objects.get().rotation == 1
    assert offers(browser, seen) == 0


def rotates_sessions(get_response):
    """A middleware below ours, beside which another tab refreshes."""
    return beside(get_response, lambda: AuthSession.objects.update(rotation=F("rotation") + 1))


def ends_sessions(get_response):
    """A middleware below ours, beside which somebody ends everything."""
    return beside(get_response, lambda: AuthSession.objects.all().revoke("admin"))


def deletes_sessions(get_response):
    """One beside which every row goes."""
    return beside(get_response, lambda: AuthSession.objects.all().delete())


def binds_sessions(get_response):
    """One beside which another browser's key is bound."""
    key = canonical(ES256().jwk)
    return beside(get_response, lambda: AuthSession.objects.update(device_key=key))


def beside(get_response, act):
    def middleware(request):
        response = get_response(request)
        act()
        return response

    return middleware


def test_of_two_keys_the_first_binds(browser, user, clock, settings):
    """And the answer of the other says nothing."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.binds_sessions"]
    browser.get("/whoami/")
    assert AuthSession.objects.get().device_key != canonical(
        next(iter(browser.keys.values())).key.jwk
    )
    assert claims_of(browser).jkt == ""


def test_a_second_key_of_a_session_that_is_gone_is_nothing(bound, settings):
    """It was deleted while the view ran."""
    AuthSession.objects.update(device_key=canonical(ES256().jwk))
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.deletes_sessions"]
    assert bound.get("/whoami/").text == "anonymous"
    assert not AuthSession.objects.exists()


def test_a_rotation_binds_as_any_request_does(browser, user, clock, settings):
    """And its own access token says so."""
    settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME = 300
    browser.login(user)
    clock.shift(timedelta(seconds=301))
    assert browser.fetch("POST", "/auth/refresh/").status_code == 200
    session = AuthSession.objects.get()
    assert session.rotation == 1
    assert claims_of(browser).jkt == session.device_thumbprint != ""


def test_every_proof_of_identity_starts_a_session_that_is_bound_anew(bound, user, clock):
    """A login over it, for example; the old device token goes with its session."""
    old = AuthSession.objects.get()
    bound.login(user)
    new = AuthSession.objects.active().get()
    assert new.pk != old.pk
    assert new.device_key == ""
    held = {name for name, _ in bound.cookies if "device_token" in name}
    assert held == {f"__Host-device_token_{new.pk.hex[:8]}"}
    clock.shift(timedelta(seconds=62))
    bound.get("/whoami/")
    new.refresh_from_db()
    assert new.device_key not in ("", old.device_key)


def test_a_logout_takes_the_device_token_along_and_then_the_key(bound, user, clock):
    """And what the browser keeps of it ends at its next request."""
    bound.get("/auth/sessions/")
    bound.logout()
    assert not [name for name, _ in bound.cookies if "device_token" in name]
    assert bound.get("/whoami/").text == "anonymous"
    assert not bound.keys


def test_who_signs_out_without_a_proof_is_signed_out(bound, clock):
    """It takes nothing from anybody."""
    bound.get("/auth/sessions/")
    clock.shift(10 * MINUTE)
    bound.paste_keys({})
    bound.logout()
    assert AuthSession.objects.get().revoke_reason == "logout"


# What a bound session asks for


def test_a_copy_of_the_jar_opens_nothing_and_ends_nothing(thief, bound, user):
    """It is nobody's; and it stays, for it may be the owner's own browser that is at a loss."""
    cookies = thief.cookies
    assert thief.get("/whoami/").text == "anonymous"
    assert thief.fetch("GET", "/api/ping/").status_code == 401
    assert thief.fetch("POST", "/auth/refresh/").status_code == 401
    assert thief.cookies == cookies
    assert AuthSession.objects.get().active
    assert bound.get("/whoami/").text == user.get_username()


def test_a_copy_of_the_jar_does_not_refresh_nor_is_bounced(thief, clock):
    """With an access token that has expired, too."""
    clock.shift(20 * MINUTE)
    answer = thief.get("/whoami/")
    assert (answer.text, answer.history) == ("anonymous", [])
    assert thief.fetch("POST", "/auth/refresh/").json()["code"] == "device_proof_required"
    assert AuthSession.objects.get().rotation == 0


def test_a_spent_token_ends_the_session_whoever_brings_it(bound, new_browser, clock):
    """Reuse is judged before the proof: a thief gives himself away."""
    copied = bound.copy_cookies()
    for _ in range(3):
        clock.shift(16 * MINUTE)
        bound.get("/whoami/")
    thief = new_browser()
    thief.paste_cookies(copied)
    thief.drop_cookie(ACCESS)
    thief.client.post("/auth/refresh/", headers={"Origin": "https://app.site.test"})
    assert AuthSession.objects.get().revoke_reason == "reuse"


def test_a_script_is_told_what_is_missing_and_to_ask_again(thief):
    """RFC 6750's form: the session lives, only the proof is missing."""
    for method, url in (("GET", "/auth/api/sessions/"), ("POST", "/auth/refresh/")):
        answer = thief.fetch(method, url)
        assert answer.status_code == 401
        assert answer.json()["code"] == "device_proof_required"
        challenge = 'Cookie realm="api", error="device_proof_required"'
        assert answer.headers["WWW-Authenticate"] == challenge
        assert answer.headers["Retry-After"] == "2"
    answer = thief.fetch("GET", "/api/ping/")
    assert answer.headers["WWW-Authenticate"] == challenge


def test_where_the_session_is_over_that_is_told(thief):
    """No proof would help any more; and its cookies go."""
    AuthSession.objects.all().revoke("admin")
    answer = thief.fetch("GET", "/auth/api/sessions/")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "device_proof_required" not in answer.headers["WWW-Authenticate"]
    assert ACCESS not in {name for name, _ in thief.cookies}


def test_without_the_claim_the_row_says_that_a_proof_is_missing(browser, user, clock, new_browser):
    """A copy made before the session was bound is worth nothing after it."""
    browser.login(user)
    thief = new_browser()
    thief.paste_cookies([c for c in browser.copy_cookies() if "device_token" not in c.name])
    assert thief.get("/whoami/").text == user.get_username()
    clock.shift(timedelta(seconds=62))
    browser.get("/whoami/")
    assert thief.get("/whoami/").text == "anonymous"
    assert thief.fetch("GET", "/api/ping/").status_code == 401
    assert browser.get("/whoami/").text == user.get_username()


def test_a_thief_who_binds_a_key_of_his_own_locks_the_owner_out_who_signs_in_again(
    browser, user, clock, new_browser
):
    """Whoever is first. Staff see that there was a second key, and the owner's login ends his."""
    browser.network.register = lambda *offer: None
    browser.login(user)
    thief = new_browser()
    thief.paste_cookies(browser.copy_cookies())
    del browser.network.register
    clock.shift(16 * MINUTE)
    thief.get("/whoami/")
    browser.get("/whoami/")
    clock.shift(timedelta(seconds=62))
    assert thief.get("/whoami/").text == user.get_username()
    assert browser.get("/whoami/").text == "anonymous"
    assert AuthSession.objects.get().active
    browser.login(user)
    assert thief.get("/whoami/").text == "anonymous"
    assert browser.get("/whoami/").text == user.get_username()


def test_a_first_device_token_of_another_key_is_noted(bound, user, clock, new_browser):
    """It was registered before the session was bound, and shown after."""
    session = AuthSession.objects.get()
    AuthSession.objects.update(device_key=canonical(ES256().jwk))
    for _ in range(2):
        assert bound.get("/whoami/").text == "anonymous"
    session.refresh_from_db()
    assert session.second_key_at is not None
    assert session.active


def test_data_of_the_person_wait_for_the_proof(bound, clock, client):
    """What a view writes meanwhile is nobody's, and nothing of theirs goes."""
    before = bound.value("sessionid")
    clock.shift(10 * MINUTE)
    keys = bound.copy_keys()
    bound.paste_keys({})
    assert bound.get("/whoami/").text == "anonymous"
    assert bound.value("sessionid") == before
    bound.paste_keys(keys)
    assert bound.get("/whoami/").text != "anonymous"


def test_rotating_by_hand_asks_for_the_key_too(bound, clock):
    """The door is one, whoever calls it."""
    session, raw = AuthSession.objects.get(), bound.value(REFRESH_COOKIE)
    clock.shift(16 * MINUTE)
    with pytest.raises(DeviceProofRequired):
        AuthSession.objects.rotate(raw)
    thumbprint = session.device_thumbprint
    assert AuthSession.objects.rotate(raw, device_thumbprint=thumbprint).rotation == 1


def test_a_wrong_password_is_no_missing_proof(thief, user):
    """At the login no browser needs a device token: nobody is to send the password twice."""
    answer = thief.fetch(
        "POST", "/auth/api/login/", json={"username": user.get_username(), "password": "wrong"}
    )
    assert answer.status_code == 401
    assert "device_proof_required" not in answer.headers["WWW-Authenticate"]
    assert "Retry-After" not in answer.headers


def test_a_database_that_takes_no_key_breaks_no_page(browser, user, clock, monkeypatch):
    """The session is bound a little later."""
    browser.login(user)
    clock.shift(timedelta(seconds=62))

    def fail(*args, **kwargs):
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr("tokenauth.session.endings.AuthSessionQuerySet.swap", fail)
        assert browser.get("/whoami/").text == user.get_username()
    browser.get("/whoami/")
    assert AuthSession.objects.get().device_key


@pytest.mark.parametrize("ended", [False, True], ids=["the key is gone", "it has ended, too"])
def test_who_lost_the_key_signs_in_where_the_login_needs_a_django_session(
    bound, user, clock, settings, ended
):
    """With the CSRF token in it, say: the session that can't be proven is not in the way."""
    settings.CSRF_USE_SESSIONS = True
    clock.shift(10 * MINUTE)
    bound.paste_keys({})
    if ended:
        AuthSession.objects.all().revoke("admin")
    answer = bound.login(user)
    assert answer.url.path == "/"
    assert bound.get("/whoami/").text == user.get_username()


@pytest.mark.parametrize("minutes", [9, 20], ids=["good", "expired"])
def test_a_site_that_saves_every_session_loses_none(bound, user, clock, settings, minutes):
    """Neither where a browser proves its key, nor on a page that it could not prove it for."""
    settings.SESSION_SAVE_EVERY_REQUEST = True
    bound.get("/whoami/")
    key = bound.value("sessionid")
    clock.shift(minutes * MINUTE)
    assert bound.get("/whoami/").text == user.get_username()
    assert bound.value("sessionid") == key
    clock.shift(minutes * MINUTE)
    bound.network.transport.answers["/auth/device/refresh/"] = 503
    for url in ("/whoami/", "/silent/"):
        bound.get(url, headers={"Sec-Fetch-Site": "none"})
        bound.fetch("GET", url)
    assert bound.value("sessionid") == key


# The page that loads itself again


FROM_ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}
SKIPPED = {"Sec-Fetch-Site": "none", "Secure-Session-Skipped": 'unreachable;session_identifier="x"'}


def ask(browser, url="/whoami/?a=1&b=2", *, method="GET", **headers):
    """Send one request, and follow nothing."""
    own = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    headers = {name: value for name, value in (own | headers).items() if value is not None}
    return browser.client.request(method, url, headers=headers, follow_redirects=False)


def test_another_sites_link_leads_to_a_page_that_goes_on(thief):
    """Browsers prove no key on the way from there; from a page of this site they do."""
    answer = ask(thief, **FROM_ELSEWHERE)
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0;url=/whoami/?a=1&amp;b=2">' in answer.text
    assert 'href="/whoami/?a=1&amp;b=2"' in answer.text
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert '<html lang="en-us">' in answer.text


def test_a_browser_that_could_not_prove_its_key_tries_once_more(thief):
    """By a word in the address that no view sees, or it would go round for ever."""
    answer = ask(thief, **SKIPPED)
    _, _, again = answer.text.partition('content="0;url=')
    again = again.partition('"')[0].replace("&amp;", "&")
    assert again.startswith("/whoami/?a=1&b=2&_dt=")
    assert ask(thief, again, **SKIPPED).text == "anonymous"


def test_an_old_word_stops_nothing(thief, clock):
    """It stays in the address bar."""
    answer = ask(thief, "/whoami/?_dt=1700000000", **SKIPPED)
    assert "refresh" in answer.text
    assert "1700000000" not in answer.text


NOT_RELOADED = {
    "by no browser": {"Sec-Fetch-Mode": None, "Sec-Fetch-Site": None},
    "typed": {"Sec-Fetch-Site": "none"},
    "a link of this site": {"Sec-Fetch-Site": "same-origin"},
    "a form of another site": {"method": "POST", **FROM_ELSEWHERE},
    "an image": {"Sec-Fetch-Mode": "no-cors", **FROM_ELSEWHERE},
    "the login page": {"url": "/auth/login/", **FROM_ELSEWHERE},
}


@pytest.mark.parametrize("ended", [False, True], ids=["no token", "an old one"])
@pytest.mark.parametrize("request_", NOT_RELOADED.values(), ids=NOT_RELOADED)
def test_nothing_else_is_loaded_again(thief, request_, ended):
    """The browser has proven its key there, if it could; or it is no page.

    A cookie whose token has ended shows a clock that was set back: there a page is worth it.
    """
    session = AuthSession.objects.get()
    place = f"__Host-device_token_{session.pk.hex[:8]}"
    if ended:
        with time_machine.travel(datetime.now(tz=UTC) - timedelta(minutes=11)):
            raw = issue_device_token(session.pk, session.device_key, proved=1).reveal()
        thief.set_cookie(place, raw)
    if ended and request_.get("Sec-Fetch-Site") in ("none", "same-origin"):
        assert 'http-equiv="refresh"' in ask(thief, **request_).text
        assert thief.cookie(place) is None
        return
    thief.client.headers["Origin"] = "https://app.site.test"
    answer = ask(thief, **request_)
    assert 'http-equiv="refresh"' not in answer.text
    assert answer.status_code in (200, 403)


def test_the_refresh_url_is_loaded_again_as_any_page(thief):
    """A resource server's page leads there, which is another origin."""
    answer = ask(thief, "/auth/refresh/?next=/whoami/", **{"Sec-Fetch-Site": "same-site"})
    assert 'url=/auth/refresh/?next=/whoami/"' in answer.text


# A proof at this moment


def test_a_view_may_want_a_proof_of_this_minute(bound, user, clock):
    """The browser makes one on the way, and sends the form again; its person notices nothing."""
    clock.shift(3 * MINUTE)
    assert bound.get("/proven/").text == f"{user.get_username()} sent None"
    clock.shift(3 * MINUTE)
    answer = bound.post_form("/proven/", {"amount": "5"}, page="/form/")
    assert answer.text == f"{user.get_username()} sent 5"
    assert [step.status_code for step in answer.history] == [307]
    assert bound.post_form("/proven/", {"amount": "6"}, page="/form/").history == []


def test_a_signature_that_was_made_before_is_no_proof_of_this_moment(bound, clock, new_browser):
    """Who has read a proof along the way can't answer: the challenge is of now."""
    clock.shift(3 * MINUTE)
    thief = new_browser()
    thief.paste_cookies(bound.copy_cookies())
    answer = thief.fetch("POST", "/proven/")
    assert (answer.status_code, answer.json()["code"]) == (403, "device_proof_required")


def test_from_another_sites_link_the_proof_is_made_on_a_page(bound, user, clock):
    """A redirect would be of that site, too."""
    clock.shift(3 * MINUTE)
    answer = bound.get("/proven/", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.text == f"{user.get_username()} sent None"


@pytest.mark.parametrize("is_page", [True, False], ids=["a page", "a script"])
def test_a_browser_that_cannot_is_refused_in_plain_words(bound, clock, is_page):
    """After it was asked once; the session lives."""
    clock.shift(3 * MINUTE)
    bound.network.quota = 0
    answer = bound.get("/proven/") if is_page else bound.fetch("GET", "/proven/")
    assert answer.status_code == 403
    assert "sent" not in answer.text
    assert AuthSession.objects.get().active


def test_it_is_asked_no_second_time(bound, clock):
    """The word in the address says that it was."""
    clock.shift(3 * MINUTE)
    moment = int(datetime.now(tz=UTC).timestamp())
    answer = ask(bound, f"/proven/?_dt={moment}", **{"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    answer = bound.fetch("GET", f"/proven/?_dt={moment}")
    assert answer.json()["code"] == "device_proof_required"


def test_what_cannot_be_sent_twice_is_refused(bound, clock):
    """A body that is streamed."""
    clock.shift(3 * MINUTE)
    bound.get("/form/")
    answer = bound.fetch("POST", "/proven/", content=iter([b"x"]))
    assert answer.status_code == 403


def test_of_other_browsers_a_recent_login_is_wanted(new_browser, user, clock):
    """They have no key."""
    plain = new_browser()
    plain.network.register = lambda *offer: None
    plain.login(user)
    assert plain.get("/proven/").text == f"{user.get_username()} sent None"
    clock.shift(6 * MINUTE)
    assert plain.get("/proven/").url.path == "/auth/reauthenticate/"


def test_or_they_are_refused(new_browser, user, bound):
    """As the view says."""
    assert bound.get("/proven-alone/").text == "proven"
    plain = new_browser()
    assert plain.get("/proven-alone/").url.path == "/auth/login/"
    plain.network.register = lambda *offer: None
    plain.login(user)
    assert plain.get("/proven-alone/").status_code == 403
    answer = plain.fetch("GET", "/proven-alone/")
    assert (answer.status_code, answer.json()["code"]) == (403, "device_proof_required")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_length_that_nobody_could_pass_is_an_error():
    """When the site is loaded."""
    with pytest.raises(ValueError, match="above zero"):
        device_proof_required(max_age=0)
    with pytest.raises(ValueError, match="above zero"):
        device_proof_required(otherwise=-1)


# Under other circumstances


def test_bound_sessions_outlive_the_secret_key(bound, user, clock, settings):
    """As a fallback it still verifies device tokens and challenges; new ones are by today's."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one, of today, which is as long as a key has to be"
    for minutes in (1, 10, 10):
        clock.shift(minutes * MINUTE)
        assert bound.get("/whoami/").text == user.get_username()
    settings.SECRET_KEY_FALLBACKS = []
    assert bound.get("/whoami/").text == user.get_username()


def test_a_site_without_the_library_is_told_what_to_install(settings, monkeypatch):
    """When the first request comes; the check has said it before."""
    settings.TOKENAUTH_DEVICE_BINDING = True
    monkeypatch.setitem(sys.modules, "tokenauth.device.binding", None)
    monkeypatch.delattr("tokenauth.device.binding", raising=False)
    with pytest.raises(ImproperlyConfigured, match="django-tokenauth"):
        TokenAuthMiddleware(lambda request: HttpResponse())(RequestFactory().get("/"))
