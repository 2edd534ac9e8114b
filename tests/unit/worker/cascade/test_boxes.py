"""A detector's outputs become the best box, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worker.cascade.boxes import best_box, part_of_image
from worker.cascade.definition import Boxes
from worker.errors import ModelError

SIDES = st.floats(-1e6, 1e6)
SCORES = st.floats(0, 1)


@given(st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES, SCORES), max_size=8), SCORES, st.booleans())
def test_the_best_box_is_the_first_with_the_highest_score(
    found: list[tuple[float, ...]], least: float, in_front: bool
) -> None:
    """None where no score reaches the least one; an axis for the image in front changes nothing."""
    boxes = np.array([row[:4] for row in found], np.float64).reshape(-1, 4)
    scores = np.array([row[4] for row in found], np.float64)
    outputs = (
        {"boxes": boxes[np.newaxis], "scores": scores[np.newaxis]} if in_front else {"boxes": boxes, "scores": scores}
    )
    best = best_box(outputs, Boxes(least_score=least), detector="Step find: d.py")
    highest = max((row[4] for row in found), default=-1.0)
    if highest < least:
        assert best is None
    else:
        assert best is not None
        assert best.tolist() == list(next(row[:4] for row in found if row[4] == highest))


@given(st.tuples(SIDES, SIDES, SIDES, SIDES), st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_box_becomes_a_part_of_the_image(box: tuple[float, ...], width: int, height: int) -> None:
    """Its sides are in order and inside; the same box in pixels and in parts is the same part."""
    left, top, right, bottom = part = part_of_image(box)
    assert 0 <= left <= right <= 1
    assert 0 <= top <= bottom <= 1
    pixels = np.array(box) * (width, height, width, height)
    assert part_of_image(pixels, width=width, height=height) == pytest.approx(part)


GOOD: dict[str, Any] = {"boxes": np.zeros((2, 4)), "scores": np.ones(2)}


@pytest.mark.parametrize(
    "changed",
    [
        {"boxes": np.zeros((4, 2))},
        {"boxes": np.zeros(8)},
        {"boxes": np.zeros((2, 3))},
        {"boxes": np.zeros((3, 4))},
        {"boxes": np.full((2, 4), np.nan)},
        {"boxes": np.full((2, 4), np.inf)},
        {"boxes": np.full((2, 4), b"left", object)},
        {"boxes": np.full((2, 4), None, object)},
        {"scores": np.ones((2, 2))},
        {"scores": np.array([1.0, np.nan])},
    ],
    ids=lambda changed: f"{next(iter(changed))} {np.shape(next(iter(changed.values())))}",
)
def test_other_outputs_are_refused(changed: dict[str, Any]) -> None:
    """The sentence names the detector, and the outputs that are missing."""
    with pytest.raises(ModelError, match=r"^Step find: d\.py does not answer .* boxes \[n, 4\] and scores \[n\]"):
        best_box(GOOD | changed, Boxes(), detector="Step find: d.py")


def test_outputs_are_found_by_the_names_of_the_definition() -> None:
    """Outputs of other names are none."""
    wanted = Boxes(boxes="places", scores="confidence")
    outputs = {"places": [[[1, 2, 3, 4]]], "confidence": [[0.5]]}
    best = best_box(outputs, wanted, detector="d")
    assert best is not None
    assert best.tolist() == [1, 2, 3, 4]
    with pytest.raises(ModelError, match=r"places \[n, 4\] and confidence \[n\]"):
        best_box(GOOD, wanted, detector="d")


@given(
    st.dictionaries(
        st.sampled_from(["boxes", "scores"]),
        arrays.arrays(
            st.sampled_from([np.dtype(np.float32), np.dtype(np.int64), np.dtype("S3"), np.dtype("U3")]),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
    )
)
def test_any_outputs_are_boxes_or_refused(outputs: dict[str, Any]) -> None:
    """No outputs raise anything but ModelError, and a box has four finite numbers."""
    try:
        best = best_box(outputs, Boxes(), detector="d")
    except ModelError:
        return
    assert best is None or (best.shape == (4,) and np.isfinite(best).all())
