"""Set Django up for a PostgreSQL database of one's own; to be imported before the models are."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["TOKENAUTH_TEST_DATABASE"] = "postgresql"
os.environ["TOKENAUTH_TEST_DATABASE_NAME"] = f"bench_tokenauth_{os.getpid()}"
os.environ["TOKENAUTH_TEST_USER_MODEL"] = "auth.User"

django.setup()
