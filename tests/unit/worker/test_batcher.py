"""The batcher on a real event loop, with an engine whose answers name their images."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.batcher import Batcher, Image, Scores
from worker.batching import Pace
from worker.errors import DeadlinePassed, Overloaded, WorkerError
from worker.metrics import Numbers

POISON = 255


class Engine:
    """Answers each image's first value; fails when the poison is in the batch; can be held."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    def predict(self, images: Sequence[Image]) -> Scores:
        self.entered.set()
        self.go.wait(10)
        values = [int(i[0, 0, 0]) for i in images]
        self.batches.append(values)
        if POISON in values:
            raise RuntimeError("poison")
        return np.array([[v] for v in values], dtype=np.float32)


def image(value: int) -> Image:
    return np.full((1, 1, 3), value, dtype=np.uint8)


def batcher(engine: Engine, *, cap: int = 4, queue_most: int = 100, image_s: float = 0.0) -> Batcher:
    pace = Pace(cap=cap, batch_s=image_s * cap, single_s=image_s)
    return Batcher(engine.predict, pace=pace, queue_most=queue_most, numbers=Numbers().model("test"))


def soon() -> float:
    return time.monotonic() + 10


@given(
    values=st.lists(st.integers(0, 255), min_size=1, max_size=24),
    cancelled=st.sets(st.integers(0, 23)),
    expired=st.sets(st.integers(0, 23)),
    cap=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_every_caller_gets_exactly_its_own(values: list[int], cancelled: set[int], expired: set[int], cap: int) -> None:
    """Whatever is cancelled, expires or fails, every other caller gets its own image's answer."""

    async def scenario() -> None:
        engine = Engine()
        engine.go.clear()
        async with batcher(engine, cap=cap) as queue:
            first = asyncio.create_task(queue.submit(image(7), deadline_s=soon()))
            await asyncio.to_thread(engine.entered.wait, 5)
            # An image that is admitted and whose deadline passes while the engine is held.
            brink_s = time.monotonic() + 0.005
            tasks = [
                asyncio.create_task(queue.submit(image(v), deadline_s=brink_s if i in expired else soon()))
                for i, v in enumerate(values)
            ]
            await asyncio.sleep(0)
            for i in cancelled & set(range(len(tasks))):
                tasks[i].cancel()
            await asyncio.sleep(brink_s - time.monotonic() + 0.001)  # until that deadline has passed
            engine.go.set()
            assert (await first)[0] == 7
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for i, (value, outcome) in enumerate(zip(values, outcomes, strict=True)):
            if i in cancelled:
                assert isinstance(outcome, asyncio.CancelledError)
            elif i in expired:
                assert isinstance(outcome, (DeadlinePassed, Overloaded))
            elif value == POISON:
                assert type(outcome) is WorkerError
            else:
                assert isinstance(outcome, np.ndarray)
                assert outcome[0] == value

    asyncio.run(scenario())


async def test_a_free_engine_takes_what_is_there_up_to_the_cap() -> None:
    """While one batch runs others queue, and the next batch takes as many as the cap allows, in order."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine, cap=4) as queue:
        tasks = [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in range(1)]
        await asyncio.to_thread(engine.entered.wait, 5)
        tasks += [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in range(1, 7)]
        await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(*tasks)
    assert engine.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_cancelled_images_cost_no_prediction() -> None:
    """A client that hangs up while it is queued is not predicted."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine) as queue:
        first = asyncio.create_task(queue.submit(image(1), deadline_s=soon()))
        await asyncio.to_thread(engine.entered.wait, 5)
        gone = asyncio.create_task(queue.submit(image(2), deadline_s=soon()))
        await asyncio.sleep(0)
        gone.cancel()
        engine.go.set()
        await first
        await queue.submit(image(3), deadline_s=soon())
    assert engine.batches == [[1], [3]]


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    """Beyond the queue's bound an image is refused at once, with an honest Retry-After."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine, cap=1, queue_most=2, image_s=0.5) as queue:
        tasks = [asyncio.create_task(queue.submit(image(1), deadline_s=soon()))]
        await asyncio.to_thread(engine.entered.wait, 5)
        tasks += [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refusal:
            await queue.submit(image(4), deadline_s=soon())
        assert refusal.value.retry_after_s == pytest.approx(2.0)  # three before it, and its own
        assert queue.crowded
        engine.go.set()
        await asyncio.gather(*tasks)


async def test_what_cannot_be_met_is_refused_at_once() -> None:
    """An image whose deadline is nearer than the work before it is refused on arrival."""
    engine = Engine()
    async with batcher(engine, image_s=1.0) as queue:
        with pytest.raises(Overloaded):
            await queue.submit(image(1), deadline_s=time.monotonic() + 0.5)
    assert engine.batches == []


async def test_a_hung_engine_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that runs far too long means that the loop does not move, until it ends."""
    engine = Engine()
    engine.go.clear()
    monkeypatch.setattr("worker.batcher.STUCK_AFTER_S", 0.0)
    async with batcher(engine) as queue:
        assert queue.moving
        task = asyncio.create_task(queue.submit(image(1), deadline_s=soon()))
        await asyncio.to_thread(engine.entered.wait, 5)
        assert not queue.moving
        engine.go.set()
        await task
        assert queue.moving
