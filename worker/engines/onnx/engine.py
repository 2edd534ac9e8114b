"""ONNX Runtime: an .onnx file -> an engine that takes uint8 images.

Shapes and types are read from the model, pixel ranges from its metadata where it has them (ONNX,
docs/MetadataProps.md), else from its first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from worker.artifacts.source import Channels, ModelSource
from worker.engines.adapter import Run, Runner, first_line
from worker.engines.device import GPU_BATCHES, name_of, pick
from worker.engines.input_plan import (
    SLIM,
    UNIT,
    UNTOUCHED,
    Images,
    Layout,
    Plan,
    Scaling,
    feed,
    layout_of,
    plan,
    scaling_of,
    spec_of,
    usual_scaling,
)
from worker.errors import ModelError
from worker.system.cpu import usable_cores

_TYPES: Mapping[str, Any] = MappingProxyType(
    {
        "tensor(float)": np.float32,
        "tensor(float16)": np.float16,
        "tensor(double)": np.float64,
        "tensor(uint8)": np.uint8,
        "tensor(int8)": np.int8,
        "tensor(int32)": np.int32,
        "tensor(int64)": np.int64,
    }
)
_RANGES: Mapping[str, Scaling] = MappingProxyType(
    {"NominalRange_0_255": UNTOUCHED, "Normalized_0_1": UNIT, "Normalized_1_1": SLIM}
)
_ORDERS: Mapping[str, Channels] = MappingProxyType({"Rgb8": "rgb", "Bgr8": "bgr"})
_CUDA = "CUDAExecutionProvider"
_MOST_GPUS = 16
_QUIET = 3  # ONNX Runtime's severities: 3 is errors only


def load(source: ModelSource) -> Runner:
    """Load the .onnx file of `source`; raises ModelError with the cause and the cure."""
    if source.path is None or source.path.suffix.lower() != ".onnx":
        raise ModelError(f"ONNX Runtime reads .onnx files, not {source.path or source.graph}.")
    number = _gpu(source)
    cores = usable_cores()
    session = _session(source, threads=cores, number=number)
    if number is not None and _CUDA not in session.get_providers():  # it goes on without a GPU that it cannot use
        if source.device != "auto":
            raise ModelError(f"--device {source.device}: ONNX Runtime cannot use it: check CUDA and cuDNN.")
        number = None
    entry = _one(session.get_inputs(), source.input_layer, "--input-layer")
    exit_ = _one(session.get_outputs(), source.output_layer, "--output-layer")
    dtype = _TYPES.get(entry.type)
    if dtype is None:
        raise ModelError(f"The model's input {entry.name} is a {entry.type}; only images as numbers can be fed.")
    shape = [size if isinstance(size, int) and size > 0 else None for size in entry.shape]
    layout = layout_of(shape, usual="nchw", said=source.preprocess.layout)
    prepared = _plan(source, layout, entry.name, dtype, session.get_modelmeta().custom_metadata_map)
    streams = cores if number is None else 1
    alone = session if streams == 1 else _session(source, threads=1, number=None)
    return Runner(
        _running(session, entry.name, exit_.name, prepared, dtype),
        spec_of(prepared, source.preprocess),
        on_one_core=_running(alone, entry.name, exit_.name, prepared, dtype),
        streams=streams,
        name="onnx",
        platform="onnx_onnxv1",
        device=name_of(number),
        fixed_batches=None if number is None else GPU_BATCHES,
    )


def _plan(source: ModelSource, layout: Layout, entry: str, dtype: Any, metadata: Mapping[str, str]) -> Plan:
    said = source.preprocess
    whole = bool(np.issubdtype(dtype, np.integer))
    own = _RANGES.get(metadata.get("Image.NominalPixelRange", ""))
    if own is None and not whole and not (said.mean and said.std):
        from worker.engines.onnx.first_layers import own_scaling

        own = own_scaling(source.path, entry)
    scaling = scaling_of(said, own=own, usual=usual_scaling(layout), whole=whole)
    channels = _ORDERS.get(metadata.get("Image.BitmapPixelFormat", ""), "rgb")
    return plan(layout, said, scaling=scaling, channels=channels)


def _running(session: Any, entry: str, exit_: str, plan: Plan, dtype: Any) -> Run:
    fill = feed(plan, dtype)

    def run(images: Images) -> NDArray[Any]:
        (scores,) = session.run([exit_], {entry: fill(images)})
        return np.asarray(scores)

    return run


def _session(source: ModelSource, *, threads: int, number: int | None) -> Any:
    """The model on GPU `number`, or on so many of the cores."""
    try:
        return onnxruntime.InferenceSession(
            str(source.path), sess_options=_options(threads), providers=_providers(number, source.gpu_memory_growth)
        )
    except Exception as error:  # its errors share no base class of its own
        raise ModelError(f"{source.path} cannot be loaded by ONNX Runtime: {first_line(error)}") from error


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = threads
    # Threads that spin between predictions take the cores from decoding, and predict no faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _gpu(source: ModelSource) -> int | None:
    # It does not tell how many GPUs there are; whether it uses this one is seen when the session is made.
    seen = _MOST_GPUS if _CUDA in onnxruntime.get_available_providers() else 0
    return pick(source.device, seen=seen, framework="ONNX Runtime")


def _providers(number: int | None, growth: bool) -> list[Any]:
    cpu = "CPUExecutionProvider"
    if number is None:
        return [cpu]
    strategy = "kSameAsRequested" if growth else "kNextPowerOfTwo"
    return [(_CUDA, {"device_id": number, "arena_extend_strategy": strategy}), cpu]


def _one(nodes: Sequence[Any], name: str | None, flag: str) -> Any:
    """The input or output that was asked for, with or without `:0`; else the only one, or the first output."""
    wanted = name.removesuffix(":0") if name else None
    found = [node for node in nodes if wanted is None or node.name.removesuffix(":0") == wanted]
    if len(found) != 1:
        raise ModelError(f"{flag} must name one of these of the model: {', '.join(n.name for n in nodes)}.")
    return found[0]
