"""Quantized inputs and outputs of an OpenVINO model: which real numbers its whole numbers stand for.

A TFLite file states scale and zero point of its whole numbers. OpenVINO reads them as FakeQuantize operations after the
input and before the output, which map one range to the other linearly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.engines.model_io.input_plan import SIGNED, SLIM, UNIT, UNTOUCHED, Scaling

_WIDE = 10.0
"""A wider range of real numbers is that of pixels, 0..255, and not of scaled ones."""


class _Ranges(NamedTuple):
    """A linear map from `low_in`..`high_in` to `low_out`..`high_out`."""

    low_in: float
    high_in: float
    low_out: float
    high_out: float


def quantized_scaling(entry: Any) -> Scaling:
    """Mean and std that make a model's input of whole numbers from pixels of 0..255.

    Without a stated range, signed numbers are pixels minus 128, and unsigned ones are pixels.
    """
    ranges = _after(entry)
    if ranges is None:
        return SIGNED if entry.get_element_type().is_signed() and entry.get_element_type().size == 1 else UNTOUCHED
    low, width = ranges.low_out, ranges.high_out - ranges.low_out
    (mean,), (std,) = UNTOUCHED if width > _WIDE else SLIM if low < -0.5 else UNIT
    steps = (ranges.high_in - ranges.low_in) / width  # whole numbers per unit of the real number (pixel - mean) / std
    return (mean + std * (low - ranges.low_in / steps),), (std / steps,)


def dequantized(exit_: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The function from a model's raw outputs to the real numbers that they stand for."""
    ranges = _before(exit_)
    if ranges is None:
        return np.array
    step = (ranges.high_in - ranges.low_in) / (ranges.high_out - ranges.low_out)
    return lambda values: (values.astype(np.float32) - ranges.low_out) * step + ranges.low_in


def _after(entry: Any) -> _Ranges | None:
    for _ in range(2):  # a conversion to float, then the quantization
        takers = [taker.get_node() for taker in entry.get_target_inputs()]
        if len(takers) != 1:
            return None
        if takers[0].get_type_name() == "FakeQuantize":
            return _ranges(takers[0])
        entry = takers[0].output(0)
    return None


def _before(exit_: Any) -> _Ranges | None:
    if exit_.get_element_type().is_real():
        return None
    node = exit_.get_node()
    while node.get_type_name() in ("Result", "Convert"):
        node = node.input_value(0).get_node()
    return _ranges(node) if node.get_type_name() == "FakeQuantize" else None


def _ranges(node: Any) -> _Ranges | None:
    """The ranges of a FakeQuantize; None if they differ from channel to channel, or are not constant."""
    limits = [node.input_value(number).get_node() for number in range(1, 5)]
    if any(limit.get_type_name() != "Constant" or limit.get_data().size != 1 for limit in limits):
        return None
    return _Ranges(*(float(limit.get_data().ravel()[0]) for limit in limits))
