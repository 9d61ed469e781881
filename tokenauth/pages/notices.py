"""Write to the owner of an account: a new device signed in, or a token was stolen.

Off unless ``TOKENAUTH_SEND_NOTICES`` is True. A message holds no secret, and its link leads to a
page that asks who one is. A mail server that fails is logged and breaks nothing; one that hangs
holds up the response, so set Django's ``EMAIL_TIMEOUT`` or a backend that queues.
"""

import logging
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.apps import apps
from django.conf import settings
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist
from django.core.mail import EmailMultiAlternatives
from django.db import router, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from tokenauth.conf import conf
from tokenauth.models import AuthSession
from tokenauth.session.devices import label_of, translated
from tokenauth.session.endings import RevokeReason

from . import links
from .wording import place_in_text

log = logging.getLogger("tokenauth.security")

#: The subject of each message, by the name of its templates.
SUBJECTS = {
    "new_device": gettext_noop("New sign-in to your account"),
    "reuse": gettext_noop("Somebody may have copied your sign-in"),
}
#: Who had a session that ended like this may have been the thief.
UNTRUSTED = (RevokeReason.REUSE, RevokeReason.MISMATCH)


def tell_of_sign_in(session: AuthSession, request: HttpRequest | None, **kwargs: Any) -> None:
    """Receive ``session_started``: write if the person was not seen on such a device before."""
    # An adopted session is no sign-in, but older than tokenauth.
    if conf.SEND_NOTICES and not session.adopted_from and is_new_device(session):
        send_after_commit("new_device", session, request)


def tell_of_reuse(session: AuthSession, request: HttpRequest | None, **kwargs: Any) -> None:
    """Receive ``refresh_token_reused``."""
    if conf.SEND_NOTICES:
        send_after_commit("reuse", session, request)


def is_new_device(session: AuthSession) -> bool:
    """Tell whether none of the person's sessions, live or of late, was on such a device.

    The first sign-in ever is on no new device.
    """
    others = AuthSession.objects.filter(user=session.user_id).exclude(pk=session.pk)
    since = timezone.now() - conf.HISTORY_LIFETIME
    recent = others.filter(Q(revoked_at=None) | Q(revoked_at__gt=since), expires_at__gt=since)
    known = recent.exclude(revoke_reason__in=UNTRUSTED).order_by()
    return not known.filter(device=session.device).exists() and others.exists()


def send_after_commit(name: str, session: AuthSession, request: HttpRequest | None) -> None:
    """Send a message once what it tells of is true for good."""
    transaction.on_commit(
        partial(send, name, session, request),
        using=router.db_for_write(AuthSession),
        robust=True,
    )


def send(name: str, session: AuthSession, request: HttpRequest | None) -> None:
    """Write to the session's owner, in their language, if they have an address."""
    user: Any = session.user
    address = getattr(user, user.get_email_field_name(), "")
    if not address:
        return
    try:
        with translation.override(language_of(user)):
            compose(name, session, site_of(request), address).send()
    except Exception:  # each e-mail backend has errors of its own
        log.exception("The notice %r of session %s could not be sent.", name, session.pk)


def compose(
    name: str, session: AuthSession, site: dict[str, str], address: str
) -> EmailMultiAlternatives:
    """Return the message, in the language that is active."""
    heading = _(SUBJECTS[name])
    brought_from = session.reuse_ip_address
    context = {
        "heading": heading,
        "device": translated(session.device) or _("Unknown device"),
        "ip_address": place_in_text(session.ip_address, session.address_label),
        "reuse_device": translated(session.reuse_device) or _("Unknown device"),
        "reuse_ip_address": place_in_text(brought_from, label_of(brought_from)),
        "when": timezone.now(),
        "username": session.user.get_username(),
        **site,
        **ways_out(session, site["origin"]),
    }
    subject = ": ".join(filter(None, [site["site_name"], heading]))
    template = f"tokenauth/notice_{name}"
    message = EmailMultiAlternatives(subject, render_to_string(f"{template}.txt", context))
    message.to = [address]
    message.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
    return message


def ways_out(session: AuthSession, origin: str) -> dict[str, str]:
    """Return the addresses of the pages that help; none where the site's can't be known."""
    if not origin:
        return {}
    page_of = partial(reverse, urlconf=settings.ROOT_URLCONF)
    pages = {
        "url": page_of("tokenauth:session_list"),
        "not_me_url": page_of("tokenauth:session_revoke", args=[session.pk]),
        "password_change_url": links.password_change(),
    }
    return {name: urljoin(origin, page) for name, page in pages.items() if page}


def language_of(user: Any) -> str:
    """Return the person's language if the user model knows it, else the request's, or the site's.

    A user model knows it in an attribute ``language``.
    """
    wanted = str(getattr(user, "language", "") or "")
    try:
        return translation.get_supported_language_variant(wanted)
    except LookupError:
        return translation.get_language() or settings.LANGUAGE_CODE


def site_of(request: HttpRequest | None) -> dict[str, str]:
    """Return the site's name and its origin; they are empty where they can't be known."""
    host = name = host_of(request) if request else ""
    if apps.is_installed("django.contrib.sites"):
        model: Any = apps.get_model("sites.Site")  # type: ignore[misc]  # not in the demo
        try:
            site = model.objects.get_current(request)
        except (ImproperlyConfigured, ObjectDoesNotExist):
            pass  # no SITE_ID, and none for this host
        else:
            host, name = site.domain, site.name
    scheme = "https" if conf.COOKIE_SECURE else "http"
    return {"site_name": " ".join(name.split()), "origin": f"{scheme}://{host}" if host else ""}


def host_of(request: HttpRequest) -> str:
    """Return the host that was asked, if ``ALLOWED_HOSTS`` spells it out.

    Who signs in with a stolen password may ask any host that a wildcard covers, and any port, and
    would have the owner's e-mail lead there. Its port is the one of ``CSRF_TRUSTED_ORIGINS``.
    """
    try:
        asked = request.get_host()
    except DisallowedHost:
        return ""
    host = split_domain_port(asked)[0]
    if host not in {pattern.lower() for pattern in settings.ALLOWED_HOSTS}:
        return ""
    origins = [urlsplit(origin).netloc.lower() for origin in settings.CSRF_TRUSTED_ORIGINS]
    known = [origin for origin in origins if split_domain_port(origin)[0] == host]
    return asked if asked in known else (known or [host])[0]
