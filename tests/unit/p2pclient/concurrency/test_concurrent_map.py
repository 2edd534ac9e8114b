"""Many items: order, limits and endings of `Many`."""

from __future__ import annotations

import asyncio

import pytest

from p2pclient.concurrency.concurrent_map import WINDOW, ConcurrentMap


async def numbers(count, asked):
    for number in range(count):
        asked.append(number)
        yield number


async def many_turns():
    """Let the loop do all that it can do without waiting for anything."""
    for _ in range(500):
        await asyncio.sleep(0)


async def test_results_keep_the_order():
    """Whatever finishes first, results are fetched in the order of the items."""

    async def later_is_faster(number):
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return number * number

    async with ConcurrentMap(numbers(20, []), later_is_faster, concurrency=7) as results:
        assert [pair async for pair in results] == [(number, number * number) for number in range(20)]


async def test_no_item_is_asked_for_before_it_can_begin():
    """With two at a time, the third item is taken only when one of the first two is done."""
    asked, gates = [], [asyncio.Event() for _ in range(4)]

    async def pass_gate(number):
        await gates[number].wait()

    async with ConcurrentMap(numbers(4, asked), pass_gate, concurrency=2) as results:
        await many_turns()
        assert asked == [0, 1]
        gates[1].set()
        await many_turns()
        assert asked == [0, 1, 2]
        for gate in gates:
            gate.set()
        assert [number async for number, _ in results] == [0, 1, 2, 3]


async def test_unfetched_results_are_limited():
    """A consumer that does not fetch stops the reading: memory stays bounded."""
    asked = []

    async def nothing(_number):
        return None

    async with ConcurrentMap(numbers(1000, asked), nothing, concurrency=2) as results:
        await many_turns()
        assert len(asked) == 2 * WINDOW
        assert len([number async for number, _ in results]) == 1000


async def test_finished_ones_can_be_had_at_the_end():
    """A consumer that must stop gets what is done behind something slower; the rest is cancelled."""
    cancelled = []

    async def hang_at_zero(number):
        try:
            await asyncio.sleep(3600 if number == 0 else 0)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return "done"

    before = asyncio.all_tasks()
    async with ConcurrentMap(numbers(3, []), hang_at_zero, concurrency=3) as results:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(results)
        assert list(results.finished()) == [(1, "done"), (2, "done")]
    assert cancelled == [0]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("where", ["items", "work"])
async def test_what_breaks_is_told(where):
    """An exception of the items or of the work reaches the consumer, after what came before it."""

    async def items():
        yield 1
        if where == "items":
            raise OSError("no more names")
        yield 2

    async def work(number):
        if number == 2:
            raise OSError("no more work")
        return number

    async with ConcurrentMap(items(), work, concurrency=1) as results:
        assert await anext(results) == (1, 1)
        with pytest.raises(OSError, match="no more"):
            await anext(results)
