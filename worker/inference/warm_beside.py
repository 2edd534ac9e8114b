"""A new version is warmed beside the one that serves: batches no larger than its, with rests between them.

Whoever waits at that moment waits for one more batch like those that are common here, now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from worker.batching.policy import Pace, Streams
from worker.inference.calibration import SLOW_S, Batch, Between, Run, batches_of, timed
from worker.inference.model import Model

ROUNDS = 3
REST = 3.0
"""Rests are so many times as long as the batch before: warming takes a quarter of the time."""


def warm_beside(model: Model, *, serving: Pace, between: Between = nullcontext) -> Pace:
    """Run each batch size that `serving` has some times; the pace of the new model, with the cap of `serving`.

    `between` is entered around every batch: those of the version that serves go first.

    What is measured while others use the cores says little about the best size, so that is not learned anew.
    """
    batch_of = batches_of(model)
    wide = _stepwise(model.predict, batch_of, serving.cap, between)
    if serving.streams is None or model.engine.streams == 1:
        return wide
    each = _stepwise(model.stream, batch_of, serving.streams.each.cap, between)
    return replace(wide, streams=Streams(model.engine.streams, each))


def _stepwise(run: Run, batch_of: Callable[[int], Batch], cap: int, between: Between) -> Pace:
    seconds: dict[int, float] = {}
    for size in sizes_up_to(cap):
        batch = batch_of(size)
        seconds[size] = min(_resting(run, batch, between) for _ in range(ROUNDS))
        if seconds[size] > SLOW_S:
            break
    cap = max(seconds)
    return Pace(cap=cap, batch_s=seconds[cap], single_s=seconds[1])


def sizes_up_to(cap: int) -> list[int]:
    """1, 2, 4, ... and `cap` itself."""
    return sorted({cap, *(1 << power for power in range(cap.bit_length()))})


def _resting(run: Run, batch: Batch, between: Between) -> float:
    with between():
        took_s = timed(run, batch)
    time.sleep(REST * took_s)
    return took_s
