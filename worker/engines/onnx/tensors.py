"""ONNX Runtime: an .onnx file with any inputs and outputs -> an engine that takes tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import ModelSource
from worker.engines.device import name_of
from worker.engines.onnx.session import session_on_device
from worker.engines.tensor_adapter import TensorAdapter
from worker.engines.tensors import Signature, TensorSpec
from worker.errors import ModelError

_DATATYPES: Mapping[str, str] = MappingProxyType(
    {
        "tensor(bool)": "BOOL",
        "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64",
        "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
        "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(string)": "BYTES",
    }
)  # fmt: skip


def load(source: ModelSource) -> TensorAdapter:
    """Load the .onnx file of `source`; raises ModelError with the cause and the cure."""
    session, number = session_on_device(source)
    signature = Signature(_specs(session.get_inputs()), _specs(session.get_outputs()))
    names = [spec.name for spec in signature.outputs or ()]

    def forward(arrays: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: _texts(array) if array.dtype.kind == "O" else array for name, array in arrays.items()}
        return dict(zip(names, session.run(names, values), strict=True))

    fixed = {node.shape[0] for node in session.get_inputs() if isinstance(node.shape[0], int) and node.shape[0] > 0}
    return TensorAdapter(forward, signature, batches=fixed, name="onnx", platform="onnx_onnxv1", device=name_of(number))


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    """ONNX Runtime takes texts as an array of `str` objects."""
    flat = np.empty(array.size, dtype=object)
    flat[:] = [item.decode() for item in array.ravel().tolist()]
    return flat.reshape(array.shape)


def _specs(nodes: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(map(_spec, nodes))


def _spec(node: Any) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise ModelError(f"{node.name} is a {node.type}, which no tensor of a request is; export the model without it.")
    if not node.shape:
        raise ModelError(f"{node.name} is a single value: every input and output needs a first axis for the rows.")
    lengths = tuple(length if isinstance(length, int) and length > 0 else -1 for length in node.shape[1:])
    return TensorSpec(node.name, datatype, lengths, text=datatype == "BYTES")
