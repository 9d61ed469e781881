"""Have a browser prove its device key before a request goes on (W3C DBSC: refresh on demand).

Its device token is taken away, and a challenge is given that nobody can have signed before. Chrome
then proves the key, and sends the request again with its body: forms and ``fetch`` alike.
"""

import math
import time
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_variables

from tokenauth.models import AuthSession
from tokenauth.request import bounce
from tokenauth.request.credentials import Credentials
from tokenauth.request.jar.device import good_device_token

from .asking import comes_from_elsewhere, page_that_leads_to
from .challenges import CHALLENGE, CLOCK_SKEW, challenge_header, make_challenge, to_prove
from .cookie import delete_device_token


def is_proved(credentials: Credentials, session: AuthSession, max_age: timedelta) -> bool:
    """Tell whether the key of a session was proven at most ``max_age`` ago."""
    token = good_device_token(credentials.presented.header, session.pk)
    age = time.time() - token.proved if token else math.inf
    return -CLOCK_SKEW <= age <= max_age.total_seconds()


@sensitive_variables()
def demand(request: HttpRequest, session: AuthSession, url: str) -> HttpResponse:
    """Return what makes the browser prove its key, and then go to ``url``, which is this again."""
    # What another site leads to proves nothing on a redirect: a page of this one goes on.
    response = page_that_leads_to(url) if comes_from_elsewhere(request) else bounce.redirect(url)
    challenge = make_challenge(to_prove(session.pk, session.device_thumbprint), time.time(), step=1)
    response[CHALLENGE] = challenge_header(challenge, session.pk)
    delete_device_token(response, session.pk)
    return response
