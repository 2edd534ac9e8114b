"""A folder of photos, one sub-folder per label -> the photos for training, for validation and for testing.

The part of a photo depends on a hash of its content, so that copies of a photo are in the same part. A photo that had a
part in an earlier run keeps it, so that a test photo never becomes a training photo when photos are added. Variants
of a photo, which the article's retrain.py marks with `_nohash_` in their names, are in the same part, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.errors import RetrainError
from worker.images.folder import files_below

Part = Literal["train", "validation", "test"]

Say = Callable[[str], None]

LEAST = 5
"""Photos that a label needs at least: some for training, one for validation and one for testing."""

LEAST_DIFFERENT = 3
"""Photos of a label that must not be copies of each other: one for each part."""

_PARTS: tuple[Part, ...] = ("test", "validation", "train")
_TEST, _VALIDATION = 10.0, 10.0  # per cent, as retrain.py's defaults
_VARIANT = "_nohash_"


@dataclass(frozen=True)
class Photo:
    """One photo, its label's number, and its part."""

    path: Path
    label: int
    part: Part


def find_photos(image_dir: Path, *, out: Path, say: Say) -> dict[str, list[Path]]:
    """The files in and below each sub-folder, by its name, in order.

    Hidden files, the folder `out` and folders that hold a model are left out; `say` gets a line for the latter, and
    for folders that cannot be read. Raises RetrainError if there are fewer than two sub-folders, if a sub-folder's
    name cannot be a label, or if `out` is `image_dir` itself, where the model's folders would be labels of the next
    run.
    """
    _check_folders(image_dir, out)
    photos, skipped = {}, list[Path]()

    def left_out(folder: Path, reason: str) -> None:
        say(f"{folder} is left out: {reason}.")

    def skip(folder: Path) -> bool:
        """Whether a run has written a model into this folder, or is about to."""
        if folder.resolve() != out.resolve():
            if not _holds_model(folder):
                return False
            left_out(folder, "it holds a model")
        skipped.append(folder)
        return True

    for folder in sorted(image_dir.iterdir()):
        if not folder.is_dir() or folder.name.startswith(".") or skip(folder):
            continue
        files = files_below(folder, left_out=left_out, skip=skip)
        if files or not any(model.is_relative_to(folder) for model in skipped):
            photos[folder.name] = files
    if len(photos) < 2:
        raise RetrainError(
            f"{image_dir} has {len(photos)} sub-folder{'s' * (len(photos) != 1)}; "
            "it needs two or more, each named for a label and holding its photos."
        )
    for label in photos:
        _check_label(label)
    return photos


def _check_folders(image_dir: Path, out: Path) -> None:
    if not image_dir.is_dir():
        raise RetrainError(f"There is no folder {image_dir}: --image-dir names one with a sub-folder for each label.")
    if out.resolve() == image_dir.resolve():
        raise RetrainError("--out and --image-dir are the same folder: name another one for the model.")


def _holds_model(folder: Path) -> bool:
    """Whether an earlier run has written into this folder, perhaps one that was stopped."""
    return (folder / "saved_model.pb").exists() or (folder / "bottlenecks").is_dir()


def _check_label(label: str) -> None:
    if not label.isprintable() or label != label.strip():
        raise RetrainError(
            f"The folder {label!a} cannot name a label: a label is printable text in UTF-8 without spaces at its "
            "ends. Rename the folder."
        )


def keys_of(label: str, names: Sequence[str], digests: Sequence[str]) -> list[str]:
    """The key of each photo of a label: photos with the same key get the same part.

    names:   file names; the key of a variant is the part of its name before `_nohash_`, for all its copies
    digests: of the photos' content, which is the key of all other photos
    """
    stems: dict[str, str] = {}
    for name, digest in zip(names, digests, strict=True):
        stem, variant, _ = name.partition(_VARIANT)
        if variant:
            stems[digest] = min(stem, stems.get(digest, stem))
    marked = set(stems.values())
    keys = []
    for name, digest in zip(names, digests, strict=True):
        if digest in stems:
            keys.append(f"{label}/{stems[digest]}")
        else:
            keys.append(f"{label}/{name}" if name in marked else digest)
    return keys


def assign(photos: Mapping[str, Sequence[tuple[str, str]]], *, kept: Mapping[str, Part]) -> dict[str, Part]:
    """The part of each photo, by its digest.

    photos: file name and digest of the usable photos of each label
    kept:   the parts of an earlier run by digest, which stay unless a part would be empty

    Of each label about a tenth is for testing and a tenth for validation, and at least one photo each: a part that the
    hashes leave empty gets the key (see `keys_of`) with the lowest hash of the largest part, if possible a new one that
    no other label has. Raises RetrainError for fewer than `LEAST` photos, or `LEAST_DIFFERENT` keys, of a label.
    """
    own = {label: keys_of(label, *_columns(named)) for label, named in photos.items()}
    _check_enough(own)
    keys = {digest: key for label in photos for (_, digest), key in zip(photos[label], own[label], strict=True)}
    parts: dict[str, Part] = {}
    for digest in sorted(keys.keys() & kept.keys()):
        parts.setdefault(keys[digest], kept[digest])
    old = frozenset(parts)
    for key in keys.values():
        parts.setdefault(key, _part(_percentage(key)))
    for label in photos:
        others = {key for other in photos if other != label for key in own[other]}
        _fill(parts, set(own[label]), old | others)
    return {digest: parts[key] for digest, key in keys.items()}


def _columns(named: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [name for name, _ in named], [digest for _, digest in named]


def _check_enough(keys: Mapping[str, Sequence[str]]) -> None:
    for label, own in keys.items():
        if len(own) < LEAST:
            raise RetrainError(f"The label {label!r} has {len(own)} usable photos; it needs {LEAST} or more.")
    for label, own in keys.items():
        if len(set(own)) < LEAST_DIFFERENT:
            raise RetrainError(
                f"The label {label!r} has {len(own)} usable photos, of which only {len(set(own))} differ, and "
                f"copies are used together: it needs {LEAST_DIFFERENT} or more that differ."
            )


def _fill(parts: dict[str, Part], own: set[str], spared: Collection[str]) -> None:
    """Change `parts` so that each part has one of a label's keys `own`, if possible not one of those `spared`."""
    for missing in _PARTS:
        counts = {part: sum(parts[key] == part for key in own) for part in _PARTS}
        if not counts[missing]:
            richest = max(_PARTS, key=counts.__getitem__)
            rich = [key for key in own if parts[key] == richest]
            parts[min(rich, key=lambda key: (key in spared, _percentage(key), key))] = missing


def _part(percentage: float) -> Part:
    if percentage < _TEST:
        return "test"
    return "validation" if percentage < _TEST + _VALIDATION else "train"


def _percentage(key: str) -> float:
    """0 to 100, from a hash of a key."""
    most = 2**27 - 1  # as in retrain.py
    return int(hashlib.sha1(key.encode("utf-8", "surrogateescape")).hexdigest(), 16) % (most + 1) * (100.0 / most)
