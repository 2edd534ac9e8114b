"""Several models on the same cores, whose callers leave, are late and send what cannot be predicted."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.waiting import until
from worker.batching.batcher import Batcher, Image, Scores
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.policy import Pace, Streams
from worker.errors import Busy, DeadlinePassed, WorkerError
from worker.telemetry.metrics import WorkerMetrics

POISON = 255


def predict(images: Sequence[Image]) -> Scores:
    """Each image's first value, after a short time."""
    time.sleep(0.0005)
    values = [int(image[0, 0, 0]) for image in images]
    if POISON in values:
        raise RuntimeError("poison")
    return np.array(values, np.float32)[:, np.newaxis]


def on_all_cores(scheduler: CoreScheduler, *, ahead: bool) -> Batcher:
    """A model whose batches take all cores, and are made one array before, if `ahead`."""
    pace = Pace(cap=4, batch_s=0.004, single_s=0.001)
    numbers = WorkerMetrics().model("whole")
    return Batcher(predict, pace=pace, queue_most=64, numbers=numbers, scheduler=scheduler, ahead=ahead)


def in_streams(scheduler: CoreScheduler) -> Batcher:
    """A model with a stream for each of two cores."""
    each = Pace(cap=2, batch_s=0.002, single_s=0.001)
    pace = Pace(cap=4, batch_s=0.004, single_s=0.001, streams=Streams(2, each))
    numbers = WorkerMetrics().model("streams")
    return Batcher(predict, stream=predict, pace=pace, queue_most=64, numbers=numbers, scheduler=scheduler)


async def asked(queue: Batcher, dice: random.Random) -> str:
    """What became of a request of one to three images, which may be cancelled."""
    values = [POISON if dice.random() < 0.02 else dice.randrange(POISON) for _ in range(dice.choice([1, 1, 1, 3]))]
    images = [np.full((1, 1, 3), value, np.uint8) for value in values]
    deadline_s = time.monotonic() + dice.choice([0.005, 1, 60])
    request = asyncio.create_task(queue.submit_all(images, deadline_s=deadline_s, caller=dice.choice(["", "a", "b"])))
    if dice.random() < 0.1:
        await asyncio.sleep(dice.random() * 0.005)
        request.cancel()
    try:
        scores = await request
    except asyncio.CancelledError:
        return "cancelled"
    except (Busy, DeadlinePassed):
        return "refused"
    except WorkerError:
        return "failed" if POISON in values else "wrong"
    return "answered" if [int(row[0]) for row in scores] == values else "wrong"


@pytest.mark.parametrize("held_at_most_s", [0.0, 0.002, 60.0])
async def test_everybody_gets_their_own_answer_and_nothing_is_left(held_at_most_s: float) -> None:
    """Also where every batch counts as overdue, and while a version warms: no image, core, byte or thread is lost."""
    scheduler, became = CoreScheduler(2, held_at_most_s=held_at_most_s), Counter[str]()
    before = set(threading.enumerate())

    def warm() -> None:
        for _ in range(5):
            with scheduler.background_step(patience_s=0.01):
                time.sleep(0.001)

    async def client(queue: Batcher, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(25):
            became[await asked(queue, dice)] += 1

    async with (
        on_all_cores(scheduler, ahead=False) as one,
        in_streams(scheduler) as two,
        on_all_cores(scheduler, ahead=True) as three,
    ):
        models = (one, two, three)
        clients = [client(queue, seed) for queue in models for seed in range(8)]
        await asyncio.gather(asyncio.to_thread(warm), *clients)
        for queue in models:
            await queue.drained()
            assert (queue.depth, queue.running, queue.held_bytes) == (0, 0, 0)
        await until(lambda: scheduler.idle)
    assert became.total() == 600
    assert became["wrong"] == 0
    assert became["answered"] > 50
    await until(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith("predict")])
