"""An adapter cuts and fills batches for its framework."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.engines.adapter import EngineAdapter
from worker.engines.base import InputSpec
from worker.engines.sample_images import sample_images
from worker.errors import ModelError
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


def test_a_batch_is_uploaded_unless_it_is_cut_or_the_model_is_closed() -> None:
    """A closed model is let go, also while somebody still has the function that uploads."""

    class Network:
        def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            return np.stack(images).mean((1, 2)).astype(np.float32)

        def upload(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.uint8]]:
            return [*images, images[-1]]

    network = Network()
    spec = InputSpec(ImageSize(6, 6))
    engine = EngineAdapter(network, spec, name="x", platform="x", upload=network.upload)
    upload = engine.upload
    assert upload is not None
    assert len(upload(sample_images(spec, 2))) == 3
    engine.input = replace(spec, batch=1)
    assert engine.upload is None
    alive = weakref.ref(network)
    engine.close()
    del network
    assert alive() is None
    with pytest.raises(ModelError, match="closed"):
        upload(sample_images(spec, 1))
