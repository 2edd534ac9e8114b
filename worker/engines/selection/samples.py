"""A folder of sample images -> the pixels on which `--precision auto` compares number formats.

Only images like those that will be asked show what fewer digits cost; synthetic ones do not.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import DEFAULT_AGREEMENT, ModelSource
from worker.engines.base import InputSpec
from worker.engines.sample_images import ANY_SIZE
from worker.errors import ModelError, WorkerError
from worker.images.decode import ImageSize, decode
from worker.images.folder import IMAGE_SUFFIXES, files_below

_log = logging.getLogger(__name__)

FOLDER = "samples"
"""The name of the folder in or next to a model's folder that is taken where `--samples` names none."""

SAMPLES_AT_MOST = 500
"""Of more images so many are taken, evenly spread over their sorted names: a folder for each label gives its share."""


def asked_agreement(source: ModelSource) -> float:
    """In which share of the sample images the best class must be the reference's."""
    return DEFAULT_AGREEMENT if source.agreement is None else source.agreement


def sample_files(source: ModelSource) -> list[Path]:
    """The files of the sample images, sorted; none unless `--precision auto` is given, which needs some.

    Raises ModelError with the folder's name where there is no image.
    """
    if source.precision != "auto":
        return []
    folder = source.samples or _own_folder(source.graph or source.path or Path())
    if folder is None:
        raise ModelError(
            f"--precision auto compares number formats on images: name a folder of them with --samples, or put a "
            f"folder {FOLDER} beside the model."
        )
    found = files_below(folder, left_out=lambda path, why: _log.warning("No images of %s: %s.", path, why))
    files = [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise ModelError(f"--precision auto compares number formats on images, and there is none in {folder}.")
    return evenly(files, SAMPLES_AT_MOST)


def too_few(count: int, agreement: float) -> bool:
    """Whether a single image of `count` with another best class would already be too much for `agreement`."""
    return agreement < 1 and count * (1 - agreement) < 1 - 1e-9


def evenly(files: Sequence[Path], most: int) -> list[Path]:
    """`files`, or `most` of them at equal distances."""
    if len(files) <= most:
        return list(files)
    return [files[number * len(files) // most] for number in range(most)]


def decoded_samples(files: Sequence[Path], spec: InputSpec, *, max_pixels: int) -> list[NDArray[np.uint8]]:
    """The images for an engine with this input; those that cannot be decoded are left out, with a line in the log.

    Raises ModelError where none is left.
    """
    size = spec.size or ImageSize(*ANY_SIZE)
    images: list[NDArray[np.uint8]] = []
    damaged: list[str] = []
    for file in files:
        try:
            images.append(decode(file.read_bytes(), size=size, max_pixels=max_pixels))
        except (WorkerError, OSError) as error:
            damaged.append(f"{file}: {error}")
    if not images:
        raise ModelError(f"None of the {len(files)} sample images can be decoded; the first is {damaged[0]}")
    if damaged:
        _log.warning("%d of %d sample images are left out, first %s", len(damaged), len(files), damaged[0])
    return images


def _own_folder(path: Path) -> Path | None:
    """The folder `samples` in or next to the model's folder, or next to its file; None if there is none."""
    around = ([path] if path.is_dir() else []) + [path.parent]
    return next((folder / FOLDER for folder in around if (folder / FOLDER).is_dir()), None)
