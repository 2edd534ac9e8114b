"""Arrays from a request -> the tensors that a model takes; a sentence for what does not fit its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.tensors import DTYPES, Signature, Tensors, TensorSpec, datatype_of
from worker.errors import BadRequest
from worker.protocols.base64_text import decode_base64

_KINDS: Mapping[str, str] = {"BOOL": "b", **dict.fromkeys(("FP16", "FP32", "FP64"), "fiu")}
"""Which kinds of NumPy's numbers become a datatype; whole numbers where none is said here."""

_INFERRED: Mapping[str, str] = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP32"}
"""The datatype of numbers in JSON for a model that does not say what it takes, by NumPy's kinds."""


def fitting_tensors(arrays: Mapping[str, NDArray[Any]], signature: Signature) -> Tensors:
    """The arrays in the model's types, shapes and order. Raises BadRequest, with the input at fault."""
    if not arrays:
        raise BadRequest("The request has no input: send at least one tensor.")
    specs = signature.inputs
    if specs is not None:
        check_names(arrays, specs)
        arrays = {spec.name: _fitting(arrays[spec.name], spec) for spec in specs}
    flat = next((name for name, array in arrays.items() if not array.ndim), None)
    if flat is not None:
        raise BadRequest(f"{flat!r} is a single value: its first axis must count the rows.")
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise BadRequest(f"The inputs differ in their number of rows, their first axis: {_counted(rows)}.")
    if not next(iter(rows.values())):
        raise BadRequest("The request holds no row: send at least one.")
    return Tensors(arrays)


def check_names(names: Mapping[str, object], specs: Sequence[TensorSpec]) -> None:
    """Raise BadRequest unless the names are those of the model's inputs."""
    wanted = {spec.name for spec in specs}
    if set(names) != wanted:
        raise BadRequest(f"The model takes {quoted(sorted(wanted))}; the request has {quoted(sorted(names))}.")


def array_of(value: Any, spec: TensorSpec | None, *, where: str) -> NDArray[Any]:
    """A value from JSON (nested lists, or arrays that long lists became) as an array of the type that `spec` says.

    Without a spec the values decide. Texts are strings, bytes {"b64": "..."}. Raises BadRequest.
    """
    if (spec is not None and spec.datatype == "BYTES") or (spec is None and _holds_texts(value)):
        return _texts(value, where=where)
    try:
        array = np.asarray(value)
    except ValueError:  # ragged, or nested deeper than numpy goes
        raise BadRequest(f"{where} is not a tensor: its rows differ in length.") from None
    datatype = spec.datatype if spec is not None else _INFERRED.get(array.dtype.kind)
    if datatype is None:
        raise BadRequest(f"{where} must hold numbers, or texts.")
    return converted(array, datatype, where=where)


def converted(array: NDArray[Any], datatype: str, *, where: str) -> NDArray[Any]:
    """Numbers in the type `datatype`; BadRequest for those that it does not hold, except for what is rounded."""
    if array.dtype.kind not in _KINDS.get(datatype, "iu") and array.size:
        raise BadRequest(f"{where} must hold {_words(datatype)}.")
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = array.astype(DTYPES[datatype])
    if numbers.dtype.kind in "iu" and not np.array_equal(numbers, array):
        raise BadRequest(f"{where} holds a number that {datatype} does not hold.")
    return numbers


def quoted(names: Sequence[str]) -> str:
    """A few names for a sentence."""
    return ", ".join(repr(name[:40]) for name in names[:8]) or "none"


def _fitting(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    where = repr(spec.name)
    if (array.dtype.kind == "O") != (spec.datatype == "BYTES"):
        sent = datatype_of(array.dtype) or array.dtype
        raise BadRequest(f"{where} must hold {_words(spec.datatype)}; the request sends {sent}.")
    if spec.datatype != "BYTES" and datatype_of(array.dtype) != spec.datatype:
        array = converted(array, spec.datatype, where=where)
    if spec.shape == () and array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if spec.shape is not None and not _has_shape(array.shape[1:], spec.shape):
        raise BadRequest(f"{where} has the shape {list(array.shape)}, and the model takes {spec.whole_shape}.")
    if spec.text:
        _check_texts(array, where)
    return array


def _has_shape(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, have) for have, want in zip(shape, wanted, strict=True))


def _check_texts(array: NDArray[Any], where: str) -> None:
    try:
        for item in array.ravel().tolist():
            item.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{where} must hold texts in UTF-8.") from None


def _holds_texts(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, str | dict)


def _texts(value: Any, *, where: str) -> NDArray[Any]:
    """Nested lists of texts as an array of bytes objects; all rows have the same length."""
    flat: list[bytes] = []
    shape = _collect(value, flat, where)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def _collect(value: Any, flat: list[bytes], where: str) -> tuple[int, ...]:
    """Append all texts in `value` to `flat`; their shape. Raises BadRequest."""
    if isinstance(value, str):
        flat.append(value.encode("utf-8", "replace"))
        return ()
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        flat.append(decode_base64(value["b64"]))
        return ()
    if not isinstance(value, list):
        raise BadRequest(f'{where} must hold texts, or {{"b64": "..."}}.')
    shapes = {_collect(item, flat, where) for item in value}
    if len(shapes) > 1:
        raise BadRequest(f"{where} is not a tensor: its rows differ in length.")
    return (len(value), *next(iter(shapes), ()))


def _words(datatype: str) -> str:
    if datatype == "BYTES":
        return "texts or bytes (BYTES)"
    kind = {"b": "true or false", "fiu": "numbers"}.get(_KINDS.get(datatype, "iu"), "whole numbers")
    return f"{kind} ({datatype})"


def _counted(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{name!r} has {count}" for name, count in list(rows.items())[:8])
