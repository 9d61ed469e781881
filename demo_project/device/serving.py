"""Serve over https, as Django's runserver does over http; say how a browser comes to trust it."""

import os
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as Runserver
from django.core.servers.basehttp import WSGIServer

from demo_project.device.certificate import make_certificate

#: Both keep keys in software where the machine has no other place; the first is on in Windows.
FEATURES = (
    "DeviceBoundSessions:RefreshQuota/false",
    "EnableBoundSessionCredentialsSoftwareKeysForManualTesting",
)
BROWSERS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")

GUIDE = """
  Over https, Chrome binds a session to this device: a copy of its cookies is soon worth nothing.
  It does so where it trusts the certificate, and this one was made just now. To click its warning
  away is not enough. So, in another terminal, start a browser of its own:

    {command}

  Chrome on Windows needs no --enable-features; a Chrome that trusts the certificate already has
  the same in chrome://flags, "Enabled - For developers" and "Enabled":
    #enable-standard-device-bound-session-credentials
    #enable-bound-session-credentials-software-keys-for-manual-testing
  Other browsers stay signed in as ever, and are bound to nothing. What to try:

    9. Copy the whole cookie jar:      {origin}/auth/demo/copied-jar/
"""


class SecureServer(WSGIServer):
    """Django's own, behind TLS."""

    context: ssl.SSLContext

    def setup_environ(self) -> None:
        """Tell the requests that they came over https."""
        super().setup_environ()
        self.base_environ["HTTPS"] = "on"

    def get_request(self) -> Any:
        """Take a connection. The thread that answers it shakes hands: browsers keep one waiting."""
        connection, address = super().get_request()
        options: dict[str, Any] = {"server_side": True, "do_handshake_on_connect": False}
        return self.context.wrap_socket(connection, **options), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that does not trust the certificate, or hangs up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class SecureRunserver(Runserver):
    """``manage.py runserver`` with TLS."""

    protocol = "https"
    server_cls = SecureServer


@contextmanager
def certified(origin: str) -> Iterator[str]:
    """Have a certificate until the block ends; give what to say of it."""
    with TemporaryDirectory(prefix="tokenauth-demo-") as folder:
        file = Path(folder, "certificate.pem")
        spki = make_certificate(file)
        SecureServer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        SecureServer.context.load_cert_chain(file)
        # The demo asks itself, and so does its app: both trust it by this.
        os.environ["SSL_CERT_FILE"] = str(file)
        command = command_line(spki, Path(folder, "profile"), origin)
        yield GUIDE.format(command=command, origin=origin)


def command_line(spki: str, profile: Path, origin: str) -> str:
    """Return how to start a browser that trusts the certificate and binds sessions."""
    browser = next(filter(shutil.which, BROWSERS), BROWSERS[0])
    words = [
        f"--user-data-dir={profile}",
        f"--ignore-certificate-errors-spki-list={spki}",
        f"--enable-features={','.join(FEATURES)}",
        f"{origin}/",
    ]
    return " \\\n      ".join([browser, *words])
