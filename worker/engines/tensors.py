"""Models that take and give tensors: named arrays whose first axis counts rows, and the interface of their engines.

A row is to such a model what an image is to a classifier: rows of several requests are predicted together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.errors import ModelError

IMAGE_INPUT = "image"
"""The name of the one input of a model that takes images and gives tensors."""

DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
        "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
        "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
    }
)  # fmt: skip
"""NumPy's types by the Open Inference Protocol's datatypes; BYTES, the only other one, is an array of `bytes`."""

_DATATYPES = {np.dtype(dtype).newbyteorder("="): name for name, dtype in DTYPES.items()}


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The protocol's datatype for an array's type; None where it has none (complex numbers, dates)."""
    return "BYTES" if dtype.kind in "OSU" else _DATATYPES.get(dtype.newbyteorder("="))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output: `shape` is that of one row, -1 for any length; None where it is not known.

    text: the elements of BYTES are UTF-8, which the model gets as `str`
    """

    name: str
    datatype: str
    shape: tuple[int, ...] | None = None
    text: bool = False

    @property
    def whole_shape(self) -> list[int]:
        """The shape with the rows in front; of an unknown one only the rows are said."""
        return [-1, *(self.shape or ())]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives; None where the names are not known before a request comes.

    images: the input is images, which the worker decodes; then `inputs` has the one spec `IMAGE_INPUT`
    """

    inputs: tuple[TensorSpec, ...] | None
    outputs: tuple[TensorSpec, ...] | None
    images: bool = False


class Tensors:
    """Arrays by name, at least one, each with `rows` entries along its first axis; never changed.

    Elements of BYTES are `bytes` in an array of objects; images are uint8 [height, width, 3] in one.
    """

    __slots__ = ("arrays", "nbytes", "rows")

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raises ModelError for arrays that differ in their rows."""
        counts = {name: len(array) if array.ndim else None for name, array in arrays.items()}
        if len(set(counts.values())) != 1 or None in counts.values():
            raise ModelError(f"Tensors of one request have the same number of rows, not {counts or 'none at all'}.")
        self.arrays = arrays
        self.rows = len(next(iter(arrays.values())))
        self.nbytes = sum(map(_nbytes, arrays.values()))

    @property
    def kind(self) -> object:
        """Equal for tensors that can be put together: the same names, types and shapes of a row."""
        return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(self.arrays.items()))

    def part(self, start: int, end: int) -> Tensors:
        """The rows from `start` to before `end`."""
        return Tensors({name: array[start:end] for name, array in self.arrays.items()})


class TensorEngine(Protocol):
    """A loaded model that takes tensors. `predict` is for one caller at a time, from any thread.

    name, platform, device: as of `worker.engines.base.Engine`
    trouble: why it cannot predict at the moment, as a sentence; None if it can
    """

    name: str
    platform: str
    device: str
    signature: Signature

    @property
    def trouble(self) -> str | None:
        """Why it cannot predict at the moment, as a sentence."""
        ...

    def example(self) -> Tensors | None:
        """One row as the model takes it, for calibration; None where none can be made up."""
        ...

    def predict(self, rows: Tensors) -> Sequence[Tensors]:
        """The outputs of all rows, in one part, or in several whose shapes differ; raises ModelError or Busy."""
        ...

    def close(self) -> None:
        """Release the memory."""
        ...


def joined(parts: Sequence[Tensors]) -> Tensors:
    """Parts of one kind, at least one, as one. Raises ModelError for parts that differ in type or shape."""
    if len(parts) == 1:
        return parts[0]
    if len({part.kind for part in parts}) > 1:
        raise ModelError("The model's outputs differ in shape from row to row: send one row in each request.")
    return Tensors({name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays})


def split(parts: Sequence[Tensors], counts: Sequence[int]) -> list[list[Tensors]]:
    """The parts of each of several requests, which have `counts` rows. Raises ModelError for another number of rows."""
    if sum(part.rows for part in parts) != sum(counts):
        raise ModelError(f"The model gave {sum(part.rows for part in parts)} rows for {sum(counts)}.")
    waiting, at = list(reversed(parts)), 0
    found: list[list[Tensors]] = []
    for count in counts:
        own: list[Tensors] = []
        while count:
            part = waiting[-1]
            end = min(part.rows, at + count)
            own.append(part if end - at == part.rows else part.part(at, end))
            count -= end - at
            at = end
            if at == part.rows:
                waiting.pop()
                at = 0
        found.append(own)
    return found


def example_of(inputs: Sequence[TensorSpec] | None) -> Tensors | None:
    """One row of zeros and short texts that fits the inputs; None where these are not known."""
    if not inputs:
        return None
    arrays: dict[str, NDArray[Any]] = {}
    for spec in inputs:
        shape = (1, *(max(1, length) for length in spec.shape or ()))
        if spec.datatype == "BYTES":
            arrays[spec.name] = np.full(shape, b"example", dtype=object)
        else:
            arrays[spec.name] = np.zeros(shape, DTYPES[spec.datatype])
    return Tensors(arrays)


def repeated(row: Tensors, rows: int) -> Tensors:
    """`rows` times the same row."""
    return Tensors({name: np.repeat(array, rows, axis=0) for name, array in row.arrays.items()})


def _nbytes(array: NDArray[Any]) -> int:
    if array.dtype.kind != "O":
        return array.nbytes
    return sum(item.nbytes if isinstance(item, np.ndarray) else len(item) for item in array.ravel().tolist())
