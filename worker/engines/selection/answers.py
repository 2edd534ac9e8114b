"""Candidates -> those whose answers agree with the reference's, loaded, and a row of the report for each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import ModelSource
from worker.engines.base import Engine
from worker.engines.sample_images import sample_images
from worker.engines.selection.report import (
    TOLERANCE,
    Candidate,
    LoadOptions,
    Row,
    agreement,
    difference,
    disagreement,
    disagreement_on_samples,
)
from worker.engines.selection.samples import asked_agreement, decoded_samples, sample_files
from worker.engines.selection.saved_choice import load_with
from worker.errors import ModelError

SYNTHETIC = 8
"""So many synthetic images are asked of every candidate."""


@dataclass(frozen=True)
class Samples:
    """Images of `--samples`, the reference's scores for them, and the agreement that is asked for."""

    images: list[NDArray[np.uint8]]
    wanted: NDArray[np.float32]
    asked: float


def samples_of(source: ModelSource, base: Engine) -> Samples | None:
    """The sample images with the answers of the reference `base`; None unless a precision is to be chosen."""
    files = sample_files(source)
    if not files:
        return None
    images = decoded_samples(files, base.input, max_pixels=source.max_pixels)
    return Samples(images, _in_parts(base, images), asked_agreement(source))


def _in_parts(engine: Engine, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Scores of many images, so few at a time that memory does not matter."""
    parts = [engine.predict(images[at : at + SYNTHETIC]) for at in range(0, len(images), SYNTHETIC)]
    return np.concatenate(parts)


def checked(
    source: ModelSource,
    base: Engine,
    options: Mapping[Candidate, LoadOptions],
    folder: Path,
    samples: Samples | None,
) -> tuple[dict[Candidate, Engine], dict[Candidate, Row]]:
    """The loaded candidates that agree with the reference `base`, and a row for every candidate."""
    images = sample_images(base.input, SYNTHETIC)
    wanted = base.predict(images)
    engines: dict[Candidate, Engine] = {}
    rows: dict[Candidate, Row] = {}
    for candidate, each in options.items():
        name, precision = candidate
        itself = name == base.name and each.file is None and precision == "f32"
        try:
            engine = base if itself else load_with(source, name, each, folder)
            found = engine.predict(images)
            agreed = None if samples is None else agreement(samples.wanted, _in_parts(engine, samples.images))
        except ModelError as error:
            rows[candidate] = Row(name, left_out=reason_in(error, folder), precision=precision)
            continue
        distance, reason = difference(wanted, found), ""
        if samples is None or precision == "f32":  # else the sample images alone say how exact is exact enough
            reason = disagreement(wanted, found, tolerance=TOLERANCE[precision])
        if samples is not None and agreed is not None and not reason:
            reason = disagreement_on_samples(agreed, asked=samples.asked, images=len(samples.images))
        rows[candidate] = Row(name, difference=distance, left_out=reason, precision=precision, agreement=agreed)
        if not reason:
            engines[candidate] = engine
    return engines, rows


def reason_in(error: ModelError, folder: Path) -> str:
    """The error as part of a sentence, without the name of the temporary folder."""
    return str(error).replace(f"{folder}{os.sep}", "").rstrip(".")
