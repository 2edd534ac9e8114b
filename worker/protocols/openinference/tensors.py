"""An inference request of a model that gives tensors -> its tensors or images; the outputs -> the response.

Inputs come in JSON or as binary data after it, and so do outputs go, each as the request says.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.tensors import DTYPES, Tensors, TensorSpec, datatype_of, joined
from worker.errors import BadRequest
from worker.inference.tensor_model import Parts, TensorModel
from worker.protocols.common import Images
from worker.protocols.openinference.request import elements_of, images_of, parsed, quoted_names, timeout_of
from worker.protocols.openinference.response import EncodedResponse, compressed
from worker.protocols.openinference.schema import InferRequest, InputTensor, RequestedOutput
from worker.protocols.tensor_inputs import array_of, fitting_tensors
from worker.protocols.tensor_json import flat_json


@dataclass(frozen=True, slots=True)
class TensorInference:
    """A request that was read.

    wanted: the outputs that are asked for, and whether each is to be binary; without any all are sent, as `binary` says
    timeout_s: None where the caller sets none
    """

    given: Tensors | Images
    binary: bool = False
    wanted: Mapping[str, bool] = field(default_factory=dict)
    id: str | None = None
    timeout_s: float | None = None


def read_tensor_inference(body: bytes, *, json_bytes: int | None, model: TensorModel) -> TensorInference:
    """Read a body whose first `json_bytes` are JSON; None: all of them, 0: the body is one image. Raises BadRequest."""
    signature = model.signature
    if json_bytes == 0:
        if not signature.images:
            raise BadRequest(f"The model {model.name} takes tensors: a body without JSON would be an image.")
        return TensorInference([body], binary=True)
    request, binary = parsed(body, json_bytes)
    given = (
        images_of(request.inputs, binary, model)
        if signature.images
        else fitting_tensors(_arrays(request.inputs, binary), signature)
    )
    wanted = _wanted(request, model)
    return TensorInference(given, request.parameters.binary_data_output, wanted, request.id, timeout_of(request))


def write_tensor_response(
    inference: TensorInference, parts: Parts, *, model: TensorModel, accepts: str = ""
) -> EncodedResponse:
    """The response with the outputs that are wanted; compressed as `accepts`, an Accept-Encoding, allows.

    Raises ModelError where outputs differ in shape from row to row, BadRequest where one is wanted that there is not.
    """
    outputs = joined(parts).arrays
    missing = sorted(set(inference.wanted) - set(outputs))
    if missing:
        raise BadRequest(f"The model has the outputs {quoted_names(sorted(outputs))}, and not {quoted_names(missing)}.")
    head: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if inference.id is not None:
        head["id"] = inference.id
    described: list[str] = []
    binaries: list[bytes] = []
    for name in inference.wanted or outputs:
        array = outputs[name]
        output = {"name": name, "datatype": datatype_of(array.dtype), "shape": list(array.shape)}
        if inference.wanted.get(name, inference.binary):
            binaries.append(_binary(array))
            described.append(json.dumps(output | {"parameters": {"binary_data_size": len(binaries[-1])}}))
        else:
            described.append(f'{json.dumps(output)[:-1]}, "data": {flat_json(array)}}}')
    text = f'{json.dumps(head)[:-1]}, "outputs": [{", ".join(described)}]}}'.encode()
    body, coding = compressed(text + b"".join(binaries), accepts)
    return EncodedResponse(body, len(text) if binaries else None, coding)


def _wanted(request: InferRequest, model: TensorModel) -> dict[str, bool]:
    for output in request.outputs:
        _check_parameters(output)
    if model.signature.outputs is not None:
        known = [spec.name for spec in model.signature.outputs]
        missing = [output.name for output in request.outputs if output.name not in known]
        if missing:
            raise BadRequest(f"The model has the outputs {quoted_names(known)}, and not {quoted_names(missing)}.")
    usual = request.parameters.binary_data_output
    return {
        output.name: usual if output.parameters.binary_data is None else output.parameters.binary_data
        for output in request.outputs
    }


def _check_parameters(output: RequestedOutput) -> None:
    if output.parameters.classification is not None:
        raise BadRequest("The model gives tensors, not classes: leave out parameters.classification.")
    if output.parameters.shared_memory_region is not None:
        raise BadRequest("Shared memory is not taken: ask for the output in the body.")


def _arrays(inputs: Sequence[InputTensor], binary: bytes | None) -> dict[str, NDArray[Any]]:
    """The arrays of all inputs; binary ones follow the JSON in the order of the inputs. Raises BadRequest."""
    names = [each.name for each in inputs]
    if len(set(names)) < len(names):
        raise BadRequest(f"An input comes twice: {quoted_names(names)}.")
    rest = memoryview(binary or b"")
    arrays: dict[str, NDArray[Any]] = {}
    for each in inputs:
        size = each.parameters.binary_data_size
        _check_form(each, has_binary=binary is not None)
        if size is None:
            arrays[each.name] = _from_json(each)
            continue
        if not 0 <= size <= len(rest):
            raise BadRequest(f"{each.name!r} has binary_data_size {size}, and {len(rest)} bytes are left for it.")
        arrays[each.name] = _from_binary(each, rest[:size])
        rest = rest[size:]
    if rest:
        raise BadRequest(f"{len(rest)} bytes follow the JSON that belong to no input.")
    return arrays


def _check_form(tensor: InputTensor, *, has_binary: bool) -> None:
    parameters = tensor.parameters
    if parameters.shared_memory_region is not None:
        raise BadRequest("Shared memory is not taken: send the tensor in the body.")
    if (parameters.binary_data_size is None) == (tensor.data is None):
        raise BadRequest("An input has either 'data', or 'parameters.binary_data_size' and its bytes behind the JSON.")
    if parameters.binary_data_size is not None and not has_binary:
        raise BadRequest("The header Inference-Header-Content-Length is missing: it says where binary data begin.")
    if not tensor.shape or min(tensor.shape) < 0:
        raise BadRequest(f"The shape {tensor.shape[:9]} cannot be: its first axis counts the rows.")
    if tensor.datatype not in (*DTYPES, "BYTES"):
        raise BadRequest(f"The datatype {tensor.datatype[:20]!r} is not taken: BYTES, or {', '.join(DTYPES)}.")


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    array = array_of(tensor.data, TensorSpec(tensor.name, tensor.datatype), where=repr(tensor.name[:40]))
    if array.size != math.prod(tensor.shape) or array.shape not in ((array.size,), tuple(tensor.shape)):
        raise BadRequest(f"{tensor.name!r} holds data of the shape {list(array.shape)}, and says {tensor.shape[:9]}.")
    return array.reshape(tensor.shape)


def _from_binary(tensor: InputTensor, content: memoryview) -> NDArray[Any]:
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        array = np.empty(count if count <= len(content) else 0, dtype=object)
        array[:] = elements_of(bytes(content), count)
        return array.reshape(tensor.shape)
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(content) != count * dtype.itemsize:
        raise BadRequest(f"{tensor.name!r} has {len(content)} bytes, which is not what its shape and datatype need.")
    return np.frombuffer(content, dtype).reshape(tensor.shape)


def _binary(array: NDArray[Any]) -> bytes:
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(struct.pack("<I", len(item)) + item for item in array.ravel().tolist())
