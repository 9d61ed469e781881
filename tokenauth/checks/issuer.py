"""Look at what an authorization server tells others: keys for access tokens, ended sessions."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from tokenauth.conf import conf
from tokenauth.request import cookies
from tokenauth.secret import Secret
from tokenauth.session.jwt.form import HS256

from .names import flaw_of_function
from .policy import value_errors

OTHERS = stat.S_IROTH | stat.S_IWOTH
#: What TOKENAUTH_REVOCATIONS_DOWN may be.
ANSWERS = ("accept", "refuse")


def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """Look at the settings for access tokens that others verify."""
    if any(value_errors()):
        return []  # said by ``check_settings``, and nothing can be concluded from them
    if not conf.SIGNING_KEYS:
        return [*claims_warnings()]
    return [
        *key_errors(),
        *file_warnings(),
        *issuer_errors(),
        *claims_errors(),
        *claims_warnings(),
        *path_warnings(),
    ]


def key_errors() -> Iterator[CheckMessage]:
    """Find keys that cannot be used, and a first that signs nothing."""
    try:
        from tokenauth.session.jose import keys as library  # noqa: PLC0415  # joserfc is optional
    except ImportError:
        yield Error(
            "TOKENAUTH_SIGNING_KEYS needs joserfc, which is not installed.",
            hint="Run pip install 'django-tokenauth[keys]', or remove TOKENAUTH_SIGNING_KEYS.",
            id="tokenauth.E021",
        )
        return
    readable = {}
    for number, entry in entries():
        try:
            readable[number] = library.read_entry(entry)
        except ValueError as flaw:
            yield Error(
                f"No. {number} of TOKENAUTH_SIGNING_KEYS {flaw}.",
                hint="Edit TOKENAUTH_SIGNING_KEYS: each entry is the text of a PEM, the path of "
                "one, or 'HS256'. manage.py tokenauth_key makes a key.",
                id="tokenauth.E022",
            )
    if 1 in readable and not readable[1].is_private:
        yield Error(
            "The first of TOKENAUTH_SIGNING_KEYS is a public key, and cannot sign.",
            hint="Edit TOKENAUTH_SIGNING_KEYS: put the private key that signs first, or 'HS256'. A "
            "public key behind it verifies what its private one has signed.",
            id="tokenauth.E023",
        )
    yield from twin_errors({number: key.thumbprint() for number, key in readable.items()})


def twin_errors(thumbprints: dict[int, str]) -> Iterator[CheckMessage]:
    """Find a key that is there twice, as a private and a public one perhaps."""
    first_of = {thumbprint: number for number, thumbprint in reversed(thumbprints.items())}
    for number, thumbprint in thumbprints.items():
        first = first_of[thumbprint]
        if first != number:
            yield Error(
                f"No. {first} and no. {number} of TOKENAUTH_SIGNING_KEYS are one key.",
                hint="Edit TOKENAUTH_SIGNING_KEYS: remove one of the two. A private key verifies "
                "what it has signed, without its public one beside it.",
                id="tokenauth.E024",
            )


def entries() -> Iterator[tuple[int, Secret[Any]]]:
    """Return the entries that are keys, and which of the list each is."""
    for number, entry in enumerate(map(Secret, conf.SIGNING_KEYS), 1):
        if entry.reveal() != HS256:
            yield number, entry


def file_warnings() -> Iterator[CheckMessage]:
    """Find files with private keys that everybody on the machine can read, or replace."""
    for number, entry in entries():
        if is_open_file(entry):
            yield CheckWarning(
                f"Everybody on this machine can read or write the file of no. {number} of "
                "TOKENAUTH_SIGNING_KEYS.",
                hint="Run chmod 600 on it, as the user that the site runs as. If others may have "
                "read it, replace the key: whoever has it can sign anybody in at your resource "
                "servers.",
                id="tokenauth.W020",
            )


def is_open_file(entry: Secret[Any]) -> bool:
    """Tell whether an entry is the path of a file with a private key, open to everybody."""
    given = entry.reveal()
    if "-----BEGIN" in str(given):
        return False
    try:
        return bool(Path(given).stat().st_mode & OTHERS) and "PRIVATE" in Path(given).read_text()
    except (OSError, TypeError, ValueError):
        return False  # said by ``key_errors``


def issuer_errors() -> Iterator[CheckMessage]:
    """Find keys without whom they speak for, and to whom (RFC 9068 §2.2, RFC 8414 §2)."""
    if conf.ISSUER is None or conf.AUDIENCE is None:
        yield Error(
            "TOKENAUTH_SIGNING_KEYS needs TOKENAUTH_ISSUER and TOKENAUTH_AUDIENCE.",
            hint="Set TOKENAUTH_ISSUER to this site's URL, and TOKENAUTH_AUDIENCE to the list of "
            "those who may accept its access tokens, for example ['https://api.example.com']. The "
            "issuer is always among them: [] is a list, too.",
            id="tokenauth.E025",
        )
    named: Any = conf.AUDIENCE or []
    names = [named] if isinstance(named, str) else named
    if not all(isinstance(name, str) and name for name in names):
        yield Error(
            "TOKENAUTH_AUDIENCE has an entry that is no name.",
            hint="Edit TOKENAUTH_AUDIENCE: each entry is a text, such as the URL of a server.",
            id="tokenauth.E026",
        )
    yield from address_errors()


def address_errors() -> Iterator[CheckMessage]:
    """Find an issuer that a resource server would not take."""
    if conf.ISSUER is None or is_issuer(conf.ISSUER):
        return
    if settings.DEBUG:
        yield CheckWarning(
            "TOKENAUTH_ISSUER is no https URL, which a live site must have.",
            hint="Edit TOKENAUTH_ISSUER for the live site: 'https://example.com'.",
            id="tokenauth.W021",
        )
    else:
        yield Error(
            "TOKENAUTH_ISSUER is no https URL.",
            hint="Edit TOKENAUTH_ISSUER: 'https://example.com', without query and fragment, to the "
            "letter as the resource servers have it.",
            id="tokenauth.E027",
        )


def is_issuer(text: str) -> bool:
    """Tell whether a text may be an issuer (RFC 8414 §2)."""
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme == "https" and bool(url.hostname) and not {"?", "#"} & set(text)


def claims_errors() -> Iterator[CheckMessage]:
    """Find a function for claims that can't be called: nobody could sign in."""
    flaw = flaw_of_function(conf.ACCESS_CLAIMS) if conf.ACCESS_CLAIMS else ""
    if flaw:
        yield Error(
            f"TOKENAUTH_ACCESS_CLAIMS {flaw}.",
            hint="Edit TOKENAUTH_ACCESS_CLAIMS: it takes the dotted path of a function, which is "
            "given a session and returns a dict of claims.",
            id="tokenauth.E028",
        )


def claims_warnings() -> Iterator[CheckMessage]:
    """Find claims that no token carries."""
    if conf.ACCESS_CLAIMS and conf.SIGNING_KEYS[:1] in ([], [HS256], ()):
        yield CheckWarning(
            "TOKENAUTH_ACCESS_CLAIMS has no effect: the access tokens of this site are its own.",
            hint="Set TOKENAUTH_SIGNING_KEYS, with a private key first, or remove "
            "TOKENAUTH_ACCESS_CLAIMS.",
            id="tokenauth.W022",
        )


def path_warnings() -> Iterator[CheckMessage]:
    """Find a refresh token that would go to resource servers on this host."""
    path, include = cookies.refresh_path(), cookies.include_path()
    if not cookies.is_under(unquote(path), include):
        yield CheckWarning(
            f"The refresh token is sent to {path!r}, and so to resource servers on this host.",
            hint="Edit TOKENAUTH_REFRESH_COOKIE_PATH: remove it, unless each resource server has "
            "another host.",
            id="tokenauth.W024",
        )


def check_revocations(**kwargs: Any) -> list[CheckMessage]:
    """Look at the settings of either side: who tells, and who is told."""
    return [*stream_errors(), *answer_errors()]


def stream_errors() -> Iterator[CheckMessage]:
    """Find a stream without a name: two issuers may share a Redis."""
    if conf.REVOCATIONS and not conf.ISSUER:
        yield Error(
            "TOKENAUTH_REVOCATIONS is set, and TOKENAUTH_ISSUER is not.",
            hint="Edit TOKENAUTH_ISSUER: set it to the authorization server's URL, the same there "
            "and on each resource server.",
            id="tokenauth.E043",
        )


def answer_errors() -> Iterator[CheckMessage]:
    """Find an answer that is none."""
    if conf.REVOCATIONS_DOWN not in ANSWERS:
        yield Error(
            "TOKENAUTH_REVOCATIONS_DOWN is unknown.",
            hint="Edit TOKENAUTH_REVOCATIONS_DOWN: 'accept' or 'refuse'.",
            id="tokenauth.E044",
        )
