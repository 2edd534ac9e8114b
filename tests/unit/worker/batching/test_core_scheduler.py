"""Whose batch a free core takes, in real threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models.small_models import brightness
from tests.support.waiting import until
from tests.support.workers.batch_sources import HeldSource, held
from worker.batching.core_scheduler import CoreScheduler, CoreSlot, ScheduledSource
from worker.inference.calibration import ROUNDS, SIZES, measure_pace


def has_begun(source: HeldSource) -> bool:
    """Whether a batch of the source has begun that no other call of this function has counted."""
    return source.begun.acquire(blocking=False)


async def test_sources_with_work_take_turns() -> None:
    """Two that always have work alternate: no batch of one runs twice while the other waits."""
    scheduler, ran = CoreScheduler(), []
    sources = [HeldSource(name, 5, ran=ran) for name in "ab"]
    for source in sources:
        source.go.set()
    async with held(scheduler) as other:
        scheduled = [scheduler.add(source) for source in sources]
        for each in scheduled:
            scheduler.request(each)
        other.go.set()
        await until(lambda: len(ran) == 10)
    assert ran == ["a", "b"] * 5
    for each in scheduled:
        scheduler.remove(each)


async def test_a_thread_goes_on_with_the_next_batch_whosever_it_is() -> None:
    """The batch that follows runs in the same thread, so that no core waits for another thread to wake."""
    scheduler, threads = CoreScheduler(), set()

    class Noting(HeldSource):
        def run_batch(self, slot: CoreSlot) -> None:
            threads.add(threading.get_ident())
            super().run_batch(slot)

    ran: list[str] = []
    sources = [Noting(name, 3, ran=ran) for name in "ab"]
    scheduled = [scheduler.add(source) for source in sources]
    for each in scheduled:
        scheduler.request(each)
    assert await asyncio.to_thread(sources[0].begun.acquire, timeout=10)
    for source in sources:
        source.go.set()
    await until(lambda: len(ran) == 6)
    assert len(threads) == 1
    for each in scheduled:
        scheduler.remove(each)


async def test_cores_are_shared_out() -> None:
    """Two that want a core each run together; who wants all waits for both, and is not overtaken."""
    scheduler, ran = CoreScheduler(cores=2), []
    everything, later = HeldSource("everything", 1, ran=ran), HeldSource("later", 1, ran=ran)
    scheduled = [scheduler.add(everything), scheduler.add(later, cores=1)]
    async with held(scheduler, 1) as first, held(scheduler, 1) as second:
        for each in scheduled:
            scheduler.request(each)
        first.go.set()
        await until(lambda: len(scheduler._held) == 1)
        assert ran == []
        second.go.set()
        await until(lambda: has_begun(everything))
        assert ran == ["everything"]
        everything.go.set()
        later.go.set()
        await until(lambda: ran == ["everything", "later"])
    assert [source.slots[0].cores for source in (everything, later)] == [2, 1]
    for each in scheduled:
        scheduler.remove(each)


async def test_a_source_has_as_many_batches_at_a_time_as_it_said() -> None:
    """Of a source with two streams on four cores two batches run, however many wait."""
    scheduler, ran = CoreScheduler(cores=4), []
    source = HeldSource("a", 5, ran=ran)
    scheduled = scheduler.add(source, cores=1, abreast=2)
    for _ in range(4):
        scheduler.request(scheduled)
    await until(lambda: len(ran) == 2)
    assert scheduled.running == 2
    source.go.set()
    await until(lambda: len(ran) == 5)
    scheduler.remove(scheduled)


async def test_a_slot_is_widened_only_over_cores_that_nobody_has_or_wants() -> None:
    """Over a core that is held, or that somebody waits for, it stays as it is."""
    scheduler = CoreScheduler(cores=2)
    everything = HeldSource("everything", 1, ran=[])
    scheduled = scheduler.add(everything)
    async with held(scheduler, 1) as first:
        slot = first.slots[0]
        async with held(scheduler, 1):
            assert not scheduler.widen(slot)
        await until(lambda: len(scheduler._held) == 1)
        scheduler.request(scheduled)
        assert not scheduler.widen(slot)
        scheduler.remove(scheduled)
        assert scheduler.widen(slot)
        third = HeldSource("third", 1, ran=[])
        waiting = scheduler.add(third, cores=1)
        scheduler.request(waiting)
        assert third.batches == 1
        third.go.set()
        first.go.set()
        await until(lambda: third.batches == 0)
        scheduler.remove(waiting)


@contextlib.contextmanager
def background(scheduler: CoreScheduler, ran: list[str], *, patience_s: float) -> Iterator[threading.Thread]:
    """A step of background work in a thread, which waits when this returns."""

    def work() -> None:
        with scheduler.background_step(patience_s=patience_s):
            ran.append("warming")

    thread = threading.Thread(target=work)
    thread.start()
    end_s = time.monotonic() + 10
    while not (scheduler._background or scheduler._waiting) and time.monotonic() < end_s:
        time.sleep(0.001)
    yield thread
    thread.join(10)
    assert not thread.is_alive()


async def test_background_work_lets_others_go_first() -> None:
    """Background work that came first goes when nobody else waits any more."""
    scheduler, ran = CoreScheduler(), []
    sources = [HeldSource(name, 1, ran=ran) for name in "ab"]
    scheduled = [scheduler.add(source) for source in sources]
    async with held(scheduler) as other:
        with background(scheduler, ran, patience_s=60):
            for source, each in zip(sources, scheduled, strict=True):
                source.go.set()
                scheduler.request(each)
            other.go.set()
    assert ran == ["a", "b", "warming"]
    for each in scheduled:
        scheduler.remove(each)


async def test_background_work_is_not_starved() -> None:
    """On cores that are never free, background work goes when its patience has ended."""
    scheduler, ran = CoreScheduler(), []
    busy = [HeldSource(name, 1_000_000, ran=[]) for name in "ab"]
    scheduled = [scheduler.add(source) for source in busy]
    for source, each in zip(busy, scheduled, strict=True):
        source.go.set()
        scheduler.request(each)
    with background(scheduler, ran, patience_s=0.02) as thread:
        await asyncio.to_thread(thread.join, 10)
    assert ran == ["warming"]
    assert busy[0].batches > 0
    for each in scheduled:
        scheduler.remove(each)


async def test_a_batch_without_end_keeps_nobody_waiting() -> None:
    """Who hangs loses its cores to the next, and when it ends much later, nobody has them twice."""
    scheduler, ran = CoreScheduler(held_at_most_s=0.02), []
    sources = [HeldSource(name, 1, ran=ran) for name in "ab"]
    scheduled = [scheduler.add(source) for source in sources]
    async with held(scheduler) as hung:
        scheduler.request(scheduled[0])
        await until(lambda: ran == ["a"])
        scheduler._held_at_most_s = 60  # it does not hang, however busy the machine is
        scheduler.request(scheduled[1])
        hung.go.set()
        await until(lambda: len(scheduler._held) == 1)
        assert ran == ["a"]
        sources[0].go.set()
        sources[1].go.set()
        await until(lambda: ran == ["a", "b"])
    await until(lambda: scheduler.idle)
    for each in scheduled:
        scheduler.remove(each)


async def test_background_work_gets_past_a_batch_without_end() -> None:
    """A model that hangs does not keep a new version from being warmed."""
    scheduler, ran = CoreScheduler(held_at_most_s=0.02), []
    async with held(scheduler):
        with background(scheduler, ran, patience_s=0.01) as thread:
            await asyncio.to_thread(thread.join, 10)
            assert ran == ["warming"]


async def test_a_source_that_has_left_runs_no_more() -> None:
    """Neither a batch that waited for its turn, nor one that is asked for afterwards."""
    scheduler, ran = CoreScheduler(), []
    source = HeldSource("gone", 2, ran=ran)
    scheduled = scheduler.add(source)
    async with held(scheduler):
        scheduler.request(scheduled)
        scheduler.remove(scheduled)
        scheduler.request(scheduled)
    await until(lambda: scheduler.idle)
    assert ran == []


async def test_the_threads_end_with_the_last_source() -> None:
    """None is left behind, and the next source finds new ones."""
    before = set(threading.enumerate())
    scheduler = CoreScheduler(cores=2)
    for _ in range(2):
        async with held(scheduler, 1), held(scheduler, 1):
            assert len(set(threading.enumerate()) - before) >= 2
        await until(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith("predict")])


async def test_a_batch_that_gets_no_thread_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no room for a thread, nothing is lost: no core, and no batch, though none arrives later."""
    scheduler, ran = CoreScheduler(), list[str]()
    source = HeldSource("a", 1, ran=ran)
    source.go.set()
    scheduled = scheduler.add(source)
    monkeypatch.setattr("worker.batching.core_scheduler.NO_THREAD_S", 0.01)

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", full)
        scheduler.request(scheduled)
        assert scheduler.idle
        assert "can't start new thread" in caplog.text
    await until(lambda: ran == ["a"])
    scheduler.remove(scheduled)


SOURCES = st.tuples(st.integers(0, 4), st.sampled_from([1, 2, None]), st.integers(1, 2), st.booleans())


@given(st.lists(SOURCES, min_size=1, max_size=6), st.integers(1, 3))
def test_every_batch_runs_and_no_core_is_given_twice(
    asked: list[tuple[int, int | None, int, bool]], cores: int
) -> None:
    """Whoever leaves meanwhile: at no time more cores are in use than there are, and all batches of the others run."""
    lock, in_use, most = threading.Lock(), 0, 0

    class Counting(HeldSource):
        def run_batch(self, slot: CoreSlot) -> None:
            nonlocal in_use, most
            with lock:
                in_use += slot.cores
                most = max(most, in_use)
                self.batches -= 1
            time.sleep(0)
            with lock:
                in_use -= slot.cores

        @property
        def has_batch(self) -> bool:
            return self.batches > self.scheduled.running

        scheduled: ScheduledSource

    async def scenario() -> None:
        scheduler = CoreScheduler(cores)
        sources = []
        for batches, wanted, abreast, leaves in asked:
            source = Counting("", batches, ran=[])
            source.scheduled = scheduler.add(source, cores=wanted, abreast=abreast)
            scheduler.request(source.scheduled)
            sources.append((source, leaves))
        for source, leaves in sources:
            if leaves:
                scheduler.remove(source.scheduled)
        await until(lambda: scheduler.idle)
        assert [source.batches for source, leaves in sources if not leaves] == [
            0 for _, leaves in sources if not leaves
        ]
        for source, leaves in sources:
            if not leaves:
                scheduler.remove(source.scheduled)

    asyncio.run(scenario())
    assert most <= cores


async def test_warming_in_a_thread_takes_a_turn_a_batch() -> None:
    """A new version that warms in a thread runs no batch while another one does, and lets go between batches."""
    scheduler, model, ran = CoreScheduler(), brightness(), list[str]()
    serving = HeldSource("serving", 1, ran=ran)
    serving.go.set()
    scheduled = scheduler.add(serving)
    predict = model.engine.predict

    def noted(images):  # type: ignore[no-untyped-def]  # as the engine's own
        ran.append(f"warming {len(images)}")
        scheduler.request(scheduled)
        return predict(images)

    async with held(scheduler) as other:
        model.engine.predict = noted  # type: ignore[method-assign]  # the test listens in
        warming = asyncio.create_task(asyncio.to_thread(measure_pace, model, gate=scheduler.background_step))
        await until(lambda: bool(scheduler._background))
        assert ran == []
        other.go.set()
        await until(warming.done)
    assert ran[1] == "serving"
    assert sorted(ran) == sorted(["serving", *(f"warming {size}" for size in [*SIZES] * (1 + ROUNDS))])
    scheduler.remove(scheduled)


async def test_cores_are_idle_while_nobody_has_or_wants_one() -> None:
    """One core in use, or somebody who waits in the background, ends that."""
    scheduler = CoreScheduler(cores=2)
    assert scheduler.idle
    async with held(scheduler, 1) as other:
        assert not scheduler.idle
        with background(scheduler, [], patience_s=10):
            other.go.set()
    await until(lambda: scheduler.idle)
