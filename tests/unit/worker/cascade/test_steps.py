"""A detector's best box becomes the outcome of its step, whatever its numbers count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.cascade.crop import encoded
from worker.cascade.definition import Boxes, Step, Units
from worker.cascade.steps import BoxesStep, Detections
from worker.errors import ModelError
from worker.images.decode import ImageSize
from worker.system.loop_threads import LoopThreads

IMAGE = encoded(np.zeros((20, 40, 3), np.uint8))


class Finding:
    """A detector that always finds the same, in any image."""

    def __init__(self, outputs: dict[str, Any], size: ImageSize | None = None) -> None:
        self._found = Detections(outputs, size)

    async def detect(self, image: bytes, *, deadline_s: float) -> Detections:
        assert image == IMAGE
        return self._found


async def box_of(units: Units, sides: list[float], *, score: float = 0.9, size: ImageSize | None = None) -> Any:
    """The box of a step whose detector finds these sides."""
    boxes = Boxes(units=units)
    finding = Finding({"boxes": [[sides]], "scores": [[score]]}, size)
    decoding = LoopThreads(1, name="decode")
    step = BoxesStep(Step("find", service="finder", boxes=boxes), boxes, finding, decoding=decoding, max_pixels=1000)
    try:
        outcome = await step.run(IMAGE, deadline_s=0.0)
    finally:
        decoding.close()
    assert outcome.status == "ran"
    return outcome.box


async def test_a_box_in_parts_and_in_pixels() -> None:
    """Pixels are those of the image, or of the size in which the detector saw it."""
    part = (0.25, 0.5, 0.75, 1.0)
    assert await box_of("fraction", [0.25, 0.5, 0.75, 1.0]) == part
    assert await box_of("pixels", [10, 10, 30, 20]) == part
    assert await box_of("pixels", [8, 32, 24, 64], size=ImageSize(64, 32)) == part


async def test_a_box_below_the_least_score_is_none() -> None:
    """The step ran and has found nothing."""
    assert await box_of("fraction", [0, 0, 1, 1], score=0.4) is None


async def test_other_outputs_name_the_step_and_the_service() -> None:
    """What is not a box is the detector's fault."""
    with pytest.raises(ModelError, match=r"^Step find: finder does not answer with the outputs boxes"):
        await box_of("fraction", [0, 0, 1])
