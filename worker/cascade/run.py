"""Runs the steps of a cascade for one image: each as soon as what it needs is known, several at the same time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from worker.cascade.crop import cropped
from worker.cascade.definition import Definition, Step
from worker.cascade.schedule import FAILED, SKIPPED, Outcome, decide, step_deadline_s, time_after
from worker.cascade.steps import StepRunner
from worker.errors import BadRequest, NotAnImage, TooLarge, WorkerError
from worker.system.loop_threads import LoopThreads
from worker.telemetry.step_spans import step_span

logger = logging.getLogger(__name__)

Told = Callable[[str, str, float], None]
"""Is told of each step: its name, what became of it, and the seconds that it took."""


class CascadeRun:
    """The steps of a cascade, each with what asks its question. `run` may be called for many images at a time."""

    def __init__(
        self, definition: Definition, runners: Mapping[str, StepRunner], *, decoding: LoopThreads, max_pixels: int
    ) -> None:
        self._decoding = decoding
        self._definition = definition
        self._runners = runners
        self._max_pixels = max_pixels
        self._after = time_after(definition)

    async def run(self, image: bytes, *, deadline_s: float, told: Told) -> Mapping[str, Outcome]:
        """What became of each step. Raises the WorkerError of a step that failed and is not optional."""
        outcomes: dict[str, Outcome] = {}
        waiting = list(self._definition.steps)
        try:
            async with asyncio.TaskGroup() as group:

                def advance() -> None:
                    for step in tuple(waiting):  # in their order, so that one pass skips all that follows from a skip
                        decision = decide(step, outcomes)
                        if decision == "wait":
                            continue
                        waiting.remove(step)
                        if decision == "skip":
                            outcomes[step.name] = SKIPPED
                            told(step.name, "skipped", 0.0)
                        else:
                            group.create_task(finish(step))

                async def finish(step: Step) -> None:
                    with step_span(step.name):
                        outcomes[step.name] = await self._outcome(step, image, outcomes, deadline_s, told)
                    advance()

                advance()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return outcomes

    async def _outcome(
        self, step: Step, image: bytes, outcomes: Mapping[str, Outcome], deadline_s: float, told: Told
    ) -> Outcome:
        """What became of one step that is to run; a failure only if it is optional."""
        began_s = time.monotonic()
        ends_s = step_deadline_s(step, after=self._after[step.name], now_s=began_s, deadline_s=deadline_s)
        try:
            box = outcomes[step.crop].box if step.crop is not None else None
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + ends_s - began_s):
                if box is not None:
                    image = await self._decoding.submit(partial(cropped, image, box, max_pixels=self._max_pixels))
                outcome = await self._runners[step.name].run(image, deadline_s=ends_s)
        except (WorkerError, TimeoutError) as error:
            told(step.name, "failed", time.monotonic() - began_s)
            if isinstance(error, WorkerError):
                error.args = (sentence_of(step, error),)
            if not step.optional or _by_the_image(error):
                raise
            logger.debug("The optional step %s failed: %s", step.name, error)
            return FAILED
        told(step.name, "ran", time.monotonic() - began_s)
        return outcome


def sentence_of(step: Step, error: WorkerError) -> str:
    """The sentence of an error with the step's name, which that of a model does not have."""
    sentence, name = str(error), f"Step {step.name}"
    return sentence if sentence.startswith((f"{name}:", f"{name} ")) else f"{name}: {sentence}"


def _by_the_image(error: Exception) -> bool:
    """Whether the image is at fault, so that every step would fail."""
    return isinstance(error, BadRequest | NotAnImage | TooLarge)
