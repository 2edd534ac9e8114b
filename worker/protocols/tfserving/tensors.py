"""TensorFlow Serving's predict request, by rows or by columns, and metadata, for models of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worker.engines.tensors import Signature, Tensors, TensorSpec
from worker.errors import BadRequest
from worker.inference.tensor_model import TensorModel
from worker.protocols.tensor_inputs import array_of, fitting_tensors
from worker.protocols.tfserving.schema import Metadata, ModelSpec, PredictRequest, tensor_info
from worker.web.json_schema import read
from worker.web.large_json import parse_json

UNNAMED = "inputs"
"""The name of the only input of a request that gives none, for a model that takes any names."""

_DTYPES: Mapping[str, str] = {
    "BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32", "UINT64": "DT_UINT64",
    "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32", "INT64": "DT_INT64",
    "FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING",
}  # fmt: skip


def read_tensors(body: bytes, *, signature: Signature) -> tuple[Tensors, bool]:
    """The tensors of a predict request, and whether they came by columns. Raises BadRequest."""
    request = read(PredictRequest, parse_json(body))
    if (request.instances is None) == (request.inputs is None):
        raise BadRequest("The JSON must have either 'instances' or 'inputs', and not both.")
    if request.inputs is None:
        return fitting_tensors(_by_name(_columns_of_rows(request.instances, signature), signature), signature), False
    columns = request.inputs if _is_named(request.inputs) else {_only_name(signature): request.inputs}
    return fitting_tensors(_by_name(columns, signature), signature), True


def tensor_metadata(model: TensorModel) -> Metadata:
    """The signature of a model of tensors; names that are not known before a request are left out."""
    inputs, outputs = map(_described, (model.signature.inputs, model.signature.outputs))
    signature = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}
    spec = ModelSpec(model.name, "", model.version)
    return Metadata(spec, {"signature_def": {"signature_def": {"serving_default": signature}}})


def _described(specs: Sequence[TensorSpec] | None) -> dict[str, Any]:
    return {spec.name: tensor_info(spec.name, _DTYPES[spec.datatype], spec.whole_shape) for spec in specs or ()}


def _by_name(columns: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    specs = {spec.name: spec for spec in signature.inputs or ()}
    return {name: array_of(value, specs.get(name), where=repr(name[:40])) for name, value in columns.items()}


def _columns_of_rows(rows: Any, signature: Signature) -> dict[str, Any]:
    """The values of all rows by the inputs' names. Raises BadRequest where rows differ in their names."""
    if not isinstance(rows, list | np.ndarray):
        raise BadRequest("'instances' must be a list with an entry for each row.")
    if not len(rows):
        raise BadRequest("The request holds no row: send at least one.")
    if not _is_named(rows[0]):
        return {_only_name(signature): rows}
    names = list(rows[0])
    if not all(isinstance(row, dict) and set(row) == set(names) for row in rows):
        raise BadRequest("The entries of 'instances' must all be objects with the same names.")
    return {name: [row[name] for row in rows] for name in names}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _only_name(signature: Signature) -> str:
    """The name of the only input. Raises BadRequest for a model of several."""
    if signature.inputs is None:
        return UNNAMED
    if len(signature.inputs) > 1:
        names: Sequence[str] = [spec.name for spec in signature.inputs]
        raise BadRequest(f"The model takes several inputs: name them, {', '.join(map(repr, names))}.")
    return signature.inputs[0].name
