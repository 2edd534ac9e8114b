"""A folder of the cache that takes long to build is built by one process, and appears complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from worker.system.file_lock import file_lock

WITHIN_S = 600.0
"""How long a process waits for another one that builds, which may be stopped or hang; then it builds itself."""


def build_once(folder: Path, build: Callable[[Path], object], *, within_s: float = WITHIN_S) -> Path:
    """Return `folder`; if it is missing, `build` fills a temporary folder next to it, which is then renamed.

    Safe when several processes call it at once: one builds, the others wait for it, at most `within_s`. Raises OSError,
    and what `build` raises; nothing stays behind then.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(folder.parent / ".lock", within_s=within_s) as held:
        if not folder.is_dir():
            if held:
                _remove_abandoned(folder.parent)
            _build(folder, build)
    return folder


def _remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders of processes that were killed: while the lock is held, no other process builds."""
    for abandoned in parent.glob("making-*"):
        shutil.rmtree(abandoned, ignore_errors=True)


def _build(folder: Path, build: Callable[[Path], object]) -> None:
    part = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        build(part)
        try:
            os.rename(part, folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
