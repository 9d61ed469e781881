"""A job of a CI exchanges what its CI gave it for one access token, and keeps no secret."""

from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from tests.app import App
from tests.clients import AUDIENCE, DISCOVERY, KEYS_PATH, RSA, claims, key_set, signed
from tests.factories import SessionFactory, UserFactory
from tests.resource.issuer import issuer, nobody, publish
from tokenauth.clients import issuers
from tokenauth.models import AuthSession
from tokenauth.request import cookies
from tokenauth.resource.keys import fetching, published
from tokenauth.session import tokens

pytestmark = pytest.mark.django_db

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
NAME = "deploy.yml of example/shop"


def bot(said):
    """Whom the shop's jobs act for."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415  # as a site has it

    ours = said["repository_id"] == "74"
    return get_user_model().objects.get_by_natural_key("deploy-bot") if ours else None


@pytest.fixture
def user():
    """A user for jobs alone."""
    return UserFactory(username="deploy-bot")


@pytest.fixture
def ci(user, settings, monkeypatch):
    """The CI's issuer, whom the site trusts."""
    cache.clear()
    monkeypatch.setattr(published, "TIMEOUT", 20)
    monkeypatch.setattr(fetching, "TIMEOUT", 20)
    with issuer() as running:
        ours = {"issuer": running.origin, "jwks_uri": running.origin + KEYS_PATH}
        told = {DISCOVERY: ours, KEYS_PATH: key_set(RSA)}
        running.answer = lambda handler: publish(told[handler.path])(handler)
        settings.TOKENAUTH_TRUSTED_ISSUERS = {
            running.origin: {"audience": AUDIENCE, "user": f"{__name__}.bot"}
        }
        yield running
        issuers.forget()


class Job(App):
    """A job, which shows the token of its CI."""

    def start(self, ci, **changes):
        """Answer to the exchange."""
        return self.show(signed(claims(ci.origin, **changes), RSA))

    def show(self, assertion):
        """See start()."""
        answer = self.send(grant_type=JWT_BEARER, assertion=assertion)
        if answer.status_code == 200:
            self.keep(answer)
        return answer


@pytest.fixture
def job(ci):
    """A job that has been let in."""
    job = Job()
    assert job.start(ci).status_code == 200
    return job


def test_a_job_gets_one_access_token_and_nothing_to_refresh(job, user):
    """By a session of its own, which is named by what it is and ends with the token."""
    assert sorted(job.tokens) == ["access_token", "expires_in", "token_type"]
    assert job.tokens["expires_in"] <= 900
    assert job.get().content == b"deploy-bot"
    session = AuthSession.objects.get()
    assert (session.user, session.client, session.client_name) == (user, "ci", NAME)
    assert session.ends_at - session.created_at <= timedelta(minutes=15)
    assert session.authenticated_at is None


def test_it_ends_by_itself(job):
    """After an access token's time."""
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert job.get().content == b"anonymous"
        assert job.get("/api/for-apps/").status_code == 401


def test_what_was_shown_once_is_worth_nothing(ci, job):
    """A log may have it."""
    shown = signed(claims(ci.origin), RSA)
    assert Job().show(shown).status_code == 200
    again = Job().show(shown)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert "used before" in again.json()["error_description"]
    assert AuthSession.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"aud": "https://other.site.test/"}, "audience"),
        ({"repository_id": "75"}, "refused"),
        ({"iss": "https://ci.other.test"}, "TOKENAUTH_TRUSTED_ISSUERS"),
    ],
    ids=["audience", "repository", "issuer"],
)
def test_whom_the_site_does_not_know_is_told_why(ci, changes, says):
    """In words for whoever runs the job."""
    answer = Job().start(ci, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert says in answer.json()["error_description"]
    assert not AuthSession.objects.exists()


def test_without_an_assertion_there_is_nothing_to_exchange(ci):
    """RFC 7523 §2.1."""
    answer = App().send(grant_type=JWT_BEARER)
    assert answer.json()["error_description"] == "The parameter assertion is missing."


def test_apps_are_another_matter(ci):
    """A site may let jobs in and no apps."""
    answer = App().send(grant_type="refresh_token", refresh_token="x")
    assert answer.json()["error"] == "unsupported_grant_type"
    assert JWT_BEARER in answer.json()["error_description"]


def test_whose_keys_cannot_be_had_is_asked_to_come_again(user, settings):
    """It is no fault of the job's."""
    with nobody() as origin:
        settings.TOKENAUTH_TRUSTED_ISSUERS = {
            origin: {"audience": AUDIENCE, "user": f"{__name__}.bot"}
        }
        answer = Job().show(signed(claims(origin), RSA))
    issuers.forget()
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer["Retry-After"] == "5"


def test_who_guesses_is_slowed_down(ci, settings):
    """By address, as with passwords; what is good is not counted."""
    settings.TOKENAUTH_LOGIN_RATES = {"address": "2/h"}
    assert [Job().start(ci).status_code for _ in range(4)] == [200] * 4
    statuses = [Job().start(ci, aud="x").status_code for _ in range(3)]
    assert statuses == [400, 400, 429]
    slowed = Job().start(ci)
    assert (slowed.json()["error"], int(slowed["Retry-After"]) > 0) == (
        "temporarily_unavailable",
        True,
    )


WAYS = {
    "token/revoke/": lambda job, user: job.send(
        "/auth/token/revoke/", token=job.tokens["access_token"]
    ),
    "staff": lambda job, user: AuthSession.objects.filter(client="ci").revoke("admin"),
    "password": lambda job, user: (user.set_password("another-pass-2"), user.save()),
}


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
def test_whoever_ends_it_the_next_request_is_refused(job, user, end):
    """As with every client."""
    end(job, user)
    assert job.get().content == b"anonymous"
    assert job.get("/api/for-apps/").status_code == 401


def test_it_is_listed_by_its_name_and_ended_from_there(job, user):
    """On the page of whoever it acts for."""
    browser, session = Client(), SessionFactory(user=user)
    browser.cookies[cookies.access_name()] = tokens.issue_access_token(session)[0].reveal()
    browser.cookies[cookies.refresh_name()] = session.refresh_token.reveal()
    page = browser.get("/auth/sessions/").content.decode()
    assert NAME in page
    assert "CI job" in page
    browser.post(f"/auth/sessions/{AuthSession.objects.get(client='ci').pk}/revoke/")
    assert job.get().content == b"anonymous"


def test_a_night_of_jobs_signs_nobody_out(ci, user, settings):
    """They are no devices."""
    settings.TOKENAUTH_MAX_SESSIONS_PER_USER = 2
    kept = SessionFactory(user=user)
    for _job in range(4):
        assert Job().start(ci).status_code == 200
    kept.refresh_from_db()
    assert kept.active
    assert AuthSession.objects.active().filter(client="ci").count() == 4


def test_what_was_shown_once_is_worth_nothing_where_no_history_is_kept(ci, user, settings):
    """The row stays for as long as the assertion would count."""
    settings.TOKENAUTH_HISTORY_LIFETIME = 0
    job, shown = Job(), signed(claims(ci.origin), RSA)
    assert job.show(shown).status_code == 200
    job.send("/auth/token/revoke/", token=job.tokens["access_token"])
    for minutes, left in ((9, 1), (12, 0)):
        with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
            call_command("tokenauth_clear", verbosity=0)
            assert Job().show(shown).json()["error"] == "invalid_grant"
        assert AuthSession.objects.count() == left


def test_their_rows_go_with_the_history(job):
    """Although their marks look like those of adopted sessions, which stay."""
    with time_machine.travel(timezone.now() + timedelta(days=91)):
        call_command("tokenauth_clear", verbosity=0)
    assert not AuthSession.objects.exists()
