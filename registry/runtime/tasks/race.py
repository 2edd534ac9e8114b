"""A race between a piece of work and the events that make it pointless, such as a signal to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def finishes_first(
    work: Coroutine[Any, Any, object], *ends: Coroutine[Any, Any, object], timeout_s: float | None = None
) -> bool:
    """Whether `work` finishes within `timeout_s` and before any of `ends`; what has not finished is cancelled.

    Raises what `work`, or one of `ends` that finished, raised.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in (work, *ends)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return done == {tasks[0]}


async def event_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for `event`; whether it was set within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
