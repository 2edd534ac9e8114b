"""Annotations of `predict` say what a model takes and gives, or a sentence says what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.engines.python.annotations import OUTPUT, declared
from worker.engines.tensors import TensorSpec
from worker.errors import ModelError


class Two(TypedDict):
    numbers: Annotated[NDArray[np.float64], (2, -1)]
    texts: list[str]


def of_images(self: Any, images: list[np.ndarray]) -> np.ndarray: ...
def of_typed_images(self: Any, images: Sequence[NDArray[np.uint8]]) -> list[str]: ...
def by_argument(self: Any, a: NDArray[np.int32], b: list[bytes]) -> Two: ...
def by_key(self: Any, inputs: Two) -> list[str]: ...
def by_any_key(self: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]: ...
def by_rows(self: Any, inputs: Mapping[str, NDArray[Any]]) -> list[Two]: ...
def one(self: Any, x: Annotated[NDArray[np.bool_], 4]) -> NDArray[np.float16]: ...


TWO = (TensorSpec("numbers", "FP64", (2, -1)), TensorSpec("texts", "BYTES", (), text=True))
IMAGES = (TensorSpec("image", "BYTES", ()),)


@pytest.mark.parametrize(
    ("predict", "takes", "gives", "inputs", "outputs"),
    [
        (of_images, "images", "scores", IMAGES, None),
        (of_typed_images, "images", "labels", IMAGES, None),
        (by_argument, "arguments", "tensors", (TensorSpec("a", "INT32"), TensorSpec("b", "BYTES", ())), TWO),
        (by_key, "mapping", "texts", TWO, (TensorSpec(OUTPUT, "BYTES", (), text=True),)),
        (by_any_key, "mapping", "tensors", None, None),
        (by_rows, "mapping", "rows", None, TWO),
        (one, "arguments", "array", (TensorSpec("x", "BOOL", (4,)),), (TensorSpec(OUTPUT, "FP16"),)),
    ],
)
def test_what_annotations_mean(
    predict: Callable[..., Any], takes: str, gives: str, inputs: object, outputs: object
) -> None:
    """Images, tensors by argument or by key, and each form of output."""
    says = declared(predict)
    assert (says.takes, says.gives) == (takes, gives)
    assert (says.signature.inputs, says.signature.outputs) == (inputs, outputs)
    assert says.signature.images == (takes == "images")


def nothing(self: Any) -> np.ndarray: ...
def silent(self: Any, x: NDArray[np.float32]): ...
def unannotated(self: Any, x) -> np.ndarray: ...
def untyped(self: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray: ...
def number(self: Any, x: int) -> np.ndarray: ...
def complex_numbers(self: Any, x: NDArray[np.complex64]) -> np.ndarray: ...
def mixed(self: Any, images: list[np.ndarray], question: list[str]) -> list[str]: ...
def shaped(self: Any, x: Annotated[NDArray[np.float32], (0, 2)]) -> np.ndarray: ...
def returns_text(self: Any, images: list[np.ndarray]) -> str: ...
def misspelt(self: Any, x: Nonsense) -> np.ndarray: ...  # noqa: F821


@pytest.mark.parametrize(
    ("predict", "sentence"),
    [
        (nothing, "predict(self) takes nothing"),
        (silent, "does not say what it returns"),
        (unannotated, "The parameter x of predict is not annotated"),
        (untyped, "x is annotated with ndarray, which cannot be served"),
        (number, "x is annotated with int, which cannot be served"),
        (complex_numbers, "complex64"),
        (mixed, "images come alone"),
        (shaped, "x has the shape (0, 2)"),
        (returns_text, "predict returns str, which cannot be served"),
        (misspelt, "cannot be read: name 'Nonsense' is not defined"),
    ],
)
def test_what_does_not_fit_is_said(predict: Callable[..., Any], sentence: str) -> None:
    """The parameter at fault is named, and what could be written instead."""
    with pytest.raises(ModelError) as raised:
        declared(predict)
    assert sentence in str(raised.value)
