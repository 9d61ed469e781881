"""The demo's "Login with Google": by allauth, with a provider that runs beside the demo."""

import os

#: What allauth calls the provider in addresses and rows, and who the demo is to it.
PROVIDER_ID = "example-id"
CLIENT_ID = "tokenauth-demo"


def provider_url() -> str:
    """Return where Example ID is; empty where none runs. ``manage.py demo`` says it."""
    return os.environ.get("DEMO_EXAMPLE_ID", "")
