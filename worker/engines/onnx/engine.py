"""ONNX Runtime: an .onnx file -> an engine that takes uint8 images.

Shape and type of the input are those of the model; the pixel range is that of its metadata, if it has them (ONNX,
docs/MetadataProps.md), else that of its first layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.preprocess_config import Channels
from worker.artifacts.source import ModelSource
from worker.engines.adapter import EngineAdapter, Forward
from worker.engines.device import GPU_BATCHES, name_of
from worker.engines.model_io.input_plan import (
    SIGNED,
    SLIM,
    UNIT,
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
from worker.engines.onnx.class_scores import array_of, holds_maps, keys_of, scores_output
from worker.engines.onnx.session import session_of, session_on_device
from worker.engines.sample_images import sample_images
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


def load(source: ModelSource) -> EngineAdapter:
    """Load the .onnx file of `source`; raises ModelError with the cause and the cure."""
    if source.path is None or source.path.suffix.lower() != ".onnx":
        raise ModelError(f"ONNX Runtime reads .onnx files, not {source.path or source.graph}.")
    session, number = session_on_device(source)
    entry = choose_layer({node.name: node for node in session.get_inputs()}, source.input_layer, "--input-layer")
    exit_ = scores_output(session.get_outputs(), source.output_layer)
    dtype = _TYPES.get(entry.type)
    if dtype is None:
        raise ModelError(f"The model's input {entry.name} is a {entry.type}; only images as numbers can be fed.")
    shape = [size if isinstance(size, int) and size > 0 else None for size in entry.shape]
    layout = layout_of(shape, usual="nchw", requested=source.preprocess.layout)
    prepared = _plan(source, layout, entry.name, dtype, session.get_modelmeta().custom_metadata_map)
    spec = spec_of(prepared, source.preprocess)
    fill = _feeds(session, entry, feed(prepared, dtype))
    keys: tuple[Any, ...] = ()
    if holds_maps(exit_):
        keys = keys_of(_run(session, exit_, fill(sample_images(spec, spec.batch or 1))))
    streams = usable_cores() if number is None else 1
    one_core = session if streams == 1 else session_of(source, threads=1, number=None)
    return EngineAdapter(
        _forward(session, exit_, fill, keys),
        spec,
        on_one_core=_forward(one_core, exit_, fill, keys),
        streams=streams,
        labels=keys if keys and isinstance(keys[0], str) else None,
        name="onnx",
        platform="onnx_onnxv1",
        device=name_of(number),
        fixed_batches=None if number is None else GPU_BATCHES,
    )


def _plan(source: ModelSource, layout: Layout, entry: str, dtype: Any, metadata: Mapping[str, str]) -> InputPlan:
    requested = source.preprocess
    whole = bool(np.issubdtype(dtype, np.integer))
    own = _RANGES.get(metadata.get("Image.NominalPixelRange", ""))
    if dtype is np.int8:
        own = SIGNED
    elif own is None and not whole and not (requested.mean and requested.std):
        from worker.engines.onnx.first_layers import detect_scaling

        own = probed(lambda: detect_scaling(source.path, entry))
    scaling = scaling_of(requested, own=own, usual=usual_scaling(layout), whole=whole)
    channels = _ORDERS.get(metadata.get("Image.BitmapPixelFormat", ""), "rgb")
    return plan(layout, requested, scaling=scaling, channels=channels)


def _feeds(
    session: Any, entry: Any, fill: Callable[[Images], NDArray[Any]]
) -> Callable[[Images], dict[str, NDArray[Any]]]:
    """A function from images to all inputs of the model by name."""
    others = {
        node.name: zeros_for(
            node.name, [size if isinstance(size, int) else None for size in node.shape], _TYPES.get(node.type, np.bool_)
        )
        for node in session.get_inputs()
        if node.name != entry.name
    }
    return lambda images: {**others, entry.name: fill(images)}


def _forward(session: Any, exit_: Any, fill: Callable[[Images], Mapping[str, Any]], keys: Sequence[Any]) -> Forward:
    """The function from images to scores; `keys` are those of a model that gives maps from label to score."""

    def forward(images: Images) -> NDArray[Any]:
        scores = _run(session, exit_, fill(images))
        return array_of(scores, keys) if keys else np.asarray(scores)

    return forward


def _run(session: Any, exit_: Any, values: Mapping[str, Any]) -> Any:
    return session.run([exit_.name], values)[0]
