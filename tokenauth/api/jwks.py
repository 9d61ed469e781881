"""Publish the keys with which others verify access tokens (RFC 7517 §5)."""

import hashlib
import json

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import condition, require_safe

from tokenauth.session.tokens import signing_keys

#: Seconds for which anybody may keep the set: so long before it signs, a new key is published.
MAX_AGE = 300


def body_of_keys(request: HttpRequest) -> str:
    """Return the key set in JSON. Raises Http404 where there are no public keys."""
    keys = signing_keys()
    if keys is None or not keys.public.kids:
        raise Http404("This site has no key that others could verify with.")
    return json.dumps(keys.public.as_jwks(), indent=1)


def etag_of_keys(request: HttpRequest) -> str:
    """Return what changes when the keys do."""
    return f'"{hashlib.sha256(body_of_keys(request).encode()).hexdigest()[:32]}"'


@require_safe
@cache_control(public=True, max_age=MAX_AGE)
@condition(etag_func=etag_of_keys)
def jwks(request: HttpRequest) -> HttpResponse:
    """Answer with the public keys, the same for everybody: no cookie, no query."""
    return HttpResponse(body_of_keys(request), content_type="application/jwk-set+json")
