"""Waits for a condition, with a limit, so that tests need not sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(
    condition: Callable[[], Awaitable[T]] | Callable[[], T], *, within_s: float = 10.0, every_s: float = 0.02
) -> T:
    """Wait until `condition()` is true, and give back what it gave; AssertionError after `within_s`."""
    end_s = time.monotonic() + within_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < end_s, f"not within {within_s:g} s: {condition}"
        await asyncio.sleep(every_s)


async def all_let_in() -> None:
    """Wait until asyncio has made connections of all that it has accepted; to be followed at once by the server's end.

    A connection that it has accepted and not yet made when its server is closed is dropped, and warned of as unclosed
    (Server._attach asserts that the server still has its sockets, in a task that nobody awaits).
    """
    await until(lambda: not any(task.get_coro().__name__ == "_accept_connection2" for task in asyncio.all_tasks()))
