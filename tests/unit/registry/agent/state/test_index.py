"""Who is woken by what, and that nobody stays behind."""

from __future__ import annotations

import asyncio

from registry.agent.state.index import Changes

TOPIC, OTHER = ("service", "a"), ("service", "b")


async def waiting(changes: Changes, topic: tuple[str, str], timeout_s: float = 60.0) -> asyncio.Task[None]:
    """A task that already waits."""
    task = asyncio.create_task(changes.wait(topic, timeout_s))
    await asyncio.sleep(0)
    return task


async def test_only_those_concerned_wake() -> None:
    """An announcement wakes all waiters of its topic and none of another."""
    changes = Changes()
    mine = [await waiting(changes, TOPIC) for _ in range(100)]
    other = await waiting(changes, OTHER)
    changes.next_index()
    changes.announce([TOPIC])
    await asyncio.wait_for(asyncio.gather(*mine), 1)
    assert not other.done()
    assert changes.at(TOPIC) == changes.index > changes.at(OTHER)
    changes.close()
    await other


async def test_nothing_is_left_of_a_waiter() -> None:
    """A waiter that gave up, was woken or was cancelled leaves nothing behind."""
    changes = Changes()
    await changes.wait(TOPIC, 0.001)
    cancelled = await waiting(changes, TOPIC)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    woken = await waiting(changes, TOPIC)
    changes.wake(TOPIC)
    await woken
    assert changes._waiting == {}


async def test_closing_releases_everyone() -> None:
    """After close nobody waits, neither those who did nor those who come later."""
    changes = Changes()
    tasks = [await waiting(changes, topic) for topic in (TOPIC, OTHER)]
    changes.close()
    await asyncio.wait_for(asyncio.gather(*tasks, changes.wait(TOPIC, 60.0)), 1)
