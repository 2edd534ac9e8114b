"""Threads that work for an event loop and hand their results back to it.

Each image passes through two of them, to be decoded and to be predicted. The standard library's executor wraps a
future with a lock of its own in another future; without that, handing over and back costs the event loop 6
microseconds instead of 30.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Job(NamedTuple):
    """Work to do, and the future that gets its outcome."""

    future: asyncio.Future[Any]
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


class LoopThreads:
    """`count` threads that take jobs in the order of submission. They run until `close` is called."""

    def __init__(self, count: int, *, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, name=f"{name}_{number}") for number in range(count)]
        self._started = False

    def submit(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Run `work(*arguments)` in the next free thread; the future belongs to the running event loop.

        A job whose future is cancelled before a thread takes it never runs. After `close` the future is cancelled.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.cancel()
            return future
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        self._jobs.put(_Job(future, work, arguments))
        return future

    def close(self) -> None:
        """Cancel the jobs that no thread has taken and end the threads, without waiting; call it on the event loop."""
        self._closed = True
        try:
            while job := self._jobs.get_nowait():
                job.future.cancel()
        except Empty:
            pass
        for _ in self._threads:
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.future.done():
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
