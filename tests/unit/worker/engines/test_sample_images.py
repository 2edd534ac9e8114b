"""Sample images look like photographs."""

from __future__ import annotations

import numpy as np

from worker.engines.base import InputSpec
from worker.engines.sample_images import sample_images
from worker.images.decode import ImageSize


def test_warm_up_pictures_have_structure() -> None:
    """Neighbouring pixels are alike, as in photographs, every picture is another, and all are the same each time."""
    first, second = sample_images(InputSpec(ImageSize(64, 48)), 2)
    assert first.shape == (64, 48, 3)
    assert (first != second).any()
    assert (first == sample_images(InputSpec(ImageSize(64, 48)), 1)[0]).all()
    steps = np.abs(np.diff(first.astype(int), axis=0)).mean()
    assert steps < first.std() / 2
    assert first.std() > 20
