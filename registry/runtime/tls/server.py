"""The TLS of a server: contexts from PEM files, which are read again when the files change.

Every connection begins with one context, whose callback hands over the context of the newest files (OpenSSL calls it
for each ClientHello, with a server's name or without). So connections that exist go on undisturbed.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from registry.runtime.errors import SettingsError
from registry.runtime.file_watch import WatchedFiles
from registry.runtime.tasks.supervise import supervised

logger = logging.getLogger(__name__)

EXPIRES_SOON = timedelta(days=7)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2 those with forward secrecy and authenticated encryption; all of TLS 1.3 are of that kind."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a server. With `client_ca`, clients must show a certificate that one of its authorities signed.

    `cert` holds the server's certificate and those of the authorities between it and the root, `key` its key.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    @classmethod
    def from_flags(cls, cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
        """What the flags --tls-cert, --tls-key and --tls-client-ca give; None where they ask for no TLS.

        Without --tls-key, the key is in the certificate's file. Raises SettingsError where a flag needs another one.
        """
        if cert is not None:
            return cls(cert, key or cert, client_ca)
        if key is not None or client_ca is not None:
            flag = "--tls-key" if key is not None else "--tls-client-ca"
            raise SettingsError(f"{flag} is of no use without a certificate: give --tls-cert, too.")
        return None

    def as_flags(self) -> list[str]:
        """The flags for a child process."""
        client_ca = [] if self.client_ca is None else ["--tls-client-ca", str(self.client_ca)]
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key), *client_ca]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What new connections begin with, and when its certificate ends, in seconds since 1970."""

    context: ssl.SSLContext
    expires_at_s: float


class ServerTls:
    """The TLS of a server's connections: each begins with `context`. Raises SettingsError where a file is unusable."""

    def __init__(self, files: TlsFiles) -> None:
        paths = [files.cert, files.key, *([] if files.client_ca is None else [files.client_ca])]
        self._newest = WatchedFiles(paths, lambda: _shown(files), what=f"The certificate in {files.cert}")
        self.context = self._newest.value.context
        self.context.sni_callback = self._hand_over

    def _hand_over(self, connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = self._newest.value.context

    def expires_at_s(self) -> float:
        """When the certificate in use ends, in seconds since 1970."""
        return self._newest.value.expires_at_s

    def when_changed(self, call: Callable[[], None]) -> None:
        """Call this after each change of the certificate in use."""
        self._newest.on_change.append(call)

    async def follow(self) -> None:
        """Read the files again whenever they change, until cancelled; unusable ones are logged and not used."""
        await self._newest.follow()


@asynccontextmanager
async def serving_tls(files: TlsFiles | None) -> AsyncIterator[ServerTls | None]:
    """The TLS of the process's servers, kept up to date while the context is open; None where there are no files."""
    if files is None:
        yield None
        return
    tls = ServerTls(files)
    async with supervised("read changed certificates", tls.follow):
        yield tls


def _shown(files: TlsFiles) -> _Shown:
    context = server_context(files)
    return _Shown(context, _end_of(files.cert).timestamp())


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer that shows the certificate, and with `client_ca` asks for the client's.

    Raises SettingsError where a file cannot be read or used. A certificate that has expired, or soon will, is logged.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_certificate(context, files)
    if files.client_ca is not None:
        _load_client_ca(context, files.client_ca)
    _warn_of_expiry(files.cert)
    return context


def _load_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    for flag, path in (("--tls-cert", files.cert), ("--tls-key", files.key)):
        _check_readable(flag, path)
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except _PasswordWanted:
        raise SettingsError(
            f"The key in {files.key} is protected by a password, which nobody can type when this starts by itself: "
            "write it without one (openssl pkey -in KEY -out NEW) into a file that only this user can read."
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"The key in {files.key} does not belong to the certificate in {files.cert}: give the two that were "
                "made together."
            ) from error
        raise SettingsError(
            f"--tls-cert {files.cert} and --tls-key {files.key} cannot be used ({error.reason or error}): they are "
            "PEM files, the server's certificate first and then those of the authorities between, and its key."
        ) from error


def _load_client_ca(context: ssl.SSLContext, path: Path) -> None:
    _check_readable("--tls-client-ca", path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise SettingsError(
            f"--tls-client-ca {path} cannot be used ({error.reason or error}): it is a PEM file with the certificates "
            "of the authorities that sign clients' certificates."
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED
    # A client that resumes a session shows no certificate: it would come in after its authority was removed.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


class _PasswordWanted(Exception):
    """OpenSSL asks for the password of a key."""


def _no_password() -> str:
    raise _PasswordWanted


def _check_readable(flag: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{flag} names {path}, which cannot be read: {error.strerror}.") from error


def _end_of(certificate: Path) -> datetime:
    from cryptography import x509  # takes as long to import as everything else here, and only with TLS

    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _warn_of_expiry(path: Path) -> None:
    until = _end_of(path)
    left = until - datetime.now(UTC)
    if left <= timedelta():
        logger.warning("The certificate in %s has expired (%s): clients will refuse it.", path, until)
    elif left <= EXPIRES_SOON:
        logger.warning("The certificate in %s expires on %s: replace the file, which is read again.", path, until)
