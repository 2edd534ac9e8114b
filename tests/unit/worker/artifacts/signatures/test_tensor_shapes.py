"""Which models classify images, by the shapes of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from worker.artifacts.signatures.tensor_shapes import Entry, classifies_images

IMAGE, GREY, ANY, ROW, TEXT = Entry("i", 4), Entry("g", 3), Entry("a", None), Entry("r", 2), Entry("t", 1, encoded=True)
SCORES, LABEL = Entry("s", 2), Entry("l", 1, scores=False)


@pytest.mark.parametrize(
    ("inputs", "outputs", "classifies"),
    [
        ([IMAGE], [SCORES], True),
        ([GREY], [SCORES], True),
        ([ANY], [SCORES], True),
        ([TEXT], [SCORES], True),  # image files
        ([IMAGE], [LABEL, SCORES], True),  # as converters of scikit-learn write them
        ([ROW], [SCORES], False),
        ([ROW], [LABEL, SCORES], False),
        ([IMAGE, ROW], [SCORES], False),
        ([IMAGE, IMAGE], [SCORES], False),
        ([IMAGE], [SCORES, SCORES], False),
    ],
)
def test_one_image_in_and_one_vector_of_scores_out(
    inputs: Sequence[Entry], outputs: Sequence[Entry], classifies: bool
) -> None:
    """All else are tensors."""
    assert classifies_images(inputs, outputs) == classifies
