"""The outputs of a detector for one image -> the best box, as parts of the image. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.cascade.definition import Boxes
from worker.errors import ModelError

Box = tuple[float, float, float, float]
"""left, top, right, bottom: parts of the image's width and height, from 0 to 1."""


def best_box(outputs: Mapping[str, Any], wanted: Boxes, *, detector: str) -> NDArray[np.float64] | None:
    """The box [4] with the highest score, in `wanted.units`; None where no score reaches `wanted.least_score`.

    Of boxes with the same score the first counts. Raises ModelError, whose sentence begins with `detector`, for outputs
    that are not boxes [n, 4] and scores [n], with or without an axis of length 1 for the image in front.
    """
    try:
        boxes = np.asarray(outputs[wanted.boxes], np.float64)
        scores = np.asarray(outputs[wanted.scores], np.float64).reshape(-1)
        rows = boxes.reshape(-1, 4)
    except (KeyError, TypeError, ValueError):
        raise _not_boxes(wanted, detector) from None
    in_fours = boxes.ndim > 1 and boxes.shape[-1] == 4
    if len(rows) != len(scores) or (len(rows) and not in_fours):
        raise _not_boxes(wanted, detector)
    if not (np.isfinite(rows).all() and np.isfinite(scores).all()):
        raise _not_boxes(wanted, detector)
    if not scores.size or scores.max() < wanted.least_score:
        return None
    best: NDArray[np.float64] = rows[int(scores.argmax())]
    return best


def part_of_image(box: Sequence[float] | NDArray[np.float64], *, width: float = 1, height: float = 1) -> Box:
    """The part of a box that lies in an image, its sides in order; the box counts in parts or pixels of this size."""
    across, down = sorted((box[0], box[2])), sorted((box[1], box[3]))
    return _inside(across[0] / width), _inside(down[0] / height), _inside(across[1] / width), _inside(down[1] / height)


def _inside(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def _not_boxes(wanted: Boxes, detector: str) -> ModelError:
    return ModelError(
        f"{detector} does not answer with the outputs {wanted.boxes} [n, 4] and {wanted.scores} [n], finite numbers."
    )
