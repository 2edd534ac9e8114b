"""An adapter cuts and fills batches for its framework."""

from __future__ import annotations

import numpy as np

from worker.engines.adapter import EngineAdapter
from worker.engines.base import InputSpec
from worker.engines.sample_images import sample_images
from worker.images.decode import ImageSize


def test_batches_of_a_fixed_size_are_filled_up() -> None:
    """A model that takes 4 images at a time gets 4, whatever the number of images, and each gets its own answer."""
    sizes: list[int] = []

    def run(images: object) -> object:
        stack = np.stack(images)  # type: ignore[call-overload]  # a list of arrays
        sizes.append(len(stack))
        return np.stack([stack.mean((1, 2, 3)), stack.max((1, 2, 3))], axis=1)

    spec = InputSpec(ImageSize(6, 6), batch=4)
    engine = EngineAdapter(run, spec, name="x", platform="x")  # type: ignore[arg-type]  # loosely typed on purpose
    images = sample_images(spec, 6)
    found = engine.predict(images)
    assert sizes == [4, 4, 4]
    assert np.allclose(found[:, 0], [image.mean() for image in images])
