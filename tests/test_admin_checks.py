"""The checks of the admin: said where staff would see no sessions, and nowhere else."""

import os
import re
import subprocess
import sys

import pytest
from django.contrib import admin
from django.contrib.admin.sites import DefaultAdminSite
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.urls import include, path

from tests import urls
from tests.processes import ROOT
from tests.urls_plain import urlpatterns as without_admin
from tests.views import home
from tokenauth.admin import AuthSessionAdmin, AuthSessionsUserAdminMixin
from tokenauth.models import AuthSession

pytestmark = [pytest.mark.django_db, pytest.mark.users]

#: Whatever the user model of this run is.
Person = get_user_model()


class OwnUserAdmin(admin.ModelAdmin):
    """A site's own user admin, which knows nothing of sessions."""


class MixedUserAdmin(AuthSessionsUserAdminMixin, OwnUserAdmin):
    """The same, as the hint would have it."""


class MixedSubclass(MixedUserAdmin):
    """Made from one that has the mixin."""


class OwnSessionAdmin(AuthSessionAdmin):
    """A theme's, say."""


class BackOffice(admin.AdminSite):
    """A site's own kind of admin site."""


def made(*models, kind=admin.AdminSite, name="back_office"):
    """An admin site with these, each a model or a pair of a model and its class."""
    site = kind(name=name)
    for model in models:
        site.register(*(model if isinstance(model, tuple) else (model,)))
    return site


class Site:
    """A URLconf that leads to these admin sites, one beside the other."""

    def __init__(self, *sites):
        admins = [path(f"{number}/", site.urls) for number, site in enumerate(sites)]
        self.urlpatterns = [path("auth/", include("tokenauth.urls")), *admins]


def found(settings, urlconf):
    """The messages about the admin, by their ids."""
    settings.ROOT_URLCONF = urlconf
    messages = run_checks(tags=["security"])
    return [m for m in messages if m.id in {"tokenauth.W017", "tokenauth.W018"}]


def ids(messages):
    return [message.id.removeprefix("tokenauth.") for message in messages]


SESSIONS = (AuthSession, AuthSessionAdmin)
GOOD = {
    "the-test-site": urls,
    "no-admin-in-the-urlconf": type("Urls", (), {"urlpatterns": without_admin}),
    "both": Site(made(SESSIONS, (Person, MixedUserAdmin))),
    "sessions-alone": Site(made(SESSIONS)),
    "a-class-of-its-own": Site(made((AuthSession, OwnSessionAdmin), (Person, MixedSubclass))),
    "a-second-admin-without-people": Site(made(SESSIONS), made(Group, name="editors")),
    "a-second-admin-without-sessions": Site(
        made(SESSIONS, (Person, MixedUserAdmin)),
        made((Person, OwnUserAdmin), name="reception"),
    ),
    "another-kind-of-site": Site(made(SESSIONS, (Person, MixedUserAdmin), kind=BackOffice)),
}


@pytest.mark.parametrize("urlconf", GOOD.values(), ids=GOOD)
def test_an_admin_that_shows_sessions_is_left_alone(settings, urlconf):
    """Wherever they are shown, and by whichever class."""
    assert found(settings, urlconf) == []


BAD = {
    "nothing-registered": (Site(made()), ["W017"]),
    "other-models": (Site(made(Group)), ["W017"]),
    "people-with-the-mixin": (Site(made((Person, MixedUserAdmin))), ["W017"]),
    "people-alone": (Site(made((Person, OwnUserAdmin))), ["W017", "W018"]),
    "people-by-djangos-default": (Site(made(SESSIONS, Person)), ["W018"]),
    "people-without-the-mixin": (Site(made(SESSIONS, (Person, OwnUserAdmin))), ["W018"]),
    "two-admins-without-sessions": (Site(made(), made(Group, name="editors")), ["W017"]),
    "two-admins-without-the-mixin": (
        Site(made(SESSIONS, Person), made(SESSIONS, Person, name="editors")),
        ["W018", "W018"],
    ),
    "one-of-two-without-the-mixin": (
        Site(made(SESSIONS, (Person, MixedUserAdmin)), made(SESSIONS, Person, name="editors")),
        ["W018"],
    ),
}


@pytest.mark.parametrize(("urlconf", "expected"), BAD.values(), ids=BAD)
def test_an_admin_that_lacks_sessions_is_named(settings, urlconf, expected):
    """Exactly what is missing is said, with what to edit."""
    messages = found(settings, urlconf)
    assert ids(messages) == expected
    assert all(message.hint.startswith("Edit ") for message in messages)


def test_the_hints_say_what_to_write_and_where(settings):
    """The sites by their class and name, the user admin by its dotted path."""
    site = made((Person, OwnUserAdmin), kind=BackOffice)
    list_, person = found(settings, Site(site))
    assert "BackOffice(name='back_office')" in list_.msg
    assert "site.register(AuthSession, AuthSessionAdmin)" in list_.hint
    assert "BackOffice(name='back_office')" in person.msg
    assert f"Edit the user admin {__name__}.OwnUserAdmin: " in person.hint
    assert "tokenauth.admin.AuthSessionsUserAdminMixin, first" in person.hint


def test_what_the_first_hint_says_is_enough(settings):
    """A site that does it hears no more."""
    site = made(Group)
    assert ids(found(settings, Site(site))) == ["W017"]
    site.register(AuthSession, AuthSessionAdmin)
    assert found(settings, Site(site)) == []


def test_what_the_second_hint_says_is_enough(settings):
    """The same, for a class that is not the site's own."""
    site = made(SESSIONS, Person)
    (message,) = found(settings, Site(site))
    assert "Edit the user admin django.contrib.admin.options.ModelAdmin: " in message.hint
    site.unregister(Person)
    site.register(Person, type("PersonAdmin", (AuthSessionsUserAdminMixin, admin.ModelAdmin), {}))
    assert found(settings, Site(site)) == []


def test_an_admin_is_found_however_deep_it_is_included(settings):
    """Below includes, beside views that know of no admin."""
    inner = [path("admin/", made().urls), path("home/", home)]
    nested = path("a/", include([path("b/", include(inner))]))
    urlconf = type("Urls", (), {"urlpatterns": [*without_admin, nested]})
    assert ids(found(settings, urlconf)) == ["W017"]


def test_a_site_is_named_once(settings):
    """It may be included twice, and has many pages."""
    site = made(Group, Person)
    messages = found(settings, Site(site, site))
    assert ids(messages) == ["W017", "W018"]
    assert len(re.findall("back_office", messages[0].msg)) == 1


def test_a_view_may_have_an_attribute_of_that_name(settings):
    """Only Django's admin sites count."""

    def view(request):
        """Do nothing."""

    view.admin_site = "https://admin.site.test/"
    urlconf = type("Urls", (), {"urlpatterns": [*without_admin, path("own/", view)]})
    assert found(settings, urlconf) == []


@pytest.mark.parametrize(
    ("models", "expected"), [([SESSIONS], []), ([], ["W017"])], ids=["complete", "empty"]
)
def test_a_default_site_of_ones_own_counts_as_itself(settings, monkeypatch, models, expected):
    """Django puts a proxy before it (``AdminConfig.default_site``)."""
    proxy = DefaultAdminSite()
    proxy._wrapped = made(*models, kind=BackOffice, name="admin")
    messages = found(settings, Site(proxy))
    assert ids(messages) == expected
    assert all("BackOffice(name='admin')" in message.msg for message in messages)


def test_a_default_site_that_a_theme_replaced_is_left_alone(settings, monkeypatch):
    """The one that Django made first is in no URLconf, and does not count."""
    monkeypatch.setattr(admin, "site", made(SESSIONS, (Person, MixedUserAdmin), name="admin"))
    assert found(settings, Site(admin.site)) == []


def test_a_project_without_the_admin_hears_nothing(settings):
    """Whatever its URLconf still leads to."""
    urlconf = Site(made())
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"
    ]
    assert found(settings, urlconf) == []


def checked(folder, urls_py, admin_app="django.contrib.admin.apps.SimpleAdminConfig"):
    """What a project of its own hears, and whether our admin was loaded in the end."""
    (folder / "own_settings.py").write_text(
        "from tests.settings import *\n"
        "ROOT_URLCONF = 'own_urls'\n"
        "AUTH_USER_MODEL = 'auth.User'\n"
        f"INSTALLED_APPS = ['{admin_app}', *(\n"
        "    app for app in INSTALLED_APPS if app not in ('django.contrib.admin', 'tests')\n"
        ")]\n"
    )
    (folder / "own_urls.py").write_text(
        "from django.contrib import admin\n"
        "from django.urls import include, path\n"
        f"{urls_py}\n"
        "urlpatterns = [path('auth/', include('tokenauth.urls')), path('admin/', site.urls)]\n"
    )
    script = (
        "import sys, django; django.setup()\n"
        "from tokenauth.checks.admin import check_admin\n"
        "print(*(message.id for message in check_admin()), 'tokenauth.admin' in sys.modules)"
    )
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "own_settings",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


PEOPLE = (
    "from django.contrib.auth.models import User\n"
    "class UserAdmin(admin.ModelAdmin): pass\n"
    "site = admin.AdminSite(); site.register(User, UserAdmin)"
)


@pytest.mark.parametrize(
    ("urls_py", "said"),
    [
        ("site = admin.site", ["tokenauth.W017", "False"]),
        ("site = admin.site\nimport tokenauth.admin", ["True"]),
        (PEOPLE, ["tokenauth.W017", "tokenauth.W018", "False"]),
    ],
    ids=["empty", "as-the-hint-says", "own-site"],
)
def test_where_nothing_is_discovered_the_check_registers_nothing(tmp_path, urls_py, said):
    """It looks at the admin that the site has, and leaves it as it was (``SimpleAdminConfig``)."""
    assert checked(tmp_path, urls_py) == said


def test_djangos_own_user_admin_is_extended_on_a_default_site_of_ones_own(tmp_path):
    """Whoever sets ``default_site`` has nothing to add."""
    (tmp_path / "own_admin.py").write_text(
        "from django.contrib.admin import AdminSite\n"
        "from django.contrib.admin.apps import AdminConfig\n"
        "class OwnSite(AdminSite): pass\n"
        "class OwnConfig(AdminConfig): default_site = 'own_admin.OwnSite'\n"
    )
    assert checked(tmp_path, "site = admin.site", "own_admin.OwnConfig") == ["True"]


def test_the_admin_site_of_the_page_passes_the_check(settings):
    """The code as it stands under "An admin site of your own"."""
    page = (ROOT / "docs/how-to/admin-sites.md").read_text(encoding="utf-8")
    names = {"__name__": "a_page"}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(code, names)  # noqa: S102  # our own page
    assert found(settings, Site(names["site"])) == []
