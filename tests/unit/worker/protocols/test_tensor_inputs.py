"""Values from JSON become tensors of the model's types, and what does not fit is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.engines.tensors import Signature, TensorSpec
from worker.errors import BadRequest
from worker.protocols.tensor_inputs import array_of, fitting_tensors


@pytest.mark.parametrize(
    ("datatype", "value", "wanted"),
    [
        ("FP32", [[1, 2.5], [3, 4]], np.array([[1, 2.5], [3, 4]], np.float32)),
        ("INT8", [-128, 127], np.array([-128, 127], np.int8)),
        ("BOOL", [True, False], np.array([True, False])),
        ("UINT64", [2**64 - 1], np.array([2**64 - 1], np.uint64)),
        ("FP64", [], np.array([])),
    ],
)
def test_numbers(datatype: str, value: Any, wanted: Any) -> None:
    """Whole numbers may be given for others."""
    array = array_of(value, TensorSpec("x", datatype), where="x")
    assert (array.dtype, array.tolist()) == (wanted.dtype, wanted.tolist())


def test_texts() -> None:
    """Strings are UTF-8, {"b64"} any bytes, in lists of one shape."""
    array = array_of([["a", "é"], [{"b64": "/w=="}, ""]], TensorSpec("t", "BYTES"), where="t")
    assert array.tolist() == [[b"a", "é".encode()], [b"\xff", b""]]


@pytest.mark.parametrize(
    ("datatype", "value", "sentence"),
    [
        ("FP32", [[1], [1, 2]], "rows differ in length"),
        ("FP32", ["a"], "must hold numbers (FP32)"),
        ("INT32", [1.5], "must hold whole numbers (INT32)"),
        ("UINT8", [256], "holds a number that UINT8 does not hold"),
        ("UINT8", [-1], "holds a number that UINT8 does not hold"),
        ("BOOL", [1], "must hold true or false"),
        ("BYTES", [1], "must hold texts"),
        ("BYTES", [["a"], "b"], "rows differ in length"),
    ],
)
def test_what_a_datatype_does_not_hold(datatype: str, value: Any, sentence: str) -> None:
    """Nothing is rounded to a whole number, or wraps around."""
    with pytest.raises(BadRequest) as raised:
        array_of(value, TensorSpec("x", datatype), where="x")
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("value", "datatype"), [([1, 2], "<i8"), ([1.5], "<f4"), ([True], "|b1"), (["a"], "|O"), ([[{"b64": ""}]], "|O")]
)
def test_without_a_spec_the_values_decide(value: Any, datatype: str) -> None:
    """For a model that takes whatever names a request has."""
    assert array_of(value, None, where="x").dtype.str == datatype


def test_arrays_are_brought_to_the_specs() -> None:
    """Other numbers of the same kind are converted; [n, 1] is n single values."""
    spec = TensorSpec("x", "FP32", ())
    rows = fitting_tensors({"x": np.ones((3, 1), np.float64)}, Signature((spec,), None))
    assert (rows.arrays["x"].dtype, rows.arrays["x"].shape) == (np.float32, (3,))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "has no input"),
        ({"y": np.zeros(1)}, "takes 'x'; the request has 'y'"),
        ({"x": np.zeros((1, 2))}, "'x' has the shape [1, 2], and the model takes [-1, 3]"),
        ({"x": np.array([[b"a"] * 3], dtype=object)}, "must hold numbers (FP32); the request sends BYTES"),
        ({"x": np.zeros((0, 3))}, "holds no row"),
    ],
)
def test_what_does_not_fit_a_signature(arrays: Any, sentence: str) -> None:
    """The input is named with what the model takes."""
    with pytest.raises(BadRequest) as raised:
        fitting_tensors(arrays, Signature((TensorSpec("x", "FP32", (3,)),), None))
    assert sentence in str(raised.value)


def test_a_single_value_has_no_rows() -> None:
    """Also where the model takes any names."""
    with pytest.raises(BadRequest, match="must count the rows"):
        fitting_tensors({"x": np.zeros(())}, Signature(None, None))
