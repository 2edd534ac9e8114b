"""The private ticket keys of one lookup host, as files in a folder that only its owner may read.

A private key never leaves this folder: Consul gets the public half alone. The files are written once and never
changed, so that several lookup processes, and `p2p keys`, use the same folder.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.runtime.errors import SettingsError
from registry.security.tickets.public_key import key_id_of

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key of this host, made at `created_s` (seconds since 1970)."""

    key_id: str
    created_s: float
    private: Ed25519PrivateKey = field(repr=False)


def new_key(now_s: float) -> PrivateKey:
    """A fresh key, in memory only."""
    private = Ed25519PrivateKey.generate()
    return PrivateKey(key_id_of(private.public_key()), round(now_s, 3), private)


class KeyFolder:
    """The keys in `path`; the folder is made where it does not exist.

    Raises SettingsError where others than the owner may read or write the folder or a key in it, and where it cannot
    be used at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(path)
        except OSError as error:
            raise SettingsError(f"--ticket-keys: {path} cannot be used: {error.strerror}.") from error

    def load(self) -> tuple[PrivateKey, ...]:
        """All keys in the folder, the oldest first."""
        keys = (self._read(file) for file in self.path.glob(f"*{_SUFFIX}"))
        return tuple(sorted((key for key in keys if key is not None), key=lambda key: (key.created_s, key.key_id)))

    def add(self, key: PrivateKey) -> None:
        """Write a key; its file appears as a whole or not at all."""
        text = json.dumps({"created": key.created_s, "d": key.private.private_bytes_raw().hex()})
        try:
            with NamedTemporaryFile("w", dir=self.path, prefix=".new-", delete=False) as file:  # its mode is 0600
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self._file(key.key_id))
        except OSError as error:
            raise SettingsError(f"--ticket-keys: {self.path} cannot be written to: {error.strerror}.") from error

    def remove(self, key_id: str) -> None:
        """Remove a key, unless it is gone already."""
        with suppress(FileNotFoundError):
            self._file(key_id).unlink()

    def _file(self, key_id: str) -> Path:
        return self.path / f"{key_id}{_SUFFIX}"

    def _read(self, file: Path) -> PrivateKey | None:
        """The key in a file; None where another process has removed it meanwhile."""
        try:
            _check_private(file)
            found = json.loads(file.read_text())
            private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(found["d"]))
            key = PrivateKey(key_id_of(private.public_key()), float(found["created"]), private)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingsError(f"--ticket-keys: {file} cannot be read: {error.strerror}.") from error
        except (ValueError, LookupError, TypeError):
            key = None
        if key is None or self._file(key.key_id) != file:
            # from None: the error's own text could quote the key
            raise SettingsError(f"--ticket-keys: {file} does not hold the key of its name: remove it.") from None
        return key


def _check_private(path: Path) -> None:
    """Raise SettingsError where anybody but the owner, who is this user or root, may read or write the path."""
    about = path.stat()
    if stat.S_IMODE(about.st_mode) & 0o077:
        mode = "0700" if path.is_dir() else "0600"
        raise SettingsError(
            f"--ticket-keys: others may read {path}: chmod {mode} it and, if it held a key, revoke that (p2p keys)."
        )
    if about.st_uid not in (os.geteuid(), 0):
        raise SettingsError(
            f"--ticket-keys: {path} belongs to another user: chown it to the one who runs p2p registry."
        )
