"""When a moment's requests have all ended."""

from __future__ import annotations

import asyncio

from worker.repository.request_epochs import RequestEpochs


async def ended(waiting: asyncio.Task[None]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return waiting.done()


async def test_requests_that_began_before_are_waited_for() -> None:
    """The wait ends with the last request that had begun; those that begin later do not prolong it."""
    requests = RequestEpochs()
    with requests.track():
        with requests.track():
            waiting = asyncio.create_task(requests.earlier_ended())
            assert not await ended(waiting)
            later = requests.track()
            later.__enter__()
        assert not await ended(waiting)
    assert await ended(waiting)
    later.__exit__(None, None, None)


async def test_waits_may_overlap() -> None:
    """Two swaps at once: each waits for the requests that began before it, the later one for both."""
    requests = RequestEpochs()
    first = requests.track()
    first.__enter__()
    one = asyncio.create_task(requests.earlier_ended())
    await ended(one)
    second = requests.track()
    second.__enter__()
    two = asyncio.create_task(requests.earlier_ended())
    await ended(two)
    second.__exit__(None, None, None)
    assert not await ended(one)
    assert not await ended(two)
    first.__exit__(None, None, None)
    assert await ended(one)
    assert await ended(two)


async def test_without_requests_nothing_is_waited_for() -> None:
    """An idle worker lets go at once, again and again."""
    requests = RequestEpochs()
    for _ in range(3):
        async with asyncio.timeout(1):
            await requests.earlier_ended()
