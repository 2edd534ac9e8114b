"""A Python file -> the one class in it that is a model, loaded; what its `predict` returns -> tensors.

Runs in the model's own process.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.python.annotations import OUTPUT, Declared, declared
from worker.engines.tensors import IMAGE_INPUT
from worker.errors import ModelError

MODULE = "p2p_model"
"""The name under which the file is imported, whatever it is called."""

Arrays = dict[str, NDArray[Any]]


class LoadedModel:
    """An instance of the user's class after its `load`; `labels` are those that it has set, if any."""

    def __init__(self, instance: Any, says: Declared) -> None:
        self.says = says
        self.instance = instance
        texts = getattr(instance, "labels", None)
        self.labels = None if texts is None else tuple(map(str, texts))
        if says.gives == "labels" and not self.labels:
            raise ModelError("predict returns labels: load() must set self.labels to all labels there are, in order.")
        self._numbers = {label: number for number, label in enumerate(self.labels or ())}
        inputs = says.signature.inputs or ()
        self._texts = {spec.name for spec in inputs if spec.text}
        self._lists = {spec.name for spec in inputs if spec.datatype == "BYTES"}

    def example(self) -> Arrays | None:
        """What the model's own `example()` returns, one row of its inputs; None if it has none."""
        own = getattr(self.instance, "example", None)
        return None if own is None else _arrays(own(), rows=1, what="example()")

    def predict(self, inputs: Mapping[str, NDArray[Any]]) -> list[Arrays]:
        """The outputs of all rows: in one part, or one for each row. Raises ModelError, and what the model raises."""
        rows = len(next(iter(inputs.values())))
        values = {name: self._value(name, array) for name, array in inputs.items()}
        match self.says.takes:
            case "images":
                found = self.instance.predict(values[IMAGE_INPUT])
            case "mapping":
                found = self.instance.predict(values)
            case _:
                found = self.instance.predict(**values)
        return self._outputs(found, rows)

    def _value(self, name: str, array: NDArray[Any]) -> Any:
        """Numbers as an array; texts, blobs and images as the list that the annotation asks for."""
        if name in self._texts:
            return [item.decode() for item in array.tolist()]
        return array.tolist() if name in self._lists else array

    def _outputs(self, found: Any, rows: int) -> list[Arrays]:
        match self.says.gives:
            case "scores":
                return [{OUTPUT: _scores(found, rows)}]
            case "labels":
                return [{OUTPUT: self._one_hot(_counted(found, rows))}]
            case "array" | "texts":
                return [_arrays({OUTPUT: found}, rows=rows)]
            case "tensors":
                return [_arrays(found, rows=rows)]
            case "rows":
                return [_one_row(row) for row in _counted(found, rows)]

    def _one_hot(self, labels: Sequence[str]) -> NDArray[np.float32]:
        unknown = next((label for label in labels if label not in self._numbers), None)
        if unknown is not None:
            raise ModelError(f"predict returned the label {unknown!r}, which is not in self.labels.")
        scores = np.zeros((len(labels), len(self._numbers)), np.float32)
        scores[np.arange(len(labels)), [self._numbers[label] for label in labels]] = 1
        return scores


def load_class(path: Path) -> LoadedModel:
    """Import `path`, make the model in it and call its `load()`.

    Raises ModelError for a file without such a class and for annotations that do not fit, and what the file raises.
    Modules beside the file can be imported by it.
    """
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    sys.path.insert(0, str(path.parent.resolve()))
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module  # pickles and dataclasses of the file look their module up
    spec.loader.exec_module(module)
    found = _model_class(path, vars(module))
    says = declared(found.predict)
    instance = found()
    instance.load()
    return LoadedModel(instance, says)


def _model_class(path: Path, names: Mapping[str, Any]) -> Any:
    classes = {
        name: value
        for name, value in names.items()
        if inspect.isclass(value) and value.__module__ == MODULE and _has_methods(value)
    }
    if len(classes) > 1 and "Model" in classes:
        return classes["Model"]
    if len(classes) != 1:
        raise ModelError(
            f"{path.name} must have one class with the methods load(self) and predict(self, ...), or call the one that "
            f"is meant Model; it has {', '.join(sorted(classes)) or 'none'}."
        )
    return next(iter(classes.values()))


def _has_methods(kind: type) -> bool:
    return all(callable(getattr(kind, name, None)) for name in ("load", "predict"))


def _scores(found: Any, rows: int) -> NDArray[np.float32]:
    scores = np.asarray(found, np.float32)
    if scores.ndim != 2 or len(scores) != rows:
        raise ModelError(f"predict must return scores [n, classes] for {rows} images, not the shape {scores.shape}.")
    return scores


def _arrays(found: Any, *, rows: int, what: str = "predict") -> Arrays:
    """What a model returned as arrays of `rows` rows. Raises ModelError."""
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{what} must return arrays by name, not {type(found).__name__}.")
    arrays = {str(name): _array(value) for name, value in found.items()}
    wrong = next((name for name, array in arrays.items() if array.ndim == 0 or len(array) != rows), None)
    if wrong is not None:
        raise ModelError(f"{what} returned {wrong} of the shape {arrays[wrong].shape}: its first axis must be {rows}.")
    return arrays


def _one_row(found: Any) -> Arrays:
    """The tensors of one row, with an axis for the rows in front."""
    if not isinstance(found, Mapping):
        raise ModelError(f"predict must return arrays by name for each row, not {type(found).__name__}.")
    return _arrays({name: np.asarray(value)[np.newaxis] for name, value in found.items()}, rows=1)


def _array(value: Any) -> NDArray[Any]:
    """An array of numbers, or one of bytes objects."""
    array = np.asarray(value)
    if array.dtype.kind not in "OSU":
        return array
    flat = np.empty(array.size, dtype=object)
    for number, item in enumerate(array.ravel().tolist()):
        if not isinstance(item, str | bytes):
            raise ModelError(f"An output holds a {type(item).__name__}: outputs are numbers, texts or bytes.")
        flat[number] = item.encode() if isinstance(item, str) else item
    return flat.reshape(array.shape)


def _counted(found: Any, rows: int) -> Sequence[Any]:
    if not isinstance(found, Sequence | np.ndarray) or len(found) != rows:
        counted = f"{len(found)} results" if hasattr(found, "__len__") else type(found).__name__
        raise ModelError(f"predict must return a list with one result for each of {rows} rows, not {counted}.")
    return found  # type: ignore[return-value] # an array is a sequence of its rows in all but name
