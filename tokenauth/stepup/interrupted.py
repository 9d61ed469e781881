"""Keep a form that was sent, while its person proves who they are.

What is kept is signed, not encrypted: it goes back into the browser that it came from. No other
session can use it, for no other address, and not for long.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from django.core import signing
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from tokenauth.secret import Masked

#: How long it is good.
LIFETIME = timedelta(minutes=10)
#: In bytes, before it is signed.
MAX_SIZE = 64 * 1024
SALT = "tokenauth.stepup.interrupted"
FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
CSRF = "csrfmiddlewaretoken"
#: How much of a value a person is shown.
MAX_SHOWN = 200
#: What the names of secrets look like: not "author", "postcode" or "shipping".
SECRET = re.compile(
    r"pass(?!age|eng)|secret|token|credential|signature|api_?key"
    r"|(?<![a-z])(?:pin|t?otp|mfa|cv[cv]2?|ssn|iban|key|code)$"
    r"|card_?(?:no|num)|(?:otp|security|recovery|backup|sms|access|verification)_?code",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Field:
    """A field of the form. A file's ``value`` is its name: files are not kept."""

    name: str
    value: str

    @property
    def label(self) -> str:
        """The name, for people."""
        return self.name.replace("_", " ").replace("-", " ").strip().capitalize()

    @property
    def is_secret(self) -> bool:
        """Whether the name looks like that of a secret, which nobody shows on a screen."""
        return SECRET.search(self.name) is not None

    @property
    def shown(self) -> str:
        """As much of the value as a page shows."""
        return self.value if len(self.value) <= MAX_SHOWN else f"{self.value[:MAX_SHOWN]}…"


@dataclass(frozen=True)
class Interrupted:
    """A POST that is to be sent again: where to, with what, and which files were there."""

    path: str
    fields: tuple[Field, ...]
    files: tuple[Field, ...]

    @classmethod
    @sensitive_variables()
    def of(cls, request: HttpRequest) -> "Self | None":
        """Return what a request brought; None if it is no form, or too much to wait.

        Reads the body, as the view would.
        """
        if request.method != "POST" or request.content_type not in FORMS:
            return None
        fields = tuple(
            Field(name, Masked(value))
            for name, values in request.POST.lists()
            if name != CSRF
            for value in values
        )
        files = tuple(
            Field(name, str(file.name)) for name, sent in request.FILES.lists() for file in sent
        )
        kept = cls(request.get_full_path(), fields, files)
        return kept if len(kept.as_text().encode()) <= MAX_SIZE else None

    @sensitive_variables()
    def as_text(self) -> str:
        """Return it as JSON."""
        pairs = ([(f.name, f.value) for f in kept] for kept in (self.fields, self.files))
        return Masked(json.dumps([self.path, *pairs], ensure_ascii=False))

    @property
    def address(self) -> str:
        """The page that it goes to, for people."""
        return urlsplit(self.path).path

    @property
    def shown(self) -> list[Field]:
        """What a person is told of: fields without a value are none."""
        return [field for field in self.fields if field.value]


@sensitive_variables()
def pack(kept: Interrupted, owner: str) -> str:
    """Sign it for an owner: a session, or a person. The moment is part of it."""
    return Masked(signer(owner).sign_object(kept.as_text(), compress=True))


@sensitive_variables()
def unpack(packed: str, owners: Iterable[str]) -> Interrupted | None:
    """Return what was signed for one of these owners lately; None if that is something else."""
    for owner in owners:
        try:
            text = signer(owner).unsign_object(packed, max_age=LIFETIME)
        except signing.BadSignature:  # too old is one, too
            continue
        path, *kept = json.loads(text)
        fields, files = (tuple(Field(name, Masked(value)) for name, value in k) for k in kept)
        return Interrupted(path, fields, files)
    return None


def signer(owner: str) -> signing.TimestampSigner:
    """Return the signer for what belongs to one owner: nobody else's key fits."""
    return signing.TimestampSigner(salt=f"{SALT} {owner}")
