"""When another worker is asked beside one that is late: exact times, on a clock that only waiting moves."""

from __future__ import annotations

import time

import pytest

from p2pclient import AsyncClient, BadImage, timeouts
from p2pclient.testing import failure
from tests.support.event_loops import virtual_time
from tests.support.lookups.virtual_fleet import IMAGE, JITTER_S, VirtualFleet, calls, warmed_up

LATE_S = 0.2

both_routings = pytest.mark.parametrize("routing", ["watch", "lookup"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """An attempt is late after a fifth of a second, not only after a whole one."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", LATE_S)


@both_routings
def test_the_race_is_repeated(routing):
    """Three of four hang: others are asked 0.2 s, then 0.4 s, then 0.8 s later, without giving up any of them."""

    async def main():
        fleet.hung = set(fleet.workers[:3])
        async with AsyncClient(transport=fleet, routing=routing, attempts=4) as client:
            return await calls(client, 4)

    fleet = VirtualFleet(4)
    answers = virtual_time.run(main())
    assert {answer.worker for answer in answers} == {fleet.workers[3]}
    assert max(answer.attempts for answer in answers) <= 4
    assert max(answer.took_s for answer in answers) < 0.2 + 0.4 + 0.8 + JITTER_S


def test_hung_workers_are_outrun_at_the_same_pace_once_it_is_known():
    """With a known usual time each further attempt begins as long after the one before, beyond `attempts`, too."""

    async def main():
        async with AsyncClient(transport=fleet, attempts=1) as client:
            await warmed_up(client)
            fleet.hung = set(fleet.workers[:3])
            return await calls(client, 4)

    fleet = VirtualFleet(4)
    answers = virtual_time.run(main())
    assert {answer.worker for answer in answers} == {fleet.workers[3]}
    assert max(answer.took_s for answer in answers) < 3 * LATE_S + JITTER_S


@both_routings
def test_a_first_call_that_a_hung_worker_has_is_answered_by_another(routing, monkeypatch):
    """It is not known how long answers take: another is asked after the least time, not after half of 30 s."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 1.0)

    async def main():
        fleet.hung = {fleet.workers[0]}
        async with AsyncClient(transport=fleet, routing=routing) as client:
            return await calls(client, 6)

    fleet = VirtualFleet(2)
    answers = virtual_time.run(main())
    assert {answer.attempts for answer in answers} == {1, 2}
    assert max(answer.took_s for answer in answers) < 1 + JITTER_S


def test_a_worker_that_hangs_again_and_again_is_ejected():
    """Five attempts that were outrun when they had taken too long take a worker out of the rotation."""

    async def main():
        async with AsyncClient(transport=fleet) as client:
            await warmed_up(client)
            fleet.hung = {fleet.workers[0]}
            await calls(client, 20)
            return [worker.address for worker in client._core.channel(None)._balancer.in_rotation]

    fleet = VirtualFleet(2)
    assert virtual_time.run(main()) == [fleet.workers[1]]


def test_a_hedge_answers_for_a_late_worker():
    """With hedging, a call whose worker is late is answered by another long before the first counts as hung."""

    async def main():
        async with AsyncClient(transport=fleet, hedge=True) as client:
            await warmed_up(client)
            fleet.hung = {fleet.workers[0]}
            return [await client.classify(IMAGE) for _ in range(6)]

    fleet = VirtualFleet(2)
    answers = virtual_time.run(main())
    assert {answer.worker for answer in answers} == {fleet.workers[1]}
    assert max(answer.took_s for answer in answers) < 3 * fleet.takes_s
    assert any(answer.attempts == 2 for answer in answers)


def test_an_image_at_fault_ends_the_race():
    """A second worker that refuses the image speaks for the first one, which hangs."""

    async def main():
        fleet.hung, fleet.answers = {fleet.workers[0]}, failure(400, "this is no image")
        async with AsyncClient(transport=fleet, routing="lookup") as client:
            began_s = time.monotonic()
            with pytest.raises(BadImage, match="no image"):
                await client.classify(IMAGE)
            return time.monotonic() - began_s

    fleet = VirtualFleet(2)
    assert virtual_time.run(main()) < LATE_S + JITTER_S


def test_a_slow_model_is_not_asked_again_beyond_the_budget():
    """First answers that take three times the limit are had in their own time, for at most 10 + 20% more attempts."""

    async def main():
        fleet.takes_s = 0.6
        async with AsyncClient(transport=fleet) as client:
            answers = await calls(client, 60)
            return answers, (await client.classify(IMAGE)).attempts

    fleet = VirtualFleet(3)
    answers, attempts_once_known = virtual_time.run(main())
    assert max(answer.took_s for answer in answers) < 0.6 + JITTER_S
    assert 60 < sum(answer.attempts for answer in answers) <= 60 + 12 + 20  # in two seconds of the clock
    assert attempts_once_known == 1
