"""Supervised background tasks: an unexpected exception is logged, and the task's function is run again.

Waits between two runs grow with the failures in a row (see `backoff`); a run of HEALTHY_S or longer starts the count
again.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from registry.runtime.tasks.backoff import backoff_s

logger = logging.getLogger(__name__)

HEALTHY_S = 60.0

Body = Callable[[], Awaitable[None]]


async def supervise(name: str, body: Body) -> None:
    """Run `body` until it returns; after an exception log the traceback, wait, and run it again.

    `name` says in the log which task failed. Cancelling ends it.
    """
    failures, chance = 0, random.Random()
    while True:
        started_s = time.monotonic()
        try:
            return await body()
        except Exception:
            if time.monotonic() - started_s >= HEALTHY_S:
                failures = 0
            pause_s = backoff_s(failures, chance)
            failures += 1
            logger.exception("The background task %r failed: it starts again in %.1f s.", name, pause_s)
        await asyncio.sleep(pause_s)


def start_supervised(name: str, body: Body) -> asyncio.Task[None]:
    """A running task of that name that supervises `body`; the caller ends it with `cancel_all`.

    Its context is new: it does not belong to the request, or to the trace, during which it was started.
    """
    return asyncio.create_task(supervise(name, body), name=name, context=contextvars.Context())


async def cancel_all(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def supervised(name: str, body: Body) -> AsyncIterator[None]:
    """`body` runs supervised while the context is open."""
    task = start_supervised(name, body)
    try:
        yield
    finally:
        await cancel_all(task)
