"""Many images: names as the user gave them -> files -> answers, a few at a time, in the order given."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})

# Answers that wait for a slower one before them, for each request that may be under way.
WINDOW = 8


async def files(names: Sequence[str], stdin: int) -> AsyncIterator[str]:
    """The files that `names` mean, one by one as they are asked for.

    A folder means the images in it and below it, sorted; `-` means the names that the descriptor
    `stdin` has, one a line. A name that does not exist is handed on like any other.
    """
    for name in names:
        if name == "-":
            async for line in lines(stdin):
                for file in await asyncio.to_thread(images_in, line):
                    yield file
        else:
            for file in await asyncio.to_thread(images_in, name):
                yield file


def images_in(name: str) -> list[str]:
    """A folder's image files, sorted, whatever their depth; anything else is taken for a file.

    So is a folder without images: reading it says what is wrong.
    """
    folder = Path(name)
    if not folder.is_dir():
        return [name]
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(str(path) for path in found if path.is_file()) or [name]


async def lines(descriptor: int) -> AsyncIterator[str]:
    """The lines of a descriptor without their ends, each as soon as it is there; blank ones are left out.

    No thread waits in a read here: one could not be interrupted, and Ctrl-C would hang until the next line.
    """
    rest = b""
    while piece := await _read(descriptor):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield os.fsdecode(line.rstrip(b"\r"))
    if rest.strip():
        yield os.fsdecode(rest.rstrip(b"\r"))


async def _read(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:
        return os.read(descriptor, 65536)  # an ordinary file: cannot be waited for, and need not be
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65536)


class InOrder(Generic[T, R]):
    """Work on many items, `concurrency` at a time, whose results are fetched in the items' order.

        async with InOrder(items, work, concurrency=8) as results:
            async for item, result in results: ...

    No item is asked for before it can be begun, nor while many finished ones wait to be fetched. What
    still runs at the end is cancelled.
    """

    def __init__(
        self, items: AsyncIterable[T], work: Callable[[T], Coroutine[Any, Any, R]], *, concurrency: int
    ) -> None:
        self._items = aiter(items)
        self._work = work
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
            task.add_done_callback(lambda _: self._free.release())
            self._begun.append((item, task))
            self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[T, R]:
        while not self._begun:
            if self._reader.done():
                self._reader.result()  # raises what the items raised, if they did
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item, task = self._begun[0]
        await asyncio.wait({task})
        self._begun.popleft()
        self._window.release()
        return item, task.result()

    def finished(self) -> Iterator[tuple[T, R]]:
        """What is finished but waits for something slower before it; for a consumer that must stop."""
        for item, task in self._begun:
            if task.done():
                yield item, task.result()
