"""The test site on one of several hosts: what differs there is in the environment, as JSON."""

import json
import os

from tests.settings import *  # noqa: F403  # the same site
from tests.settings import DATABASES

site = json.loads(os.environ["TEST_SITE"])
DATABASES["default"] |= site.pop("DATABASE", {})
globals().update(site)
