"""Find the pages of the site that ours link to. Resource servers check names by this, too."""

from collections.abc import Iterable

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from tokenauth.conf import conf

#: What the pages are called by ``django.contrib.auth.urls`` and by allauth.
CHANGE = ("password_change", "account_change_password")
RESET = ("password_reset", "account_reset_password")


def password_change() -> str:
    """Return where a person changes the password; empty if the site has no such page."""
    return address_of(conf.PASSWORD_CHANGE_URL, CHANGE)


def password_reset() -> str:
    """Return where a person goes who forgot the password; empty if the site has no such page."""
    return address_of(conf.PASSWORD_RESET_URL, RESET)


def address_of(chosen: str | None, names: Iterable[str]) -> str:
    """Return the address that a site has chosen: a view's name, or an address already.

    The empty text chooses none. Where nothing was chosen, the page is looked for by these names.
    """
    if chosen is None:
        return find(names)
    is_address = not chosen or "/" in chosen or "." in chosen
    return chosen if is_address else reverse(chosen, settings.ROOT_URLCONF)


def find(names: Iterable[str]) -> str:
    """Return the address of the first of these views that the site has, else nothing."""
    for name in names:
        try:
            return reverse(name, settings.ROOT_URLCONF)
        except NoReverseMatch:
            continue
    return ""
