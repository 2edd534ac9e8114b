"""A file that may be a zip archive -> one of its members; nothing in it is run."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from worker.artifacts.damaged import Damaged


def member_of(path: Path, wanted: Callable[[str], bool]) -> bytes | None:
    """The first member whose name is wanted; None if there is none, or no archive. Raises Damaged and OSError."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(filter(wanted, archive.namelist()), None)
            return None if name is None else archive.read(name)
    # RuntimeError is raised for a password and for an unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise Damaged(f"the archive cannot be unpacked: {error}") from error
