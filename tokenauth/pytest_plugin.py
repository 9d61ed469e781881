"""Call ``tokenauth.testing.install()`` for the tests that pytest runs, where a site uses tokenauth.

pytest loads it in every project of an environment in which tokenauth is: nothing of Django's is
imported before it is known that this one's settings install the app. Off: ``-p no:tokenauth``.
"""

import pytest

#: How pytest-django is registered: by its entry point, or by ``-p`` and the name of its module.
PYTEST_DJANGO = ("django", "pytest_django.plugin")


# Not in pytest_configure: pytest-django may set Django up in the last one of those.
def pytest_sessionstart(session: pytest.Session) -> None:
    """Let the test clients sign in with tokens until pytest ends."""
    if is_used(session.config):
        from .testing import install  # noqa: PLC0415  # it imports models

        session.config.add_cleanup(install())


def is_used(config: pytest.Config) -> bool:
    """Tell whether pytest-django has set up a site that installs tokenauth."""
    if not any(map(config.pluginmanager.hasplugin, PYTEST_DJANGO)):
        return False
    from django.apps import apps  # noqa: PLC0415  # pytest loads this module without Django, too

    return apps.ready and apps.is_installed("tokenauth")


class Plugin:
    """What the entry point names: pytest fails over a module that also comes by ``-p``."""

    pytest_sessionstart = staticmethod(pytest_sessionstart)
