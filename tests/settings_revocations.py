"""The test site as an authorization server that tells which sessions have ended."""

import os

from tests.settings import *  # noqa: F403  # the same site

TOKENAUTH_REVOCATIONS = os.environ["TEST_REVOCATIONS"]
TOKENAUTH_ISSUER = "https://example.com"
