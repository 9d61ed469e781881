"""A site that takes tokenauth out again: what breaks, what is left, whom Django signs in then."""

import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from tests.factories import PASSWORD
from tests.processes import ROOT
from tests.test_docs import DJANGOS, page_of, urls_of_ours
from tokenauth.models import AuthSession

OURS = urls_of_ours()
#: A site of its own. How much of tokenauth it has, SITE says: "in", "half" or "out".
SITE = f"""
import os
from tests.settings import *
SITE = os.environ["SITE"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
AUTH_USER_MODEL, ROOT_URLCONF, LOGIN_URL = "auth.User", "urls", "/admin/login/"
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "tests"]
if SITE != "in":
    MIDDLEWARE = [m.replace("{OURS}", "{DJANGOS}") for m in MIDDLEWARE]
if SITE == "out":
    INSTALLED_APPS.remove("tokenauth")
"""
URLS = """
from django.conf import settings
from django.urls import include, path
urlpatterns = [path("auth/", include("tokenauth.urls"))] if settings.SITE == "in" else []
"""
SIGN_IN = """
from django.contrib.auth.models import User
from tokenauth.models import AuthSession
AuthSession.objects.start(None, User.objects.create_user("alice"))
"""
DELETE = "from django.contrib.auth.models import User; User.objects.get().delete()"
LEFT = """
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
tables = [name for name in connection.introspection.table_names() if "tokenauth" in name]
migrations = MigrationRecorder(connection).migration_qs.filter(app="tokenauth")
permissions = Permission.objects.filter(content_type__app_label="tokenauth")
print("left:", tables, migrations.count(), permissions.count(), User.objects.count())
"""


def manage(folder, site, *arguments):
    """Run one of the site's commands to its end; return what it said, an error as well."""
    env = {name: value for name, value in os.environ.items() if "TOKENAUTH" not in name}
    env |= {"SITE": site, "DJANGO_SETTINGS_MODULE": "site_settings"}
    command = [sys.executable, "-m", "django", *arguments]
    env["PYTHONPATH"] = f"{folder}:{ROOT}"
    done = subprocess.run(  # noqa: S603  # our own words
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


def test_nobody_can_be_deleted_until_the_migrations_are_taken_back(tmp_path):
    """The foreign key of a table that the site no longer knows forbids it."""
    (tmp_path / "site_settings.py").write_text(SITE)
    (tmp_path / "urls.py").write_text(URLS)
    manage(tmp_path, "in", "migrate")
    manage(tmp_path, "in", "shell", "-c", SIGN_IN)
    assert "IntegrityError" in manage(tmp_path, "out", "shell", "-c", DELETE)
    zero = ("migrate", "tokenauth", "zero")
    assert "tokenauth.E001" in manage(tmp_path, "half", *zero)
    assert "0001_initial... OK" in manage(tmp_path, "half", *zero, "--skip-checks")
    assert "Error" not in manage(tmp_path, "out", "shell", "-c", DELETE)
    assert "left: [] 0 2 0" in manage(tmp_path, "out", "shell", "-c", LEFT)
    manage(tmp_path, "out", "remove_stale_contenttypes", "--include-stale-apps", "--noinput")
    assert "left: [] 0 0 0" in manage(tmp_path, "out", "shell", "-c", LEFT)


# Whom Django signs in by a sessionid of the time before


def revoke(device, clock):
    AuthSession.objects.revoke("admin")
    device.get("/whoami/")


def revoke_and_read(device, clock):
    revoke(device, clock)
    device.get("/session-data/")


def sign_out(device, clock):
    device.post("/auth/api/logout/")


def expire(device, clock):
    clock.shift(timedelta(hours=13))  # here twelve count, for Django two weeks


def expire_and_tidy(device, clock):
    expire(device, clock)
    page_of("how-to/uninstall")  # its lines for that


def change_password(device, clock):
    person = AuthSession.objects.get().user
    person.set_password("another")
    person.save()


def deactivate(device, clock):
    person = AuthSession.objects.get().user
    person.is_active = False
    person.save()


ROWS, NO_ROWS, SIGNED = {"db", "cached_db"}, {"cache", "file"}, {"signed_cookies"}
ENDINGS = [
    (print, ROWS | NO_ROWS | SIGNED),  # nothing happens
    (revoke, NO_ROWS | SIGNED),
    (revoke_and_read, SIGNED),
    (sign_out, SIGNED),
    (expire, ROWS | NO_ROWS | SIGNED),
    (expire_and_tidy, NO_ROWS | SIGNED),
    (change_password, set()),
    (deactivate, set()),
]


@pytest.fixture
def swap(settings):
    """A function that puts one middleware in the place of the other; new clients meet it."""

    def swap_middleware(old, new):
        settings.MIDDLEWARE = [m.replace(old, new) for m in settings.MIDDLEWARE]

    return swap_middleware


def signed_in_by(cookies):
    """Who that is, in a browser that has these cookies."""
    client = Client()
    client.cookies.load(cookies)
    return client.get("/whoami/").content.decode()


@pytest.mark.parametrize("engine", sorted(ROWS | NO_ROWS | SIGNED))
@pytest.mark.parametrize(("happens", "engines"), ENDINGS, ids=lambda p: getattr(p, "__name__", ""))
def test_whom_django_signs_in_afterwards(settings, tmp_path, swap, user, engine, happens, engines):
    """By a copy of the sessionid, as it was before anything happened."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    device, fields = Client(), {"username": user.get_username(), "password": PASSWORD}
    with time_machine.travel(timezone.now(), tick=False) as clock:
        device.post("/auth/login/", fields)
        kept = {"sessionid": device.cookies["sessionid"].value}
        assert signed_in_by(kept) == "anonymous"
        happens(device, clock)
        swap(OURS, DJANGOS)
        assert signed_in_by(kept) == (user.get_username() if engine in engines else "anonymous")


def test_tokens_alone_sign_nobody_in_afterwards(swap, user):
    """Nobody reads them any more. Installed again, it does not know the sessions of before."""
    device, fields = Client(), {"username": user.get_username(), "password": PASSWORD}
    device.post("/auth/login/", fields)
    cookies = {name: morsel.value for name, morsel in device.cookies.items()}
    tokens = {name: value for name, value in cookies.items() if name.endswith("_token")}
    assert signed_in_by(tokens) == user.get_username()
    swap(OURS, DJANGOS)
    assert signed_in_by(tokens) == "anonymous"
    AuthSession.objects.all().delete()
    swap(DJANGOS, OURS)
    assert signed_in_by(cookies) == signed_in_by(tokens) == "anonymous"


def test_who_was_barred_from_adoption_is_not_barred_afterwards(swap, user):
    """Signed out everywhere with a Django session older than tokenauth: Django knows not of it."""
    swap(OURS, DJANGOS)
    old = Client()
    old.force_login(user)
    kept = {"sessionid": old.cookies["sessionid"].value}
    swap(DJANGOS, OURS)
    call_command("tokenauth_revoke", "--all", stdout=StringIO())
    assert signed_in_by(kept) == "anonymous"
    swap(OURS, DJANGOS)
    assert signed_in_by(kept) == user.get_username()
