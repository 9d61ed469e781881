"""Bind sessions to devices along the way of a request, and ask for a proof where none came.

The middleware calls this, where ``TOKENAUTH_DEVICE_BINDING`` is on.
"""

import time
from collections.abc import Callable, Generator
from copy import copy
from functools import partial
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.request import cookies, settlement
from tokenauth.request.credentials import Credentials
from tokenauth.request.jar.device import device_token_in, first_device_token, good_device_token
from tokenauth.secret import Masked
from tokenauth.session import tokens
from tokenauth.session.endings import outcome_of
from tokenauth.session.jwt.access_claims import BROWSER
from tokenauth.session.rotation import Step

from .asking import is_unbound, may_prove, reload_page, tell_script, was_asked
from .challenges import make_challenge, to_register
from .cookie import delete_device_token
from .endpoints import REGISTER, endpoint_at, note_second_key
from .tokens import DeviceClaims

# Before the view


def intervene(credentials: Credentials) -> Generator[Callable[[], Any], Any, HttpResponse | None]:
    """Answer a browser that proves its key, or is to do so; yield what needs the database.

    The generator's value is that answer, None where the request goes on.
    """
    endpoint = endpoint_at(credentials.request.path)
    if endpoint is not None:
        answer: HttpResponse = yield partial(endpoint, credentials)
        return answer
    response = ask_for_proof(credentials)
    if credentials.needs_proof and response is None:
        yield credentials.sweep
    return response


def ask_for_proof(credentials: Credentials) -> HttpResponse | None:
    """Let nobody in whose session is bound to a device that did not prove itself.

    Return the page that makes a browser do so, where that may help: it proves nothing on the way
    from another site's link, and what it asks for by itself it proved or could not.
    """
    request = credentials.request
    credentials.asked_before = was_asked(request)
    access = credentials.presented.access
    if access is None or access.jkt in ("", credentials.device_thumbprint(access.sid)):
        return None
    credentials.needs_proof = True
    if credentials.asked_before:
        return None
    # Where no proof will come, the login page must be able to begin a Django session.
    credentials.unknown = may_prove(request)
    ended = ended_token_in(credentials)
    page = reload_page(request, is_worth_it=may_prove(request) or ended is not None)
    if page is not None and ended is not None:
        delete_device_token(page, ended.sid)
    return page


def ended_token_in(credentials: Credentials) -> DeviceClaims | None:
    """Return a device token that came though it has ended: the browser's clock was set back.

    While the cookie is there it proves nothing.
    """
    held = credentials.presented.held
    token = device_token_in(credentials.presented.header, held.sid) if held else None
    return token if token is not None and token.expired else None


# After it


def is_due(credentials: Credentials) -> bool:
    """Tell whether the response needs the database for what the device token says."""
    return (
        token_to_bind_by(credentials) is not None
        or lacks_claim(credentials)
        or second_key_in(credentials) is not None
    )


def settle(credentials: Credentials) -> None:
    """Bind the session and say so in a new access token; or note that another key was shown."""
    session, second = credentials.session, second_key_in(credentials)
    with settlement.bookkeeping():
        if session is not None:
            bind(credentials, session)
        found = AuthSession.objects.find(second.sid) if second else None
        if found is not None and second is not None:
            note_second_key(found, second.jwk, credentials.request)


def bind(credentials: Credentials, session: AuthSession) -> None:
    """Write down the key, if it was shown; and have the answer say so, if none did."""
    token = token_to_bind_by(credentials)
    if token is not None:
        key = Masked(token.jwk)
        rows = AuthSession.objects.active().filter(pk=session.pk, device_key="")
        if rows.swap(device_key=key):
            session.device_key = key
    if lacks_claim(credentials):
        hand_out_claim(credentials, session)


def token_to_bind_by(credentials: Credentials) -> DeviceClaims | None:
    """Return the first device token, of a browser that has kept it and its key.

    It came after the grace period: a browser that is killed in it has neither on its disk. Not
    within the token's last one, when its cookie has gone: the browser may have another key by now.
    """
    session = credentials.session
    if session is None or session.device_key or credentials.bearer is not None:
        return None
    token = first_device_token(credentials.presented.header, session.pk)
    if token is None:
        return None
    grace = conf.GRACE_PERIOD
    was_kept = token.older_than(grace, credentials.came_at)
    return token if was_kept and token.valid_for(grace.total_seconds()) else None


def lacks_claim(credentials: Credentials) -> bool:
    """Tell whether the browser's access token does not say yet that its session is bound.

    The answer that said so may have been lost. Without the claim nothing would make a browser
    prove its key that comes from another site's link.
    """
    session, access = credentials.session, credentials.access
    return session is not None and access is not None and access.jkt != session.device_thumbprint


def hand_out_claim(credentials: Credentials, session: AuthSession) -> None:
    """Let the answer bring an access token that says so, if the session lives on.

    Nor where it was rotated while the view ran: then the browser has a newer one.
    """
    outgoing = credentials.outgoing
    if outgoing is None:
        now = outcome_of(AuthSession.objects.look_up, session.pk)
        if not isinstance(now, AuthSession) or now.rotation != session.rotation:
            return
        outgoing = as_held(credentials, session)
    credentials.access_token, credentials.access = tokens.issue_access_token(outgoing)
    credentials.outgoing = outgoing


def as_held(credentials: Credentials, session: AuthSession) -> AuthSession:
    """Return a session for a new access token alone, of the rotation that the browser holds.

    It may lack the refresh token of the current one, and would confirm that it has it.
    """
    held, session = credentials.presented.access, copy(session)
    session.rotation = held.rot if held is not None else session.rotation
    session.step = Step.DEBOUNCE
    return session


def second_key_in(credentials: Credentials) -> DeviceClaims | None:
    """Return the first device token that came for a session which is bound to another key."""
    held = credentials.presented.held
    if not credentials.needs_proof or held is None:
        return None
    return first_device_token(credentials.presented.header, held.sid)


@sensitive_variables()
def finish(credentials: Credentials, response: HttpResponseBase) -> None:
    """Offer to bind the session, delete device tokens of ended ones, say what is missing."""
    session = credentials.outgoing
    if session is not None and is_to_be_offered(credentials, session, response):
        challenge = make_challenge(to_register(session.pk), time.time())
        path = f"{cookies.include_path()}{REGISTER}"
        words = f'(ES256 RS256);path="{path}";challenge="{challenge}"'
        response.headers["Secure-Session-Registration"] = words
    for sid in credentials.ended | (credentials.sids() if session is not None else set()):
        is_over = session is None or sid != session.pk
        if is_over and device_token_in(credentials.presented.header, sid) is not None:
            delete_device_token(response, sid)
    ended = ended_token_in(credentials) if credentials.needs_proof else None
    if ended is not None:
        delete_device_token(response, ended.sid)
    # Where browsers need no device token, a 401 is of something else: a wrong password.
    is_ours = credentials.needs_proof and not is_unbound(credentials.request.path)
    if is_ours and response.status_code == 401:
        tell_script(response, "Cookie")


def is_to_be_offered(
    credentials: Credentials, session: AuthSession, response: HttpResponseBase
) -> bool:
    """Tell whether an answer brings the tokens of a session that is new, or was rotated.

    Not one that is handed out again: twenty requests at once are to make one key.
    """
    return (
        credentials.request.is_secure()
        and session.client == BROWSER
        and session.step in (None, Step.ROTATE)
        and not session.device_key
        and cookies.refresh_name() in response.cookies
        and good_device_token(credentials.presented.header, session.pk) is None
    )
