"""A project without a database: none of our models is imported, and it serves."""

import json
import os
import subprocess
import sys

from tests.processes import ROOT
from tests.resource import COOKIE, JWKS, token

STEPS = """
import asyncio, json, sys
import django
django.setup()
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection
from django.test import AsyncClient, Client

name, good, stale = sys.argv[1:]
settings.USE_X_FORWARDED_HOST = True
headers = {"X-Forwarded-Host": "api.site.test", "X-Forwarded-Proto": "https"}

def visit(client, path, token):
    client.cookies.load({name: token})
    return client.get(path, headers=headers)

print(json.dumps({
    "database": connection.vendor,
    "checks": [str(message) for message in run_checks(include_deployment_checks=True)
               if message.id.startswith(("tokenauth", "auth", "admin"))],
    "sync": visit(Client(), "/whoami/", good).content.decode(),
    "async": asyncio.run(visit(AsyncClient(), "/async-whoami/", good)).content.decode(),
    "api": visit(Client(), "/api/", good).json()["pk"],
    "expired": visit(Client(), "/whoami/", stale).status_code,
    "models": [name for name in sys.modules if name.startswith("tokenauth") and "models" in name],
}))
"""


def test_it_serves_without_a_database_and_without_our_models():
    """In a process of its own, sync and async; its checks have nothing to say."""
    env = {"DJANGO_SETTINGS_MODULE": "tests.resource.standalone", "PYTHONWARNINGS": "error"}
    env |= {"RESOURCE_PUBLIC_KEYS": json.dumps(JWKS)}
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", STEPS, COOKIE, token(), token(exp=1)],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "database": "unknown",
        "checks": [],
        "models": [],
        "sync": "7",
        "async": "7",
        "api": "7",
        "expired": 307,
    }
