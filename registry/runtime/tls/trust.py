"""What this process trusts as a client of TLS servers, and what it shows them: PEM files and their context."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from registry.runtime.errors import SettingsError


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """The authorities in `ca`, or else the system's; `cert` and `key` go to servers that ask for a certificate.

    `ca` may hold a server's own certificate instead. Without `key`, the key is in the file of `cert`.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are named."""
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)

    def as_flags(self, prefix: str) -> list[str]:
        """The flags for a child process, whose names begin with `prefix`."""
        files = {"ca": self.ca, "cert": self.cert, "key": self.key}
        return [part for what, path in files.items() if path is not None for part in (f"{prefix}-{what}", str(path))]

    def verification(self) -> ssl.SSLContext | bool:
        """The context to verify with, or True for the usual one. Raises SettingsError where a file cannot be used."""
        if self.ca is None and self.cert is None:
            return True
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:  # those of TLS among them
            files = ", ".join(map(str, self.paths))
            raise SettingsError(
                f"What is trusted and shown as a client cannot be read from {files} ({error}): these are PEM files, "
                "the authority's certificate, and the client's own with its key."
            ) from error
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def verification_fault(error: ssl.CertificateError | Exception) -> str:
    """What is wrong with a server's certificate, in OpenSSL's words."""
    return str(getattr(error, "verify_message", "") or error)
