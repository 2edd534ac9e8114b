"""Late attempts: others are asked beside them, again and again, and the first answer counts."""

from __future__ import annotations

import asyncio
import time

import pytest

from p2pclient import AsyncClient, ClientClosed, DeadlineExceeded, timeouts
from tests.support.waiting import until

HANGS_S = 10.0  # what takes less has not hung; exact times are in tests/unit/p2pclient/calls/test_race.py


@pytest.fixture
def impatient(monkeypatch):
    """An attempt is late after a fifth of a second, not only after a whole one."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 0.2)


@pytest.mark.parametrize("routing", ["watch", "lookup"])
async def test_the_race_is_repeated(fleet, impatient, routing):
    """Three of four workers hang: the fourth is asked once three attempts are late, without giving up any of them."""
    *hung, other = fleet.add(4)
    for worker in hung:
        worker.behave = fleet.hang
    async with AsyncClient(fleet.url, service="classify", routing=routing, attempts=4) as client:
        answers = await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(4)))
        assert {answer.worker for answer in answers} == {other.address}
        assert max(answer.attempts for answer in answers) <= 4
        assert max(answer.took_s for answer in answers) < HANGS_S


async def test_hung_workers_are_outrun_at_the_same_pace_once_it_is_known(fleet, impatient):
    """With a known usual time further attempts begin beyond `attempts`, too."""
    workers = fleet.add(4)
    async with AsyncClient(fleet.url, service="classify", attempts=1) as client:
        for _ in range(40):
            await client.classify(fleet.jpeg)
        for worker in workers[:3]:
            worker.behave = fleet.hang
        answers = await asyncio.gather(*(client.classify(fleet.jpeg) for _ in range(4)))
    assert {answer.worker for answer in answers} == {workers[3].address}
    assert max(answer.took_s for answer in answers) < HANGS_S


async def test_the_first_answer_does_not_wait_for_a_hedge_s_lookup(fleet, monkeypatch):
    """While the lookup service hangs over a second worker's name, the first worker's answer ends the call."""
    monkeypatch.setattr(timeouts, "LOOKUP_TURN_S", 3600.0)
    (worker,) = fleet.add()
    looked_up = asyncio.Event()

    async def slowly(request, body):
        await until(looked_up.is_set)
        return await fleet.answer(request, body)

    async def hang_over_several(request, _body):
        if request.query.get("count"):
            looked_up.set()
            await asyncio.Event().wait()
        fleet.lookup.replace = None
        try:
            return await fleet.lookup.handle(request)
        finally:
            fleet.lookup.replace = hang_over_several

    async with AsyncClient(fleet.url, service="classify", routing="lookup", hedge=True) as client:
        for _ in range(40):
            await client.classify(fleet.jpeg)
        worker.behave, fleet.lookup.replace = slowly, hang_over_several
        assert (await client.classify(fleet.jpeg)).took_s < HANGS_S


async def test_an_image_at_fault_ends_the_race(fleet, impatient):
    """A second worker that refuses the image speaks for the first one, which hangs."""
    hung, other = fleet.add(2)
    hung.behave = fleet.hang
    other.behave = fleet.answers(400, "this is no image")
    async with AsyncClient(fleet.url, service="classify", routing="lookup") as client:
        began_s = time.monotonic()
        with pytest.raises(Exception, match="no image"):
            await client.classify(b"no image")
        assert time.monotonic() - began_s < HANGS_S


async def test_a_race_that_nobody_wins_ends_by_the_deadline(fleet, impatient):
    """All hang: the call ends in time, with all attempts counted, and leaves no task behind."""
    for worker in fleet.add(3):
        worker.behave = fleet.hang
    before = asyncio.all_tasks()
    async with AsyncClient(fleet.url, service="classify", timeout_s=1) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.classify(fleet.jpeg)
    assert caught.value.attempts == sum(len(worker.seen) for worker in fleet.started) == 3
    await until(lambda: asyncio.all_tasks() == before)


async def test_a_cancelled_race_leaves_no_task(fleet, impatient):
    """Whoever cancels a call cancels all its attempts."""
    workers = fleet.add(2)
    for worker in workers:
        worker.behave = fleet.hang
    async with AsyncClient(fleet.url, service="classify") as client:
        call = asyncio.create_task(client.classify(fleet.jpeg))
        await until(lambda: all(worker.seen for worker in workers))
        assert [task for task in asyncio.all_tasks() if "_beside" in repr(task)] != []
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert [task for task in asyncio.all_tasks() if "_beside" in repr(task)] == []


@pytest.mark.parametrize("waits_for", ["Retry-After", "a worker", "a race"])
async def test_closing_wakes_every_call(fleet, impatient, waits_for):
    """Whatever a call waits for, closing the client ends it with ClientClosed, at once."""
    workers = fleet.add(2) if waits_for != "a worker" else []
    for worker in workers:
        worker.behave = fleet.hang if waits_for == "a race" else fleet.answers(503, "full", Retry_After="20")
    client = AsyncClient(fleet.url, service="classify", timeout_s=60)
    call = asyncio.create_task(client.classify(fleet.jpeg))
    await until(lambda: all(worker.seen for worker in workers) and (workers or fleet.lookup.asked))
    async with asyncio.timeout(HANGS_S):
        await client.close()
        with pytest.raises(ClientClosed):
            await call
