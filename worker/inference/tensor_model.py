"""A loaded model that takes and gives tensors, or takes images and gives tensors: requests' rows -> their outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec
from worker.engines.tensors import IMAGE_INPUT, Signature, TensorEngine, Tensors, TensorSpec, joined, split
from worker.images import decode

Parts = Sequence[Tensors]
"""The outputs of one request's rows, in order: one part, or several whose shapes differ."""


@dataclass(frozen=True)
class TensorModel:
    """A loaded model; call `decode` from any thread, `predict` as its engine allows."""

    name: str
    version: str
    engine: TensorEngine
    input: InputSpec
    max_pixels: int

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.engine.signature

    @property
    def trouble(self) -> str | None:
        """Why it cannot predict at the moment, as a sentence; None if it can."""
        return self.engine.trouble

    def decode(self, data: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
        """Decode one image to what a model of images takes; errors as of `images.decode`."""
        return decode.decode(data, size=self.input.size, max_pixels=self.max_pixels)

    def predict(self, requests: Sequence[Tensors]) -> list[Parts]:
        """The outputs of each of several requests; those of one kind are predicted together."""
        kinds: defaultdict[object, list[int]] = defaultdict(list)
        for number, rows in enumerate(requests):
            kinds[rows.kind].append(number)
        found: dict[int, Parts] = {}
        for numbers in kinds.values():
            together = [requests[number] for number in numbers]
            parts = split(self.engine.predict(joined(together)), [rows.rows for rows in together])
            found.update(zip(numbers, parts, strict=True))
        return [found[number] for number in range(len(requests))]

    def example(self) -> Tensors | None:
        """One row, for calibration; None where none can be made up."""
        return self.engine.example()

    def close(self) -> None:
        """Release the memory; the model predicts no more."""
        self.engine.close()

    def describe(self) -> dict[str, Any]:
        """What /readyz says about the model, as values for JSON."""
        signature = self.signature
        return {
            "name": self.name,
            "version": self.version,
            "engine": self.engine.name,
            "device": self.engine.device,
            "platform": self.engine.platform,
            "inputs": _described(signature.inputs),
            "outputs": _described(signature.outputs),
        }


def image_rows(images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
    """Each decoded image as one row of a model that takes images."""
    return [Tensors({IMAGE_INPUT: _alone(image)}) for image in images]


def _alone(image: NDArray[np.uint8]) -> NDArray[Any]:
    array = np.empty(1, dtype=object)
    array[0] = image
    return array


def _described(specs: Sequence[TensorSpec] | None) -> list[dict[str, Any]] | None:
    if specs is None:
        return None
    return [{"name": each.name, "datatype": each.datatype, "shape": each.whole_shape} for each in specs]
