"""Before the first request: every batch size runs some times, is measured, and the cap is learned."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from worker.assembly import assemble
from worker.batching import Pace, Streams, learn_pace
from worker.model import Model

logger = logging.getLogger(__name__)

Between = Callable[[], AbstractContextManager[object]]
"""Entered around every batch of a warm-up: `Turns.from_thread` lets those of models that serve go in between."""

Batch = Sequence[NDArray[np.uint8]]
Run = Callable[[Batch], object]

SIZES = (1, 2, 4, 8, 16)
STREAM_SIZES = (1, 2, 4)
"""Of each stream's batches: one core is soon as quick as it gets."""

ROUNDS = 5
SLOW_S = 1.0
"""A batch that takes longer than this is not tried larger: warm-up must end."""


def measure_pace(model: Model, *, between: Between = nullcontext) -> Pace:
    """The pace of a freshly loaded model; blocks for as long as the predictions take."""
    wide = _measured(
        sorted({1, *(model.engine.fixed_batches or SIZES)}),
        lambda size: timed(model.predict, batch_of(model, size)),
        between,
    )
    streams = _streams(model, between) if model.engine.streams > 1 else None
    pace = learn_pace(wide, streams=streams)
    logger.info("Images a second by batch size: %s. Batches of up to %d.", _table(wide), pace.cap)
    return pace


def _streams(model: Model, between: Between) -> Streams:
    """What all streams do together: each size's time is that of the last of them."""
    count = model.engine.streams
    with ThreadPoolExecutor(count, thread_name_prefix="warm") as threads:

        def together(size: int) -> float:
            batches = [batch_of(model, size)] * count
            started_s = time.perf_counter()
            list(threads.map(model.stream, batches))
            return time.perf_counter() - started_s

        seconds = _measured(STREAM_SIZES, together, between)
    each = learn_pace(seconds)
    logger.info("In %d streams, each by batch size: %s. Batches of up to %d.", count, _table(seconds), each.cap)
    return Streams(count, each)


def _measured(sizes: Sequence[int], seconds_of: Callable[[int], float], between: Between) -> Mapping[int, float]:
    """The least seconds of each batch size, out of some.

    Sizes take turns, and the least time of each counts: what disturbs a measurement only ever adds to it, and a
    disturbance that lasts meets all sizes alike.
    """
    seconds: dict[int, float] = {}

    def measure(size: int) -> float:
        with between():
            return seconds_of(size)

    for size in sizes:
        seconds[size] = measure(size)  # with caches and allocations, as a first bound
        if seconds[size] > SLOW_S:
            break
    for _ in range(ROUNDS):
        for size in seconds:
            if seconds[size] <= SLOW_S:
                seconds[size] = min(seconds[size], measure(size))
    return seconds


def _table(seconds: Mapping[int, float]) -> str:
    return ", ".join(f"{size}: {size / s:.0f}" for size, s in seconds.items())


def batch_of(model: Model, size: int) -> Batch:
    """So many example images, padded as the engine wants them."""
    return assemble([model.example()] * size, model.engine.fixed_batches or ())


def timed(run: Run, batch: Batch) -> float:
    """The seconds that one prediction takes."""
    started_s = time.perf_counter()
    run(batch)
    return time.perf_counter() - started_s
