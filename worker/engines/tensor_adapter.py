"""A framework's function of tensors -> a tensor engine: rows are cut to its batch size, outputs are checked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.adapter import first_line
from worker.engines.model_io.outputs import nearly_equal
from worker.engines.tensors import Signature, Tensors, example_of, joined
from worker.errors import ModelError

_log = logging.getLogger(__name__)

Forward = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]
"""Inputs by name, as many rows as the model takes in one call -> outputs by name, with as many rows."""


class TensorAdapter:
    """A tensor engine that calls `forward`. A model that takes any number of rows is tried when the engine is made.

    Raises ModelError if a single row fails then.

    batches: the numbers of rows that single inputs are fixed to; none where the model takes any number
    """

    trouble: str | None = None

    def __init__(
        self, forward: Forward, signature: Signature, *, batches: Collection[int], name: str, platform: str, device: str
    ) -> None:
        if len(batches) > 1:
            raise ModelError(f"The inputs differ in their first axis ({sorted(batches)}), which is that of the rows.")
        self._forward: Forward | None = forward
        self.signature = signature
        self.name = name
        self.platform = platform
        self.device = device
        self._batch = next(iter(batches), None)
        if self._batch is None and not self._takes_several():
            _log.info("The model answers differently for several rows at once: it gets them one by one.")
            self._batch = 1

    def example(self) -> Tensors | None:
        """One row of zeros and short texts."""
        return example_of(self.signature.inputs)

    def predict(self, rows: Tensors) -> Sequence[Tensors]:
        """The outputs of all rows, in as many calls as the model's batch size requires."""
        batch = self._batch or rows.rows
        return [self._call(rows.part(at, min(at + batch, rows.rows)), batch) for at in range(0, rows.rows, batch)]

    def close(self) -> None:
        """Release the framework's objects and their memory."""
        self._forward = None

    def _call(self, rows: Tensors, batch: int) -> Tensors:
        """The outputs of at most `batch` rows; the last row is repeated where there are fewer."""
        if self._forward is None:
            raise ModelError("The model is closed.")
        missing = batch - rows.rows
        filled = joined([rows, *[rows.part(rows.rows - 1, rows.rows)] * missing]) if missing else rows
        try:
            outputs = {name: _plain(np.asarray(value)) for name, value in self._forward(filled.arrays).items()}
        except Exception as error:  # the layers of a framework may raise anything
            raise ModelError(f"The model failed on {rows.rows} rows: {first_line(error)}") from error
        for name, value in outputs.items():
            if value.ndim == 0 or len(value) != batch:
                raise ModelError(
                    f"The model's output {name} has the shape {list(value.shape)} for {batch} rows: its first axis "
                    "must be that of the rows."
                )
        return Tensors(outputs).part(0, rows.rows)

    def _takes_several(self) -> bool:
        """Whether two rows at once get the answers that they get one by one. Raises ModelError where one row fails."""
        example = self.example()
        assert example is not None
        chance = np.random.default_rng(0)
        pair = Tensors({name: _varied(array, chance) for name, array in example.arrays.items()})
        alone = joined([self._call(pair.part(at, at + 1), 1) for at in (0, 1)])
        try:
            together = self._call(pair, 2)
        except ModelError:
            return False
        return all(_same(array, together.arrays[name]) for name, array in alone.arrays.items())


def _varied(row: NDArray[Any], chance: np.random.Generator) -> NDArray[Any]:
    """Two rows like this one; numbers with fractions are random ones, all else may be an index and stays."""
    pair = np.repeat(row, 2, axis=0)
    return chance.random(pair.shape).astype(row.dtype) if row.dtype.kind == "f" else pair


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind == "f" and one.shape == other.shape:
        return nearly_equal(np.nan_to_num(one), np.nan_to_num(other))
    return np.array_equal(one, other)


def _plain(value: NDArray[Any]) -> NDArray[Any]:
    """Texts as an array of bytes objects; numbers as they are."""
    if value.dtype.kind not in "OSU":
        return value
    flat = np.empty(value.size, dtype=object)
    for number, item in enumerate(value.ravel().tolist()):
        flat[number] = item.encode() if isinstance(item, str) else bytes(item)
    return flat.reshape(value.shape)
