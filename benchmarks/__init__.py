"""Measure on a PostgreSQL database of one's own; importing this sets Django up for it."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["TOKENAUTH_TEST_DATABASE"] = "postgresql"
os.environ["TOKENAUTH_TEST_DATABASE_NAME"] = f"bench_tokenauth_{os.getpid()}"
os.environ["TOKENAUTH_TEST_USER_MODEL"] = "auth.User"

django.setup()
