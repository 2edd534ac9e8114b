"""Asks what a step of a cascade asks: a model in this process, or a service whose workers the client library finds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from worker.cascade.crop import Box, size_of
from worker.cascade.definition import Boxes, Step
from worker.cascade.schedule import Outcome
from worker.cascade.step_labels import StepLabels
from worker.errors import BadRequest, Busy, DeadlinePassed, ModelError, NotAnImage, TooLarge, WorkerError
from worker.inference.image_predictor import ImagePredictor

RETRY_AFTER_S = 1.0
"""After how many seconds a caller may ask again when a step's service has no worker to answer."""

INPUT = "image"
"""The name of the input that takes an encoded image, over the Open Inference Protocol."""


class StepRunner(Protocol):
    """Asks one step's question."""

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """What it says of an encoded image, by `deadline_s` (monotonic). Raises WorkerError."""
        ...


class ModelStep:
    """A model in this process; `current` is the predictor of the version that it serves now."""

    def __init__(self, step: Step, current: CurrentModel) -> None:
        self._current = current
        self._labels = StepLabels(step)

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """See `StepRunner.run`; it waits for a batch as any image does."""
        predictor = self._current()
        (scores,) = await predictor.predict([image], deadline_s=deadline_s)
        merged = self._labels.merged(predictor.model.labels, scores)
        return Outcome("ran", self._labels.names, merged)


class CurrentModel(Protocol):
    """The predictor of the version that answers now."""

    def __call__(self) -> ImagePredictor:
        """It. Raises Busy before one is loaded."""
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
        return Outcome("ran", self._labels.names, merged)


class BoxesStep:
    """A service that answers with boxes and their scores, over the Open Inference Protocol."""

    def __init__(self, step: Step, boxes: Boxes, client: AsyncClient, *, max_pixels: int) -> None:
        self._step = step
        self._boxes = boxes
        self._client = client
        self._max_pixels = max_pixels

    async def run(self, image: bytes, *, deadline_s: float) -> Outcome:
        """See `StepRunner.run`."""
        wanted = self._boxes
        with _translated(self._step):
            answer = await self._client.predict(
                {INPUT: [image]},
                outputs=(wanted.boxes, wanted.scores),
                service=self._step.service,
                timeout_s=_left_s(deadline_s),
            )
        boxes, scores = self._read(answer.outputs)
        if not scores.size or scores.max() < wanted.least_score:
            return Outcome("ran")
        box = boxes[int(scores.argmax())]
        if wanted.units == "pixels":
            width, height = await asyncio.to_thread(size_of, image, max_pixels=self._max_pixels)
            box = box / np.array([width, height, width, height])
        return Outcome("ran", box=_inside(box))

    def _read(self, outputs: Any) -> tuple[Any, Any]:
        """Boxes [n, 4] and scores [n] of one image. Raises ModelError for anything else."""
        try:
            boxes = np.asarray(outputs[self._boxes.boxes], np.float64).reshape(-1, 4)
            scores = np.asarray(outputs[self._boxes.scores], np.float64).reshape(-1)
        except (KeyError, ValueError):
            boxes, scores = np.empty((0, 4)), np.empty(1)
        if len(boxes) != len(scores) or not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ModelError(
                f"Step {self._step.name}: {self._step.service} does not answer with the outputs {self._boxes.boxes} "
                f"[n, 4] and {self._boxes.scores} [n]."
            )
        return boxes, scores


def _inside(box: Sequence[float]) -> Box:
    """The part of a box that lies in the image, its sides in order."""
    across, down = sorted((box[0], box[2])), sorted((box[1], box[3]))
    left, top, right, bottom = (min(1.0, max(0.0, float(value))) for value in (across[0], down[0], across[1], down[1]))
    return left, top, right, bottom


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
