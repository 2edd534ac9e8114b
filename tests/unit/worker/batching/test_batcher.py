"""The batcher on a real event loop, with an engine whose answers name their images."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.models.small_models import brightness
from tests.support.waiting import until
from tests.support.workers.batch_sources import HeldSource, held
from worker.batching.batcher import Batcher, Image, Scores
from worker.batching.core_scheduler import CoreScheduler
from worker.batching.policy import Pace, Streams
from worker.errors import Busy, DeadlinePassed, WorkerError
from worker.inference.calibration import measure_pace
from worker.telemetry.metrics import WorkerMetrics

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


class Streaming(Engine):
    """Has two streams beside; each batch of a stream waits for `abreast` others of them."""

    def __init__(self, *, abreast: int) -> None:
        super().__init__()
        self.together = threading.Barrier(abreast)
        self.streamed: list[list[int]] = []

    def stream(self, images: Sequence[Image]) -> Scores:
        self.together.wait(10)
        self.streamed.append([int(i[0, 0, 0]) for i in images])
        return np.array([[i[0, 0, 0]] for i in images], dtype=np.float32)


class Hanging(Streaming):
    """The poison's stream does not end before it is let go."""

    def __init__(self, *, abreast: int) -> None:
        super().__init__(abreast=abreast)
        self.held = threading.Event()

    def stream(self, images: Sequence[Image]) -> Scores:
        if images[0][0, 0, 0] == POISON:
            self.held.wait(10)
        return super().stream(images)


def streaming(engine: Streaming, scheduler: CoreScheduler) -> Batcher:
    """Alone on all cores an image takes 8 ms, 12 ms in a stream."""
    each = Pace(cap=2, batch_s=0.024, single_s=0.012)
    pace = Pace(cap=4, batch_s=0.032, single_s=0.008, streams=Streams(2, each))
    numbers = WorkerMetrics().model("test")
    return Batcher(
        engine.predict, stream=engine.stream, pace=pace, queue_most=100, numbers=numbers, scheduler=scheduler
    )


def batcher(engine: Engine, *, cap: int = 4, queue_most: int = 100, image_s: float = 0.0) -> Batcher:
    pace = Pace(cap=cap, batch_s=image_s * cap, single_s=image_s)
    return Batcher(engine.predict, pace=pace, queue_most=queue_most, numbers=WorkerMetrics().model("test"))


def soon() -> float:
    return time.monotonic() + 10


async def begun(queue: Batcher, engine: Engine, value: int) -> asyncio.Task[Scores]:
    """An image that the engine has taken up, alone."""
    task = asyncio.create_task(queue.submit(image(value), deadline_s=soon()))
    await asyncio.to_thread(engine.entered.wait, 5)
    return task


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


async def test_a_free_engine_never_waits_for_requests_that_are_coming() -> None:
    """After a batch the next begins at once with what is queued, though other requests are still being received."""
    engine = Engine()
    async with batcher(engine, cap=4, image_s=1.0) as queue:
        with queue.coming(), queue.coming(), queue.coming():
            engine.go.clear()
            first = await begun(queue, engine, 0)
            second = asyncio.create_task(queue.submit(image(1), deadline_s=soon()))
            await until(lambda: queue.depth == 1)
            engine.go.set()
            async with asyncio.timeout(5):
                await asyncio.gather(first, second)
    assert engine.batches == [[0], [1]]


async def test_a_lone_image_has_all_cores_and_several_share_them() -> None:
    """One image runs alone on all cores; those that come meanwhile run in streams, at the same time."""
    engine = Streaming(abreast=2)
    engine.go.clear()
    async with streaming(engine, CoreScheduler(cores=2)) as queue:
        tasks = [asyncio.create_task(queue.submit(image(1), deadline_s=soon()))]
        await asyncio.to_thread(engine.entered.wait, 5)
        tasks += [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in range(2, 6)]
        await until(lambda: queue.depth == 4)
        engine.go.set()
        assert [int(row[0]) for row in await asyncio.gather(*tasks)] == [1, 2, 3, 4, 5]
    assert engine.batches == [[1]]
    assert sorted(sorted(batch) for batch in engine.streamed) == [[2, 3], [4, 5]]


async def test_streams_are_used_where_the_cores_are_another_models() -> None:
    """An image that could have all cores does not wait for them where another model has one."""
    engine, scheduler = Streaming(abreast=1), CoreScheduler(cores=2)
    async with held(scheduler, 1) as other, streaming(engine, scheduler) as queue:
        assert (await queue.submit(image(1), deadline_s=soon()))[0] == 1
        other.go.set()
        await until(lambda: scheduler.idle)
        assert (await queue.submit(image(2), deadline_s=soon()))[0] == 2
    assert (engine.streamed, engine.batches) == ([[1]], [[2]])


async def test_a_stream_that_hangs_leaves_the_other() -> None:
    """While one stream's batch does not end, others are answered by the other one."""
    engine = Hanging(abreast=1)
    async with streaming(engine, CoreScheduler(cores=2)) as queue:
        with queue.coming():  # another request: these two are in streams
            hanging = [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in (POISON, 1)]
            await hanging[1]
        for value in range(2, 5):
            assert (await queue.submit(image(value), deadline_s=soon()))[0] == value
        assert queue.running == 1
        engine.held.set()
        assert (await hanging[0])[0] == POISON


async def test_a_stream_that_hangs_holds_no_full_batches_up() -> None:
    """They are answered by whichever thread is free."""
    engine = Hanging(abreast=1)
    async with streaming(engine, CoreScheduler(cores=2)) as queue:
        with queue.coming():  # another request: these two are in streams
            hanging = [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in (POISON, 1)]
            await hanging[1]
        rows = await queue.submit_all([image(v) for v in range(2, 20)], deadline_s=soon())
        assert [int(row[0]) for row in rows] == [*range(2, 20)]
        assert queue.running == 1
        engine.held.set()
        assert (await hanging[0])[0] == POISON


async def test_a_thread_goes_on_without_the_event_loop() -> None:
    """However busy the event loop is: a thread takes one batch after the other, each as full as the queue makes it."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine, cap=2) as queue:
        first = await begun(queue, engine, 0)
        others = asyncio.create_task(queue.submit_all([image(v) for v in range(1, 4)], deadline_s=soon()))
        await until(lambda: (queue.running, queue.depth) == (1, 3))
        engine.go.set()
        end_s = time.monotonic() + 5
        while len(engine.batches) < 3 and time.monotonic() < end_s:
            time.sleep(0.001)  # the event loop is to be busy
        assert engine.batches == [[0], [1, 2], [3]]
        await asyncio.gather(first, others)


def assembling(engine: Engine) -> Batcher:
    """For an engine that leaves the cores free, as one on a GPU does."""
    pace = Pace(cap=3, batch_s=0.0, single_s=0.0)
    return Batcher(engine.predict, pace=pace, queue_most=100, numbers=WorkerMetrics().model("test"), ahead=True)


async def test_the_next_full_batch_is_made_while_one_runs() -> None:
    """It is one array before its turn comes; what is not full waits, so that others can join it."""
    engine = Engine()
    engine.go.clear()
    async with assembling(engine) as queue:
        first = await begun(queue, engine, 0)
        others = asyncio.create_task(queue.submit_all([image(v) for v in range(1, 6)], deadline_s=soon()))
        await until(lambda: (queue.running, queue.depth) == (4, 2))
        last = asyncio.create_task(queue.submit(image(6), deadline_s=soon()))
        await until(lambda: queue.depth == 3)
        engine.go.set()
        await asyncio.gather(first, others, last)
    assert engine.batches == [[0], [1, 2, 3], [4, 5, 6]]


async def test_who_leaves_or_is_late_in_advance_is_not_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its batch is being made, a caller may leave or its deadline pass: the others get their own scores."""
    engine = Engine()
    engine.go.clear()
    async with assembling(engine) as queue:
        first = await begun(queue, engine, 0)
        gone, late, patient = (
            asyncio.create_task(queue.submit(image(value), deadline_s=deadline_s))
            for value, deadline_s in ((1, soon()), (2, soon()), (3, soon() + 3600))
        )
        await until(lambda: queue.running == 4)
        gone.cancel()
        now_s = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now_s() + 60)
        engine.go.set()
        assert [int((await task)[0]) for task in (first, patient)] == [0, 3]
        with pytest.raises(DeadlinePassed):
            await late
    assert engine.batches == [[0], [3]]


async def test_who_is_late_in_the_queue_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image whose deadline passes while it waits gets an error when its batch is taken, and costs no prediction."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine) as queue:
        first = await begun(queue, engine, 0)
        late, patient = (
            asyncio.create_task(queue.submit(image(value), deadline_s=deadline_s))
            for value, deadline_s in ((1, soon()), (2, soon() + 3600))
        )
        await until(lambda: queue.depth == 2)
        now_s = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now_s() + 60)
        engine.go.set()
        assert [int((await task)[0]) for task in (first, patient)] == [0, 2]
        with pytest.raises(DeadlinePassed):
            await late
    assert engine.batches == [[0], [2]]


async def test_closing_tells_those_in_a_batch_and_those_who_wait() -> None:
    """An engine that hangs keeps nobody waiting for a worker that ends: not its batch, the one after it, or others."""
    engine = Engine()
    engine.go.clear()
    async with assembling(engine) as queue:
        asked = [await begun(queue, engine, 0)]
        asked += [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in range(1, 6)]
        await until(lambda: (queue.running, queue.depth) == (4, 2))
    for task in asked:
        with pytest.raises(Busy, match="closing"):
            await task
    engine.go.set()


async def test_models_that_have_work_alternate() -> None:
    """A model with a full queue lets another one go after each of its batches."""
    engine, scheduler, ran = Engine(), CoreScheduler(), list[str]()
    engine.go.clear()
    pace, numbers = Pace(cap=1, batch_s=0.0, single_s=0.0), WorkerMetrics().model("test")
    other = HeldSource("other", 1, ran=ran)
    scheduled = scheduler.add(other)
    async with Batcher(engine.predict, pace=pace, queue_most=100, numbers=numbers, scheduler=scheduler) as queue:
        first = await begun(queue, engine, 0)
        scheduler.request(scheduled)
        others = [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in range(1, 4)]
        await until(lambda: queue.depth == 3)
        engine.go.set()
        await until(lambda: ran == ["other"])
        assert engine.batches == [[0]]
        other.go.set()
        await asyncio.gather(first, *others)
    scheduler.remove(scheduled)


async def waiting_for(
    queue: Batcher, caller: str, *values: int, deadline_s: float | None = None
) -> asyncio.Task[object]:
    """Images of a caller that are in the queue when this returns."""
    depth = queue.depth
    images = [image(value) for value in values]
    asking = queue.submit_all(images, deadline_s=soon() if deadline_s is None else deadline_s, caller=caller)
    task: asyncio.Task[object] = asyncio.create_task(asking)
    await until(lambda: queue.depth == depth + len(values))
    return task


async def test_callers_take_turns_in_every_batch() -> None:
    """The image of a modest caller is in the next batch, though a greedy one has filled several before it came."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine, cap=8) as queue:
        first = await begun(queue, engine, 0)
        greedy = await waiting_for(queue, "greedy", 10, 11, 12, 13, 14, 15)
        modest = await waiting_for(queue, "modest", 20)
        engine.go.set()
        await asyncio.gather(first, greedy, modest)
    assert engine.batches == [[0], [10, 20, 11, 12, 13, 14, 15]]


async def test_what_others_wait_for_refuses_nobody() -> None:
    """With a second for each image, 8 of a greedy caller leave time for one of a modest one and none of its own."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine, cap=20, image_s=1.0) as queue:
        first = await begun(queue, engine, 0)
        greedy = await waiting_for(queue, "greedy", *range(10, 18), deadline_s=time.monotonic() + 60)
        for caller, refused in (("modest", False), ("greedy", True), ("", False)):
            if refused:
                with pytest.raises(Busy, match="deadline could not be met"):
                    queue.admit(deadline_s=time.monotonic() + 5, caller=caller)
            else:
                queue.admit(deadline_s=time.monotonic() + 5, caller=caller)
        engine.go.set()
        await asyncio.gather(first, greedy)


async def test_a_greedy_caller_fills_the_queue_for_itself_only() -> None:
    """Where it has all 4 places, another one still gets its share of 2, decoded or not, and an unnamed one too."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine, cap=20, queue_most=4) as queue:
        first = await begun(queue, engine, 0)
        greedy = await waiting_for(queue, "greedy", 10, 11, 12, 13)
        with pytest.raises(Busy, match="its queue is full"):
            queue.admit(deadline_s=soon(), caller="greedy")
        with queue.decoding(1, nbytes=3, deadline_s=soon(), caller="modest"):
            modest = await waiting_for(queue, "modest", 20)
            with pytest.raises(Busy, match="its queue is full"):
                queue.admit(deadline_s=soon(), caller="modest")
        queue.admit(deadline_s=soon(), caller="modest")
        queue.admit(deadline_s=soon())
        engine.go.set()
        await asyncio.gather(first, greedy, modest)


async def test_cancelled_images_cost_no_prediction() -> None:
    """A client that hangs up while it is queued is not predicted."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine) as queue:
        first = await begun(queue, engine, 1)
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
        with pytest.raises(Busy) as refusal:
            await queue.submit(image(4), deadline_s=soon())
        assert refusal.value.retry_after_s == pytest.approx(2.0)  # three before it, and its own
        assert queue.crowded
        engine.go.set()
        await asyncio.gather(*tasks)


async def test_what_cannot_be_met_is_refused_at_once() -> None:
    """An image whose deadline is nearer than the work before it is refused on arrival."""
    engine = Engine()
    async with batcher(engine, image_s=1.0) as queue:
        with pytest.raises(Busy):
            await queue.submit(image(1), deadline_s=time.monotonic() + 0.5)
    assert engine.batches == []


async def test_a_hung_engine_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that runs far too long means that the loop does not move, until it ends."""
    engine = Engine()
    engine.go.clear()
    monkeypatch.setattr("worker.batching.runner.STUCK_AFTER_S", 0.0)
    async with batcher(engine) as queue:
        assert queue.moving
        task = await begun(queue, engine, 1)
        assert not queue.moving
        engine.go.set()
        await task
        assert queue.moving


async def test_other_threads_may_ask_whether_it_moves() -> None:
    """The heartbeats' thread iterates over the batches that run while the event loop starts and ends some."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine) as queue:
        first = await begun(queue, engine, 1)
        asking = iter(queue._runner._given.values())
        engine.go.set()
        await first
        assert len(list(asking)) == 1


async def test_the_estimate_follows_what_batches_really_take() -> None:
    """A worker whose batches take far longer than measured at load tells longer waits, while it has work."""
    engine = Engine()
    async with batcher(engine, cap=1, image_s=0.001) as queue:
        for value in range(3):
            engine.go.clear()
            first = await begun(queue, engine, value)
            await asyncio.sleep(0.02)  # twenty times what was measured
            engine.go.set()
            await first
        engine.go.clear()
        held = await begun(queue, engine, 1)
        await until(lambda: queue.running == 1)
        with pytest.raises(Busy) as refusal:
            queue.admit(deadline_s=time.monotonic())
        assert refusal.value.retry_after_s > 0.004  # twice what the load would say
        engine.go.set()
        await held


def test_warming_up_pads_to_the_sizes_that_an_engine_wants() -> None:
    """An engine with fixed batch sizes sees none but them, and the cap is one of them."""
    model, seen = brightness(), []
    predict = model.engine.predict

    def watched(images: Sequence[Image]) -> Scores:
        seen.append(len(images))
        return predict(images)

    model.engine.fixed_batches = (2, 6)
    model.engine.predict = watched  # type: ignore[method-assign]  # the test listens in
    assert measure_pace(model).cap in (1, 2, 6)
    assert set(seen) == {2, 6}


async def test_an_unexpected_error_loses_no_image(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While no batch can be begun nothing moves, and the log says why; afterwards those that waited are answered."""
    engine = Engine()
    monkeypatch.setattr("worker.batching.runner.PAUSE_S", 0.01)
    async with batcher(engine) as queue:
        with monkeypatch.context() as broken:
            broken.setattr("worker.batching.runner.next_batch", lambda *_, **__: 1 / 0)
            waiting = asyncio.create_task(queue.submit(image(1), deadline_s=soon()))
            others = asyncio.create_task(queue.submit(image(2), deadline_s=soon()))
            await until(lambda: caplog.text.count("ZeroDivisionError") > 2)
            assert not queue.moving
            assert not waiting.done()
        assert sorted(int(row[0]) for row in await asyncio.gather(waiting, others)) == [1, 2]
        assert queue.moving


@pytest.mark.parametrize("where", ["outcomes", "note_batch"])
async def test_images_of_a_batch_that_could_not_run_are_told(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error, in the thread or on the event loop, is their answer: no caller waits for ever."""
    engine = Engine()
    async with batcher(engine) as queue:
        with monkeypatch.context() as broken:
            broken.setattr(f"worker.batching.runner.{where}", lambda *_, **__: 1 / 0)
            with pytest.raises(WorkerError, match="log says why"):
                await queue.submit(image(1), deadline_s=soon())
            assert not queue.moving
        assert (await queue.submit(image(2), deadline_s=soon()))[0] == 2
        assert queue.moving


async def test_only_the_image_at_fault_fails() -> None:
    """A batch that fails runs again image by image, and those before the culprit need not wait for it."""
    engine = Engine()
    engine.go.clear()
    async with batcher(engine) as queue:
        first = await begun(queue, engine, 0)
        asked = [asyncio.create_task(queue.submit(image(v), deadline_s=soon())) for v in (1, POISON, 2)]
        await until(lambda: queue.depth == 3)
        engine.go.set()
        answers = await asyncio.gather(first, *asked, return_exceptions=True)
    assert isinstance(answers.pop(2), WorkerError)
    assert [int(answer[0]) for answer in answers if not isinstance(answer, BaseException)] == [0, 1, 2]
    assert engine.batches == [[0], [1, POISON, 2], [1], [POISON], [2]]


async def test_a_refusal_of_the_engine_is_everybodys() -> None:
    """An engine that cannot predict now is not asked again for each image."""
    asked = []

    def busy(images: Sequence[Image]) -> Scores:
        asked.append(len(images))
        raise Busy("The model's process starts again.", retry_after_s=1)

    pace = Pace(cap=4, batch_s=0.0, single_s=0.0)
    async with Batcher(busy, pace=pace, queue_most=100, numbers=WorkerMetrics().model("test")) as queue:
        with pytest.raises(Busy, match="starts again"):
            await queue.submit_all([image(v) for v in range(3)], deadline_s=soon())
    assert asked == [3]
