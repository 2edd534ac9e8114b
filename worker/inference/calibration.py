"""Before the first request: every batch size runs some times, is measured, and the cap is learned."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.batching.padding import assemble
from worker.batching.policy import Pace, Streams, learn_pace
from worker.inference.model import Model

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


class _Way(NamedTuple):
    """So many images at a time, on all cores or in each of all streams."""

    stream: bool
    size: int


def measure_pace(model: Model, *, between: Between = nullcontext) -> Pace:
    """The pace of a freshly loaded model; blocks for as long as the predictions take."""
    count = model.engine.streams
    ways = [_Way(stream=False, size=size) for size in sorted({1, *(model.engine.fixed_batches or SIZES)})]
    if count > 1:
        ways += [_Way(stream=True, size=size) for size in STREAM_SIZES]
    batch_of = batches_of(model)
    with ThreadPoolExecutor(count, thread_name_prefix="warm") as threads:

        def seconds_of(way: _Way) -> float:
            batch = batch_of(way.size)
            if not way.stream:
                return timed(model.predict, batch)
            return fmean(threads.map(partial(timed, model.stream), [batch] * count))

        seconds = _measured(ways, seconds_of, between)
    wide = {way.size: took_s for way, took_s in seconds.items() if not way.stream}
    each = {way.size: took_s for way, took_s in seconds.items() if way.stream}
    pace = learn_pace(wide, streams=Streams(count, learn_pace(each)) if each else None)
    _say(pace, wide, each)
    return pace


def _measured(ways: Sequence[_Way], seconds_of: Callable[[_Way], float], between: Between) -> Mapping[_Way, float]:
    """The least seconds of each way, out of some.

    All take turns, and the least time of each counts: what disturbs a measurement only ever adds to it, and a
    disturbance that lasts meets all alike.
    """
    seconds: dict[_Way, float] = {}

    def measure(way: _Way) -> float:
        with between():
            return seconds_of(way)

    for way in ways:
        if not any(took_s > SLOW_S for known, took_s in seconds.items() if known.stream == way.stream):
            seconds[way] = measure(way)  # with caches and allocations, as a first bound
    for _ in range(ROUNDS):
        for way, took_s in seconds.items():
            if took_s <= SLOW_S:
                seconds[way] = min(took_s, measure(way))
    return seconds


def _say(pace: Pace, wide: Mapping[int, float], each: Mapping[int, float]) -> None:
    chosen = f"{pace.streams.count} streams of up to {pace.streams.each.cap}" if pace.streams else "no streams"
    beside = f"; of each stream: {_table(each)}" if each else ""
    logger.info("Images a second by batch size: %s%s. Batches of up to %d, %s.", _table(wide), beside, pace.cap, chosen)


def _table(seconds: Mapping[int, float]) -> str:
    return ", ".join(f"{size}: {size / s:.0f}" for size, s in seconds.items())


def batches_of(model: Model) -> Callable[[int], Batch]:
    """What makes batches of so many example images, padded as the engine wants them.

    The image is made once: that takes longer than many a prediction.
    """
    example, sizes = model.example(), model.engine.fixed_batches or ()
    return lambda size: assemble([example] * size, sizes)


def timed(run: Run, batch: Batch) -> float:
    """The seconds that one prediction takes."""
    started_s = time.perf_counter()
    run(batch)
    return time.perf_counter() - started_s
