"""A folder of photos -> the files of each label, and what is left out and why.

Each sub-folder is a label. Folders named train, val and test may stand between: then they say which photos train,
validate and test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from worker.errors import RetrainError
from worker.images.folder import files_below
from worker.training.photos.split import Part

PART_FOLDERS: Mapping[str, Part] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "val": "validation",
        "valid": "validation",
        "validation": "validation",
        "test": "test",
        "testing": "test",
    }
)
"""Names of folders, in lower case, that say what the photos in them are for."""


@dataclass(frozen=True)
class PhotoFile:
    """A file that should be a photo, its label, and its part where a folder names it."""

    path: Path
    label: str
    part: Part | None = None


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not used, and why, in words that follow "is left out:"."""

    path: Path
    reason: str

    def __str__(self) -> str:
        """A sentence."""
        return f"{self.path} is left out: {self.reason}{'' if self.reason.endswith('.') else '.'}"


@dataclass(frozen=True)
class FoundPhotos:
    """The files by label, in order, and what is left out."""

    files: tuple[PhotoFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that have files, sorted."""
        return tuple(sorted({file.label for file in self.files}))

    @property
    def parts(self) -> frozenset[Part]:
        """The parts that folders name; none if the photos are in folders of labels alone."""
        return frozenset(file.part for file in self.files if file.part is not None)


def find_photos(image_dir: Path, *, out: Path | None) -> FoundPhotos:
    """The files in and below each sub-folder, and what is left out.

    Left out are hidden files, files in no sub-folder, the folder `out`, folders that hold a model, and folders that
    cannot be read. Raises RetrainError if there are fewer than two labels, if a sub-folder's name cannot be a label,
    or if `out` is `image_dir` itself, where the model's folders would be labels of the next run.
    """
    _check_folders(image_dir, out)
    search = _Search(out)
    if _has_parts(image_dir):
        for folder in sorted(image_dir.iterdir()):
            part = PART_FOLDERS.get(folder.name.lower())
            if part is not None and folder.is_dir():
                search.labels_in(folder, part)
            else:
                search.not_used(folder)
    else:
        search.labels_in(image_dir, None)
    found = FoundPhotos(tuple(search.files), tuple(search.left_out))
    _check_labels(image_dir, found, search.folders)
    return found


class _Search:
    """Collects photos of labels, and what is left out."""

    def __init__(self, out: Path | None) -> None:
        self._out = None if out is None else out.resolve()
        self.files: list[PhotoFile] = []
        self.left_out: list[LeftOut] = []
        self.folders: set[str] = set()  # labels, with or without photos
        self._models: list[Path] = []

    def labels_in(self, folder: Path, part: Part | None) -> None:
        """Take each sub-folder as a label."""
        for inner in sorted(folder.iterdir()):
            if inner.name.startswith(".") or not inner.is_dir():
                self.not_used(inner)
            elif not self._skip(inner):
                self._label(inner, part)

    def not_used(self, path: Path) -> None:
        """Note a file or folder that belongs to no label."""
        hidden = path.name.startswith(".")
        self.left_out.append(LeftOut(path, "it is hidden" if hidden else "it is in no folder of a label"))

    def _label(self, folder: Path, part: Part | None) -> None:
        files = files_below(
            folder,
            left_out=lambda path, reason: self.left_out.append(LeftOut(path, reason)),
            skip=self._skip,
            hidden=self.not_used,
        )
        self.files += [PhotoFile(file, folder.name, part) for file in files]
        if files or not any(model.is_relative_to(folder) for model in self._models):
            self.folders.add(folder.name)
        if not files:
            self.left_out.append(LeftOut(folder, "it holds no file"))

    def _skip(self, folder: Path) -> bool:
        """Whether a run has written a model into this folder, or is about to."""
        own = folder.resolve() == self._out
        if not own and not _holds_model(folder):
            return False
        self._models.append(folder)
        self.left_out.append(LeftOut(folder, "the model goes there" if own else "it holds a model"))
        return True


def _has_parts(image_dir: Path) -> bool:
    """Whether the sub-folders are train, val and test (or some of them), each with folders of labels."""
    folders = [folder for folder in image_dir.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    parts = [PART_FOLDERS.get(folder.name.lower()) for folder in folders]
    return "train" in parts and len(parts) >= 2 and None not in parts and all(map(_has_folders, folders))


def _has_folders(folder: Path) -> bool:
    return any(inner.is_dir() for inner in folder.iterdir())


def _check_folders(image_dir: Path, out: Path | None) -> None:
    if not image_dir.is_dir():
        raise RetrainError(f"There is no folder {image_dir}: --image-dir names one with a sub-folder for each label.")
    if out is not None and out.resolve() == image_dir.resolve():
        raise RetrainError("--out and --image-dir are the same folder: name another one for the model.")


def _holds_model(folder: Path) -> bool:
    """Whether an earlier run has written into this folder, perhaps one that was stopped."""
    return (folder / "saved_model.pb").exists() or (folder / "bottlenecks").is_dir() or any(_versions_in(folder))


def _versions_in(folder: Path) -> Iterator[Path]:
    try:
        yield from (file for file in folder.glob("[0-9]*/saved_model.pb"))
    except OSError:
        return


def _check_labels(image_dir: Path, found: FoundPhotos, folders: set[str]) -> None:
    if len(folders) < 2:
        raise RetrainError(
            f"{image_dir} has {len(folders)} sub-folder{'s' * (len(folders) != 1)}; "
            "it needs two or more, each named for a label and holding its photos."
        )
    for label in sorted(folders):
        if not label.isprintable() or label != label.strip():
            raise RetrainError(
                f"The folder {label!a} cannot name a label: a label is printable text in UTF-8 without spaces at its "
                "ends. Rename the folder."
            )
    for label in sorted(folders - set(found.labels)):
        raise RetrainError(f"The label {label!r} has 0 usable photos; remove its folder, or put photos into it.")
