"""Follows one file: what it holds is read again when the file changes, and the last good content stays otherwise."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from registry.runtime.errors import SettingsError

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often the file is looked at."""

BYTES_AT_MOST = 16 << 20

T = TypeVar("T")
Seen = tuple[int, int, int, int, int]
"""What tells one content of a file from another: device, inode, size, time of the content, time of the inode."""


class WatchedFile(Generic[T]):
    """What `parse` makes of the file at `path`; `what` names the file in messages ("The token file").

    `value` is the last good content. Functions in `on_change` are called after each change of `value`.
    """

    def __init__(self, path: Path, parse: Callable[[str], T], *, what: str) -> None:
        """Read the file. Raises SettingsError where it cannot be read or parsed."""
        self.on_change: list[Callable[[], None]] = []
        self._path = path
        self._parse = parse
        self._what = what
        self._seen: Seen | None = None
        self._warned = False
        self._seen, text = self._read()
        self.value = self._parsed(text)

    async def follow(self) -> None:
        """Look at the file every second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Take up the file's content if it has changed; one that cannot be used is logged and leaves `value`."""
        try:
            changed = await asyncio.to_thread(self._changed)
            if changed is None:
                return
            self.value = self._parsed(changed)
        except SettingsError as error:
            logger.error("%s The last good content stays in use.", error)
            return
        logger.info("%s %s was read again.", self._what, self._path)
        for call in self.on_change:
            call()

    def _changed(self) -> str | None:
        """The file's text if it is not the one that was seen last; a failure is reported once."""
        try:
            seen = _seen(os.stat(self._path))
        except OSError:
            seen = None
        if seen == self._seen:
            return None
        self._seen = seen
        self._seen, text = self._read()
        return text

    def _read(self) -> tuple[Seen, str]:
        """What tells this content from others, and the text. Raises SettingsError."""
        try:
            with open(self._path, "rb") as file:
                status = os.fstat(file.fileno())
                content = file.read(BYTES_AT_MOST + 1)
        except OSError as error:
            raise SettingsError(f"{self._what} {self._path} cannot be read: {error.strerror}.") from None
        self._warn_if_open_to_others(status.st_mode)
        if len(content) > BYTES_AT_MOST:
            raise SettingsError(f"{self._what} {self._path} is larger than {BYTES_AT_MOST >> 20} MiB.")
        try:
            return _seen(status), content.decode()
        except UnicodeDecodeError:
            self._seen = _seen(status)
            raise SettingsError(f"{self._what} {self._path} is not text in UTF-8.") from None

    def _parsed(self, text: str) -> T:
        try:
            return self._parse(text)
        except SettingsError as error:
            raise SettingsError(f"{self._what} {self._path} cannot be used: {error}") from None

    def _warn_if_open_to_others(self, mode: int) -> None:
        if stat.S_IMODE(mode) & 0o007 and not self._warned:
            self._warned = True
            logger.warning("%s %s is open to every user of this machine: chmod o= it.", self._what, self._path)


def _seen(status: os.stat_result) -> Seen:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
