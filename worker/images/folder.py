"""A folder -> the files in it and below it, linked folders included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"})
"""The endings of files that can be decoded; the files' content decides."""

LeftOut = Callable[[Path, str], None]
"""Called with a folder that is left out, and the reason."""


def files_below(
    folder: Path,
    *,
    left_out: LeftOut,
    skip: Callable[[Path], bool] = lambda _: False,
    hidden: Callable[[Path], None] = lambda _: None,
) -> list[Path]:
    """All files in `folder` and below it, sorted, without hidden ones and without folders for which `skip` is true.

    A link to a folder above itself is not followed. `left_out` is called for folders that cannot be read, `hidden` for
    hidden files and folders.
    """
    return sorted(_below(folder, _Rules(left_out, skip, hidden), frozenset()))


@dataclass(frozen=True)
class _Rules:
    left_out: LeftOut
    skip: Callable[[Path], bool]
    hidden: Callable[[Path], None]


def _below(folder: Path, rules: _Rules, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        status, content = folder.stat(), list(folder.iterdir())
    except OSError as error:
        rules.left_out(folder, error.strerror or str(error))
        return
    here = (status.st_dev, status.st_ino)
    for path in () if here in above else content:
        if path.name.startswith("."):
            rules.hidden(path)
        elif path.is_dir():
            if not rules.skip(path):
                yield from _below(path, rules, above | {here})
        elif path.is_file():
            yield path
