"""Marks of Django sessions that are older than tokenauth: which were adopted, which never will be.

A mark is an HMAC in the unique column ``adopted_from``: of a session cookie's value, or of a person
who was signed out everywhere.
"""

from typing import Any

from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables

from tokenauth.conf import conf

from .tokens import secret_keys


def are_needed() -> bool:
    """Tell whether a Django session of before may still turn up, and would be adopted."""
    return conf.ADOPT_DJANGO_SESSIONS


@sensitive_variables()
def of_cookie(value: str) -> list[str]:
    """Return the marks of a session cookie's value, under each key, that of today's first."""
    return marks("tokenauth.adoption", value)


def of_person(key: Any) -> list[str]:
    """Return the marks of a person, by the primary key as text; as above."""
    return marks("tokenauth.adoption.person", str(key))


@sensitive_variables()
def marks(salt: str, value: str) -> list[str]:
    """Return an HMAC under each key."""
    return [
        salted_hmac(salt, value, secret=secret.reveal(), algorithm="sha256").hexdigest()
        for secret in secret_keys()
    ]
