"""Tensors of numbers that are pixels, and those that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.models.small_models import brightness
from worker.errors import BadRequest
from worker.protocols.pixel_tensors import fitting, whole_pixels


@pytest.mark.parametrize("values", [[[0, 255]], [[0.0, 255.0]], np.array([[0, 255]], np.int64)])
def test_whole_numbers_of_any_kind_are_pixels(values: Any) -> None:
    """7 and 7.0 are the same pixel."""
    assert whole_pixels(values, where="x").tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([0.5], "unscaled"),
        ([-1], "unscaled"),
        ([256], "unscaled"),
        ([float("nan")], "unscaled"),
        ([1e300], "unscaled"),
        ([10**30], "numbers"),
        (["1"], "numbers"),
        ([None], "numbers"),
        ([{}], "numbers"),
        ([[1], [1, 2]], "differ"),
        ([True, False], "numbers"),
    ],
)
def test_values_that_are_not_pixels_are_refused(values: Any, hint: str) -> None:
    """Scaled, signed, endless and ragged values are a 400 that says what to send."""
    with pytest.raises(BadRequest, match=hint):
        whole_pixels(values, where="x")


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 9, 3), (0, 8, 3), (3, 8, 8), (8, 8, 3, 1), ()])
def test_an_image_of_another_shape_is_refused_with_the_right_one(shape: tuple[int, ...]) -> None:
    """The sentence names the size that the model takes."""
    with pytest.raises(BadRequest, match=r"\[8, 8, 3\]"):
        fitting(shape, model=brightness(), where="x")
