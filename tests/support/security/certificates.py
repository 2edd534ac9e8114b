"""Certificates for tests: an authority, and certificates that it signs, as PEM files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pem:
    """A certificate and its key, each in a file."""

    cert: Path
    key: Path


@dataclass
class Authority:
    """An authority of its own, whose certificate is in the file `ca`; new ones are written into `folder`."""

    folder: Path
    name: str = "test authority"
    _key: ec.EllipticCurvePrivateKey = field(init=False, repr=False)
    ca: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(self.name)
        self.ca = self.folder / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._subject, self._subject, self._key).add_extension(constraints, critical=True)
        self.ca.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def sign(
        self,
        name: str,
        *,
        hosts: Sequence[str] = ("127.0.0.1", "localhost", "::1"),
        days: float = 30,
        password: str = "",
    ) -> Pem:
        """A certificate for `hosts`, which is valid for `days` more (below 0: it has expired)."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        builder = _builder(_name(name), self._subject, key, days=days).add_extension(names, critical=False)
        pem = Pem(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        write(pem.cert, _pem(builder.sign(self._key, hashes.SHA256())))
        protection = (
            serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        )
        write(pem.key, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
        return pem


def write(path: Path, content: bytes) -> None:
    """Replace the file at once, as tools that renew certificates do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: float = 30
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
