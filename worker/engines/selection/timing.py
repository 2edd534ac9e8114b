"""Loaded candidates -> the images per second of each, all timed in alternation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import Engine
from worker.engines.sample_images import sample_images
from worker.engines.selection.report import Candidate

SIZES = (1, 8)
"""Batch sizes that are timed: for single requests, and for a worker with a queue."""

_ROUNDS = 7
_LEAST = 3
_ENOUGH_S = 3.0  # for timing one batch size, but at least `_LEAST` rounds


def timed(engines: Mapping[Candidate, Engine], base: Engine) -> dict[Candidate, dict[int, float]]:
    """Images a second of each candidate by batch size."""
    rates: dict[Candidate, dict[int, float]] = {candidate: {} for candidate in engines}
    for size in SIZES if base.input.batch != 1 else SIZES[:1]:
        batch = sample_images(base.input, size)
        took_s = _alternated({each: partial(_seconds, engine.predict, batch) for each, engine in engines.items()})
        for candidate, seconds in took_s.items():
            rates[candidate][size] = size / seconds
    return rates


def timed_streams(engines: Mapping[Candidate, Engine], base: Engine) -> dict[Candidate, float]:
    """Images a second of each candidate with streams: of all its streams together, one image at a time in each."""
    with_streams = {candidate: engine for candidate, engine in engines.items() if engine.streams > 1}
    images = sample_images(base.input, 1)
    with ThreadPoolExecutor(max((engine.streams for engine in with_streams.values()), default=1)) as threads:

        def seconds(engine: Engine) -> float:
            each = partial(_seconds, engine.stream)
            return statistics.fmean(threads.map(each, [images] * engine.streams))

        took_s = _alternated({candidate: partial(seconds, engine) for candidate, engine in with_streams.items()})
    return {candidate: with_streams[candidate].streams / seconds for candidate, seconds in took_s.items()}


def _alternated(calls: Mapping[Candidate, Callable[[], float]]) -> dict[Candidate, float]:
    """The median seconds of each; they run in alternation, and the first run of each is a warm-up."""
    seconds: dict[Candidate, list[float]] = {candidate: [] for candidate in calls}
    started_s = time.perf_counter()
    for number in range(1 + _ROUNDS):
        if number > _LEAST and time.perf_counter() - started_s > _ENOUGH_S:
            break
        for candidate, call in calls.items():
            seconds[candidate].append(call())
    return {candidate: statistics.median(measured[1:]) for candidate, measured in seconds.items()}


def _seconds(predict: Callable[[Sequence[NDArray[np.uint8]]], object], batch: Sequence[NDArray[np.uint8]]) -> float:
    started_s = time.perf_counter()
    predict(batch)
    return time.perf_counter() - started_s
