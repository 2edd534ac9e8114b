"""A loaded model: image bytes -> array -> probabilities -> labels, and its description.

`load` finds the files, lets an engine load them and adds the labels. This module does not know what happens to a
request between `decode` and `predict` (waiting, batching).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import PrecisionChoice, format_of
from worker.artifacts.labels import read_labels, read_names
from worker.artifacts.preprocess_config import read_preprocess
from worker.artifacts.safety.check import refuse_link
from worker.artifacts.source import ModelSource, Place, locate
from worker.default_model import export
from worker.engines import echo
from worker.engines.base import FILELESS, Engine, InputSpec
from worker.engines.model_io.outputs import SLACK, ensure_finite
from worker.engines.sample_images import sample_images
from worker.engines.selection.report import Choice
from worker.engines.selection.select import open_model
from worker.errors import ModelError
from worker.images import decode

_log = logging.getLogger(__name__)

_MILLION = 1_000_000  # scores are rounded down to six digits, so that no choice of them adds up to more than 1


@dataclass(frozen=True)
class Model:
    """A loaded model; call `decode` from any thread, `predict` and `stream` as its engine allows.

    trouble_of: says why the model cannot predict at the moment, where it runs in a process of its own
    """

    name: str
    version: str
    labels: tuple[str, ...]
    engine: Engine
    max_pixels: int
    choice: Choice | None = None
    trouble_of: Callable[[], str | None] | None = None
    precision: PrecisionChoice = "f32"

    @property
    def input(self) -> InputSpec:
        """The images that the engine takes."""
        return self.engine.input

    @property
    def trouble(self) -> str | None:
        """Why the model cannot predict at the moment, as a sentence; None if it can."""
        return self.trouble_of() if self.trouble_of else None

    def decode(self, data: bytes | bytearray | memoryview, share: decode.Share | None = None) -> NDArray[np.uint8]:
        """Decode one image to what this model takes: uint8 [height, width, 3]; all else as of `images.decode`."""
        return decode.decode(data, size=self.engine.input.size, max_pixels=self.max_pixels, share=share)

    def predict(self, batch: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes] of n decoded images (n may be 0)."""
        if len(batch) == 0:
            return np.empty((0, self.engine.classes), np.float32)
        return self.engine.predict(batch)

    def stream(self, batch: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """As `predict`, for at least one image, computed by the calling thread only."""
        return self.engine.stream(batch)

    def top(self, scores: NDArray[np.float32], k: int) -> list[tuple[str, float]]:
        """The k best labels of one image's scores [classes], best first; all of them if k is larger.

        Scores are rounded down to six digits. Probabilities add up to at most 1; independent scores are not changed.
        Of equal scores the first class comes first.
        Raises ModelError if a score is not a number.
        """
        total = float(scores.sum(dtype=np.float64))
        if not math.isfinite(total):  # a sum is finite only if all scores are
            ensure_finite(scores)
        best = _best(scores, max(0, min(k, scores.size)))
        shares = _shares([score for score, _ in best], total)
        return [(self.labels[index], share) for (_, index), share in zip(best, shares, strict=True)]

    def example(self) -> NDArray[np.uint8]:
        """An image as `decode` returns them, for calibration."""
        return sample_images(self.engine.input, 1)[0]

    def close(self) -> None:
        """Release the memory; the model predicts no more."""
        self.engine.close()

    def describe(self) -> dict[str, Any]:
        """What /readyz says about the model, as values for JSON."""
        size = self.engine.input.size
        return {
            "name": self.name,
            "version": self.version,
            "engine": self.engine.name,
            "engine_choice": self.choice.describe() if self.choice else None,
            "device": self.engine.device,
            "precision": self.precision,
            "platform": self.engine.platform,
            "classes": self.engine.classes,
            "input": {
                "size": [size.height, size.width] if size else None,
                "resize": size.resize if size else None,
                "pixels": self.engine.input.pixels,
                "batch": self.engine.input.batch,
            },
        }


def load(source: ModelSource, *, name: str, trial: bool = False) -> Model:
    """Load `source` as the model called `name`; raises ModelError with the cause and the cure.

    `trial` marks a trial load, see `open_model`.
    """
    if source.path is not None and source.graph is not None:
        raise ModelError("Give either --model or --graph, not both.")
    if source.engine in FILELESS:
        return Model(name, "1", echo.LABELS, echo.Echo(), source.max_pixels)
    place = _place(source)
    preprocess = source.preprocess.over(read_preprocess(place.path))
    graph = source.graph is not None or format_of(place.path) == "graph"
    path, graph_path = (None, place.path) if graph else (place.path, None)
    if place.labels is not None and source.labels is None and not source.allow_unsafe:
        refuse_link(place.labels, place.path)
    if place.labels is not None:  # an unreadable file is told before engines are compared
        read_names(place.labels)
    found = replace(source, path=path, graph=graph_path, preprocess=preprocess, labels=place.labels)
    engine, choice = open_model(found, trial=trial)
    try:
        labels = engine.labels or read_labels(place.labels, classes=engine.classes)
    except ModelError:
        engine.close()
        raise
    if engine.labels and place.labels:
        _log.info("The model contains its labels: those in %s are not used.", place.labels)
    _log.info("Loaded %s version %s from %s: %d classes.", name, place.version, place.path, engine.classes)
    return Model(
        name,
        place.version,
        labels,
        engine,
        source.max_pixels,
        choice,
        precision=choice.precision if choice else source.precision,
    )


def _place(source: ModelSource) -> Place:
    path = source.graph or source.path
    if path is None:
        path = export.exported(source.cache)
    return locate(path, labels=source.labels)


def _best(scores: NDArray[np.float32], k: int) -> list[tuple[float, int]]:
    """The k largest with their indices, largest first; of equals the smaller index first."""
    if k == 0:
        return []
    parted = scores.copy()
    parted.partition(scores.size - k)  # in linear time
    (enough,) = (scores >= parted[scores.size - k]).nonzero()  # k, or more where several are equal to the k-th
    found = zip((-scores[enough]).tolist(), enough.tolist(), strict=True)
    return [(-less, index) for less, index in sorted(found)[:k]]


def _shares(chosen: Sequence[float], total: float) -> list[float]:
    """Scores for JSON: multiples of a millionth.

    Their sum is at most 1, also when a client adds them as floats, unless they are independent.
    """
    if total > 1 + SLACK:
        return [math.floor(score * _MILLION) / _MILLION for score in chosen]
    whole = max(1.0, total)  # a sum of many rounded float32 may be a little more than 1
    shares = [math.floor(score / whole * _MILLION) / _MILLION for score in chosen]
    if max(sum(shares), sum(reversed(shares)), math.fsum(shares)) > 1:  # in whatever order a client adds them
        shares[0] = (round(shares[0] * _MILLION) - 1) / _MILLION
    return shares
