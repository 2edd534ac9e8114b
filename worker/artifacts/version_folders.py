"""A model's folder -> the versions that it holds, and what their files look like now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.artifacts.source import locate
from worker.artifacts.version_plan import Files, Listing, canonical
from worker.errors import ModelError

QUIET_S = 5.0
"""Files that nobody has touched for so long are not being copied."""


def versioned(path: Path | None) -> bool:
    """Whether `path` is a folder of numbered versions, rather than a model itself."""
    if path is None or not path.is_dir() or not folders(path):
        return False
    try:
        inside = locate(path).path.relative_to(path).parts
    except ModelError:  # no version is complete yet
        return True
    return bool(inside) and canonical(inside[0]) is not None


def folders(root: Path) -> Mapping[str, Path]:
    """The numbered folders in `root` by their version; any other name (3.tmp, .4) is none. Raises OSError."""
    found: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        version = canonical(folder.name)
        if version is not None and folder.is_dir():
            found.setdefault(version, folder)
    return found


def look(root: Path) -> Listing:
    """What each numbered folder holds; those without a file are not there yet. Raises OSError for `root` alone."""
    listing: dict[str, Files] = {}
    for version, folder in folders(root).items():
        files = _files(folder)
        if files is not None:
            listing[version] = files
    return listing


def _files(folder: Path) -> Files | None:
    """Names, sizes and times of all files below `folder`, as one number; None where there are none.

    The time of change (ctime) is the one that no copying program sets back.
    """
    try:
        found = sorted(_below(str(folder)))
    except OSError:  # it is being moved away, or is not readable yet
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
