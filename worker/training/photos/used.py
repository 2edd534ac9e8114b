"""Files found, and what is known of their content -> the photos that are used, and why others are not; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.training.photos.find import FoundPhotos, LeftOut, PhotoFile
from worker.training.photos.split import Part, Shares, assign, groups_of


@dataclass(frozen=True)
class Photo:
    """A photo that is used: its label's number, its part, and the name of the group of photos that are alike."""

    path: Path
    digest: str
    label: int
    part: Part
    group: str


@dataclass(frozen=True)
class Used:
    """The photos that are used, in order, those that are left out, and the parts to keep for later runs."""

    labels: tuple[str, ...]
    photos: tuple[Photo, ...]
    left_out: tuple[LeftOut, ...]
    parts: Mapping[str, Part]


def used_photos(
    found: FoundPhotos,
    digests: Mapping[Path, str],
    *,
    kept: Mapping[str, Part],
    alike: Collection[tuple[str, str]],
    shares: Shares,
) -> Used:
    """The part of each photo; `digests` are those of the usable files. Raises RetrainError for too few photos."""
    files = [file for file in found.files if file.path in digests]
    named: dict[str, list[tuple[str, str]]] = {label: [] for label in found.labels}
    for file in files:
        named[file.label].append((file.path.name, digests[file.path]))
    fixed = _fixed(files, found.parts, digests)
    shares = Shares(
        test=0.0 if "test" in found.parts else shares.test,
        validation=0.0 if "validation" in found.parts else shares.validation,
    )
    parts = assign(named, kept={} if found.parts else kept, fixed=fixed, alike=alike, shares=shares)
    groups, numbers = groups_of(named, alike), {label: number for number, label in enumerate(named)}
    photos, left_out = [], []
    for file in files:
        digest = digests[file.path]
        reason = _reason(file, parts.get(digest), fixed)
        if reason is None:
            photos.append(Photo(file.path, digest, numbers[file.label], parts[digest], groups[digest]))
        else:
            left_out.append(LeftOut(file.path, reason))
    return Used(tuple(named), tuple(photos), tuple(left_out), parts)


def _fixed(files: Sequence[PhotoFile], named: frozenset[Part], digests: Mapping[Path, str]) -> dict[str, Part]:
    """The parts that folders name; those of a folder train, too, if the other parts have folders of their own."""
    order: list[Part] = ["train"] if {"validation", "test"} <= named else []
    fixed: dict[str, Part] = {}
    for part in [*order, "validation", "test"]:  # of a copy in two folders, the later part counts
        fixed |= {digests[file.path]: file.part for file in files if file.part == part}
    return fixed


def _reason(file: PhotoFile, part: Part | None, fixed: Mapping[str, Part]) -> str | None:
    """Why a file is not used, if it is not."""
    if part is None:
        if fixed:
            return "a photo like it is in a folder for another part"
        return "it is like photos for training and like others that are not trained on"
    if file.part not in (None, part) and (file.part != "train" or part in fixed.values()):
        return f"a photo like it is for {'testing' if part == 'test' else 'validation'}"
    return None
