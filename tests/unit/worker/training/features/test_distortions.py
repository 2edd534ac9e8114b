"""Distorted variants follow from the photo, the number and the seed, and change what was asked for."""

from __future__ import annotations

import numpy as np

from tests.support.photos import chelsea
from worker.images.decode import ImageSize
from worker.training.features.distortions import Distortions

SIZE = ImageSize(64, 64, "crop", "bicubic")
DIGEST, OTHER = "0123456789abcdef00", "fedcba987654321000"


def test_variants_repeat_and_differ() -> None:
    """The same photo, number and seed give the same pixels; another number or seed others."""
    all_of_them = Distortions(flip=True, crop=20, scale=20, brightness=20)
    first = all_of_them.apply(chelsea(), SIZE, DIGEST)
    assert first.shape == (64, 64, 3)
    assert np.array_equal(first, all_of_them.numbered(0).apply(chelsea(), SIZE, DIGEST))
    others = [all_of_them.numbered(1), Distortions(True, 20, 20, 20, seed=1)]
    assert all((other.apply(chelsea(), SIZE, DIGEST) != first).any() for other in others)


def test_each_does_what_it_says() -> None:
    """Mirroring only mirrors, brightness only changes brightness, and without any nothing is random."""
    plain = Distortions().apply(chelsea(), SIZE, DIGEST)
    assert not Distortions().any
    assert np.array_equal(plain, Distortions(seed=5).apply(chelsea(), SIZE, OTHER))
    variants = [Distortions(flip=True, variant=n).apply(chelsea(), SIZE, DIGEST) for n in range(8)]
    same = [np.array_equal(each, plain) for each in variants]
    mirrored = [np.array_equal(each[:, ::-1], plain) for each in variants]
    assert [one != other for one, other in zip(same, mirrored, strict=True)] == [True] * 8
    assert any(same)
    assert any(mirrored)
    dark = Distortions(brightness=50).apply(chelsea(), SIZE, DIGEST).astype(float)
    assert np.corrcoef(dark.ravel(), plain.ravel())[0, 1] > 0.98
    assert Distortions(crop=50).apply(chelsea(), SIZE, DIGEST).shape == (64, 64, 3)
