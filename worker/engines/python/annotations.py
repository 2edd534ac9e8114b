"""The annotations of a model's `predict` -> what it takes and gives; a sentence for what cannot be served.

images: list[np.ndarray]                             the worker decodes images
left: Annotated[NDArray[np.float32], (4,)], ...      tensors by name, each row of the shape (4,)
texts: list[str]  or  blobs: list[bytes]             one text or blob a row
inputs: SomeTypedDict                                tensors by the names of its keys
inputs: dict[str, np.ndarray]                        whatever names a request has

-> np.ndarray       of images: scores [n, classes]; of tensors: the one output `output`
-> list[str]        of images: the label of each; of tensors: texts in the one output `output`
-> dict[str, np.ndarray] or a TypedDict              tensors by name, n rows each
-> list[dict[str, np.ndarray]]                       tensors of each row, whose shapes may differ
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

from worker.engines.tensors import IMAGE_INPUT, Signature, TensorSpec, datatype_of
from worker.errors import ModelError

OUTPUT = "output"
"""The name of the output of a model that gives one array, or one list of texts."""

Takes = Literal["images", "arguments", "mapping"]
Gives = Literal["scores", "labels", "array", "texts", "tensors", "rows"]

_INPUTS = (
    "list[np.ndarray] for images, NDArray[np.float32] (or another type of numbers) or "
    "Annotated[NDArray[np.float32], (4,)] for tensors, list[str] or list[bytes] for texts and blobs, a TypedDict of "
    "these, or dict[str, np.ndarray]"
)
_OUTPUTS = (
    "np.ndarray (scores, or one tensor), list[str] (labels), dict[str, np.ndarray] or a TypedDict (tensors), or "
    "list[dict[str, np.ndarray]] (tensors of each row)"
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What annotations say: how `predict` is called, what it returns, and what clients are told."""

    takes: Takes
    gives: Gives
    signature: Signature


def declared(predict: Callable[..., Any]) -> Declared:
    """What an unbound method `predict(self, ...)` takes and gives; raises ModelError with the annotation at fault."""
    try:
        hints = get_type_hints(predict, include_extras=True)
        names = [name for name, _ in list(inspect.signature(predict).parameters.items())[1:]]
    except (NameError, TypeError, ValueError, SyntaxError) as error:
        raise ModelError(f"The annotations of predict cannot be read: {error}") from error
    missing = next((name for name in names if name not in hints), None)
    if not names or missing:
        what = f"The parameter {missing} of predict is not annotated" if missing else "predict(self) takes nothing"
        raise ModelError(f"{what}: annotate {_INPUTS}.")
    if "return" not in hints:
        raise ModelError(f"predict does not say what it returns: annotate {_OUTPUTS}.")
    takes, inputs = _taken(names, hints)
    images = takes == "images"
    gives, outputs = _given(hints["return"], images=images)
    return Declared(takes, gives, Signature(inputs, outputs, images=images))


def _taken(names: Sequence[str], hints: Mapping[str, Any]) -> tuple[Takes, tuple[TensorSpec, ...] | None]:
    first = hints[names[0]]
    if len(names) == 1:
        if _is_list_of(first, _is_array):
            return "images", (TensorSpec(IMAGE_INPUT, "BYTES", ()),)
        if is_typeddict(first):
            return "mapping", _of_typed_dict(first)
        if _is_mapping(first):
            return "mapping", None
    if any(_is_list_of(hints[name], _is_array) for name in names):
        raise ModelError("predict takes images and more: images come alone; beside others, take them as list[bytes].")
    return "arguments", tuple(_spec(name, hints[name], _INPUTS) for name in names)


def _given(hint: Any, *, images: bool) -> tuple[Gives, tuple[TensorSpec, ...] | None]:
    if _is_array(hint):
        return ("scores", None) if images else ("array", _one_output(hint))
    if _is_list_of(hint, lambda item: item is str):
        return ("labels", None) if images else ("texts", (TensorSpec(OUTPUT, "BYTES", (), text=True),))
    if is_typeddict(hint):
        return "tensors", _of_typed_dict(hint)
    if _is_mapping(hint):
        return "tensors", None
    if _is_list_of(hint, lambda item: is_typeddict(item) or _is_mapping(item)):
        (row,) = get_args(hint)
        return "rows", _of_typed_dict(row) if is_typeddict(row) else None
    raise ModelError(f"predict returns {_shown(hint)}, which cannot be served: return {_OUTPUTS}.")


def _one_output(hint: Any) -> tuple[TensorSpec, ...] | None:
    return None if hint is np.ndarray else (_spec(OUTPUT, hint, _OUTPUTS),)


def _of_typed_dict(hint: Any) -> tuple[TensorSpec, ...]:
    return tuple(_spec(name, kind, _INPUTS) for name, kind in get_type_hints(hint, include_extras=True).items())


def _spec(name: str, hint: Any, wanted: str) -> TensorSpec:
    """The tensor of one annotation. Raises ModelError."""
    notes: tuple[Any, ...] = ()
    kind = hint
    if get_origin(hint) is Annotated:
        kind, *rest = get_args(hint)
        notes = tuple(rest)
    if _is_list_of(kind, lambda item: item in (str, bytes)):
        return TensorSpec(name, "BYTES", (), text=get_args(kind)[0] is str)
    dtype = _dtype(kind)
    datatype = datatype_of(dtype) if dtype is not None else None
    if datatype is None:
        raise ModelError(f"{name} is annotated with {_shown(hint)}, which cannot be served: annotate {wanted}.")
    return TensorSpec(name, datatype, _shape(name, notes))


def _shape(name: str, notes: Sequence[Any]) -> tuple[int, ...] | None:
    """The shape of a row that Annotated holds. Raises ModelError for one that cannot be."""
    shape = next((note for note in notes if isinstance(note, tuple | list | int)), None)
    if shape is None:
        return None
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(length, int) and (length > 0 or length == -1) for length in lengths):
        raise ModelError(f"{name} has the shape {lengths}: give the lengths of one row's axes, -1 for any.")
    return lengths


def _dtype(kind: Any) -> np.dtype[Any] | None:
    """The type of numbers of NDArray[np.float32]; None for an array that does not say it, and for other things."""
    arguments = get_args(kind)
    if get_origin(kind) is not np.ndarray or len(arguments) != 2:
        return None
    try:
        (scalar,) = get_args(arguments[1])
        found: np.dtype[Any] = np.dtype(scalar)
    except (TypeError, ValueError):
        return None
    return found


def _is_array(hint: Any) -> bool:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return kind is np.ndarray or get_origin(kind) is np.ndarray


def _is_list_of(hint: Any, item: Callable[[Any], bool]) -> bool:
    arguments = get_args(hint)
    return get_origin(hint) in (list, Sequence) and len(arguments) == 1 and item(arguments[0])


def _is_mapping(hint: Any) -> bool:
    arguments = get_args(hint)
    return (
        get_origin(hint) in (dict, Mapping) and len(arguments) == 2 and arguments[0] is str and _is_array(arguments[1])
    )


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
