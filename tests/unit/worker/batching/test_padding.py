"""Batches as one array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.batching.padding import assemble


@given(count=st.integers(1, 20), sizes=st.sets(st.integers(1, 20)))
def test_images_stay_in_order_and_padding_repeats_the_last(count: int, sizes: set[int]) -> None:
    """The images first, in order; then copies of the last up to the smallest size that holds them."""
    images = [np.full((2, 3, 3), value, np.uint8) for value in range(count)]
    batch = assemble(images, sorted(sizes))
    expected = min((size for size in sizes if size >= count), default=count)
    assert [int(row[0, 0, 0]) for row in batch] == [*range(count), *[count - 1] * (expected - count)]


def test_images_of_different_sizes_are_no_batch() -> None:
    """Images of different sizes cannot be one array, and none is broadcast to another's size."""
    with pytest.raises(ValueError, match="shape"):
        assemble([np.zeros((2, 2, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)], (4,))
