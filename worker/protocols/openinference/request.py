"""The body of an inference request, JSON perhaps with binary tensors after it -> images and the wanted output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from worker.batching.queue import Image
from worker.engines.tensors import DTYPES
from worker.errors import BadRequest
from worker.inference.load_model import AnyModel
from worker.inference.model import Model
from worker.protocols.base64_text import decode_base64
from worker.protocols.common import Images, check_count
from worker.protocols.openinference.schema import (
    INPUT,
    OUTPUT,
    InferRequest,
    InputTensor,
    RequestedOutput,
)
from worker.protocols.pixel_tensors import fitting, whole_pixels
from worker.web.json_schema import read
from worker.web.large_json import parse_json

_DTYPES: Mapping[str, str] = MappingProxyType({name: dtype for name, dtype in DTYPES.items() if name != "BOOL"})


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """The form of the output: all scores or the best `classes` of them, in JSON or binary."""

    binary: bool = False
    classes: int | None = None


@dataclass(frozen=True, slots=True)
class Inference:
    """A request that was read; `timeout_s` is None where the caller sets none."""

    images: Images
    wanted: WantedOutput
    id: str | None = None
    timeout_s: float | None = None


RAW = WantedOutput(binary=True)
"""The wanted output of a request whose body is nothing but an image."""


def read_inference(body: bytes, *, json_bytes: int | None, model: Model) -> Inference:
    """Read a body whose first `json_bytes` are JSON; None: all of them, 0: the body is one image.

    Raises BadRequest, or TooLarge for more images or pixels than are taken.
    """
    if json_bytes == 0:
        return Inference([body], RAW)
    request, binary = parsed(body, json_bytes)
    wanted = _wanted(request.outputs, binary=request.parameters.binary_data_output)
    images = images_of(request.inputs, binary, model)
    return Inference(images, wanted, request.id, timeout_of(request))


def parsed(body: bytes, json_bytes: int | None) -> tuple[InferRequest, bytes | None]:
    """The JSON of a body, and the bytes after it; None where the body is nothing but JSON. Raises BadRequest."""
    size = len(body) if json_bytes is None else json_bytes
    if size > len(body):
        raise BadRequest(f"Inference-Header-Content-Length says {size} bytes of JSON, and the body has {len(body)}.")
    return read(InferRequest, parse_json(body[:size])), None if json_bytes is None else body[size:]


def timeout_of(request: InferRequest) -> float | None:
    """The seconds that a request allows itself; None where it does not say. Raises BadRequest."""
    timeout = request.parameters.timeout or 0
    if not 0 <= timeout < 1 << 63:
        raise BadRequest("parameters.timeout must be a number of microseconds that 63 bits hold, or 0 for none.")
    return timeout / 1e6 if timeout else None


def images_of(inputs: Sequence[InputTensor], binary: bytes | None, model: AnyModel) -> Images:
    """The images in the one input of a request. Raises BadRequest or TooLarge."""
    return _images(_one_input(inputs), binary, model)


def _one_input(inputs: Sequence[InputTensor]) -> InputTensor:
    names = [each.name for each in inputs]
    if names != [INPUT]:
        raise BadRequest(f"The model takes one input, {INPUT!r}, once; the request has {quoted_names(names)}.")
    if inputs[0].parameters.shared_memory_region is not None:
        raise BadRequest("Shared memory is not taken: send the tensor in the body.")
    return inputs[0]


def _wanted(outputs: Sequence[RequestedOutput], *, binary: bool) -> WantedOutput:
    if not outputs:
        return WantedOutput(binary=binary)
    names = [each.name for each in outputs]
    if names != [OUTPUT]:
        raise BadRequest(f"The model has one output, {OUTPUT!r}; the request asks for {quoted_names(names)}.")
    parameters = outputs[0].parameters
    if parameters.shared_memory_region is not None:
        raise BadRequest("Shared memory is not taken: ask for the output in the body.")
    if parameters.classification is not None and parameters.classification < 1:
        raise BadRequest("parameters.classification must be at least 1.")
    chosen = binary if parameters.binary_data is None else parameters.binary_data
    return WantedOutput(binary=chosen, classes=parameters.classification)


def _images(tensor: InputTensor, binary: bytes | None, model: AnyModel) -> Images:
    shape = tensor.shape
    if not shape or min(shape) < 0:
        raise BadRequest(f"The shape {shape[:9]} cannot be: give the number of images, then their size if in pixels.")
    check_count(shape[0])
    content = _content(tensor, binary)
    if tensor.datatype == "BYTES":
        if math.prod(shape) != shape[0]:
            raise BadRequest(f"Encoded images come in the shape [n] or [n, 1], not {shape[:9]}.")
        return elements_of(content, shape[0]) if isinstance(content, bytes) else _of_base64(content, shape[0])
    if tensor.datatype not in _DTYPES:
        raise BadRequest(f"The datatype {tensor.datatype[:20]!r} is not taken: BYTES, or {', '.join(_DTYPES)}.")
    fitting(shape[1:], model=model, where=f"An image of {INPUT!r}")
    return _of_numbers(content, shape, _DTYPES[tensor.datatype])


def _content(tensor: InputTensor, binary: bytes | None) -> Any:
    """A tensor's `data`, or the bytes after the JSON, which must all belong to it."""
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is None):
        raise BadRequest("An input has either 'data', or 'parameters.binary_data_size' and its bytes behind the JSON.")
    if size is None:
        if binary:
            raise BadRequest(f"{len(binary)} bytes follow the JSON that belong to no input.")
        return tensor.data
    if binary is None:
        raise BadRequest("The header Inference-Header-Content-Length is missing: it says where binary data begin.")
    if size != len(binary):
        raise BadRequest(f"binary_data_size is {size}, and {len(binary)} bytes follow the JSON.")
    return binary


def elements_of(binary: bytes, count: int) -> list[bytes]:
    """The elements of a binary BYTES tensor; before each stands its length as a little-endian uint32."""
    found: list[bytes] = []
    at = 0
    while at < len(binary) and len(found) <= count:
        start = at + 4
        at = start + int.from_bytes(binary[at:start], "little")
        found.append(binary[start:at])
    if at != len(binary) or len(found) != count:
        raise BadRequest(f"The BYTES tensor does not hold {count} elements, each a uint32 length and so many bytes.")
    return found


def _of_base64(data: Any, count: int) -> list[bytes]:
    rows = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in _listed(data)]
    if len(rows) != count or not all(isinstance(row, str) for row in rows):
        raise BadRequest(f"'data' must be {count} strings, as the shape says: image files in base64.")
    return [decode_base64(row) for row in rows]


def _of_numbers(content: Any, shape: Sequence[int], dtype: str) -> list[Image]:
    if isinstance(content, bytes):
        if len(content) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise BadRequest(f"The tensor has {len(content)} bytes, which is not what its shape and datatype need.")
        content = np.frombuffer(content, dtype)
    elif not isinstance(content, np.ndarray):
        _listed(content)
    pixels = whole_pixels(content, where="'data'")
    if pixels.size != math.prod(shape) or pixels.shape not in ((pixels.size,), tuple(shape)):
        raise BadRequest(f"'data' has the shape {list(pixels.shape)}, and 'shape' says {list(shape)}.")
    return list(pixels.reshape(shape))


def _listed(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise BadRequest("'data' must be a list.")
    return data


def quoted_names(names: Sequence[str]) -> str:
    """A few names, for a sentence."""
    return ", ".join(repr(name[:40]) for name in names[:5]) or "none"
