"""A tensor of numbers from a request -> images as the model's engine takes them: uint8 [height, width, 3]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.batching.queue import Image
from worker.errors import BadRequest, TooLarge
from worker.inference.load_model import AnyModel


def whole_pixels(values: Any, *, where: str) -> Image:
    """Numbers (an array, or nested lists) as uint8, a copy of their own.

    Whole numbers from 0 to 255 are taken, written as 7 or 7.0. Any other number means that the caller has scaled
    the pixels already; the worker scales them itself, and guessing the caller's scale could give wrong scores
    without an error. Raises BadRequest for those, and for anything but an array of numbers.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # ragged, or nested deeper than numpy goes
        raise BadRequest(f"{where} is not a tensor: its rows differ in length.") from None
    if array.dtype.kind not in "iuf":
        raise BadRequest(f"{where} must hold numbers: pixels from 0 to 255.")
    if array.dtype != np.uint8 and not _are_bytes(array):
        raise BadRequest(
            f"{where} must hold whole numbers from 0 to 255: send the pixels unscaled, or the encoded image; "
            "the model's own scaling is applied here."
        )
    return array.astype(np.uint8)


def fitting(shape: Sequence[int], *, model: AnyModel, where: str) -> None:
    """Raise BadRequest unless an image of this shape can go to the model; TooLarge above its limit of pixels."""
    size = model.input.size
    wanted = f"[{size.height}, {size.width}, 3]" if size else "[height, width, 3]"
    fits = len(shape) == 3 and shape[2] == 3 and min(shape) > 0
    if not fits or (size is not None and tuple(shape[:2]) != (size.height, size.width)):
        raise BadRequest(
            f"{where} has the shape {list(shape)}, and this model takes {wanted}: send that, or the encoded image, "
            "which is brought to size here."
        )
    if shape[0] * shape[1] > model.max_pixels:
        raise TooLarge(f"{where} has more than {model.max_pixels} pixels: send it smaller, or raise --max-pixels.")


def _are_bytes(array: NDArray[Any]) -> bool:
    if not array.size:
        return True
    if not (array.min() >= 0 and array.max() <= 255):  # NaN is neither
        return False
    return array.dtype.kind != "f" or bool((np.floor(array) == array).all())
