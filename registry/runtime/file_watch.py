"""Follows files: what they hold is read again when they change, and the last good content stays otherwise."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from registry.runtime.errors import SettingsError

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""The time between two looks at the files."""

T = TypeVar("T")
State = tuple[tuple[int, int, int, int, int] | None, ...]
"""Device, inode, size, time of the content and of the inode for each file; None for one that is missing.

Replacing a file, writing it and a symbolic link that points elsewhere show.
"""


class WatchedFiles(Generic[T]):
    """What `read` makes of the files at `paths`; `what` names them in the log ("The token file /etc/tokens").

    `value` is the last good content. Functions in `on_change` are called after each change of `value`.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T], *, what: str) -> None:
        """Read the files. Raises the SettingsError of `read`."""
        self.on_change: list[Callable[[], None]] = []
        self.paths = tuple(paths)
        self._read = read
        self._what = what
        # The state comes before the content: what changes in between is noticed at the next look.
        self._used = self._seen = self._state()
        self.value = read()

    async def follow(self) -> None:
        """Look at the files every second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Take up the files' content if it has changed; one that cannot be used is logged and leaves `value`.

        A change of several files counts when two looks see the same, because they are replaced one after the other.
        """
        found = await asyncio.to_thread(self._state)
        complete = len(self.paths) == 1 or found == self._seen
        self._seen = found
        if found == self._used or not complete:
            return
        self._used = found
        try:
            self.value = await asyncio.to_thread(self._read)
        except SettingsError as error:
            logger.error("%s The last good content stays in use.", error)
            return
        logger.info("%s has been read again.", self._what)
        for call in self.on_change:
            call()

    def _state(self) -> State:
        return tuple(map(_file_state, self.paths))


def _file_state(path: Path) -> tuple[int, int, int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
