"""Reads the token file from disk, and warns of one that every user of the machine may open."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from registry.runtime.errors import SettingsError
from registry.runtime.file_watch import WatchedFiles
from registry.security.tokens.token_file import Tokens, parse_tokens

logger = logging.getLogger(__name__)

BYTES_AT_MOST = 16 << 20


def watched_tokens(path: Path) -> WatchedFiles[Tokens]:
    """The callers of the token file at `path`, to be followed. Raises SettingsError where it cannot be used."""
    return WatchedFiles([path], TokenFileReader(path).read, what=f"The token file {path}")


class TokenFileReader:
    """Reads one token file, as often as it changes; warns once of a file that is open to everybody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._warned = False

    def read(self) -> Tokens:
        """The callers that the file names. Raises SettingsError."""
        text = self._text()
        try:
            return parse_tokens(text)
        except SettingsError as error:
            raise SettingsError(f"The token file {self._path} cannot be used: {error}") from None

    def _text(self) -> str:
        try:
            with open(self._path, "rb") as file:
                self._warn_if_open_to_others(os.fstat(file.fileno()).st_mode)
                content = file.read(BYTES_AT_MOST + 1)
        except OSError as error:
            raise SettingsError(f"The token file {self._path} cannot be read: {error.strerror}.") from None
        if len(content) > BYTES_AT_MOST:
            raise SettingsError(f"The token file {self._path} is larger than {BYTES_AT_MOST >> 20} MiB.")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise SettingsError(f"The token file {self._path} is not text in UTF-8.") from None

    def _warn_if_open_to_others(self, mode: int) -> None:
        if stat.S_IMODE(mode) & 0o007 and not self._warned:
            self._warned = True
            logger.warning("The token file %s is open to every user of this machine: chmod o= it.", self._path)
