"""Tensors in the Open Inference Protocol's binary form: arrays become a request, an answer becomes arrays.

A body is JSON that names and measures the tensors, then their bytes one after the other, little endian;
the header `Inference-Header-Content-Length` says how long the JSON is. An element of type BYTES is its
length in four bytes, then itself. (Source: Open Inference Protocol V2, binary tensor data extension.)
Arrays are read through the buffer protocol, so that sending them needs no NumPy.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import math
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from p2pclient.bounds import decimal, whole_number
from p2pclient.errors import BadInput
from p2pclient.messages import LARGE_COPY_BYTES, Answer, Request
from p2pclient.types import Tensor

TENSOR_FAULTS: Mapping[int, type[BadInput]] = dict.fromkeys((400, 404, 413, 415), BadInput)
"""The statuses that say that the tensors are at fault."""

HEADER = "Inference-Header-Content-Length"

_MANY = 10_000

_FLOATS = {"e": "FP16", "f": "FP32", "d": "FP64"}
_NUMPY = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_STRUCT = {
    "BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H",
    "UINT32": "I", "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip


def tensor(array: Any) -> Tensor:
    """An array of numbers or truth values (anything with the buffer protocol), or a sequence of texts or bytes.

    Raises TypeError for what is neither.
    """
    if isinstance(array, Tensor):
        return array
    if isinstance(array, str | bytes):
        raise TypeError("a tensor of one text or of bytes is a list that holds it: give [text]")
    elements, shape = _elements(array)
    if elements is not None:
        return Tensor("BYTES", shape, elements)
    try:
        view = memoryview(array)
    except TypeError as error:
        raise TypeError(
            f"a tensor is an array or a sequence of texts or bytes, not {type(array).__name__}: try numpy.asarray"
        ) from error
    return Tensor(_datatype(view), tuple(view.shape or ()), view.tobytes())


def _elements(array: Any) -> tuple[tuple[bytes, ...] | None, tuple[int, ...]]:
    """The texts of a sequence, or of a NumPy array of texts, and its shape; None if they are no texts."""
    if getattr(getattr(array, "dtype", None), "kind", None) in ("O", "S", "U"):
        flat: Iterable[Any] = array.ravel().tolist()
        shape = tuple(array.shape)
    elif isinstance(array, list | tuple):
        flat, shape = array, (len(array),)
    else:
        return None, ()
    elements = tuple(item.encode() if isinstance(item, str) else item for item in flat)
    if not all(isinstance(item, bytes) for item in elements):
        raise TypeError("a sequence holds texts or bytes: give numbers as an array, numpy.asarray(numbers)")
    return elements, shape


def _datatype(view: memoryview) -> str:
    """The protocol's name for the elements of a buffer; raises TypeError where it has none."""
    order, kind = view.format[:-1], view.format[-1:]
    native = {"", "@", "=", "<" if sys.byteorder == "little" else ">"}
    name = _FLOATS.get(kind)
    if kind == "?":
        name = "BOOL"
    elif kind in "bhilq":
        name = f"INT{8 * view.itemsize}"
    elif kind in "BHILQ":
        name = f"UINT{8 * view.itemsize}"
    if name is None or sys.byteorder == "big" or order not in native:
        raise TypeError(f"elements of the kind {view.format!r} cannot be sent: convert them, as with .astype('<f4')")
    return name


def takes_long(inputs: Mapping[str, Any]) -> bool:
    """Whether `request_for` these, or reading what is answered to it, can hold an event loop up."""
    if not numpy.cache_info().currsize:  # its import takes a tenth of a second
        return True
    return any(
        getattr(array, "nbytes", 0) >= LARGE_COPY_BYTES or (isinstance(array, list | tuple) and len(array) >= _MANY)
        for array in inputs.values()
    )


def request_for(inputs: Mapping[str, Any], outputs: Sequence[str], parameters: Mapping[str, Any]) -> Request:
    """The request for arrays or texts (see `tensor`). NumPy is imported by now, where there is one, for the answer."""
    numpy()
    return infer_request({name: tensor(array) for name, array in inputs.items()}, outputs, parameters)


def infer_path(model: str) -> str:
    """Where a worker takes tensors for a model."""
    return f"/v2/models/{quote(model, safe='')}/infer"


def infer_request(inputs: Mapping[str, Tensor], outputs: Sequence[str], parameters: Mapping[str, Any]) -> Request:
    """The request that hands `inputs` to some model; no `outputs` means all that it has."""
    document: dict[str, Any] = {"parameters": {**parameters, "binary_data_output": True}}
    if outputs:
        document["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    headers, body = encode("inputs", inputs, document)
    return Request("", headers, body, TENSOR_FAULTS)


def encode(role: str, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a message that holds `tensors`, as its "inputs" or "outputs", and `document`."""
    bodies = {name: _bytes(tensor) for name, tensor in tensors.items()}
    described = [
        {
            "name": name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
            "parameters": {"binary_data_size": len(bodies[name])},
        }
        for name, tensor in tensors.items()
    ]
    head = json.dumps({role: described, **document}).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(head))}
    return headers, b"".join((head, *bodies.values()))


def _bytes(tensor: Tensor) -> bytes | memoryview:
    if isinstance(tensor.data, tuple):
        return b"".join(struct.pack("<I", len(item)) + item for item in tensor.data)
    return tensor.data


def outputs(answer: Answer) -> tuple[dict[str, Any], str, str]:
    """The outputs by name, the model's name and its version; raises ValueError, TypeError or LookupError."""
    try:
        return _outputs(answer)
    except struct.error as error:
        raise ValueError(str(error)) from error


def _outputs(answer: Answer) -> tuple[dict[str, Any], str, str]:
    size = decimal(answer.headers.get(HEADER, str(len(answer.body))), most=len(answer.body))
    head = json.loads(str(answer.body[:size], "utf-8"))
    rest = memoryview(answer.body)[size:]
    found: dict[str, Any] = {}
    for output in head["outputs"]:
        shape = tuple(whole_number(length) for length in output["shape"])
        length = (output.get("parameters") or {}).get("binary_data_size")
        data: bytes | memoryview | tuple[bytes, ...]
        if length is None:
            data = _from_json(output["datatype"], output["data"])
        else:
            length = whole_number(length, most=len(rest))
            data = _from_bytes(output["datatype"], rest[:length])
            rest = rest[length:]
        found[str(output["name"])] = _array(Tensor(output["datatype"], shape, data))
    return found, str(head["model_name"]), str(head.get("model_version") or "")


def _from_bytes(datatype: str, data: memoryview) -> memoryview | tuple[bytes, ...]:
    return tuple(_texts(data)) if datatype == "BYTES" else data


def _texts(data: memoryview) -> Iterator[bytes]:
    while data:
        (length,) = struct.unpack_from("<I", data)
        if length > len(data) - 4:
            raise ValueError("a text is longer than its tensor")
        yield bytes(data[4 : 4 + length])
        data = data[4 + length :]


def _from_json(datatype: str, data: Any) -> bytes | tuple[bytes, ...]:
    flat = list(_flat(data))
    if datatype == "BYTES":
        if not all(isinstance(item, str) for item in flat):  # bytes(8_000_000_000) would be 8 GB
            raise TypeError("an element of BYTES is a text")
        return tuple(item.encode() for item in flat)
    return struct.pack(f"<{len(flat)}{_STRUCT[datatype]}", *flat)


def _flat(data: Any) -> Iterator[Any]:
    if isinstance(data, list):
        for item in data:
            yield from _flat(item)
    else:
        yield data


@functools.cache
def numpy() -> Any:
    """NumPy, which takes a while to import; None where it is not installed."""
    return importlib.import_module("numpy") if importlib.util.find_spec("numpy") is not None else None


def _array(tensor: Tensor) -> Any:
    """The tensor as a NumPy array, unless NumPy is missing or has no such type (BF16)."""
    if tensor.datatype != "BYTES" and math.prod(tensor.shape) * _size(tensor.datatype) != len(tensor.data):
        raise ValueError("a tensor's bytes do not fit its shape")
    np = numpy()
    if tensor.datatype not in (*_NUMPY, "BYTES") or np is None:
        return tensor
    if isinstance(tensor.data, tuple):
        return np.array(tensor.data, dtype=object).reshape(tensor.shape)
    return np.frombuffer(tensor.data, dtype=_NUMPY[tensor.datatype]).reshape(tensor.shape)


def _size(datatype: str) -> int:
    """Bytes of one element; 2 for BF16, the one type that neither NumPy nor `struct` knows."""
    return 2 if datatype == "BF16" else struct.calcsize(f"<{_STRUCT[datatype]}")
