"""OpenVINO: an .xml or .tflite file with any inputs and outputs -> an engine that takes tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.formats import format_of
from worker.artifacts.safety.check import bytes_of
from worker.artifacts.signatures.tflite_file import signature_names
from worker.artifacts.source import ModelSource
from worker.engines.device import name_of
from worker.engines.model_io.layer_names import distinct
from worker.engines.openvino.infer_request import device_of, infer_request, read_model
from worker.engines.openvino.runtime import openvino
from worker.engines.tensor_adapter import TensorAdapter
from worker.engines.tensors import Signature, TensorSpec
from worker.errors import ModelError

_DATATYPES: Mapping[str, str] = MappingProxyType(
    {
        "boolean": "BOOL", "u8": "UINT8", "u16": "UINT16", "u32": "UINT32", "u64": "UINT64",
        "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64", "f16": "FP16", "f32": "FP32", "f64": "FP64",
    }
)  # fmt: skip


def load(source: ModelSource) -> TensorAdapter:
    """Load the .xml or .tflite file of `source`; raises ModelError with the cause and the cure."""
    assert source.path is not None
    core = openvino.Core()
    device, number = device_of(core, source)
    model = read_model(core, source.path)
    if model.get_variables():
        raise ModelError(
            f"The model in {source.path} keeps a state between calls, which would pass from one caller to another: "
            "export it with its state as an input and an output."
        )
    platform = format_of(source.path)
    entries, exits = signature_names(bytes_of(source.path)) if platform == "tflite" else ({}, {})
    signature = Signature(_specs(model.inputs, entries), _specs(model.outputs, exits))
    fixed = {
        shape[0].get_length() for shape in map(_shape, model.inputs) if shape.rank.is_static and shape[0].is_static
    }
    return TensorAdapter(
        _forward(infer_request(core, model, device, source), signature),
        signature,
        batches=fixed,
        name="openvino",
        platform=platform,
        device=name_of(number),
    )


def _forward(request: Any, signature: Signature) -> Any:
    entries = [spec.name for spec in signature.inputs or ()]
    exits = [spec.name for spec in signature.outputs or ()]

    def forward(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # A tensor uses its array's memory without a reference: `values` keeps the arrays until the inference has ended.
        values = [np.ascontiguousarray(arrays[name]) for name in entries]
        for place, value in enumerate(values):
            request.set_input_tensor(place, openvino.Tensor(value, shared_memory=value.flags.writeable))
        request.infer()
        # The next inference writes into the same outputs, so they are copied.
        return {name: np.array(request.get_output_tensor(place).data) for place, name in enumerate(exits)}

    return forward


def _specs(ports: Sequence[Any], own: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    """Inputs or outputs; `own` has the names that the file's signature gives them, by the names of their tensors."""
    names = distinct([own.get(name, name) for name in map(_name, ports)])
    return tuple(_spec(name, port) for name, port in zip(names, ports, strict=True))


def _name(port: Any) -> str:
    """The shortest name of its tensor, which has several where a converter kept those of the layers, too.

    An output without a name, or with one that OpenVINO made up (Result_7), has that of the operation that computes it.
    """
    node = port.get_node()
    own = node.get_friendly_name()
    if node.get_type_name() != "Result":
        return str(min(port.get_names(), key=_shortest, default=own))
    return str(min(port.get_names() - {own}, key=_shortest, default=node.input_value(0).get_node().get_friendly_name()))


def _shortest(name: str) -> tuple[int, str]:
    return len(name), name


def _spec(name: str, port: Any) -> TensorSpec:
    kind = port.get_element_type().get_type_name()
    if kind not in _DATATYPES:
        raise ModelError(f"{name} is a {kind}, which OpenVINO cannot be given here: export the model without it.")
    shape = _shape(port)
    if not shape.rank.is_static:
        return TensorSpec(name, _DATATYPES[kind])
    if len(shape) == 0:
        raise ModelError(f"{name} is a single value: every input and output needs a first axis for the rows.")
    lengths = tuple(length.get_length() if length.is_static else -1 for length in list(shape)[1:])
    return TensorSpec(name, _DATATYPES[kind], lengths)


def _shape(port: Any) -> Any:
    return port.get_partial_shape()
