"""Threads that work for an event loop and hand their results back to it.

They decode images. The standard library's executor wraps a future with a lock of its own in another future; without
that, handing over and back costs the event loop 6 microseconds instead of 30.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar, cast

T = TypeVar("T")


class SharedWork(Generic[T]):
    """Work that a thread of a pool does while its owner does something else, or else the owner itself."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._claim = threading.Lock()
        self._outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run(self) -> None:
        """In a thread of the pool: do the work, unless its owner has begun it."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._outcome.put((self._work(), None))
        except BaseException as error:
            self._outcome.put((None, error))

    def result(self) -> T:
        """For the owner: the result, or the error; does the work here if no thread of the pool has begun it."""
        if self._claim.acquire(blocking=False):
            return self._work()
        result, error = self._outcome.get()
        if error is not None:
            raise error
        return cast("T", result)


class _Job(NamedTuple):
    """Work to do, and the future that gets its outcome."""

    future: asyncio.Future[Any]
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


class LoopThreads:
    """`count` threads that take jobs in the order of submission. They run until `close` is called."""

    def __init__(self, count: int, *, name: str) -> None:
        self._jobs: SimpleQueue[_Job | SharedWork[Any] | None] = SimpleQueue()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, name=f"{name}_{number}") for number in range(count)]
        self._started = False
        self._starting = threading.Lock()

    def submit(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Run `work(*arguments)` in the next free thread; the future belongs to the running event loop.

        A job whose future is cancelled before a thread takes it never runs. After `close` the future is cancelled.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.cancel()
            return future
        self._start()
        self._jobs.put(_Job(future, work, arguments))
        return future

    def share(self, work: Callable[[], T]) -> Callable[[], T]:
        """Offer work to the next free thread, from any thread; to be called for the result.

        The caller then does it itself if no thread has begun it, as after `close`: it never waits for a busy thread.
        """
        shared = SharedWork(work)
        if not self._closed:
            self._start()
            self._jobs.put(shared)
        return shared.result

    def _start(self) -> None:
        if self._started:
            return
        with self._starting:
            if not self._started:
                for thread in self._threads:
                    thread.start()
                self._started = True

    def close(self) -> None:
        """Cancel the jobs that no thread has taken and end the threads, without waiting; call it on the event loop."""
        self._closed = True
        try:
            while job := self._jobs.get_nowait():
                if isinstance(job, _Job):
                    job.future.cancel()
        except Empty:
            pass
        for _ in self._threads:
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, SharedWork):
                job.run()
            elif not job.future.done():
                _run(job)
            del job  # or its image would stay in memory until the next job


def _run(job: _Job) -> None:
    future, work, arguments = job
    result: Any = None
    error: BaseException | None = None
    try:
        result = work(*arguments)
    except BaseException as raised:
        error = raised
    try:
        future.get_loop().call_soon_threadsafe(_resolve, future, result, error)
    except RuntimeError:  # the event loop is closed
        pass
    finally:
        del job, future, arguments, result, error  # the error refers to this frame: no cycle may keep the image


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
        return
    if isinstance(error, StopIteration):  # a future refuses it: it would end the coroutine that awaits as if returning
        wrapped = RuntimeError(f"The work of a thread raised StopIteration: {error}")
        wrapped.__cause__ = error
        error = wrapped
    future.set_exception(error)
