"""Asks services, whose workers the client library finds, and makes a step's outcome of what a detector finds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from p2pclient import AsyncClient
from p2pclient.errors import (
    AuthenticationError,
    BadInput,
    DeadlineExceeded,
    ImageTooLarge,
    P2PError,
    ProtocolError,
    UnknownService,
)
from worker.cascade.boxes import best_box, part_of_image
from worker.cascade.definition import Boxes, Step
from worker.cascade.schedule import Outcome
from worker.cascade.step_labels import StepLabels
from worker.errors import BadRequest, Busy, DeadlinePassed, ModelError, NotAnImage, TooLarge, WorkerError
from worker.images.decode import ImageSize, upright_size
from worker.system.loop_threads import LoopThreads

RETRY_AFTER_S = 1.0
"""After how many seconds a caller may ask again when a step's service has no worker to answer."""

INPUT = "image"
"""The name of the input that takes an encoded image, over the Open Inference Protocol."""


class StepRunner(Protocol):
    """Asks one step's question."""

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """What it says of an encoded image, by `deadline_s` (monotonic). Raises WorkerError."""
        ...


class LabelsStep:
    """A service that answers with labels."""

    def __init__(self, step: Step, client: AsyncClient) -> None:
        self._step = step
        self._client = client
        self._labels = StepLabels(step)

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """See `StepRunner.run`."""
        step = self._step
        with _translated(step):
            answer = await self._client.classify(
                image, top=step.top, service=step.service, timeout_s=_left_s(deadline_s)
            )
        names, scores = zip(*answer.labels, strict=True)
        merged = self._labels.merged(names, np.array(scores, np.float32))
        return Outcome("ran", self._labels.names, merged, complete=len(names) < step.top)


@dataclass(frozen=True, slots=True)
class Detections:
    """A detector's outputs by name, for one image, and the size in which it saw that image; None: its own."""

    outputs: Mapping[str, Any]
    size: ImageSize | None = None


class Detector(Protocol):
    """Finds boxes, whether it is a service or a model in this process."""

    async def detect(self, image: bytes, *, deadline_s: float) -> Detections:
        """What it finds in an encoded image, by `deadline_s` (monotonic). Raises WorkerError."""
        ...


class ServiceDetector:
    """A service that answers with boxes and their scores, over the Open Inference Protocol."""

    def __init__(self, step: Step, boxes: Boxes, client: AsyncClient) -> None:
        self._step = step
        self._boxes = boxes
        self._client = client

    async def detect(self, image: bytes, *, deadline_s: float) -> Detections:
        """See `Detector.detect`."""
        with _translated(self._step):
            answer = await self._client.predict(
                {INPUT: [image]},
                outputs=(self._boxes.boxes, self._boxes.scores),
                service=self._step.service,
                timeout_s=_left_s(deadline_s),
            )
        return Detections(answer.outputs)


class BoxesStep:
    """A detector that is asked for boxes; the best one is the step's outcome."""

    def __init__(self, step: Step, boxes: Boxes, detector: Detector, *, decoding: LoopThreads, max_pixels: int) -> None:
        self._decoding = decoding
        self._name = f"Step {step.name}: {step.service or step.model}"
        self._boxes = boxes
        self._detector = detector
        self._max_pixels = max_pixels

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """See `StepRunner.run`."""
        found = await self._detector.detect(image, deadline_s=deadline_s)
        box = best_box(found.outputs, self._boxes, detector=self._name)
        if box is None:
            return Outcome("ran")
        if self._boxes.units == "fraction":
            return Outcome("ran", box=part_of_image(box))
        if found.size is not None:
            return Outcome("ran", box=part_of_image(box, width=found.size.width, height=found.size.height))
        width, height = await self._decoding.submit(partial(upright_size, image, max_pixels=self._max_pixels))
        return Outcome("ran", box=part_of_image(box, width=width, height=height))


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0 or not math.isfinite(left_s):
        raise DeadlineExceeded("the time given to the step ran out before it began")
    return left_s


@contextmanager
def _translated(step: Step) -> Iterator[None]:
    """The client's errors become a worker's, with the step's name."""
    try:
        yield
    except P2PError as error:
        raise _worker_error(step, error) from error


def _worker_error(step: Step, error: P2PError) -> WorkerError:
    sentence = f"Step {step.name} ({step.service}): {error}"
    match error:
        case ImageTooLarge():
            return TooLarge(sentence)
        case BadInput(status=415):
            return NotAnImage(sentence)
        case BadInput():
            return BadRequest(sentence)
        case DeadlineExceeded():
            return DeadlinePassed(sentence)
        case UnknownService() | AuthenticationError() | ProtocolError():
            return ModelError(sentence)
    return Busy(sentence, retry_after_s=RETRY_AFTER_S)
