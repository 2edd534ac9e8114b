"""Reads certificates, and has a client and a server shake hands in memory with those of this host."""

from __future__ import annotations

import ssl
import stat
from datetime import datetime
from pathlib import Path

from cryptography import x509

from deploy.doctor.findings.certificates import CertificateFile, TlsFacts
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError
from registry.runtime.tls.server import TlsFiles, server_context
from registry.runtime.tls.trust import TrustFiles, verification_fault


def tls_facts(tls: TlsFiles | None, trust: TrustFiles, consul: ConsulSettings | None, *, host: str) -> TlsFacts:
    """The facts about all files that are named; `host` is that at which clients reach the server."""
    named = {"P2P_CA": trust.ca, "P2P_CERT": trust.cert}
    if consul is not None:
        named |= {"CONSUL_CACERT": consul.ca_file, "CONSUL_CLIENT_CERT": consul.cert_file}
    files = [_read(setting, path) for setting, path in named.items() if path is not None]
    if tls is None:
        return TlsFacts(files)
    files += [_read("--tls-cert", tls.cert)]
    files += [] if tls.client_ca is None else [_read("--tls-client-ca", tls.client_ca)]
    fault, untried = _handshake_fault(tls, trust, host)
    return TlsFacts(files, True, host, fault, untried, str(tls.key) if _is_open(tls.key) else "")


def _read(setting: str, path: Path) -> CertificateFile:
    try:
        return CertificateFile(setting, str(path), expires=_first_expiry(path))
    except OSError as error:
        return CertificateFile(setting, str(path), fault=error.strerror or str(error))
    except ValueError:
        return CertificateFile(setting, str(path), fault="it holds no certificate as PEM")


def _first_expiry(path: Path) -> datetime:
    return min(found.not_valid_after_utc for found in x509.load_pem_x509_certificates(path.read_bytes()))


def _is_open(path: Path) -> bool:
    """Whether users who neither own the file nor are of its group may read it."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _handshake_fault(tls: TlsFiles, trust: TrustFiles, host: str) -> tuple[str, bool]:
    """Why a client does not trust the server at `host`, and whether there is no authority with which to try."""
    if trust.ca is None:
        return "", True
    try:
        server = server_context(TlsFiles(tls.cert, tls.key))  # without client_ca: what is tried is the server
        client = trust.verification()
    except SettingsError as error:
        return str(error).rstrip("."), False
    assert isinstance(client, ssl.SSLContext), "it is True only without files"
    return _shake_hands(server, client, host), False


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str:
    """Why the client breaks the handshake off; "" where it does not. The bytes stay in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(10):
        waiting = False
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
            except ssl.SSLError as error:
                return verification_fault(error)
        if not waiting:
            return ""
    return "the handshake does not end"
