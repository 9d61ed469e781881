"""Sessions that Chromium binds to a device: its person notices nothing, whatever they do.

The clock of Chromium is real while the server's travels; a cookie that has expired is not there.
"""

import hashlib
from datetime import timedelta

import pytest
from django.conf import settings as site_settings

from tests.device.conftest import A_MOMENT
from tests.device.https import HOST, OTHER_HOST, wait_for
from tests.device.upstream import LOST, fails_with
from tests.factories import UserFactory
from tests.request.test_adoption import make_django_session
from tests.test_chromium import EVENT, FETCHES, IMAGE, on_one_server
from tokenauth.device.endpoints import REFRESH, REGISTER
from tokenauth.models import AuthSession

LOGIN = "/auth/login/"
#: Over the 15 minutes of an access token, and over the 10 of a device token.
EXPIRY = timedelta(minutes=16)
#: Seconds between two pages where a device token lives for six: with two minutes left to it, each
#: page has Chromium prove its key once more, and the first token that follows is not old enough.
PAUSE = 3

with_a_rotation = pytest.mark.parametrize(
    "pause", [timedelta(minutes=11), EXPIRY], ids=["device-token", "access-token-too"]
)


def row(user=None):
    """Return the session that is alive."""
    return AuthSession.objects.active().get(**({"user": user} if user else {}))


def other_site(window):
    """Return a page of another site, which the same server has."""
    return f"{window.origin.replace(HOST, OTHER_HOST)}/"


def link_to(tab, url):
    """Put a link on the page, and follow it."""
    tab.evaluate(
        "url => { document.body.innerHTML = '<a type=submit>On</a>';"
        " document.querySelector('a').href = url; }",
        url,
    )
    tab.submit("a")


# The life of a session


@on_one_server
def test_a_login_registers_a_key_and_is_bound_once_the_key_is_sure_to_be_kept(
    chromium, tab, clock, upstream
):
    """Not within the grace period; then with the first page, without a word of the person's."""
    assert upstream.statuses(REGISTER) == [200]
    tab.goto("/private/")
    assert row().device_key == ""
    clock.shift(A_MOMENT)
    tab.goto("/private/")
    assert row().device_key
    assert "Hello alice" in tab.text
    assert len(chromium.device_tokens) == 1
    assert chromium.endings == []


@on_one_server
def test_a_bound_session_lives_through_many_expiries(chromium, bound, pass_by, upstream):
    """Each device token is followed by the next, and each rotation brings its own."""
    for rotation in range(1, 5):
        pass_by(EXPIRY)
        bound.goto("/private/?q=1")
        assert "Hello alice" in bound.text
        assert row().rotation == rotation
    assert bound.path == "/private/?q=1"
    assert set(upstream.statuses(REFRESH)) <= {200, 403}
    assert set(chromium.refreshes) == {"Refreshed"}
    assert upstream.statuses(REGISTER) == [200]


@on_one_server
def test_a_device_token_that_ends_by_its_own_age_is_followed_by_another(
    settings, chromium, user, upstream
):
    """As the real clock has it: five seconds of Chromium's time."""
    settings.TOKENAUTH_GRACE_PERIOD = timedelta(seconds=1)
    settings.TOKENAUTH_DEVICE_TOKEN_LIFETIME = timedelta(seconds=6)
    settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME = timedelta(seconds=15)
    tab = chromium.first
    tab.login(user)
    chromium.wait_for_registration()
    wait_for(lambda: tab.goto("/private/") and row().device_key, PAUSE)
    wait_for(lambda: not chromium.device_tokens)
    proofs = upstream.proofs
    tab.goto("/private/")
    assert "Hello alice" in tab.text
    assert upstream.proofs > proofs
    assert set(upstream.statuses(REFRESH)) == {200}


# What a browser sends


@on_one_server
@with_a_rotation
def test_a_form_with_a_file_arrives(chromium, bound, pass_by, pause):
    """It is sent once its key was proven, and whole."""
    content = hashlib.shake_256(b"upload").digest(2_000_000)
    bound.goto("/upload/")
    file = {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": content}
    bound.run(bound.page.set_input_files("[name=file]", file))
    pass_by(pause)
    bound.submit()
    assert hashlib.sha256(content).hexdigest() in bound.text
    assert chromium.refreshes == ["Refreshed"]


@on_one_server
@with_a_rotation
def test_a_fetch_of_any_method_arrives(chromium, bound, pass_by, pause):
    """Method and body are as the page's script sent them."""
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = None if method in ("GET", "DELETE") else {"a": 1}
        pass_by(pause)
        answer = bound.fetch(method, "/api/ping/", body)
        assert answer.status == 200
        assert f'"method":"{method}"' in answer.text
        assert '"a":1' in answer.text or body is None
    assert chromium.refreshes == ["Refreshed"] * 5


@with_a_rotation
def test_what_a_page_loads_is_proven(chromium, bound, pass_by, pause):
    """A stream of events and a picture need no script that knows of keys."""
    for url, script, result in (("/events/", EVENT, "alice"), ("/image/", IMAGE, 1)):
        pass_by(pause)
        assert bound.evaluate(script, url) == result
    assert chromium.refreshes == ["Refreshed"] * 2


@with_a_rotation
def test_twenty_fetches_at_once_cost_one_refresh(chromium, bound, pass_by, upstream, pause):
    """A page that loads much after a pause loads all of it, and the key signs once."""
    pass_by(pause)
    assert bound.evaluate(FETCHES, ["/whoami/", 20]) == ["alice"] * 20
    assert upstream.proofs == 1
    assert row().rotation == (pause == EXPIRY)


@on_one_server
def test_twenty_fetches_that_rotate_at_once_register_one_key(chromium, user, clock, upstream):
    """Of a session that missed its first registration: one of the answers offers the next."""
    upstream.fault = fails_with(LOST)
    tab = chromium.first
    tab.login(user)
    wait_for(lambda: upstream.asked)
    upstream.fault = None
    clock.shift(EXPIRY)
    assert tab.evaluate(FETCHES, ["/whoami/", 20]) == ["alice"] * 20
    chromium.wait_for_registration()
    clock.shift(A_MOMENT)
    tab.goto("/whoami/")
    assert row().device_key
    assert upstream.statuses(REGISTER) == [LOST, 200]


@on_one_server
@with_a_rotation
def test_two_tabs_at_once_cost_one_refresh(chromium, bound, pass_by, upstream, pause):
    """A browser that reopens its tabs in the morning."""
    other = chromium.tab("/")
    pass_by(pause)
    chromium.together(bound.page.goto("/private/"), other.page.goto("/private/?b"))
    assert ["Hello alice" in each.text for each in (bound, other)] == [True, True]
    assert upstream.proofs == 1


# Links of other sites


@on_one_server
@with_a_rotation
def test_a_link_of_another_site_leads_to_the_persons_own_page(chromium, bound, pass_by, pause):
    """Chromium proves nothing on that way, so a page of ours has it come once more."""
    bound.goto(other_site(chromium))
    pass_by(pause)
    link_to(bound, f"{chromium.origin}/private/?q=1&r=a%26b")
    bound.run(bound.page.wait_for_selector("text=Hello alice"))
    assert bound.page.url == f"{chromium.origin}/private/?q=1&r=a%26b"
    assert chromium.refreshes == ["Refreshed"]


# The end, and who comes next


@on_one_server
@pytest.mark.parametrize("expires", [True, False], ids=["expired", "valid"])
def test_the_click_after_a_revocation_lands_on_the_login_page(chromium, bound, pass_by, expires):
    """The cookies and the key go; the next sign-in leads on to the page, and is bound anew."""
    AuthSession.objects.revoke("admin")
    pass_by(EXPIRY) if expires else None
    bound.goto("/private/?b=2")
    assert bound.path == f"{LOGIN}?next=/private/%3Fb%3D2"
    assert chromium.device_tokens == []
    bound.goto("/whoami/")
    wait_for(lambda: chromium.endings == ["ServerRequested"])
    assert bound.text == "anonymous"


@on_one_server
def test_the_button_signs_out_and_takes_the_key_along(chromium, bound):
    """Nobody's page is shown to whoever goes back, and the device token is gone at once."""
    bound.goto("/auth/sessions/")
    bound.submit("form[action$='/logout/'] [type=submit]")
    assert bound.path == LOGIN
    assert chromium.device_tokens == []
    bound.goto("/private/")
    assert bound.path == f"{LOGIN}?next=/private/"
    wait_for(lambda: chromium.endings == ["ServerRequested"])
    assert AuthSession.objects.get().revoke_reason == "logout"


@on_one_server
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_who_signs_in_over_a_bound_session_is_bound_anew(
    chromium, bound, user, clock, pass_by, name
):
    """Another person, or the same again: the end of the old session takes nothing along."""
    person = user if name == "alice" else UserFactory(username=name)
    old = row()
    bound.login(person)
    chromium.wait_for_registration(2)
    for _ in range(2):
        clock.shift(A_MOMENT)
        bound.goto("/whoami/")
        assert bound.text == name
    assert row().pk != old.pk
    assert row().device_key not in ("", old.device_key)
    wait_for(lambda: chromium.endings == ["ServerRequested"])
    for _ in range(2):
        pass_by(EXPIRY)
        bound.goto("/whoami/")
        assert bound.text == name


def prove_again(tab):
    """Prove who they are on the page that asks for a recent login."""
    tab.goto("/matters/")
    tab.fill(password="secret-pass-1")
    tab.submit("form:has([name=password]) [type=submit]")


def change_password(tab):
    """Choose another password on Django's own page."""
    tab.goto("/password/")
    tab.fill(old_password="secret-pass-1", new_password1="another-8", new_password2="another-8")
    tab.submit("form:has([name=old_password]) [type=submit]")


@on_one_server
@pytest.mark.parametrize("prove", [prove_again, change_password])
def test_who_proves_their_identity_goes_on_in_a_session_that_is_bound_anew(
    chromium, bound, clock, pass_by, prove
):
    """Step-up and a change of password start a session, with a key of its own."""
    old = row()
    pass_by(EXPIRY)
    prove(bound)
    chromium.wait_for_registration(2)
    assert row().pk != old.pk
    clock.shift(A_MOMENT)
    bound.goto("/whoami/")
    assert row().device_key not in ("", old.device_key)
    pass_by(EXPIRY)
    bound.goto("/whoami/")
    assert bound.text == "alice"
    wait_for(lambda: chromium.endings == ["ServerRequested"])


@on_one_server
def test_a_session_that_was_adopted_is_bound_like_any_other(chromium, user, clock, pass_by):
    """Who was signed in before tokenauth came notices nothing."""
    key = make_django_session(user)
    cookie = {"name": site_settings.SESSION_COOKIE_NAME, "value": key, "url": chromium.origin}
    chromium.run(chromium.context.add_cookies([cookie]))
    tab = chromium.first
    tab.goto("/whoami/")
    chromium.wait_for_registration()
    clock.shift(A_MOMENT)
    tab.goto("/whoami/")
    assert row().device_key
    pass_by(EXPIRY)
    tab.goto("/whoami/")
    assert tab.text == "alice"


@on_one_server
@pytest.mark.parametrize("urls", ["tests.urls_root", "tests.device.urls_below"])
def test_the_auth_urls_may_be_included_anywhere(settings, chromium, user, clock, pass_by, urls):
    """At the root, or far below it."""
    settings.ROOT_URLCONF = urls
    tab = chromium.first
    settings.LOGIN_REDIRECT_URL = "/whoami/"
    tab.login(user)
    chromium.wait_for_registration()
    clock.shift(A_MOMENT)
    tab.goto("/whoami/")
    assert row().device_key
    for _ in range(2):
        pass_by(EXPIRY)
        tab.goto("/private/")
        assert "Hello alice" in tab.text
    assert row().rotation == 2
