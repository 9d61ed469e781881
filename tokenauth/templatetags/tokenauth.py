"""What a site's own templates may ask: ``{% load tokenauth %}``."""

from typing import Any

from django import template
from django.core.exceptions import SynchronousOnlyOperation

from tokenauth.pages import wording

register = template.Library()


@register.simple_tag(takes_context=True)
def why_signed_out(context: Any) -> str:
    """Say why the person who meets this login page was signed out; empty if nobody was.

    ::

        {% load tokenauth %}
        {% why_signed_out as why %}{% if why %}<p role="status">{{ why }}</p>{% endif %}

    A template can't wait for the database on an event loop. There it says what the view has put on
    the request: ``request.why_signed_out = await awhy_signed_out(request)``.
    """
    request = context.get("request")
    try:
        return wording.why_signed_out(request) if request else ""
    except SynchronousOnlyOperation:
        return getattr(request, "why_signed_out", "")
