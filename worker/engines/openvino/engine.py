"""OpenVINO: a SavedModel, a frozen graph, an .onnx, .tflite or .xml file -> an engine that takes uint8 images.

OpenVINO reads all of these formats itself. The operations that make the model's input from pixels become part of the
graph, where they run on all cores and are mostly merged into the first layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import Format, format_of
from worker.artifacts.source import ModelSource
from worker.engines.adapter import EngineAdapter, Forward
from worker.engines.device import GPU_BATCHES, name_of
from worker.engines.model_io.input_plan import (
    SLIM,
    UNTOUCHED,
    Images,
    InputPlan,
    Layout,
    Scaling,
    feed,
    layout_of,
    plan,
    scaling_of,
    spec_of,
    usual_scaling,
)
from worker.engines.model_io.layer_names import choose_layer, zeros_for
from worker.engines.model_io.pixel_range import probed
from worker.engines.openvino.first_layers import detect_scaling
from worker.engines.openvino.infer_request import device_of, infer_request, read_model
from worker.engines.openvino.quantization import dequantized, quantized_scaling
from worker.engines.openvino.runtime import PrePostProcessor, openvino
from worker.errors import ModelError

_SLIM_FORMATS = ("tflite", "graph")
_PLATFORMS = {"savedmodel": "tensorflow_savedmodel", "graph": "tensorflow_graphdef", "onnx": "onnx_onnxv1"}


def load(source: ModelSource) -> EngineAdapter:
    """Load the model of `source`; raises ModelError with the cause and the cure."""
    core = openvino.Core()
    device, number = device_of(core, source)
    path = source.graph or source.path
    model_format: Format = "graph" if source.graph else format_of(source.path) if source.path else "openvino"
    if source.signature is not None:
        raise ModelError("OpenVINO cannot choose a signature of a SavedModel: --signature needs TensorFlow.")
    assert path is not None
    model = read_model(core, path)
    entry = choose_layer(_named(model.inputs), source.input_layer, "--input-layer")
    exit_ = choose_layer(_named(model.outputs), source.output_layer, "--output-layer")
    prepared = _plan(source, model, entry, model_format)
    forward = _forward(
        model, entry, exit_, prepared, lambda prepared_model: infer_request(core, prepared_model, device, source)
    )
    return EngineAdapter(
        forward,
        spec_of(prepared, source.preprocess),
        name="openvino",
        platform=_PLATFORMS.get(model_format, model_format),
        device=name_of(number),
        fixed_batches=None if number is None else GPU_BATCHES,
    )


def _plan(source: ModelSource, model: Any, entry: Any, model_format: Format) -> InputPlan:
    shape = [dim.get_length() if dim.is_static else None for dim in entry.get_partial_shape()]
    layout = layout_of(shape, usual="nchw" if model_format == "onnx" else "nhwc", requested=source.preprocess.layout)
    whole = not entry.get_element_type().is_real()
    requested = source.preprocess
    if whole:
        own: Scaling | None = quantized_scaling(entry)
    else:
        own = None if requested.mean and requested.std else probed(lambda: detect_scaling(model, entry))
    usual = SLIM if model_format in _SLIM_FORMATS else usual_scaling(layout)
    return plan(layout, requested, scaling=scaling_of(requested, own=own, usual=usual, whole=whole))


def _forward(model: Any, entry: Any, exit_: Any, plan: InputPlan, request_of: Callable[[Any], Any]) -> Forward:
    """Compile the model; numpy prepares the pixels only for unusual inputs: grey images and single images."""
    index, place = model.inputs.index(entry), model.outputs.index(exit_)
    dtype, to_scores = entry.get_element_type().to_dtype(), dequantized(exit_)
    fill = feed(plan, dtype)
    if not (plan.layout.grey or plan.layout.single):
        model = _with_pixels(model, index, plan)
        fill = feed(InputPlan(Layout(plan.size, plan.layout.batch), plan.size, "rgb", *UNTOUCHED), np.uint8)
    request = request_of(model)
    for number, other in enumerate(model.inputs):
        if number != index:
            shape = [dim.get_length() if dim.is_static else None for dim in other.get_partial_shape()]
            values = zeros_for(min(other.get_names(), default="?"), shape, other.get_element_type().to_dtype())
            request.set_input_tensor(number, openvino.Tensor(values))

    def forward(images: Images) -> NDArray[Any]:
        # The tensor uses this array's memory without a reference: `values` keeps it until the prediction has ended.
        # The memory of a decoder is read-only, so it is copied.
        values = fill(images)
        request.set_input_tensor(index, openvino.Tensor(values, shared_memory=values.flags.writeable))
        request.infer()
        return to_scores(request.get_output_tensor(place).data)

    return forward


def _with_pixels(model: Any, index: int, plan: InputPlan) -> Any:
    """The model with an input of uint8 images [n, height, width, 3], followed by what `plan` says."""
    steps = PrePostProcessor(model)
    entry = steps.input(index)
    entry.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    entry.model().set_layout(openvino.Layout(plan.layout.order.upper()))
    if plan.channels == "bgr":
        entry.preprocess().reverse_channels()
    if not plan.untouched:
        entry.preprocess().convert_element_type(openvino.Type.f32)
        entry.preprocess().mean(list(plan.mean) if len(plan.mean) > 1 else plan.mean[0])
        entry.preprocess().scale(list(plan.std) if len(plan.std) > 1 else plan.std[0])
    return steps.build()


def _named(ports: Sequence[Any]) -> list[tuple[set[str], Any]]:
    return [(port.get_names(), port) for port in ports]
