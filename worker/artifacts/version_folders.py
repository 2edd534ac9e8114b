"""A model's folder -> the numbered folders in it, and a fingerprint of each version's files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.artifacts.version_plan import Files, Listing, version_number

QUIET_S = 5.0
"""Files that have not changed for this long are not being copied."""


def version_folders(root: Path) -> Mapping[str, Path]:
    """The numbered folders in `root` by their version; other names (3.tmp, .4) are no versions. Raises OSError."""
    found: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        version = version_number(folder.name)
        if version is not None and folder.is_dir():
            found.setdefault(version, folder)
    return found


def list_versions(root: Path) -> Listing:
    """The files of each version; folders without a file are left out. Raises OSError only for `root` itself."""
    listing: dict[str, Files] = {}
    for version, folder in version_folders(root).items():
        files = _files(folder)
        if files is not None:
            listing[version] = files
    return listing


def _files(folder: Path) -> Files | None:
    """A fingerprint of names, sizes and times of all files below `folder`; None if there are none.

    No copying program sets the time of change (ctime) back.
    """
    try:
        found = sorted(_below(str(folder)))
    except OSError:  # the folder is being moved, or is not readable yet
        return None
    if not found:
        return None
    newest_s = max(changed_ns for *_, changed_ns in found) / 1e9
    return Files(hash(tuple(found)), quiet=newest_s < time.time() - QUIET_S)


def _below(folder: str) -> Iterator[tuple[str, int, int, int]]:
    """Path, size, times of modification and change in nanoseconds of each file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _below(entry.path)
            else:
                about = entry.stat()
                yield entry.path, about.st_size, about.st_mtime_ns, about.st_ctime_ns
