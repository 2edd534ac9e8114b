"""The true label of each image: from a table, or from the name of the folder that the image lies in."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

BY_FOLDER = "by-folder"

_HEADS = frozenset({"file", "filename", "file name", "image", "name", "path"})


class GroundTruth:
    """The true labels of files; without a table, a file's is the name of the folder that it lies in.

    A table's files are found by the path as it is written, by that path seen from the table's folder, or by
    their name alone where no two rows have the same one.
    """

    def __init__(self, rows: Iterable[tuple[str, str]] | None = None, *, folder: str = "") -> None:
        self._by_folder = rows is None
        self._labels: dict[str, str] = {}
        self._by_name: dict[str, str | None] = {}
        for file, label in rows or ():
            self._labels[os.path.normpath(os.path.join(folder, file))] = label
            self._labels.setdefault(os.path.normpath(file), label)
            name = os.path.basename(file)
            self._by_name[name] = None if name in self._by_name else label

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, file: str) -> str | None:
        """The true label of `file`; None if it is not known."""
        path = os.path.normpath(file)
        if self._by_folder:
            return os.path.basename(os.path.dirname(os.path.abspath(path))) or None
        return self._labels.get(path) or self._by_name.get(os.path.basename(path))


def read_truth(source: str) -> GroundTruth:
    """The true labels that `source` names: `by-folder`, or a CSV file of file and label, with or without a header.

    Raises OSError if it cannot be read, ValueError with a sentence if it is no such table.
    """
    if source == BY_FOLDER:
        return GroundTruth()
    with open(source, newline="", encoding="utf-8-sig") as table:
        try:
            rows = [row for row in csv.reader(table) if row]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{source} is no CSV in UTF-8: {error}") from None
    if rows and rows[0][0].strip().casefold() in _HEADS:
        del rows[0]
    short = next((row for row in rows if len(row) < 2 or not row[1].strip()), None)
    if short is not None:
        raise ValueError(f"{source} has a row without a label ({','.join(short)[:60]}): give file,label in each")
    if not rows:
        raise ValueError(f"{source} has no rows: give file,label in each")
    return GroundTruth(((row[0].strip(), row[1].strip()) for row in rows), folder=str(Path(source).parent))
