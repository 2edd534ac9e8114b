"""Output tensors -> JSON text, by rows or by columns, as TensorFlow Serving writes them.

Texts are strings; bytes that are no UTF-8, and outputs whose names end in `_bytes`, are {"b64": "..."}.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.model_io.outputs import ensure_finite
from worker.engines.tensors import Tensors, joined
from worker.protocols.tfserving.codec import decimals

_BYTES_SUFFIX = "_bytes"


def rows_json(parts: Sequence[Tensors]) -> list[str]:
    """JSON of each row: an object of its outputs, or the value alone of an only output. Raises ModelError."""
    return [row for part in parts for row in _rows_of(part)]


def columns_json(parts: Sequence[Tensors]) -> str:
    """An object of all outputs, each for all rows, or the only output alone; ModelError if rows differ in shape."""
    columns = {name: array_json(array, name=name) for name, array in joined(parts).arrays.items()}
    return _alone_or_named(columns)


def array_json(array: NDArray[Any], *, name: str = "") -> str:
    """JSON of an array, in lists of its shape. Raises ModelError for what is no number."""
    return _nested(_elements(array, name), array.shape)


def flat_json(array: NDArray[Any]) -> str:
    """JSON of an array's elements in one list, all bytes as texts. Raises ModelError for what is no number."""
    if array.dtype.kind == "O":
        return json.dumps([item.decode("utf-8", "surrogateescape") for item in array.ravel().tolist()])
    return f"[{','.join(_numbers(array))}]"


def _rows_of(part: Tensors) -> Iterator[str]:
    columns = {name: _row_texts(array, name) for name, array in part.arrays.items()}
    for number in range(part.rows):
        yield _alone_or_named({name: rows[number] for name, rows in columns.items()})


def _row_texts(array: NDArray[Any], name: str) -> list[str]:
    texts = _elements(array, name)
    each = math.prod(array.shape[1:])
    return [_nested(texts[at * each : (at + 1) * each], array.shape[1:]) for at in range(len(array))]


def _alone_or_named(values: Mapping[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    return f"{{{', '.join(f'{json.dumps(name)}: {value}' for name, value in values.items())}}}"


def _elements(array: NDArray[Any], name: str) -> list[str]:
    """JSON of each element, in order."""
    if array.dtype.kind != "O":
        return _numbers(array)
    as_base64 = name.endswith(_BYTES_SUFFIX)
    return [_text(item, as_base64=as_base64) for item in array.ravel().tolist()]


def _numbers(array: NDArray[Any]) -> list[str]:
    flat = array.ravel()
    if array.dtype.kind != "f":
        return json.dumps(flat.tolist())[1:-1].split(", ") if flat.size else []
    if array.dtype.itemsize > np.dtype(np.float32).itemsize:
        ensure_finite(flat)
        return [repr(number) for number in flat.tolist()]
    return decimals(flat.astype(np.float32))[1:-1].split(",") if flat.size else []


def _text(item: bytes, *, as_base64: bool) -> str:
    if not as_base64:
        try:
            return json.dumps(item.decode(), ensure_ascii=False)
        except UnicodeDecodeError:
            pass
    return json.dumps({"b64": base64.b64encode(item).decode("ascii")})


def _nested(texts: Sequence[str], shape: Sequence[int]) -> str:
    """Elements in lists of this shape."""
    if not shape:
        return texts[0]
    each = math.prod(shape[1:])
    if len(shape) == 1:
        return f"[{', '.join(texts)}]"
    return f"[{', '.join(_nested(texts[at * each : (at + 1) * each], shape[1:]) for at in range(shape[0]))}]"
