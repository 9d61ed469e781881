"""The commands: remove what ended long ago, end sessions from the shell."""

import io
import os
import re
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from tests.factories import SessionFactory, UserFactory
from tokenauth.management.commands import tokenauth_clear
from tokenauth.models import AuthSession
from tokenauth.session.endings import RevokeReason
from tokenauth.session.jose.keys import SigningKeys

pytestmark = [pytest.mark.django_db, pytest.mark.users]

DAY = timedelta(days=1)


def run(command, *args):
    """What a command says."""
    call_command(command, *args, stdout=(out := io.StringIO()))
    return out.getvalue().strip()


def ended(**ago):
    """A session whose columns lie so many days in the past."""
    session = SessionFactory()
    moments = {name: timezone.now() - days * DAY for name, days in ago.items()}
    AuthSession.objects.filter(pk=session.pk).update(**moments)
    return session


@pytest.fixture
def history():
    """Sessions to keep, and sessions whose time is over: two of them."""
    keep = [
        SessionFactory(),
        ended(revoked_at=0),
        ended(revoked_at=89),
        ended(expires_at=89),
        ended(created_at=170, last_seen_at=100),
    ]
    return keep, [ended(revoked_at=91), ended(expires_at=91, absolute_expires_at=91)]


# tokenauth_clear


def test_what_ended_long_ago_is_removed(history):
    """Sessions that are active, or ended within the history's lifetime, stay."""
    keep, _ = history
    assert run("tokenauth_clear") == "2 sessions removed."
    assert set(AuthSession.objects.all()) == set(keep)
    assert run("tokenauth_clear") == "Nothing to remove."


@pytest.mark.usefixtures("history")
def test_a_dry_run_removes_nothing():
    """It only says how many there are."""
    assert run("tokenauth_clear", "--dry-run") == "2 sessions would be removed."
    assert AuthSession.objects.count() == 7


def test_one_session_is_told_in_the_singular():
    """Plain words."""
    ended(revoked_at=91)
    assert run("tokenauth_clear", "--dry-run") == "1 session would be removed."
    assert run("tokenauth_clear") == "1 session removed."
    assert run("tokenauth_clear", "--dry-run") == "Nothing to remove."


def test_how_long_the_history_is_kept_is_a_setting(settings, history):
    """A shorter history removes more."""
    settings.TOKENAUTH_HISTORY_LIFETIME = timedelta(days=88)
    assert run("tokenauth_clear") == "4 sessions removed."


@pytest.mark.parametrize(("size", "batches"), [(1000, 1), (3, 2), (1, 4), (0, 4), (-5, 4)])
def test_rows_are_removed_in_batches(size, batches):
    """No statement locks the table for long, and whatever the size, all rows go."""
    for _ in range(4):
        ended(expires_at=91)
    with CaptureQueriesContext(connection) as queries:
        assert run("tokenauth_clear", f"--batch-size={size}") == "4 sessions removed."
    assert sum("DELETE" in query["sql"] for query in queries) == batches
    assert not AuthSession.objects.exists()


def test_each_batch_goes_on_where_the_one_before_stopped():
    """Or the last ones would wade through what was deleted; those of one moment go all."""
    moment = timezone.now() - 91 * DAY
    for _ in range(3):
        AuthSession.objects.filter(pk=SessionFactory().pk).update(expires_at=moment)
    with CaptureQueriesContext(connection) as queries:
        assert run("tokenauth_clear", "--batch-size=2") == "3 sessions removed."
    selects = [q["sql"] for q in queries if "SELECT" in q["sql"] and "expires_at" in q["sql"]]
    assert [re.search(r'"?expires_at"?`? >= ', sql) is not None for sql in selects] == [False, True]


def test_a_busy_database_gets_a_rest(monkeypatch):
    """Between two batches, not after the last."""
    rests = []
    monkeypatch.setattr(tokenauth_clear.time, "sleep", rests.append)
    for _ in range(3):
        ended(revoked_at=91)
    assert run("tokenauth_clear", "--batch-size=2", "--sleep=0.5") == "3 sessions removed."
    assert rests == [0.5]


# tokenauth_revoke


def test_the_sessions_of_one_person_end(user):
    """With the reason ``admin``, and nobody else's."""
    mine, stranger = SessionFactory.create_batch(2, user=user), SessionFactory()
    assert run("tokenauth_revoke", "--user", user.get_username()) == "2 sessions ended."
    assert list(AuthSession.objects.active()) == [stranger]
    reasons = AuthSession.objects.filter(pk__in=[session.pk for session in mine])
    assert set(reasons.values_list("revoke_reason", flat=True)) == {RevokeReason.ADMIN}
    assert run("tokenauth_revoke", "--user", user.get_username()) == "No active session."


def test_no_mark_is_left_where_nothing_is_adopted(settings, user):
    """There is no Django session to keep from it."""
    settings.TOKENAUTH_ADOPT_DJANGO_SESSIONS = False
    SessionFactory(user=user)
    assert run("tokenauth_revoke", "--user", user.get_username()) == "1 session ended."
    assert AuthSession.objects.count() == 1


def test_everybodys_sessions_end():
    """After a leak there is one command to type."""
    SessionFactory()
    assert run("tokenauth_revoke", "--all") == "1 session ended."
    assert run("tokenauth_revoke", "--all") == "No active session."


def test_a_person_without_sessions_is_no_error():
    """There was nothing to end."""
    assert run("tokenauth_revoke", "--user", UserFactory().get_username()) == "No active session."


@pytest.mark.parametrize("name", ["nobody", ""])
def test_an_unknown_name_is_told_plainly(name):
    """Nothing ends because of a typo, and nobody reads a traceback."""
    SessionFactory()
    with pytest.raises(CommandError, match=f"There is no user '{name}'"):
        run("tokenauth_revoke", f"--user={name}")
    assert AuthSession.objects.active().count() == 1


@pytest.mark.parametrize("args", [[], ["--all", "--user=alice"]], ids=["nobody", "both"])
def test_whose_sessions_end_has_to_be_said(args):
    """One person's or everybody's, never by default."""
    SessionFactory()
    with pytest.raises(CommandError, match="--all"):
        run("tokenauth_revoke", *args)
    assert AuthSession.objects.active().count() == 1


# Both


@pytest.mark.parametrize("language", ["de", "fr", "es", "zh-hans"])
def test_commands_speak_the_sites_language(user, language):
    """In all that they say, as ``LANGUAGE_CODE`` has it; what ``--help`` says is English."""
    say = [
        ("tokenauth_clear",),
        ("tokenauth_clear", "--dry-run"),
        ("tokenauth_revoke", "--all"),
        ("tokenauth_revoke", "--user=nobody"),
    ]
    said = {}
    for code in ("en", language):
        with translation.override(code):
            said[code] = [speak(*words) for words in say]
            ended(revoked_at=91), SessionFactory()
            said[code] += [speak(*words) for words in reversed(say[:3])]
    assert not set(said["en"]) & set(said[language])
    assert ["nobody" in text for text in said[language]] == [False] * 3 + [True] + [False] * 3


def speak(*words):
    """What a command says, its error included."""
    try:
        return run(*words)
    except CommandError as error:
        return str(error)


# tokenauth_key


def make_key(*args):
    """What the command prints, and what it says beside."""
    call_command(
        "tokenauth_key", *args, stdout=(out := io.StringIO()), stderr=(err := io.StringIO())
    )
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("args", "alg"),
    [
        ([], "ES256"),
        (["--type", "ES256"], "ES256"),
        (["--type", "Ed25519"], "Ed25519"),
        (["--type", "RS256"], "RS256"),
    ],
)
def test_a_key_is_printed_that_the_setting_takes(args, alg):
    """On the standard output alone, so that it can go into a file or a vault."""
    pem, said = make_key(*args)
    ((kid, made),) = SigningKeys([pem]).public.algorithms.items()
    assert made == alg
    assert f"Made the key {kid}." in said
    assert "TOKENAUTH_SIGNING_KEYS = [" in said
    assert pem.splitlines()[1] not in said
    assert pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert pem.endswith("-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_key_is_written_where_its_owner_alone_reads_it(tmp_path, umask):
    """Whatever the shell's umask is; and the line for the settings names the file."""
    file = tmp_path / "key.pem"
    before = os.umask(umask)
    try:
        printed, said = make_key("--out", str(file))
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert printed == ""
    assert f"TOKENAUTH_SIGNING_KEYS = [{str(file)!r}]" in said
    assert SigningKeys([file]).public.kids[0] in said


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
def test_no_key_is_written_over(tmp_path, is_link):
    """Whoever signs in would be signed out; nor through a link that leads nowhere yet."""
    file = tmp_path / "key.pem"
    file.symlink_to(tmp_path / "elsewhere") if is_link else file.write_text("in use")
    with pytest.raises(CommandError, match=r"key\.pem is there already"):
        make_key("--out", str(file))
    assert is_link or file.read_text() == "in use"
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_that_cannot_be_written_is_told(tmp_path):
    """With the reason."""
    with pytest.raises(CommandError, match="No such file or directory"):
        make_key("--out", str(tmp_path / "nowhere" / "key.pem"))


def test_no_key_is_made_without_the_library(monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "tokenauth.session.jose.keys", None)
    with pytest.raises(CommandError, match=r"pip install 'django-tokenauth\[keys\]'"):
        make_key()
