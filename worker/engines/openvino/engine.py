"""OpenVINO: a SavedModel, a frozen graph, an .onnx, .tflite or .xml file -> an engine that takes uint8 images.

It reads all of them itself. What makes the model's input of pixels is put into the graph, where it runs on
all cores and mostly melts into the first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from worker.artifacts.formats import Kind, kind_of
from worker.artifacts.source import ModelSource
from worker.engines.adapter import Run, Runner
from worker.engines.device import GPU_BATCHES, name_of, pick
from worker.engines.input_plan import (
    SLIM,
    UNTOUCHED,
    Images,
    Layout,
    Plan,
    feed,
    layout_of,
    plan,
    scaling_of,
    spec_of,
    usual_scaling,
)
from worker.engines.openvino.first_layers import own_scaling
from worker.errors import ModelError
from worker.system.cpu import usable_cores

_SLIM_KINDS = ("tflite", "graph")
_PLATFORMS = {"savedmodel": "tensorflow_savedmodel", "graph": "tensorflow_graphdef", "onnx": "onnx_onnxv1"}


def load(source: ModelSource) -> Runner:
    """Load the model of `source`; raises ModelError with the cause and the cure."""
    core = openvino.Core()
    device, number = _device(core, source)
    path = source.graph or source.path
    kind: Kind = "graph" if source.graph else kind_of(source.path) if source.path else "openvino"
    try:
        model = core.read_model(str(path))
    except RuntimeError as error:
        raise ModelError(f"{path} cannot be read by OpenVINO: {_reason(error)}") from error
    entry = _one(model.inputs, source.input_layer, "--input-layer")
    exit_ = _one(model.outputs, source.output_layer, "--output-layer")
    prepared = _plan(source, model, entry, kind)
    run = _running(core, model, entry, exit_, prepared, device=device, precision=_precision(core, device, source))
    return Runner(
        run,
        spec_of(prepared, source.preprocess),
        name="openvino",
        platform=_PLATFORMS.get(kind, kind),
        device=name_of(number),
        fixed_batches=None if number is None else GPU_BATCHES,
    )


def _plan(source: ModelSource, model: Any, entry: Any, kind: Kind) -> Plan:
    shape = [dim.get_length() if dim.is_static else None for dim in entry.get_partial_shape()]
    layout = layout_of(shape, usual="nchw" if kind == "onnx" else "nhwc", said=source.preprocess.layout)
    whole = not entry.get_element_type().is_real()
    said = source.preprocess
    own = None if whole or (said.mean and said.std) else own_scaling(model, entry)
    return plan(
        layout,
        said,
        scaling=scaling_of(said, own=own, usual=SLIM if kind in _SLIM_KINDS else usual_scaling(layout), whole=whole),
    )


def _running(core: Any, model: Any, entry: Any, exit_: Any, plan: Plan, *, device: str, precision: str) -> Run:
    """Compile the model; numpy prepares the pixels only of unusual inputs: grey ones, and single images."""
    index, place = model.inputs.index(entry), model.outputs.index(exit_)
    dtype = entry.get_element_type().to_dtype()
    fill = feed(plan, dtype)
    if not (plan.layout.grey or plan.layout.single):
        model = _with_pixels(model, index, plan)
        fill = feed(Plan(Layout(plan.size, plan.layout.batch), plan.size, "rgb", *UNTOUCHED), np.uint8)
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = str(usable_cores())
    request = core.compile_model(model, device, settings).create_infer_request()

    def run(images: Images) -> NDArray[Any]:
        # The tensor is this array's memory, and does not hold it: the name does, until the prediction is made.
        # A decoder's own memory, which is not to be written, is copied.
        values = fill(images)
        request.set_input_tensor(index, openvino.Tensor(values, shared_memory=values.flags.writeable))
        request.infer()
        return np.array(request.get_output_tensor(place).data)

    return run


def _with_pixels(model: Any, index: int, plan: Plan) -> Any:
    """The model, with an input of uint8 images [n, height, width, 3] and what `plan` says behind it."""
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


def _device(core: Any, source: ModelSource) -> tuple[str, int | None]:
    """OpenVINO's name of the device to use ("CPU", "GPU.1"), and the GPU's number."""
    gpus = [device for device in core.available_devices if device.startswith("GPU")]
    number = pick(source.device, seen=len(gpus), framework="OpenVINO")
    return ("CPU", None) if number is None else (gpus[number], number)


def _precision(core: Any, device: str, source: ModelSource) -> str:
    """What to compute in; ModelError for bf16 on a processor that has none, where it would be f32 all the same."""
    if source.precision == "bf16" and "BF16" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        raise ModelError("This processor has no bf16 (AVX512-BF16 or AMX): use --precision f32.")
    return source.precision


def _one(ports: Sequence[Any], name: str | None, flag: str) -> Any:
    """The input or output that was asked for, with or without `:0`; else the only one."""
    wanted = name.removesuffix(":0") if name else None
    found = [port for port in ports if wanted is None or wanted in {n.removesuffix(":0") for n in port.get_names()}]
    if len(found) != 1:
        names = ", ".join(sorted(min(port.get_names(), default="?") for port in ports))
        raise ModelError(f"{flag} must name one of these of the model: {names}.")
    return found[0]


def _reason(error: RuntimeError) -> str:
    """The lines of OpenVINO's error that say what is wrong: those before them name places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return " ".join((telling or lines or ["no reason given"])[:2])
