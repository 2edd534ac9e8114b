"""A cascade as every protocol sees a model: encoded images in, scores of the cascade's labels out, in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.security.permission import UNLIMITED, Permission
from worker.batching.queue import Image, Scores
from worker.cascade.combine import answered_labels, combined
from worker.cascade.crop import encoded
from worker.cascade.definition import Definition
from worker.cascade.label_positions import LabelPositions
from worker.cascade.run import CascadeRun
from worker.cascade.schedule import Outcome
from worker.engines.base import InputSpec, SingleStream
from worker.errors import Busy, DeadlinePassed, ModelError
from worker.inference.model import Model
from worker.telemetry.metrics import CascadeMetrics, ModelMetrics
from worker.telemetry.step_timings import StepTiming, begin_timings

VERSION = "1"
"""A cascade's version: its file is read at the start; what its steps serve has versions of its own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Images of a cascade that may be under way, seconds that a request may take, and pixels that an image may have."""

    images: int
    deadline_s: float
    max_pixels: int


class CascadePredictor:
    """A cascade whose steps have answered once, with the labels that each of them then gave."""

    def __init__(
        self,
        name: str,
        definition: Definition,
        run: CascadeRun,
        limits: Limits,
        *,
        numbers: ModelMetrics,
        steps: CascadeMetrics,
    ) -> None:
        self.model = Model(name, VERSION, (), CascadeEngine(()), limits.max_pixels)
        self.numbers = numbers
        self.under_way = 0
        self._definition = definition
        self._run = run
        self._limits = limits
        self._steps = steps
        self._step_labels: dict[str, tuple[str, ...]] = dict.fromkeys(definition.answer.steps, ())
        self._positions = LabelPositions(())

    @property
    def crowded(self) -> bool:
        """Whether nearly as many images are under way as may be."""
        return self.under_way >= 0.9 * self._limits.images

    def deadline_s(self, timeout_s: float | None) -> float:
        """See `ImagePredictor.deadline_s`."""
        most_s = self._limits.deadline_s
        return time.monotonic() + (most_s if timeout_s is None else min(most_s, timeout_s))

    def receiving(self, *, deadline_s: float, permission: Permission = UNLIMITED) -> AbstractContextManager[object]:
        """See `ImagePredictor.receiving`."""
        self._admit(1)
        return self.numbers.stage("receive")

    async def predict(
        self, images: Sequence[bytes], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """See `ImagePredictor.predict`: each image goes through the steps by itself, all at the same time.

        In the queues of the steps' models the images of all its callers wait as those of one caller without a name.
        """
        if permission.places is not None:
            permission.places.hold(len(images))
        self._admit(len(images))
        self.under_way += len(images)
        timings = begin_timings()
        try:
            if len(images) == 1:
                found = [await self._outcomes(images[0], deadline_s, timings)]
            else:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._outcomes(image, deadline_s, timings)) for image in images]
                found = [task.result() for task in tasks]
        finally:
            self.under_way -= len(images)
        for outcomes in found:
            self.learn(outcomes)
        return [combined(self._definition.answer, outcomes, self._positions) for outcomes in found]

    async def predict_arrays(
        self, images: Sequence[Image], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """See `ImagePredictor.predict_arrays`: the steps get the pixels as PNG, each in its own size."""
        self._admit(len(images))
        files = [await asyncio.to_thread(encoded, image) for image in images]
        return await self.predict(files, deadline_s=deadline_s, permission=permission)

    def learn(self, outcomes: Mapping[str, Outcome]) -> None:
        """Add labels that are new: of a step that runs for the first time, or of a new version of its model."""
        new = {
            name: outcomes[name].labels
            for name in self._step_labels
            if outcomes[name].status == "ran" and len(outcomes[name].labels) > len(self._step_labels[name])
        }
        if not new:
            return
        self._step_labels |= new
        known = dict.fromkeys((*self.model.labels, *answered_labels(self._definition.answer, self._step_labels)))
        labels = tuple(known)
        self._positions = LabelPositions(labels)
        self.model = replace(self.model, labels=labels, engine=CascadeEngine(labels))

    def describe(self) -> dict[str, Any]:
        """See `ImagePredictor.describe`."""
        described = {key: value for key, value in self.model.describe().items() if key not in ("name", "version")}
        steps = [
            {"name": step.name, "service": step.service, "model": step.model and str(step.model)}
            for step in self._definition.steps
        ]
        return described | {"steps": steps, "under_way": self.under_way}

    def _admit(self, images: int) -> None:
        if self.under_way + images > self._limits.images:
            self.numbers.rejected("queue", images)
            raise Busy("This worker is busy and its queue is full: ask for another one.", retry_after_s=1.0)

    async def _outcomes(self, image: bytes, deadline_s: float, timings: list[StepTiming]) -> Mapping[str, Outcome]:
        def told(step: str, status: str, took_s: float) -> None:
            timings.append(StepTiming(step, status, took_s))
            self._steps.told(step, status, took_s)

        try:
            return await self._run.run(image, deadline_s=deadline_s, told=told)
        except TimeoutError:
            self.numbers.rejected("expired")
            raise DeadlinePassed("The deadline passed before the cascade's steps had answered.") from None


class CascadeEngine(SingleStream):
    """What a cascade is in the place of an engine: it takes images of any size, and only its steps predict."""

    name = "cascade"
    platform = "cascade"
    device = "cpu"
    fixed_batches: tuple[int, ...] | None = None
    input = InputSpec(size=None)

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.classes = len(labels)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Always raises ModelError: the steps' own batchers predict."""
        raise ModelError("A cascade predicts nothing itself.")

    def close(self) -> None:
        """Nothing to give back."""
