"""The test site as an authorization server whose keys are in a file, read when a worker starts."""

import json
import os
from pathlib import Path

from tests.resource import AUDIENCE, ISSUER
from tests.settings import *  # noqa: F403  # the same site

TOKENAUTH_SIGNING_KEYS = json.loads(Path(os.environ["BENCH_KEYS_FILE"]).read_text())
TOKENAUTH_ISSUER = ISSUER
TOKENAUTH_AUDIENCE = [AUDIENCE]
