"""Threads that work for an event loop: who is told what, and what becomes of jobs that nobody wants any more."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from tests.support.waiting import until
from worker.system.loop_threads import LoopThreads


@pytest.fixture
def threads() -> Iterator[LoopThreads]:
    """One thread."""
    one = LoopThreads(1, name="test")
    yield one
    one.close()


class Kept:
    """Something whose end can be seen."""


async def test_everybody_gets_their_own_in_order(threads: LoopThreads) -> None:
    """Jobs run in the order in which they were given, and each caller gets its result or its error."""
    ran: list[int] = []

    def work(number: int) -> int:
        ran.append(number)
        if number == 2:
            raise ValueError(f"{number}")
        return number * number

    answers = await asyncio.gather(*(threads.submit(work, number) for number in range(5)), return_exceptions=True)
    assert ran == [*range(5)]
    assert [repr(answer) for answer in answers] == ["0", "1", "ValueError('2')", "9", "16"]


async def test_as_many_at_a_time_as_there_are_threads() -> None:
    """Two threads do two jobs at the same time."""
    two, together = LoopThreads(2, name="test"), threading.Barrier(2)
    try:
        await asyncio.gather(two.submit(together.wait, 10), two.submit(together.wait, 10))
    finally:
        two.close()


async def test_who_is_cancelled_before_is_never_begun(threads: LoopThreads) -> None:
    """A job whose caller leaves while it waits is passed over; one that runs ends without anybody to tell."""
    go = threading.Event()
    ran: list[int] = []
    running = threads.submit(go.wait, 10)
    waiting = threads.submit(ran.append, 1)
    running.cancel()
    waiting.cancel()
    go.set()
    assert await threads.submit(len, ran) == 0


async def test_closing_cancels_what_has_not_begun() -> None:
    """What runs is not waited for, what waits and what comes later is cancelled, and the thread ends."""
    threads, go = LoopThreads(1, name="closing"), threading.Event()
    begun = threading.Event()

    def work() -> int:
        begun.set()
        go.wait(10)
        return 1

    running, waiting = threads.submit(work), threads.submit(work)
    await asyncio.to_thread(begun.wait, 5)
    threads.close()
    assert not running.done()
    assert waiting.cancelled()
    assert threads.submit(work).cancelled()
    go.set()
    assert await running == 1
    await until(lambda: not any(thread.name.startswith("closing") for thread in threading.enumerate()))


async def test_a_thread_without_work_holds_nothing(threads: LoopThreads) -> None:
    """What a job was given and what came of it are let go when it is done, not when there is another one."""
    kept = Kept()
    seen = weakref.ref(kept)
    await threads.submit(lambda given: [given], kept)
    del kept

    def gone() -> bool:
        gc.collect()
        return seen() is None

    await until(gone)


def test_an_event_loop_that_has_ended_is_not_told(threads: LoopThreads) -> None:
    """A job that outlives its event loop ends quietly, and its thread goes on for another one."""
    go = threading.Event()

    async def begin() -> None:
        threads.submit(go.wait, 10)

    async def again() -> int:
        return await threads.submit(len, "four")

    asyncio.run(begin())
    go.set()
    assert asyncio.run(again()) == 4


async def test_a_stop_iteration_reaches_its_caller(threads: LoopThreads) -> None:
    """An error that no future takes is told all the same, as a RuntimeError; its caller does not wait for ever."""

    def work() -> None:
        raise StopIteration("end")

    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="StopIteration: end"):
            await threads.submit(work)


async def test_an_error_keeps_nothing_when_it_is_forgotten(threads: LoopThreads) -> None:
    """The image of a failed job goes with its error: it does not wait for a garbage collection."""
    kept = Kept()
    gone = weakref.ref(kept)

    def fail(_: Kept) -> None:
        raise ValueError

    future = threads.submit(fail, kept)
    del kept
    gc.disable()
    try:
        await asyncio.wait((future,))
        assert isinstance(future.exception(), ValueError)
        del future
        await until(lambda: gone() is None)
    finally:
        gc.enable()


def test_a_thread_does_shared_work_while_its_owner_does_something_else(threads: LoopThreads) -> None:
    """The result comes from the other thread; so does the error."""
    met = threading.Barrier(2)

    def work() -> str:
        met.wait(10)
        return threading.current_thread().name

    result = threads.share(work)
    met.wait(10)
    assert result() == "test_0"

    def fails() -> None:
        met.wait(10)
        raise ValueError("no")

    result_of_error = threads.share(fails)
    met.wait(10)
    with pytest.raises(ValueError, match="no"):
        result_of_error()


async def test_shared_work_that_no_thread_has_begun_is_done_by_its_owner(threads: LoopThreads) -> None:
    """Nobody waits for a busy thread, nor for one that has ended; the work is done once."""
    go, begun = threading.Event(), threading.Event()
    done: list[str] = []

    def hold() -> None:
        begun.set()
        go.wait(10)

    running = threads.submit(hold)
    await asyncio.to_thread(begun.wait, 5)
    result = threads.share(lambda: done.append(threading.current_thread().name))
    result()
    go.set()
    await running
    assert await threads.submit(len, done) == 1
    assert done == [threading.current_thread().name]
    threads.close()
    assert threads.share(lambda: 7)() == 7
