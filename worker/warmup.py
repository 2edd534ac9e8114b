"""Before the first request: every batch size runs once unmeasured, then measured, and the cap is learned."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.batching import Pace, learn_pace
from worker.model import Model

logger = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8, 16)
ROUNDS = 3
SLOW_S = 1.0
"""A batch that takes longer than this is not tried larger: warm-up must end."""


def measure_pace(model: Model) -> Pace:
    """The pace of a freshly loaded model; blocks for as long as the predictions take."""
    seconds: dict[int, float] = {}
    for size in SIZES:
        seconds[size] = _seconds(model, size)
        if seconds[size] > SLOW_S:
            break
    pace = learn_pace(seconds)
    table = ", ".join(f"{size}: {size / s:.0f}" for size, s in seconds.items())
    logger.info("Images a second by batch size: %s. Batches of up to %d.", table, pace.cap)
    return pace


def _seconds(model: Model, size: int) -> float:
    batch = [model.example()] * size
    model.predict(batch)
    return statistics.median(_timed(model, batch) for _ in range(ROUNDS))


def _timed(model: Model, batch: Sequence[NDArray[np.uint8]]) -> float:
    started_s = time.perf_counter()
    model.predict(batch)
    return time.perf_counter() - started_s
