"""Say which setting names something of the site's that is not there, for the system check."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error
from django.urls import NoReverseMatch
from django.utils.module_loading import import_string

from tokenauth.conf import conf
from tokenauth.pages.links import address_of


def name_errors() -> Iterator[CheckMessage]:
    """Find names of functions and pages that nothing has."""
    yield from label_errors()
    yield from page_errors()


def label_errors() -> Iterator[CheckMessage]:
    """Find a function for addresses that can't be called: no address would have a label."""
    flaw = flaw_of_function(conf.ADDRESS_LABEL) if conf.ADDRESS_LABEL else ""
    if flaw:
        yield Error(
            f"TOKENAUTH_ADDRESS_LABEL {flaw}.",
            hint="Edit TOKENAUTH_ADDRESS_LABEL: it takes the dotted path of a function, which is "
            "given an address and returns a text, or None.",
            id="tokenauth.E019",
        )


def flaw_of_function(path: str) -> str:
    """Say what is wrong with the dotted path of a function; empty if nothing is."""
    try:
        found = import_string(path)
    except Exception as error:  # noqa: BLE001  # a site's own module, with errors of its own
        return f"can't be imported: {error}"
    return "" if callable(found) else f"is no function: {path!r} is a {type(found).__name__}"


def page_errors() -> Iterator[CheckMessage]:
    """Find pages that the login page, "Your devices" and the e-mails could not link to."""
    for name in ("PASSWORD_CHANGE_URL", "PASSWORD_RESET_URL"):
        chosen: str | None = getattr(conf, name)
        try:
            address_of(chosen, ())
        except NoReverseMatch:
            yield Error(
                f"TOKENAUTH_{name} names no page: no URL without arguments is called {chosen!r}.",
                hint=f"Edit TOKENAUTH_{name}: it takes the name of a URL, with its namespace if it "
                "has one, or a path like '/password/', or a whole URL.",
                id="tokenauth.E020",
            )
