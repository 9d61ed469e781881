"""Make the demo's own certificate, which a browser can be told to trust."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def make_certificate(file: Path) -> str:
    """Write a certificate of this machine and its key; return what Chrome knows the key by."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.touch(mode=0o600)
    file.write_bytes(signed(key).public_bytes(PEM) + key.private_bytes(PEM, *form))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    spki = key.public_key().public_bytes(serialization.Encoding.DER, public)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a certificate for a key that has signed it itself, good for a week."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokenauth demo")])
    addresses = [x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")]
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=7))
    return builder.add_extension(hosts, critical=False).sign(key, hashes.SHA256())
