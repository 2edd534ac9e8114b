"""Tensors are cut, put together and shared out by rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engines.tensors import Tensors, TensorSpec, example_of, joined, repeated, split
from worker.errors import ModelError


def numbered(start: int, end: int) -> Tensors:
    """Rows whose values are their numbers, in two tensors."""
    row = np.arange(start, end)
    return Tensors({"x": row, "y": np.stack([row, row], axis=1).astype(np.float32)})


@settings(max_examples=50)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_each_request_gets_its_own_rows(counts: list[int], sizes: list[int]) -> None:
    """However the model's parts are cut, the rows of each request come back to it in order."""
    total = sum(counts)
    parts, at = [], 0
    for size in [*sizes, total]:
        if at < total:
            parts.append(numbered(at, min(at + size, total)))
            at = min(at + size, total)
    at = 0
    for count, own in zip(counts, split(parts, counts), strict=True):
        assert joined(own).arrays["x"].tolist() == list(range(at, at + count))
        assert joined(own).arrays["y"][:, 1].tolist() == list(range(at, at + count))
        at += count


def test_another_number_of_rows_is_the_models_fault() -> None:
    """A model that gives more or fewer rows than it got must not shift answers to other callers."""
    for rows in (1, 3):
        with pytest.raises(ModelError, match=f"gave {rows} rows for 2"):
            split([numbered(0, rows)], [1, 1])


def test_tensors_have_the_same_rows() -> None:
    """Nothing else can be cut by rows."""
    for arrays in ({}, {"x": np.zeros(())}, {"x": np.zeros(2), "y": np.zeros(3)}):
        with pytest.raises(ModelError, match="same number of rows"):
            Tensors(arrays)


def test_parts_of_different_shapes_are_not_put_together() -> None:
    """Boxes of two images differ in number: only row by row they have a form."""
    with pytest.raises(ModelError, match="differ in shape from row to row"):
        joined([Tensors({"x": np.zeros((1, 2))}), Tensors({"x": np.zeros((1, 3))})])


def test_memory_counts_every_element() -> None:
    """Texts and images are objects, whose own memory counts."""
    objects = np.empty(2, dtype=object)
    objects[:] = [b"abc", np.zeros((2, 2, 3), np.uint8)]
    assert Tensors({"x": objects, "y": np.zeros(2, np.float32)}).nbytes == 3 + 12 + 8


def test_an_example_fits_the_inputs() -> None:
    """Zeros, and a text; unknown lengths are one. None where the inputs are not known."""
    example = example_of([TensorSpec("x", "FP16", (2, -1)), TensorSpec("t", "BYTES", ())])
    assert example is not None
    assert (example.arrays["x"].shape, example.arrays["x"].dtype) == ((1, 2, 1), np.float16)
    assert repeated(example, 3).arrays["t"].tolist() == [b"example"] * 3
    assert example_of(None) is None
