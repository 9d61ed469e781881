"""Sessions that have ended, and servers that can't be asked."""

import pytest

from tests.resource import SID, expired, token
from tests.resource.issuer import PATH, issuer, reply
from tokenauth.resource import revocations

NAVIGATE = {"sec_fetch_site": "same-origin", "sec_fetch_mode": "navigate"}


class Told:
    """What was told of ended sessions, by hand; its room's own tests have a Redis."""

    def __init__(self):
        self.ended, self.is_down, self.asked = {}, False, []

    def refuses(self, sid, iat):
        self.asked.append("sync")
        return iat <= self.ended.get(sid, 0)

    async def arefuses(self, sid, iat):
        self.asked[-1:] = ["async"]
        return iat <= self.ended.get(sid, 0)


@pytest.fixture
def told(monkeypatch):
    told = Told()
    monkeypatch.setattr(revocations, "configured", lambda: told)
    return told


def test_each_token_is_asked_of_what_was_told(visitor, told):
    """By cookie and by header; on an event loop by the twin that blocks nothing."""
    assert visitor.ask("/whoami/", token()).content == b"7"
    assert visitor.ask("/whoami/", bearer=token(client_id="app")).content == b"7"
    assert set(told.asked) == {visitor.mode}
    told.ended[SID] = 1 << 40
    assert visitor.ask("/whoami/", bearer=token(client_id="app")).content == b"anonymous"
    assert visitor.ask("/api/", bearer=token(client_id="app")).status_code == 401


def test_a_browser_whose_session_has_ended_is_sent_to_refresh_once(visitor, told):
    """Who was signed out and in again gets a newer token there; the others come back marked."""
    told.ended[SID] = 1 << 40
    answer = visitor.ask("/whoami/", token(), **NAVIGATE)
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (307, "/auth/refresh/")
    marker = answer["Location"].rpartition("_rt=")[2]
    assert visitor.ask(f"/whoami/?_rt={marker}", token(), **NAVIGATE).content == b"anonymous"


def test_beside_a_dead_sessions_cookie_a_living_one_counts(visitor, told):
    """Which of the two the browser sends first is chance."""
    other = "2b7c2f1e-5d0a-4f2e-9a3b-0c1d2e3f4a5b"
    told.ended[SID] = 1 << 40
    for cookies in ([token(), token(sid=other, sub="8")], [token(sid=other, sub="8"), token()]):
        assert visitor.ask("/whoami/", *cookies).content == b"8"


def test_of_an_expired_token_nothing_is_asked(visitor, told):
    """What is told of a session is forgotten with its last token."""
    visitor.ask("/whoami/", expired(), **NAVIGATE)
    assert told.asked == []


@pytest.mark.parametrize(("down", "status"), [("accept", 200), ("refuse", 503)])
def test_a_site_says_what_counts_while_nothing_can_be_read(
    visitor, resource_server, told, down, status
):
    """Its tokens until they expire, or nobody's: 503, which says to come again."""
    resource_server.TOKENAUTH_REVOCATIONS_DOWN = down
    told.is_down = True
    answer = visitor.ask("/whoami/", token())
    assert answer.status_code == status
    if status == 503:
        assert answer["Retry-After"] == "2"
        assert "no-store" in answer["Cache-Control"]
    assert visitor.ask("/whoami/").status_code == 200
    told.ended[SID] = 1 << 40
    assert visitor.ask("/whoami/", bearer=token(client_id="app")).content == b"anonymous"


def test_without_keys_only_who_brings_a_token_is_told_to_come_again(visitor, resource_server):
    """Nobody can say who that is. Everybody else is served."""
    with issuer() as server:
        server.answer = reply(500)
        resource_server.TOKENAUTH_PUBLIC_KEYS = None
        resource_server.TOKENAUTH_JWKS_URL = f"{server.origin}{PATH}?{visitor.mode}"
        assert visitor.ask("/whoami/").content == b"anonymous"
        assert visitor.ask("/whoami/", "garbage").content == b"anonymous"
        assert server.asked == []
        for options in ({}, {"method": "POST", "data": {"a": "b"}}):
            assert visitor.ask("/write/", token(), **options).status_code == 503
        assert len(server.asked) == 1
