"""A thief who has a copy of the jar, or of Chromium's whole folder, taken at each stage."""

import shutil
from datetime import timedelta

import pytest

from tests.browser import Browser
from tests.device.conftest import A_MOMENT
from tests.device.https import wait_for
from tests.device.test_chromium import EXPIRY, LOGIN, row
from tests.device.upstream import LOST, fails_with
from tests.test_chromium import on_one_server
from tokenauth.device.endpoints import REFRESH, REGISTER
from tokenauth.models import AuthSession

#: Longer than a device token lives.
TOKEN_LIFETIME = timedelta(minutes=10, seconds=1)


class Thief(Browser):
    """Somebody with a copy of a jar, and a client that sends what they like."""

    def __init__(self, server, window):
        super().__init__(server)
        self.sid = row().pk
        for (name, path), cookie in window.cookies.items():
            self.set_cookie(name, cookie["value"], path=path)

    @property
    def is_in(self):
        """Whether they are taken for Alice now."""
        return self.get("/whoami/").text == "alice"

    def prove(self, proof="", path=REFRESH):
        """Ask for a device token; return the status."""
        headers = {"Sec-Secure-Session-Id": f'"{self.sid}"', "Sec-Fetch-Mode": "no-cors"}
        headers |= {"Secure-Session-Response": f'"{proof}"'} if proof else {}
        return self.client.post(f"/auth/{path}", headers=headers).status_code

    def tries_everything(self, *, rotates=True):
        """Return what they got by every door there is, of which one may be left out."""
        return [
            self.get("/whoami/").text,
            self.get("/auth/api/session/").text,
            self.fetch("POST", "/auth/refresh/").status_code if rotates else 401,
            self.fetch("GET", "/api/ping/").status_code,
            self.prove(),
            self.prove(path=REGISTER),
            self.fetch("POST", "/auth/api/sessions/revoke-others/").status_code,
        ]


@pytest.fixture
def steal(server):
    """A function that copies a window's jar."""
    thieves = []

    def steal(window):
        thieves.append(Thief(server, window))
        return thieves[-1]

    yield steal
    for thief in thieves:
        thief.close()


def is_nothing(results):
    """Tell whether nothing was got: not her name, and no status that grants."""
    return not any("alice" in str(result) or result == 200 for result in results)


# Copied before the session was bound


@on_one_server
@pytest.mark.parametrize("has_token", [True, False], ids=["registered", "not yet"])
def test_a_copy_from_before_the_binding_is_dead_after_it(
    chromium, tab, clock, pass_by, steal, has_token
):
    """Until then, or until its device token ends, it is worth what it always was.

    It may even be what binds the session: to the owner's key, which is no use to a thief.
    """
    thief = steal(chromium)
    if not has_token:
        thief.drop_cookie(chromium.device_tokens[0])
    assert thief.is_in
    clock.shift(A_MOMENT)
    thief.get("/whoami/")
    tab.goto("/whoami/")
    assert row().device_key
    assert thief.is_in is has_token
    clock.shift(TOKEN_LIFETIME)
    assert is_nothing(thief.tries_everything())
    chromium.expire()
    for _ in range(3):
        tab.goto("/whoami/")
        assert tab.text == "alice"
        pass_by(EXPIRY)
    assert row().revoke_reason == ""


@on_one_server
@pytest.mark.parametrize("comes", [True, False], ids=["owner came meanwhile", "owner was away"])
def test_a_thief_who_binds_a_key_of_their_own_first_keeps_the_session_until_the_owner_comes(
    chromium, new_window, user, clock, upstream, comes
):
    """The owner sees the login page; their sign-in ends what the thief has."""
    upstream.fault = fails_with(LOST)
    tab = chromium.first
    tab.login(user)
    wait_for(lambda: upstream.asked)
    upstream.fault = None
    thief = new_window(chromium.run(chromium.context.storage_state()))
    clock.shift(EXPIRY)
    thief.first.goto("/whoami/")
    thief.wait_for_registration()
    if comes:
        tab.goto("/whoami/")
        assert tab.text == "alice"
    clock.shift(A_MOMENT)
    thief.first.goto("/whoami/")
    assert (thief.first.text, bool(row().device_key)) == ("alice", True)
    stolen = row()
    tab.goto("/private/")
    assert tab.path == f"{LOGIN}?next=/private/"
    tab.fill(username="alice", password="secret-pass-1")
    tab.submit("form:has([name=password]) [type=submit]")
    assert tab.path == "/private/"
    assert row().pk != stolen.pk
    thief.first.goto("/whoami/")
    assert thief.first.text == "anonymous"


# Copied after it was bound


@on_one_server
def test_a_copy_of_a_bound_jar_is_worth_nothing_after_its_device_token(
    chromium, bound, clock, pass_by, steal
):
    """No request is answered to it and no refresh; its owner notices nothing.

    Unless it comes with a refresh token that is spent: see below.
    """
    thief = steal(chromium)
    assert thief.is_in
    clock.shift(TOKEN_LIFETIME)
    chromium.expire()
    for number in range(4):
        assert is_nothing(thief.tries_everything(rotates=number == 0))
        bound.goto("/whoami/")
        assert bound.text == "alice"
        pass_by(EXPIRY)
    assert row().revoke_reason == ""
    assert set(chromium.refreshes) == {"Refreshed"}


@on_one_server
def test_a_copy_that_rotates_within_its_window_ends_the_session_for_both(
    chromium, bound, pass_by, clock, steal
):
    """The owner's next rotation brings a token that was spent."""
    pass_by(timedelta(minutes=12))  # now the device token outlives the access token
    bound.goto("/whoami/")
    thief = steal(chromium)
    clock.shift(timedelta(minutes=4))
    assert thief.is_in
    assert row().rotation == 1
    clock.shift(A_MOMENT)
    assert thief.is_in
    bound.goto("/private/")
    assert bound.path.startswith(LOGIN)
    assert AuthSession.objects.get().revoke_reason == "reuse"
    assert not thief.is_in


@on_one_server
def test_a_proof_that_was_captured_is_good_for_as_long_as_its_challenge(
    chromium, bound, pass_by, clock, upstream, steal
):
    """And a device token beyond that: fifteen minutes and ten, at the most."""
    thief = steal(chromium)
    pass_by(TOKEN_LIFETIME)
    bound.goto("/whoami/")
    proof = upstream.asked[-1][2].strip('"')
    assert thief.prove(proof) == 200
    clock.shift(timedelta(minutes=15))
    assert thief.prove(proof) == 403
    clock.shift(TOKEN_LIFETIME)
    assert is_nothing(thief.tries_everything())


@on_one_server
@pytest.mark.parametrize("moment", ["before the binding", "after it"])
def test_a_spent_refresh_token_of_a_dead_copy_ends_the_session_for_both(
    chromium, tab, pass_by, clock, steal, moment
):
    """Whoever brings it, and whatever they can't prove: it shows that there are two."""
    thief = steal(chromium)
    clock.shift(A_MOMENT)
    tab.goto("/whoami/")
    thief = steal(chromium) if moment == "after it" else thief
    for _ in range(2):
        pass_by(EXPIRY)
        tab.goto("/whoami/")
    assert (tab.text, row().rotation) == ("alice", 2)
    assert thief.fetch("POST", "/auth/refresh/").status_code == 401
    assert AuthSession.objects.get().revoke_reason == "reuse"


# With the whole folder


@on_one_server
@pytest.mark.parametrize("has_keys", [False, True], ids=["keys of another TPM", "keys deleted"])
@pytest.mark.parametrize("is_bound", [True, False], ids=["bound", "registered"])
def test_a_copy_of_the_whole_folder_is_worth_no_more(
    open_profile, tmp_path, user, clock, has_keys, is_bound
):
    """On a machine that can't use the owner's keys: the first device token's time, and no refresh.

    Keys in software are in the folder, too; so the thief's Chromium may use none, or finds none.
    """
    owner = open_profile(tmp_path / "owner")
    owner.first.login(user)
    owner.wait_for_registration()
    if is_bound:
        clock.shift(A_MOMENT)
        owner.first.goto("/whoami/")
    owner.close()
    shutil.copytree(tmp_path / "owner", tmp_path / "thief", symlinks=True)
    if has_keys:
        [store] = (tmp_path / "thief").glob("**/Device Bound Sessions")
        store.unlink()
    owner = open_profile(tmp_path / "owner")
    clock.shift(A_MOMENT)
    owner.first.goto("/whoami/")
    assert (owner.first.text, bool(row().device_key)) == ("alice", True)
    thief = open_profile(tmp_path / "thief", has_keys=has_keys)
    thief.first.goto("/whoami/")
    assert thief.first.text == "alice"
    clock.shift(EXPIRY)
    owner.expire()
    for expires in (False, True):
        thief.expire() if expires else None
        thief.first.goto("/whoami/")
        assert thief.first.text == "anonymous"
    owner.first.goto("/whoami/")
    assert owner.first.text == "alice"
    assert "Refreshed" not in thief.refreshes
    assert thief.device_tokens == []
    assert row().revoke_reason == ""
