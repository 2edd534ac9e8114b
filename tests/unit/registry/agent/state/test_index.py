"""Which change wakes which waiters, and that no waiter is left behind."""

from __future__ import annotations

import asyncio

from registry.agent.state.index import ChangeIndex

TOPIC, OTHER = ("service", "a"), ("service", "b")


async def waiting(changes: ChangeIndex, topic: tuple[str, str], timeout_s: float = 60.0) -> asyncio.Task[None]:
    """A task that already waits."""
    task = asyncio.create_task(changes.wait(topic, timeout_s))
    await asyncio.sleep(0)
    return task


async def test_only_those_concerned_wake() -> None:
    """An announcement wakes all waiters of its topic and none of another."""
    changes = ChangeIndex()
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
    changes = ChangeIndex()
    await changes.wait(TOPIC, 0.001)
    cancelled = await waiting(changes, TOPIC)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    woken = await waiting(changes, TOPIC)
    changes.wake(TOPIC)
    await woken
    assert changes._waiting == {}


async def test_closing_releases_all_waiters() -> None:
    """After close nothing waits: neither the waiters there were, nor those that come later."""
    changes = ChangeIndex()
    tasks = [await waiting(changes, topic) for topic in (TOPIC, OTHER)]
    changes.close()
    await asyncio.wait_for(asyncio.gather(*tasks, changes.wait(TOPIC, 60.0)), 1)


async def test_what_belongs_together_is_one_change() -> None:
    """Writes inside one_change share an index, and wake their waiters when the outermost one ends."""
    changes = ChangeIndex()
    first = changes.index
    waiter = await waiting(changes, TOPIC)
    with changes.one_change():
        with changes.one_change():
            changes.next_index()
            changes.announce([TOPIC])
        changes.next_index()
        changes.announce([OTHER])
        await asyncio.sleep(0)
        assert not waiter.done()
    await asyncio.wait_for(waiter, 1)
    assert changes.at(TOPIC) == changes.at(OTHER) == changes.index == first + 1


async def test_what_was_undone_wakes_no_waiter() -> None:
    """After an undo the index is as before, and a waiter sleeps on until a change that stays."""
    changes = ChangeIndex()
    waiter = await waiting(changes, TOPIC)
    first = changes.index
    with changes.one_change():
        undo = changes.undo()
        changes.next_index()
        changes.announce([TOPIC])
        undo()
    await asyncio.sleep(0)
    assert (waiter.done(), changes.index, changes.at(TOPIC)) == (False, first, 0)
    changes.next_index()
    changes.announce([TOPIC])
    await asyncio.wait_for(waiter, 1)
    assert changes.at(TOPIC) == first + 1
