"""The operations of an OpenVINO model between its input and its first real layer, which tell its range of pixels."""

from __future__ import annotations

from typing import Any

from worker.engines.model_io.input_plan import Scaling
from worker.engines.model_io.pixel_range import measured_range
from worker.engines.openvino.runtime import openvino

_PASSING = frozenset(
    (
        *("Convert", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Pad", "Interpolate", "FakeQuantize"),
        *("Multiply", "Subtract", "Add", "Divide", "Gather", "StridedSlice", "Reverse", "Concat", "Split"),
    )
)
"""Operations that move or scale each pixel independently."""


def detect_scaling(model: Any, entry: Any) -> Scaling | None:
    """Mean and std to prepare pixels with, if the model scales its input `entry` itself; None if it does not."""
    end = entry
    while (passing := _next(end)) is not None:
        end = passing
    if end is entry:
        return None
    first_layers = openvino.Model([end], [entry.get_node()], "first-layers")
    request = openvino.Core().compile_model(first_layers, "CPU").create_infer_request()
    shape = [dim.get_length() if dim.is_static else None for dim in entry.get_partial_shape()]
    return measured_range(lambda values: request.infer([values])[0], shape, entry.get_element_type().to_dtype())


def _next(port: Any) -> Any | None:
    """The output of the operation that takes `port`, if it is the only one, passes pixels on and needs no other."""
    takers = [taker.get_node() for taker in port.get_target_inputs()]
    if len(takers) != 1 or takers[0].get_type_name() not in _PASSING or takers[0].get_output_size() != 1:
        return None
    others = (takers[0].input_value(n).get_node() for n in range(takers[0].get_input_size()))
    if any(node.get_type_name() != "Constant" and node != port.get_node() for node in others):
        return None
    return takers[0].output(0)
