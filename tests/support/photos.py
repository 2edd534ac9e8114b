"""Real photographs for tests, as the bytes of image files: two from scikit-image, two from scikit-learn.

chelsea (a tabby cat, 451 x 300, CC0), coffee (an espresso, 600 x 400, CC0), china (a palace, 640 x 427,
CC BY) and flower (a daisy-like dahlia, 640 x 427, CC BY).

They are loaded and encoded in a thread, for which the caller waits: a test that is the first in its process to ask for
one does not compute in its event loop (`callback_check`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(thread_name_prefix="photos")


def _in_thread(function: Callable[P, T]) -> Callable[P, T]:
    @wraps(function)
    def run(*arguments: P.args, **options: P.kwargs) -> T:
        return _threads.submit(function, *arguments, **options).result()

    return run


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
@_in_thread
def chelsea() -> NDArray[np.uint8]:
    """The cat's pixels, uint8 [300, 451, 3]."""
    from skimage import data

    return np.asarray(data.chelsea(), dtype=np.uint8)


@cache
@_in_thread
def coffee() -> NDArray[np.uint8]:
    """The espresso's pixels, uint8 [400, 600, 3]."""
    from skimage import data

    return np.asarray(data.coffee(), dtype=np.uint8)


@cache
@_in_thread
def china() -> NDArray[np.uint8]:
    """The palace's pixels, uint8 [427, 640, 3]."""
    return _sample("china.jpg")


@cache
@_in_thread
def flower() -> NDArray[np.uint8]:
    """The daisy's pixels, uint8 [427, 640, 3]."""
    return _sample("flower.jpg")


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode RGB or grey pixels as a JPEG of quality 90."""
    return encode(Image.fromarray(pixels), "JPEG", quality=90)


@_in_thread
def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode with Pillow: `kind` is its name of the format, `options` are the format's."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _sample(name: str) -> NDArray[np.uint8]:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image(name), dtype=np.uint8)
