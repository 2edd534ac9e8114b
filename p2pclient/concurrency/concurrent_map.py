"""Works on many items, a few at a time; results come in the items' order or as they are finished.

An item is taken only when its work can begin; results that are not fetched hold up the items after them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 8
"""How many results may wait for a slower one before them, per item that may be under way."""


async def numbered(items: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[tuple[int, T]]:
    """The items with their numbers from 0 on, each taken when it is asked for."""
    number = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield number, item
            number += 1
    else:
        for number, item in enumerate(items):
            yield number, item


class ConcurrentMap(Generic[T, R]):
    """Work on many items, `concurrency` at a time.

        async with ConcurrentMap(items, work, concurrency=8) as results:
            async for item, result in results: ...

    Work that still runs at the end is cancelled. An exception of the items, or of the work, is raised in its place.
    """

    def __init__(
        self,
        items: AsyncIterable[T],
        work: Callable[[T], Coroutine[Any, Any, R]],
        *,
        concurrency: int,
        ordered: bool = True,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be 1 or more, not {concurrency}")
        self._items = aiter(items)
        self._work = work
        self._ordered = ordered
        self._free = asyncio.Semaphore(concurrency)
        self._window = asyncio.Semaphore(concurrency * WINDOW)
        self._begun: deque[tuple[T, asyncio.Task[R]]] = deque()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._begin())
        self._reader.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [self._reader, *(task for _, task in self._begun)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self) -> None:
        while True:
            await self._window.acquire()
            await self._free.acquire()
            try:
                item = await anext(self._items)
            except StopAsyncIteration:
                return
            task = asyncio.create_task(self._work(item))
            self._begun.append((item, task))
            task.add_done_callback(self._ended)
            self._changed.set()

    def _ended(self, _: asyncio.Task[R]) -> None:
        self._free.release()
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[T, R]:
        while (place := self._next()) is None:
            if self._reader.done() and not self._begun:
                self._reader.result()  # raises what the items raised, if they did
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item, task = self._begun[place]
        del self._begun[place]
        self._window.release()
        return item, task.result()

    def _next(self) -> int | None:
        """The place of the result to hand out now; None if there is none yet."""
        if self._ordered:
            return 0 if self._begun and self._begun[0][1].done() else None
        return next((place for place, (_, task) in enumerate(self._begun) if task.done()), None)

    def finished(self) -> Iterator[tuple[T, R]]:
        """The results that wait for a slower one before them; for a consumer that must stop."""
        for item, task in self._begun:
            if task.done():
                yield item, task.result()
