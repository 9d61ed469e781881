"""What a new password, a deactivation or another backend means for the sessions there are."""

from datetime import timedelta

import pytest
import time_machine
from django.conf import settings as site_settings
from django.contrib.auth import aupdate_session_auth_hash, get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.sessions.backends.db import SessionStore
from django.db.models.signals import post_save, pre_save
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from tests import urls, views
from tests.factories import PASSWORD, UserFactory
from tokenauth.models import AuthSession

ACCESS, REFRESH = "__Host-access_token", "__Secure-refresh_token"
NEW_PASSWORD = "battery-staple-9"

meanwhile = []


@csrf_exempt
def slow(request):
    """Write to Django's session, and let something else happen before the answer."""
    person = views.name(request.user)
    request.session["data"] = person
    for happens in meanwhile:
        happens()
    return views.text(person)


@csrf_exempt
async def async_password(request):
    """Change the password as an asynchronous page does."""
    user = await request.auser()
    user.set_password(NEW_PASSWORD)
    await user.asave()
    await aupdate_session_auth_hash(request, user)
    return views.text(views.name(await request.auser()))


def is_known(request):
    return views.text(str(hasattr(request.user, "is_known")))


urlpatterns = [
    *urls.urlpatterns,
    path("is-known/", is_known),
    path("slow-write/", slow),
    path("async-password/", async_password),
    path("auth/slow/", slow),  # where the refresh token comes, and is rotated
]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.users]

threaded = pytest.mark.parametrize("server", ["wsgi"], indirect=True)
every_page = pytest.mark.parametrize(
    "url", ["/whoami/", "/async/whoami/", "/private/", "/api/ping/", "/auth/api/session/"]
)


@pytest.fixture
def alice(transactional_db):
    return UserFactory(username="alice")


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield clock


@pytest.fixture
def laptop(new_browser, alice):
    browser = new_browser()
    browser.login(alice)
    return browser


@pytest.fixture
def phone(new_browser, alice):
    browser = new_browser()
    browser.login(alice)
    return browser


@pytest.fixture
def tab(laptop, new_browser):
    """Another tab of the laptop, that doesn't hear of cookies the first one gets."""
    browser = new_browser()
    browser.paste_cookies(laptop.copy_cookies())
    return browser


@pytest.fixture
def on_save():
    """Let something happen before or after a user is saved, in the middle of a request."""
    connected = []

    def connect(signal, happens):
        def receiver(**kwargs):
            signal.disconnect(receiver, get_user_model())
            happens()

        connected.append((signal, receiver))
        signal.connect(receiver, get_user_model(), weak=False)

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver, get_user_model())


def who(browser):
    name = browser.get("/whoami/").text
    return "alice" if name == "alice@site.test" else name


def set_password(user):
    """Change the password as `manage.py changepassword` does."""
    user = type(user).objects.get(pk=user.pk)
    user.set_password(NEW_PASSWORD)
    user.save()


def change_password(browser):
    browser.get("/password/")
    return send_new_password(browser)


def send_new_password(browser):
    """Fill in the page that is open."""
    data = dict.fromkeys(["new_password1", "new_password2"], NEW_PASSWORD)
    data |= {"old_password": PASSWORD, "csrfmiddlewaretoken": browser.value("csrftoken")}
    return browser.send_form("/password/", data)


def refresh(browser):
    return browser.fetch("POST", reverse("tokenauth:refresh"))


def tokens(browser):
    return {name: browser.value(name) for name in (ACCESS, REFRESH)}


def replace_secret_key(settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"


# Behind the site's back


@every_page
def test_a_new_password_ends_every_session_on_its_next_request(laptop, phone, alice, url):
    """Wherever the password was set, and whatever page comes next."""
    set_password(alice)
    for browser in (laptop, phone):
        answer = browser.get(url, follow_redirects=False)
        assert answer.status_code in {200, 302, 401}
        assert alice.get_username() not in answer.text


@pytest.mark.parametrize("minutes", [0, 5, 20], ids=["at once", "due", "expired"])
def test_a_new_password_ends_the_refresh_too(laptop, alice, clock, minutes):
    """No token is replaced any more."""
    set_password(alice)
    clock.shift(timedelta(minutes=minutes))
    assert refresh(laptop).status_code == 401
    assert who(laptop) == "anonymous"
    assert AuthSession.objects.get().rotation == 0


def test_a_new_password_clears_no_cookies(laptop, alice, clock):
    """Nothing is concluded: the look may have come in the middle of a change."""
    set_password(alice)
    before = tokens(laptop)
    who(laptop)
    refresh(laptop)
    clock.shift(timedelta(minutes=20))
    who(laptop)
    laptop.get("/auth/sessions/")
    assert tokens(laptop) == before
    assert AuthSession.objects.get().revoked_at is None


def test_the_new_password_signs_in(laptop, alice):
    """Cookies of the session before are no obstacle."""
    set_password(alice)
    laptop.login(alice, password=NEW_PASSWORD)
    assert who(laptop) == "alice"


def test_a_new_password_is_nobody_elses_business(laptop, alice, new_browser):
    """Other people stay signed in."""
    bob = UserFactory(username="bob")
    other = new_browser()
    other.login(bob)
    set_password(alice)
    assert other.get("/whoami/").text == bob.get_username()


# On the site's own page


@pytest.mark.parametrize("minutes", [0, 5, 20], ids=["at once", "due", "expired"])
def test_who_changes_the_password_stays_signed_in(laptop, phone, clock, minutes):
    """The browser that changed it has a new session; the others have none."""
    clock.shift(timedelta(minutes=minutes))
    change_password(laptop)
    assert who(laptop) == "alice"
    assert who(phone) == "anonymous"
    clock.shift(timedelta(minutes=20))
    assert who(laptop) == "alice"
    assert refresh(phone).status_code == 401


def test_the_async_page_keeps_the_changer_too(laptop, phone):
    """``aupdate_session_auth_hash`` is as good."""
    laptop.fetch("POST", "/async-password/")
    assert who(laptop) == "alice"
    assert who(phone) == "anonymous"


@pytest.mark.parametrize("copied", ["before", "after a refresh"])
@pytest.mark.parametrize("minutes", [0, 2, 20])
def test_a_copied_jar_does_not_survive_a_new_password(
    laptop, new_browser, clock, *, copied, minutes
):
    """As in Django: the owner has a new session, and the copy is of the one before."""
    if copied == "after a refresh":
        clock.shift(timedelta(minutes=20))
        assert refresh(laptop).status_code == 200
    thief = new_browser()
    thief.paste_cookies(laptop.copy_cookies())
    change_password(laptop)
    clock.shift(timedelta(minutes=minutes))
    assert who(thief) == "anonymous"
    assert refresh(thief).status_code == 401
    assert who(laptop) == "alice"
    reasons = AuthSession.objects.order_by("created_at").values_list("revoke_reason", flat=True)
    assert list(reasons) == ["replaced", ""]


def test_who_changes_the_password_needs_no_django_session_for_it(laptop, phone):
    """It may have expired long before the tokens."""
    laptop.drop_cookie("sessionid")
    change_password(laptop)
    assert who(laptop) == "alice"
    assert who(phone) == "anonymous"


def test_djangos_own_keys_know_the_new_password(laptop, alice):
    """Channels and hijack read them, and a login keeps a person's data by them."""
    laptop.drop_cookie("sessionid")
    change_password(laptop)
    alice.refresh_from_db()
    stored = SessionStore(laptop.value("sessionid"))["_auth_user_hash"]
    assert stored == alice.get_session_auth_hash()


@pytest.mark.parametrize("minutes", [0, 5, 20], ids=["at once", "due", "expired"])
@pytest.mark.parametrize("poll", [who, refresh])
def test_a_poll_in_the_middle_of_the_change_ends_nothing(
    laptop, tab, on_save, clock, *, minutes, poll
):
    """Between the new password and the new hash the other tab finds nobody, and that is all."""
    clock.shift(timedelta(minutes=minutes))
    laptop.get("/password/")
    tab.paste_cookies(laptop.copy_cookies())
    before = tokens(tab)
    on_save(post_save, lambda: poll(tab))
    change_password(laptop)
    assert tokens(tab) == before
    assert who(laptop) == "alice"
    tab.paste_cookies(laptop.copy_cookies())  # one jar
    assert who(tab) == "alice"


@threaded
@pytest.mark.parametrize("minutes", [0, 5, 20], ids=["at once", "confirms", "refreshed"])
def test_a_slow_request_writes_no_old_hash_back(laptop, tab, clock, minutes):
    """It began before the change and ends after it, with all that it read then."""
    clock.shift(timedelta(minutes=minutes))
    who(tab)  # a refresh, if one is due
    laptop.paste_cookies(tab.copy_cookies())
    meanwhile[:] = [lambda: change_password(laptop)]
    tab.fetch("POST", "/slow-write/")
    meanwhile.clear()
    assert who(laptop) == "alice"
    laptop.fetch("POST", "/session-data/", data={"data": "more"})
    assert who(laptop) == "alice"


@threaded
def test_a_slow_request_writes_no_upgraded_hash_back(settings, laptop, tab):
    """The old password's hash under the new key is as wrong as under the old one."""
    replace_secret_key(settings)
    meanwhile[:] = [lambda: change_password(laptop)]
    tab.fetch("POST", "/slow-write/")
    meanwhile.clear()
    assert who(laptop) == "alice"


@pytest.mark.parametrize("write", ["_advance", "confirm"])
def test_what_began_before_the_change_writes_no_old_hash_back(alice, write):
    """Only what a rotation changes is written, whatever else was read with it."""
    session = AuthSession.objects.start(None, alice)
    before = AuthSession.objects.look_up(session.pk)
    alice.set_password(NEW_PASSWORD)
    alice.save()
    session.set_auth_hash(alice.get_session_auth_hash())
    if write == "_advance":
        assert AuthSession.objects._advance(before, None)
    else:
        before.confirm()
    assert AuthSession.objects.look_up(session.pk).user == alice


@threaded
@pytest.mark.parametrize("minutes", [0, 5], ids=["at once", "confirms"])
def test_a_slow_request_saves_no_session_from_a_new_password(laptop, alice, clock, minutes):
    """Set behind the site's back while a page ran, it still ends the session."""
    clock.shift(timedelta(minutes=minutes))
    meanwhile[:] = [lambda: set_password(alice)]
    laptop.fetch("POST", "/slow-write/")
    meanwhile.clear()
    assert who(laptop) == "anonymous"
    laptop.fetch("POST", "/session-data/", data={"data": "more"})
    assert who(laptop) == "anonymous"


# The key rotates


def test_a_hash_under_a_fallback_key_is_upgraded(settings, laptop, alice, clock):
    """Nobody is signed out, and before long the old key can go."""
    replace_secret_key(settings)
    assert who(laptop) == "alice"
    assert AuthSession.objects.get().auth_hash == alice.get_session_auth_hash()
    clock.shift(timedelta(minutes=20))
    assert who(laptop) == "alice"
    settings.SECRET_KEY_FALLBACKS = []
    assert who(laptop) == "alice"
    clock.shift(timedelta(minutes=20))
    assert who(laptop) == "alice"


def test_the_upgrade_is_written_once(settings, server, laptop):
    """One write, then one query a page as before."""
    replace_secret_key(settings)
    counts = []
    for _ in range(3):
        with server.count_queries() as queries:
            who(laptop)
        counts.append(len(queries))
    assert counts == [2, 1, 1]


def test_without_the_fallback_key_the_hash_is_wrong(settings, laptop):
    """A key that leaked can be dropped, with all that was signed under it."""
    settings.SECRET_KEY = "a new one"
    assert who(laptop) == "anonymous"
    assert refresh(laptop).status_code == 401


def test_a_new_password_counts_under_a_fallback_key_too(settings, laptop, alice):
    """The old password's hash is none of the fallbacks."""
    set_password(alice)
    replace_secret_key(settings)
    assert who(laptop) == "anonymous"


def test_who_changes_the_password_under_a_fallback_key_stays_signed_in(settings, laptop, phone):
    """The new hash is written, not the old one's upgrade."""
    replace_secret_key(settings)
    change_password(laptop)
    assert who(laptop) == "alice"
    assert who(phone) == "anonymous"


def test_a_poll_that_upgrades_the_hash_does_not_end_the_changers_session(
    settings, laptop, tab, on_save
):
    """Another tab may write the upgrade in the moment before the password changes."""
    laptop.get("/password/")
    tab.paste_cookies(laptop.copy_cookies())
    replace_secret_key(settings)
    on_save(pre_save, lambda: who(tab))
    send_new_password(laptop)
    assert who(laptop) == "alice"


# The user


def test_a_deactivated_person_is_out_at_once_and_back_when_reactivated(laptop, alice, clock):
    """Nothing is deleted meanwhile."""
    before = tokens(laptop)
    get_user_model().objects.filter(pk=alice.pk).update(is_active=False)
    assert who(laptop) == "anonymous"
    assert refresh(laptop).status_code == 401
    assert tokens(laptop) == before
    clock.shift(timedelta(minutes=20))
    assert who(laptop) == "anonymous"
    get_user_model().objects.filter(pk=alice.pk).update(is_active=True)
    assert who(laptop) == "alice"


@pytest.mark.parametrize("minutes", [0, 20], ids=["at once", "expired"])
def test_a_deleted_person_is_out_at_once(laptop, alice, clock, minutes):
    """The sessions go with the person, and the cookies with the sessions."""
    alice.delete()
    clock.shift(timedelta(minutes=minutes))
    assert who(laptop) == "anonymous"
    assert not laptop.cookie(ACCESS)
    assert refresh(laptop).status_code == 401
    assert not laptop.cookie(REFRESH)
    assert not AuthSession.objects.exists()


# The backend


class Doorkeeper(ModelBackend):
    """A backend that lets in whom it likes, and knows more of them than the database."""

    closed = False

    def get_user(self, user_id):
        user = super().get_user(user_id)
        if user is not None:
            user.is_known = True
        return None if self.closed else user


class Directory(BaseBackend):
    """A backend that has nothing to do with Django's."""

    def authenticate(self, request, username=None, password=None):
        return self.find(**{get_user_model().USERNAME_FIELD: username})

    def get_user(self, user_id):
        return self.find(pk=user_id)

    def find(self, **lookup):
        return get_user_model().objects.filter(**lookup).first()


DJANGOS = "django.contrib.auth.backends.ModelBackend"
ALLOW_ALL = "django.contrib.auth.backends.AllowAllUsersModelBackend"
OURS = f"{__name__}.Doorkeeper"
DIRECTORY = f"{__name__}.Directory"


def test_a_backend_that_is_gone_vouches_for_nobody(settings, laptop, clock):
    """Its sessions rest until it is back."""
    before = tokens(laptop)
    settings.AUTHENTICATION_BACKENDS = [OURS]
    assert who(laptop) == "anonymous"
    assert refresh(laptop).status_code == 401
    assert tokens(laptop) == before
    settings.AUTHENTICATION_BACKENDS = [OURS, DJANGOS]
    assert who(laptop) == "alice"


def test_a_backends_own_get_user_decides(settings, monkeypatch, browser, alice, clock):
    """It is asked on every request, and by the refresh."""
    settings.AUTHENTICATION_BACKENDS = [OURS, DJANGOS]
    browser.login(alice)
    assert AuthSession.objects.get().backend == OURS
    assert who(browser) == "alice"
    monkeypatch.setattr(Doorkeeper, "closed", True)
    assert who(browser) == "anonymous"
    assert refresh(browser).status_code == 401
    clock.shift(timedelta(minutes=20))
    assert who(browser) == "anonymous"
    monkeypatch.setattr(Doorkeeper, "closed", False)
    assert who(browser) == "alice"


def test_the_request_has_the_backends_own_user(settings, browser, alice):
    """What it adds to the user arrives in the view."""
    settings.AUTHENTICATION_BACKENDS = [OURS]
    browser.login(alice)
    assert browser.get("/is-known/").text == "True"


@pytest.mark.parametrize("active", [True, False], ids=["active", "inactive"])
@pytest.mark.parametrize("backend", [ALLOW_ALL, DIRECTORY])
def test_a_backend_may_let_inactive_people_in(settings, browser, alice, backend, active):
    """If it says so, as in Django."""
    settings.AUTHENTICATION_BACKENDS = [backend]
    browser.fetch(
        "POST", "/django-login/", data={"username": alice.get_username(), "password": PASSWORD}
    )
    get_user_model().objects.filter(pk=alice.pk).update(is_active=active)
    assert who(browser) == "alice"
    assert browser.fetch("GET", "/api/ping/").status_code == (200 if active else 401)


def test_each_session_keeps_to_the_backend_that_started_it(settings, laptop, new_browser, alice):
    """Of two backends each vouches for its own."""
    settings.AUTHENTICATION_BACKENDS = [DIRECTORY, DJANGOS]
    other = new_browser()
    other.fetch("POST", "/django-login/", data={"username": alice.get_username(), "password": "x"})
    backends = AuthSession.objects.order_by("created_at").values_list("backend", flat=True)
    assert list(backends) == [DJANGOS, DIRECTORY]
    settings.AUTHENTICATION_BACKENDS = [DJANGOS]
    assert [who(laptop), who(other)] == ["alice", "anonymous"]


# The user model


class NobodyManager(get_user_model()._default_manager.__class__):
    """A default manager that hides people, as soft deletion does."""

    def get_queryset(self):
        return super().get_queryset().filter(is_staff=True)


@pytest.fixture
def hiding_manager(monkeypatch):
    """Let the user model's default manager see staff only."""

    def hide():
        manager = NobodyManager()
        manager.model = get_user_model()
        monkeypatch.setattr(get_user_model()._meta, "default_manager", manager)

    yield hide
    monkeypatch.undo()


def test_whom_the_default_manager_hides_is_not_signed_in(
    hiding_manager, monkeypatch, laptop, clock
):
    """A join would find them; Django's own sessions would not."""
    before = tokens(laptop)
    hiding_manager()
    assert who(laptop) == "anonymous"
    assert refresh(laptop).status_code == 401
    assert tokens(laptop) == before
    monkeypatch.undo()
    assert who(laptop) == "alice"


def test_whom_the_default_manager_shows_is_signed_in(hiding_manager, laptop, alice):
    """It filters, it doesn't forbid."""
    get_user_model().objects.filter(pk=alice.pk).update(is_staff=True)
    hiding_manager()
    assert who(laptop) == "alice"


def test_the_api_names_the_person_by_their_key(laptop, alice):
    """Also where that is a UUID."""
    answer = laptop.fetch("GET", reverse("tokenauth:api_session")).json()
    assert answer["user"] == {
        "id": str(alice.pk) if site_settings.AUTH_USER_MODEL == "tests.Member" else alice.pk,
        "username": alice.get_username(),
    }


# A slow answer


def change_elsewhere():
    person = get_user_model().objects.get()
    person.set_password(NEW_PASSWORD)
    person.save()


@pytest.mark.parametrize("happens", [None, change_elsewhere], ids=["nothing", "a new password"])
def test_no_access_token_goes_out_after_a_new_password(client, user, monkeypatch, happens):
    """A resource server would believe it: it would be younger than the password."""
    data = {"username": user.get_username(), "password": PASSWORD}
    assert client.post("/auth/api/login/", data, secure=True).status_code == 200
    monkeypatch.setitem(globals(), "meanwhile", [happens] if happens else [])
    with time_machine.travel(timezone.now() + timedelta(minutes=20)):
        answer = client.get("/auth/slow/", secure=True)
    assert answer.content.decode() == user.get_username()
    assert ({ACCESS, REFRESH} <= {*answer.cookies}) is (happens is None)
