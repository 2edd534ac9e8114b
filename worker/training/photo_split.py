"""A folder of photos, one sub-folder a label -> which photo is to train with, which to validate, which to test.

The set that a photo belongs to hangs on a hash of its name alone, as in the article's retrain.py: when more
photos are added, none of the old ones moves, so a test photo never becomes one that was trained on.
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
"""Photos that a label needs: some to learn from, one to check and one to test with."""

_TEST, _VALIDATION = 10.0, 10.0  # per cent, as retrain.py's defaults


@dataclass(frozen=True)
class Photo:
    """One photo, its label's number, and what it is for."""

    path: Path
    label: int
    part: Part


def find_photos(image_dir: Path, *, apart_from: Path) -> dict[str, list[Path]]:
    """The files of every sub-folder, by the sub-folder's name, in order; hidden ones and `apart_from` left out.

    Raises RetrainError if there are fewer than two sub-folders.
    """
    if not image_dir.is_dir():
        raise RetrainError(f"There is no folder {image_dir}: --image-dir names one with a sub-folder for each label.")
    folders = [d for d in sorted(image_dir.iterdir()) if d.is_dir() and not d.name.startswith(".")]
    folders = [folder for folder in folders if folder.resolve() != apart_from.resolve()]
    if len(folders) < 2:
        raise RetrainError(
            f"{image_dir} has {len(folders)} sub-folder{'s' * (len(folders) != 1)}; "
            "it needs two or more, each named for a label and holding its photos."
        )
    return {folder.name: _files(folder) for folder in folders}


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]


def assign(label: str, names: Sequence[str]) -> list[Part]:
    """What each of a label's photos is for: about a tenth each to test and validate, at least one of each.

    Where the hashes leave a part empty, it gets the photo with the lowest hash of the part that has most.
    Raises RetrainError for fewer than `LEAST` names.
    """
    if len(names) < LEAST:
        raise RetrainError(f"The label {label!r} has {len(names)} usable photos; it needs {LEAST} or more.")
    places = [_place(f"{label}/{name}") for name in names]
    parts = [_part(place) for place in places]
    every: tuple[Part, ...] = ("test", "validation", "train")
    for missing in every:
        if missing not in parts:
            richest = max(every, key=parts.count)
            parts[min((i for i, part in enumerate(parts) if part == richest), key=places.__getitem__)] = missing
    return parts


def _part(place: float) -> Part:
    if place < _TEST:
        return "test"
    return "validation" if place < _TEST + _VALIDATION else "train"


def _place(name: str) -> float:
    """0 to 100, from a name; what follows _nohash_ does not count, so that variants of a photo stay together."""
    stem = re.sub(r"_nohash_.*$", "", name)
    most = 2**27 - 1  # as in retrain.py
    return int(hashlib.sha1(stem.encode("utf-8", "surrogateescape")).hexdigest(), 16) % (most + 1) * (100.0 / most)
