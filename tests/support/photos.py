"""Real photographs for tests, as the bytes of image files: two from scikit-image, two from scikit-learn.

chelsea (a tabby cat, 451 x 300, CC0), coffee (an espresso, 600 x 400, CC0), china (a palace, 640 x 427,
CC BY) and flower (a daisy-like dahlia, 640 x 427, CC BY).
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def chelsea_jpeg() -> bytes:
    """A cat, about 35 kB."""
    return jpeg(chelsea())


def coffee_jpeg() -> bytes:
    """An espresso."""
    return jpeg(coffee())


def china_jpeg() -> bytes:
    """A palace."""
    return jpeg(china())


def flower_jpeg() -> bytes:
    """A daisy, ImageNet's models think."""
    return jpeg(flower())


@cache
def chelsea() -> NDArray[np.uint8]:
    """The cat's pixels, uint8 [300, 451, 3]."""
    from skimage import data

    return np.asarray(data.chelsea(), dtype=np.uint8)


@cache
def coffee() -> NDArray[np.uint8]:
    """The espresso's pixels, uint8 [400, 600, 3]."""
    from skimage import data

    return np.asarray(data.coffee(), dtype=np.uint8)


@cache
def china() -> NDArray[np.uint8]:
    """The palace's pixels, uint8 [427, 640, 3]."""
    return _sample("china.jpg")


@cache
def flower() -> NDArray[np.uint8]:
    """The daisy's pixels, uint8 [427, 640, 3]."""
    return _sample("flower.jpg")


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode RGB or grey pixels as a JPEG of quality 90."""
    return encode(Image.fromarray(pixels), "JPEG", quality=90)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode with Pillow: `kind` is its name of the format, `options` are the format's."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _sample(name: str) -> NDArray[np.uint8]:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image(name), dtype=np.uint8)
