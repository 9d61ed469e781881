"""Chromium over https, as it binds sessions to devices: nginx with TLS before the live server."""

import base64
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import chromium
from tests.chromium import ARGUMENTS, Chromium, find_executable
from tests.live import Server
from tests.nginx import free_port, nginx
from tests.processes import PATIENCE
from tokenauth.request.jar.device import NAME

HOST, OTHER_HOST = "app.example.com", "other.example.net"
#: Chromium heeds the headers where the certificate is no error, and keeps keys in software.
FEATURES = (
    "DeviceBoundSessions:RefreshQuota/{quota}",
    "EnableBoundSessionCredentialsSoftwareKeysForManualTesting",
)

TLS = """
  map $upstream_status $lost {{ default 0; 599 1; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    client_max_body_size 20m;
    location / {{
      proxy_pass http://127.0.0.1:{server};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
      proxy_intercept_errors on;
      error_page 599 = @lost;
    }}
    location @lost {{ return 444; }}
  }}
"""


def make_certificate(folder: Path) -> str:
    """Write a certificate for the two hosts and its key; return the hash Chromium trusts it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    now = datetime.now(UTC)
    hosts = [x509.DNSName(host) for host in ("*.example.com", "*.example.net")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    spki = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def arguments(spki: str, *, quota: bool = False, has_keys: bool = True) -> list[str]:
    """Return what Chromium is started with to bind sessions on a machine without a TPM.

    One that ``has_keys`` no more can't use those in a copied folder, as with another machine's TPM.
    """
    features = FEATURES if has_keys else FEATURES[:1]
    return [
        *ARGUMENTS,
        f"--ignore-certificate-errors-spki-list={spki}",
        "--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP *.example.net 127.0.0.1",
        f"--enable-features={','.join(features).format(quota=str(quota).lower())}",
    ]


@contextmanager
def serve(program: str, folder: Path, server: int) -> Iterator[int]:
    """Put nginx with TLS and HTTP/2 before the server on this port; give nginx's own."""
    port = free_port()
    with nginx(program, TLS.format(port=port, folder=folder, server=server), port):
        yield port


class Window(chromium.Window):
    """A window over https; ``events`` is what Chromium says of its bound sessions."""

    def __init__(self, process: Chromium, server: Server, port: int, state: Any = None) -> None:
        self.events: list[dict[str, Any]] = []
        super().__init__(process, server, state=state, origin=f"https://{HOST}:{port}")

    async def _open(self, process: Chromium, state: Any) -> None:
        await super()._open(process, state)
        await self._listen()

    async def _listen(self) -> None:
        page = await self.context.new_page()
        self.first = chromium.Tab(self, page)
        self.cdp = await self.context.new_cdp_session(page)
        self.cdp.on("Network.deviceBoundSessionEventOccurred", self._hear)
        await self.cdp.send("Network.enable")
        await self.cdp.send("Network.enableDeviceBoundSessions", {"enable": True})

    def _hear(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def details(self, kind: str, what: str) -> list[Any]:
        """Return what the events of a kind say, as of "refresh" the "refreshResult"."""
        found = [event.get(f"{kind}EventDetails") for event in self.events]
        return [details.get(what) for details in found if details]

    @property
    def refreshes(self) -> list[str]:
        """How each refresh ended that was not merely waited for."""
        return self.details("refresh", "refreshResult")

    @property
    def endings(self) -> list[str]:
        """Why Chromium has deleted keys."""
        return self.details("termination", "deletionReason")

    @property
    def device_tokens(self) -> list[str]:
        """The names of the device tokens in the jar."""
        return sorted(name for name, _ in self.cookies if name.startswith(NAME))

    def wait_for_registration(self, count: int = 1) -> None:
        """Wait until the browser has registered so many keys, and has noted it."""
        wait_for(lambda: len([*filter(None, self.details("creation", "newSession"))]) >= count)

    def expire(self) -> None:
        """Let the device tokens' cookies end, which Chromium takes for the same as their age."""
        for name in self.device_tokens:
            cookie = {"name": name, "url": self.origin}
            self.run(self.cdp.send("Network.deleteCookies", cookie))
        assert not self.device_tokens


class Profile(Window):
    """A Chromium of its own, with a folder on the disk: to be closed, killed and copied."""

    is_dead = False

    def __init__(
        self, process: Chromium, server: Server, port: int, folder: Path, arguments: list[str]
    ) -> None:
        self.folder, self.arguments = folder, arguments
        super().__init__(process, server, port)

    async def _open(self, process: Chromium, state: Any) -> None:
        launch = process.playwright.chromium.launch_persistent_context
        self.context = await launch(
            str(self.folder),
            executable_path=find_executable(),
            args=self.arguments,
            base_url=self.origin,
        )
        self.context.set_default_timeout(30_000)
        self.context.on("response", self._note)
        await self._listen()

    @property
    def pid(self) -> int:
        """The process that holds the folder."""
        return int((self.folder / "SingletonLock").readlink().name.rpartition("-")[2])

    def kill(self) -> None:
        """Take the power away, and wait until it is dark."""
        self.run(self._kill())
        self.is_dead = True

    async def _kill(self) -> None:
        async with self.context.expect_event("close"):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if not self.is_dead:
            super().close()


def wait_for(condition: Callable[[], Any], pause: float = 0.05) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(pause)
    return result
