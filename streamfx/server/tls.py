"""TLS contexts: from PEM files, or from a certificate made at the start."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streamfx.errors import InputError
from streamfx.server.config import ServerConfig

_VALID = datetime.timedelta(days=90)


@dataclass(frozen=True)
class Secured:
    """A TLS context and, where the certificate was made here, its SHA-256 fingerprint."""

    context: ssl.SSLContext
    fingerprint: str | None = None


def secured(config: ServerConfig) -> Secured | None:
    """What the configuration asks for, None for plain HTTP.

    Raises:
        InputError: the files are missing, or are not a certificate and its key.
    """
    if not config.tls.enabled:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if config.tls.cert is not None and config.tls.key is not None:
        _load(context, config.tls.cert, config.tls.key)
        return Secured(context)
    names = dict.fromkeys((config.host, *config.allowed_hosts, "localhost", "127.0.0.1", "::1"))
    certificate, key = self_signed([*names, socket.gethostname()])
    # OpenSSL reads only files; these are gone when the context has them.
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context.load_cert_chain(*paths)
    return Secured(context, certificate.fingerprint(hashes.SHA256()).hex(":").upper())


def self_signed(
    names: list[str],
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate on ECDSA P-256 for host names and IP addresses, valid for 90 days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "StreamFX")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path in (cert, key):
        if not path.is_file():
            raise InputError(f"there is no TLS file {str(path)!r}")
    try:
        # A key under a passphrase must fail here, not ask on the terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InputError(
            f"{str(cert)!r} and {str(key)!r} are not a PEM certificate and its plain key: {error}"
        ) from error
