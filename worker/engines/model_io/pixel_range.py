"""The first layers of a network, run on zeros and on ones -> the range of pixel values that the network expects.

Many models scale their input themselves: Keras's Rescaling and Normalization layers, retrain.py's Sub and Mul, a
Normalize layer exported to ONNX. An engine runs the operations between the input and the first real layer, and their
gain tells the range. docs/decisions/0020-pixel-range.md lists the models for which it decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from worker.engines.model_io.input_plan import UNIT, UNTOUCHED, Scaling

_log = logging.getLogger(__name__)

_ANY_LENGTH = 224  # of a dimension of any length


def measured_range(
    first_layers: Callable[[NDArray[Any]], NDArray[Any]],
    shape: Sequence[int | None],
    dtype: DTypeLike = np.float32,
) -> Scaling | None:
    """`pixel_range` of the operations `first_layers`, whose input has this shape (None: any length) and type."""
    *others, last = _possible_sizes(shape)
    for sizes in others:
        try:
            return _measured(first_layers, sizes, dtype)
        except Exception as error:  # the dimension of the channels is another one
            _log.debug("The first layers do not take %s: %s", sizes, error)
    return _measured(first_layers, last, dtype)


def _possible_sizes(shape: Sequence[int | None]) -> list[list[int]]:
    """The sizes to try for an input of this shape: where the number of channels is free, 3 in either place for it."""
    sizes = [length or (1 if axis == 0 else _ANY_LENGTH) for axis, length in enumerate(shape)]
    places = [len(shape) - 3, len(shape) - 1]
    if len(shape) < 3 or any(shape[axis] in (1, 3) for axis in places):
        return [sizes]
    return [[*sizes[:axis], 3, *sizes[axis + 1 :]] for axis in places if shape[axis] is None] or [sizes]


def _measured(
    first_layers: Callable[[NDArray[Any]], NDArray[Any]], sizes: Sequence[int], dtype: DTypeLike
) -> Scaling | None:
    offset, one = (float(np.mean(first_layers(fill(sizes, dtype)), dtype=np.float64)) for fill in (np.zeros, np.ones))
    return pixel_range(one - offset, offset)


def probed(detect: Callable[[], Scaling | None]) -> Scaling | None:
    """The result of `detect`; None, with a log line, if the first layers cannot be run as that assumes."""
    try:
        return detect()
    except Exception as error:  # a framework may raise anything; the model itself may work
        _log.info("The range of the model's pixels could not be found out from its first layers: %s", error)
        return None


def pixel_range(gain: float, offset: float) -> Scaling | None:
    """Mean and std for a model whose first layers compute x * gain + offset; None if they change nothing.

    Networks are trained on numbers of about 1, or on pixels minus their mean. So a small gain (1/255, 1/127.5, 1/58) or
    a large offset (-104) belongs to pixels of 0..255, and a gain of 1 or more to pixels of 0..1.
    """
    if gain == 1 and offset == 0:
        return None
    return UNTOUCHED if abs(gain) < 0.1 or abs(offset) > 10 else UNIT
