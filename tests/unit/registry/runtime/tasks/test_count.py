"""The number of unfinished tasks follows the event loop's."""

from __future__ import annotations

import asyncio

from registry.runtime.tasks.count import unfinished_tasks


async def test_a_task_counts_until_it_has_ended() -> None:
    """A waiting task is counted, one that has ended is not."""
    before = unfinished_tasks()
    waiting = asyncio.create_task(asyncio.Event().wait())
    assert unfinished_tasks() == before + 1
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert unfinished_tasks() == before


def test_a_thread_without_an_event_loop_has_no_tasks() -> None:
    """Metrics that are read outside of an event loop say 0."""
    assert unfinished_tasks() == 0
