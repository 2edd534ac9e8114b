"""A new version is warmed beside the one that serves: batches no larger than its, with rests between them.

Whoever waits at that moment waits for one more batch like those that are common here, now and then.
"""

from __future__ import annotations

import time

from worker.batching import Pace
from worker.model import Model
from worker.warmup import SLOW_S

ROUNDS = 3
REST = 3.0
"""Rests are so many times as long as the batch before: warming takes a quarter of the time."""


def warm_beside(model: Model, serving: Pace) -> Pace:
    """Run each batch size that `serving` has some times; the pace of the new model, with the cap of `serving`.

    What is measured while others use the cores says little about the best size, so that is not learned anew.
    """
    seconds: dict[int, float] = {}
    for size in sizes_up_to(serving.cap):
        seconds[size] = min(_resting(model, size) for _ in range(ROUNDS))
        if seconds[size] > SLOW_S:
            break
    cap = max(seconds)
    return Pace(cap=cap, batch_s=seconds[cap], single_s=seconds[1])


def sizes_up_to(cap: int) -> list[int]:
    """1, 2, 4, ... and `cap` itself."""
    return sorted({cap, *(1 << power for power in range(cap.bit_length()))})


def _resting(model: Model, size: int) -> float:
    batch = [model.example()] * size
    started_s = time.perf_counter()
    model.predict(batch)
    took_s = time.perf_counter() - started_s
    time.sleep(REST * took_s)
    return took_s
