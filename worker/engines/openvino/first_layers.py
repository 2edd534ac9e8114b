"""A model as OpenVINO has read it -> its first step, run on zeros and on ones: see `worker.engines.pixel_range`."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from worker.engines.input_plan import Scaling
from worker.engines.pixel_range import pixel_range

_PASSING = frozenset(
    (
        *("Convert", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Pad", "Interpolate", "FakeQuantize"),
        *("Multiply", "Subtract", "Add", "Divide", "Gather", "StridedSlice", "Reverse", "Concat", "Split"),
    )
)
"""Operations that move or scale pixels, each by itself."""

_ANY = 224  # the length of a dimension that may have any


def own_scaling(model: Any, entry: Any) -> Scaling | None:
    """Mean and std to prepare pixels with, where the model scales its input `entry` by itself; None where not."""
    end = entry
    while (passing := _next(end)) is not None:
        end = passing
    if end is entry:
        return None
    step = openvino.Model([end], [entry.get_node()], "first-step")
    request = openvino.Core().compile_model(step, "CPU").create_infer_request()
    shape = [
        dim.get_length() if dim.is_static else (1 if axis == 0 else _ANY)
        for axis, dim in enumerate(entry.get_partial_shape())
    ]
    dtype = entry.get_element_type().to_dtype()
    offset, once = (
        float(np.mean(request.infer([value(shape, dtype)])[0], dtype=np.float64)) for value in (np.zeros, np.ones)
    )
    return pixel_range(once - offset, offset)


def _next(port: Any) -> Any | None:
    """The output of the operation that takes `port`, if it is the only one, passes pixels on and needs no other."""
    takers = [taker.get_node() for taker in port.get_target_inputs()]
    if len(takers) != 1 or takers[0].get_type_name() not in _PASSING or takers[0].get_output_size() != 1:
        return None
    others = (takers[0].input_value(n).get_node() for n in range(takers[0].get_input_size()))
    if any(node.get_type_name() != "Constant" and node != port.get_node() for node in others):
        return None
    return takers[0].output(0)
