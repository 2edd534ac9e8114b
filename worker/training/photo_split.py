"""A folder of photos, one sub-folder per label -> the photos for training, for validation and for testing.

The part of a photo depends only on a hash of its name, as in the article's retrain.py: when photos are added, no
earlier photo changes its part, so that a test photo never becomes a training photo.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.errors import RetrainError

Part = Literal["train", "validation", "test"]

LEAST = 5
"""Photos that a label needs at least: some for training, one for validation and one for testing."""

_TEST, _VALIDATION = 10.0, 10.0  # per cent, as retrain.py's defaults


@dataclass(frozen=True)
class Photo:
    """One photo, its label's number, and its part."""

    path: Path
    label: int
    part: Part


def find_photos(image_dir: Path, *, exclude: Path) -> dict[str, list[Path]]:
    """The files of each sub-folder, by its name, in order, without hidden ones and the folder `exclude`.

    Raises RetrainError if there are fewer than two sub-folders.
    """
    if not image_dir.is_dir():
        raise RetrainError(f"There is no folder {image_dir}: --image-dir names one with a sub-folder for each label.")
    folders = [d for d in sorted(image_dir.iterdir()) if d.is_dir() and not d.name.startswith(".")]
    folders = [folder for folder in folders if folder.resolve() != exclude.resolve()]
    if len(folders) < 2:
        raise RetrainError(
            f"{image_dir} has {len(folders)} sub-folder{'s' * (len(folders) != 1)}; "
            "it needs two or more, each named for a label and holding its photos."
        )
    return {folder.name: _files(folder) for folder in folders}


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]


def assign(label: str, names: Sequence[str]) -> list[Part]:
    """The part of each of a label's photos: about a tenth each for testing and validation, at least one of each.

    A part that the hashes leave empty gets the photo with the lowest hash of the largest part.
    Raises RetrainError for fewer than `LEAST` names.
    """
    if len(names) < LEAST:
        raise RetrainError(f"The label {label!r} has {len(names)} usable photos; it needs {LEAST} or more.")
    percentages = [_percentage(f"{label}/{name}") for name in names]
    parts = [_part(each) for each in percentages]
    every: tuple[Part, ...] = ("test", "validation", "train")
    for missing in every:
        if missing not in parts:
            richest = max(every, key=parts.count)
            parts[min((i for i, part in enumerate(parts) if part == richest), key=percentages.__getitem__)] = missing
    return parts


def _part(percentage: float) -> Part:
    if percentage < _TEST:
        return "test"
    return "validation" if percentage < _TEST + _VALIDATION else "train"


def _percentage(name: str) -> float:
    """0 to 100, from a hash of a name up to `_nohash_`, so that variants of a photo get the same part."""
    stem = re.sub(r"_nohash_.*$", "", name)
    most = 2**27 - 1  # as in retrain.py
    return int(hashlib.sha1(stem.encode("utf-8", "surrogateescape")).hexdigest(), 16) % (most + 1) * (100.0 / most)
