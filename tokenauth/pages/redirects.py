"""Lead a person on to ``next``."""

import re
from typing import Any

from django.contrib.auth.views import RedirectURLMixin

#: ``//<tab>/evil.test`` is a path to ``urlsplit``, and a broken host to a browser.
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class OnThisHost(RedirectURLMixin):
    """Take Django's word for where ``next`` leads, but for what a browser would not read alike."""

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        """Return ``next``; nothing if it has a tab in it, which Python's parser drops."""
        url: str = super().get_redirect_url(*args, **kwargs)
        return "" if CONTROLS.search(url) else url
