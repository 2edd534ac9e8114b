"""Near-duplicates are found whatever their size and compression, and other photos are not taken for them."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.photos import chelsea, china, coffee, flower
from worker.images.decode import ImageSize, decode
from worker.training.photos.fingerprint import FINGERPRINT_BYTES, fingerprint, near_duplicates

SIZE = ImageSize(224, 224, "crop", "bicubic")


def seen(pixels: NDArray[np.uint8], *, quality: int = 90, scale: float = 1.0) -> bytes:
    """The fingerprint of a photo that is saved so."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)
    image.save(file, "JPEG", quality=quality)
    return fingerprint(decode(file.getvalue(), size=SIZE, max_pixels=10_000_000))


def test_another_size_and_compression_are_near_duplicates() -> None:
    """The same photo at half the size and at quality 40 is found; four different photos are not alike."""
    photos = [chelsea(), coffee(), china(), flower()]
    prints = [seen(photo) for photo in photos]
    prints += [seen(photo, quality=40, scale=0.5) for photo in photos]
    assert all(len(each) == FINGERPRINT_BYTES for each in prints)
    assert near_duplicates(prints) == [(n, n + 4) for n in range(4)]


def test_brightness_may_differ_a_little() -> None:
    """A photo that was made 1 % brighter is a near-duplicate; a mirrored one is none."""
    brighter = np.minimum(coffee() * 1.01, 255).astype(np.uint8)
    mirrored = np.ascontiguousarray(coffee()[:, ::-1])
    assert near_duplicates([seen(coffee()), seen(brighter), seen(mirrored)]) == [(0, 1)]


def test_images_without_contrast_are_alike_only_if_equal() -> None:
    """Of a plain colour nothing else is known: grey and nearly grey are two, and so are noise and noise."""
    grey, other = np.full((224, 224, 3), 128, np.uint8), np.full((224, 224, 3), 129, np.uint8)
    noise = [np.random.default_rng(n).integers(0, 256, (224, 224, 3), np.uint8) for n in range(2)]
    prints = [fingerprint(pixels) for pixels in (grey, grey.copy(), other, *noise)]
    assert near_duplicates(prints) == [(0, 1)]
    assert near_duplicates(prints[:1]) == []
