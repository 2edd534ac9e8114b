"""What takes long to make is made once a user and kept in the cache folder: there as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from worker.system.file_lock import alone


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`; where it is not there yet, `make` fills a new folder beside, which then gets its name.

    Safe when several processes ask at once: one makes it, the others wait for it. Raises OSError, and what
    `make` raises; nothing is left behind then.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.parent / ".lock"):
        if not folder.is_dir():
            _make(folder, make)
    return folder


def _make(folder: Path, make: Callable[[Path], object]) -> None:
    for left in folder.parent.glob("making-*"):  # by a process that was killed; nobody else is here now
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        make(part)
        os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
