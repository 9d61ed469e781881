"""Find sessions by a person's name or by an address, with the help of indexes alone."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.models.functions import Least
from django.utils.translation import gettext as _

from tokenauth.models import AuthSession
from tokenauth.session import devices
from tokenauth.session.users import people

#: How many people a search finds: each has sessions of their own.
PEOPLE = 25
#: How many sessions of a network are named one by one.
FEW = 1000
#: Of the characters that an address is written with, none comes after this one in any collation.
BEYOND = "g"


def username_field() -> Any:
    """Return what people sign in with."""
    model = get_user_model()
    return model._meta.get_field(model.USERNAME_FIELD)


def search_help() -> str:
    """Say what the search box takes."""
    names = _(
        "The beginning of the %(username)s (as it is written), or of an IP address: 203.0.113. or "
        "2001:db8:85a3:"
    )
    return names % {"username": username_field().verbose_name}


def search(queryset: models.QuerySet[AuthSession], term: str) -> models.QuerySet[AuthSession]:
    """Find the sessions at an address, or of the people whose name begins like this.

    In two steps, for one that asks for either joins all sessions to all people.
    """
    address = devices.clean_ip(term)
    if address:
        return queryset.filter(ip_address=address)
    network = network_of(term)
    if network:
        return in_network(queryset, addresses_in(*network, queryset.db))
    return of_people(queryset, term)


def of_people(queryset: models.QuerySet[AuthSession], term: str) -> models.QuerySet[AuthSession]:
    """Find the sessions of the people whose name begins like this."""
    field = username_field()
    lookup = "startswith" if isinstance(field, models.CharField | models.TextField) else "exact"
    try:
        found = (
            people()
            .order_by()
            .filter(**{f"{field.name}__{lookup}": term})
            .values_list("pk", flat=True)
        )
    except (ValueError, ValidationError):
        return queryset.none()
    pks = list(found[:PEOPLE])
    if len(pks) > 1:
        queryset = in_no_index(queryset)
    return queryset.filter(user__in=pks)


def in_network(
    queryset: models.QuerySet[AuthSession], addresses: dict[str, str]
) -> models.QuerySet[AuthSession]:
    """Find the sessions at these addresses.

    A few are found first, in the order of their index: of a network as small as that PostgreSQL
    guesses badly how many there are. Of more, it knows.
    """
    rows = AuthSession.objects.filter(**addresses).order_by("ip_address", "created_at")
    pks = list(rows.values_list("pk", flat=True)[: FEW + 1])
    if len(pks) > FEW:
        return queryset.filter(**addresses)
    return in_no_index(queryset).filter(pk__in=pks)


def in_no_index(
    queryset: models.QuerySet[AuthSession], order: str = "-created_at"
) -> models.QuerySet[AuthSession]:
    """Sort by a column, in words that no index knows.

    Rather than these few sessions PostgreSQL would read everybody's in the order of the list,
    hoping to meet them soon.
    """
    column = order.removeprefix("-")
    unknown = Least(column, column)
    return queryset.order_by(unknown.desc() if order.startswith("-") else unknown.asc())


def network_of(term: str) -> tuple[str, str, str] | None:
    """Return what a list shows of an address's beginning, and its first and last address.

    ``203.0.113.`` or ``2001:db8:85a3:``: at least two groups and the mark after the last. None if
    the term is no such thing. Pure.
    """
    mark = term[-1:]
    groups = term[:-1].lower().split(mark) if mark in {".", ":"} else []
    size, least, most = (4, "0", "255") if mark == "." else (8, "0", "ffff")
    if not 2 <= len(groups) < size:
        return None
    kind = IPv4Address if mark == "." else IPv6Address
    rest = size - len(groups)
    try:
        first, last = (kind(mark.join([*groups, *[end] * rest])) for end in (least, most))
    except ValueError:
        return None
    shown = groups if mark == "." else [f"{int(group, 16):x}" for group in groups]
    return mark.join([*shown, ""]), str(first), str(last)


def addresses_in(shown: str, first: str, last: str, alias: str) -> dict[str, str]:
    """Return the range of an index that a network is: of addresses, or of the text they are.

    Only PostgreSQL knows addresses. Of a text, zeros in the middle that are written as "::" are
    found as they are shown.
    """
    kind = AuthSession._meta.get_field("ip_address").db_type(connections[alias])
    if kind == "inet":
        return {"ip_address__gte": first, "ip_address__lte": last}
    return {"ip_address__gte": shown, "ip_address__lt": shown + BEYOND}
