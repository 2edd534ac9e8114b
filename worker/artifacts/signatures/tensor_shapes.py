"""The inputs and outputs of a model as far as they decide whether it takes images. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

IMAGE_RANKS = (3, 4)
"""[n, height, width] of grey images and [n, height, width, 3] of coloured ones, in either order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An input or output: `rank` counts its axes, None where it has any number of them.

    scores: it may hold scores; encoded: it takes texts, which may be image files
    """

    name: str
    rank: int | None
    scores: bool = True
    encoded: bool = False


def classifies_images(inputs: Sequence[Entry], outputs: Sequence[Entry]) -> bool:
    """Whether a model has one input that can be images, and one output that can be their scores."""
    if len(inputs) != 1:
        return False
    (entry,) = inputs
    if not entry.encoded and entry.rank is not None and entry.rank not in IMAGE_RANKS:
        return False
    return len(outputs) == 1 or sum(output.scores for output in outputs) == 1
