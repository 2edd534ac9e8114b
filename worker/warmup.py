"""Before the first request: every batch size runs some times, is measured, and the cap is learned."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from worker.assembly import assemble
from worker.batching import Pace, learn_pace
from worker.model import Model

logger = logging.getLogger(__name__)

Between = Callable[[], AbstractContextManager[object]]
"""Entered around every batch of a warm-up: `Turns.from_thread` lets those of models that serve go in between."""

SIZES = (1, 2, 4, 8, 16)
ROUNDS = 5
SLOW_S = 1.0
"""A batch that takes longer than this is not tried larger: warm-up must end."""


def measure_pace(model: Model, *, between: Between = nullcontext) -> Pace:
    """The pace of a freshly loaded model; blocks for as long as the predictions take.

    Sizes take turns, and the least time of each counts: what disturbs a measurement only ever adds to it, and a
    disturbance that lasts meets all sizes alike.
    """
    batches: dict[int, Sequence[NDArray[np.uint8]]] = {}
    seconds: dict[int, float] = {}
    for size in sorted({1, *(model.engine.fixed_batches or SIZES)}):
        batches[size] = batch_of(model, size)
        seconds[size] = _seconds(model, batches[size], between)  # with caches and allocations, as a first bound
        if seconds[size] > SLOW_S:
            break
    for _ in range(ROUNDS):
        for size, batch in batches.items():
            if seconds[size] <= SLOW_S:
                seconds[size] = min(seconds[size], _seconds(model, batch, between))
    pace = learn_pace(seconds)
    table = ", ".join(f"{size}: {size / s:.0f}" for size, s in seconds.items())
    logger.info("Images a second by batch size: %s. Batches of up to %d.", table, pace.cap)
    return pace


def batch_of(model: Model, size: int) -> Sequence[NDArray[np.uint8]]:
    """So many example images, padded as the engine wants them."""
    return assemble([model.example()] * size, model.engine.fixed_batches or ())


def timed(model: Model, batch: Sequence[NDArray[np.uint8]]) -> float:
    """The seconds that one prediction takes."""
    started_s = time.perf_counter()
    model.predict(batch)
    return time.perf_counter() - started_s


def _seconds(model: Model, batch: Sequence[NDArray[np.uint8]], between: Between) -> float:
    with between():
        return timed(model, batch)
