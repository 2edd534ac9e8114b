"""Scores as JSON numbers, as TensorFlow Serving prints them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worker.errors import ModelError
from worker.protocols.tfserving.codec import decimals


@given(arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_decimals_give_the_same_floats_back(row: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """Every float32 survives JSON, and always reads as a float, also where it is whole."""
    read_back = json.loads(decimals(row))
    assert all(type(value) is float for value in read_back)
    assert np.array_equal(np.array(read_back, np.float32), row)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2"), (1.0, "1.0"), (1 / 3, "0.333333343"), (1e-5, "1e-05"), (9_000_000, "9e+06"), (0.0, "0.0")],
)
def test_decimals_look_as_tensorflow_serving_prints_them(value: float, text: str) -> None:
    """Six digits where they suffice, else nine; `.0` behind whole numbers; exponents as printf writes them."""
    assert decimals(np.array([value], np.float32)) == f"[{text}]"


def test_a_score_that_is_no_number_is_the_models_fault() -> None:
    """NaN is not written into JSON: the model is at fault, and the answer says so."""
    with pytest.raises(ModelError, match="not a number"):
        decimals(np.array([0.5, np.nan], np.float32))
