"""Calls over a network that does anything at any moment: each ends in time, and leaves nothing behind.

The times are exact, on a clock that only the client's waiting moves.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from p2pclient import (
    AsyncClient,
    DeadlineExceeded,
    LookupUnavailable,
    NoWorker,
    P2PError,
    WorkerFailed,
    timeouts,
)
from p2pclient.calls import service_channel
from p2pclient.testing import FakeTransport, failure
from tests.support.event_loops import virtual_time
from tests.support.lookups.virtual_fleet import ANSWER, IMAGE, JITTER_S, VirtualFleet

TIMEOUT_S = 0.6

both_routings = pytest.mark.parametrize("routing", ["watch", "lookup"])


@both_routings
@pytest.mark.parametrize("hedge", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_a_call_ends_and_every_attempt_is_counted_out(routing, hedge, seed, monkeypatch):
    """Answers, refusals, resets, silence and cancelled callers, mixed: no call is late, no task or load stays."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 0.02)
    chance = random.Random(seed)

    async def anything(_request):
        fate = chance.random()
        await asyncio.sleep(chance.choice([0, 0.001, 0.03]))
        if fate < 0.5:
            return ANSWER
        if fate < 0.6:
            await asyncio.sleep(10)
        if fate < 0.7:
            raise chance.choice([ConnectionRefusedError, ConnectionResetError, TimeoutError])
        return failure(chance.choice([400, 421, 429, 500, 503]), "no")

    async def call(client):
        began_s = time.monotonic()
        try:
            attempts = (await client.classify(IMAGE)).attempts
        except P2PError as error:
            attempts = error.attempts
        assert attempts >= 1
        assert time.monotonic() - began_s < TIMEOUT_S + 0.001

    async def main():
        before = asyncio.all_tasks()
        transport = FakeTransport(anything, workers=[f"worker-{number}:80" for number in range(4)])
        async with AsyncClient(transport=transport, routing=routing, hedge=hedge, timeout_s=TIMEOUT_S) as client:
            calls = [asyncio.create_task(call(client)) for _ in range(120)]
            for cancelled in chance.sample(calls, 20):
                asyncio.get_running_loop().call_later(chance.random() / 10, cancelled.cancel)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
            balancer = client._core.channel(None)._balancer
            assert balancer is None or [member.in_flight for member in balancer._members.values()] == [0] * 4
        assert asyncio.all_tasks() == before

    virtual_time.run(main())


def test_attempts_are_bounded_by_the_budget():
    """When every worker fails, attempts are 1.2 times the calls and ten a second, and no call is late."""

    async def main():
        fleet.answers = failure(500, "the model broke")
        async with AsyncClient(transport=fleet, timeout_s=1.2) as client:
            began_s = time.monotonic()
            outcomes = await asyncio.gather(*(client.classify(IMAGE) for _ in range(200)), return_exceptions=True)
            return outcomes, time.monotonic() - began_s

    fleet = VirtualFleet(2)
    outcomes, took_s = virtual_time.run(main())
    assert {type(outcome) for outcome in outcomes} <= {WorkerFailed, DeadlineExceeded}
    assert took_s < 1.2 + JITTER_S
    assert len(fleet.requests) <= 1.2 * 200 + 10 * (took_s + 2)


def test_a_hung_worker_leaves_time_for_another():
    """An attempt takes at most half of what is left, and a worker is told how long its client goes on waiting."""

    async def main():
        fleet.hung = {fleet.workers[0]}
        async with AsyncClient(transport=fleet, routing="lookup", timeout_s=0.3) as client:
            return await client.classify(IMAGE)

    fleet = VirtualFleet(2)
    prediction = virtual_time.run(main())
    assert (prediction.worker, prediction.attempts) == (fleet.workers[1], 2)
    assert prediction.took_s == pytest.approx(0.15 + fleet.takes_s, abs=0.01)
    assert fleet.told_ms() == pytest.approx([300, 150], abs=10)


@both_routings
def test_when_all_hang_the_call_ends_by_its_deadline(routing):
    """Each attempt is told what the call has left, and then it is over, with all attempts counted."""

    async def main():
        fleet.hung = set(fleet.workers)
        before = asyncio.all_tasks()
        async with AsyncClient(transport=fleet, routing=routing) as client:
            began_s = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="allow more time") as caught:
                await client.classify(IMAGE, timeout_s=1)
            took_s = time.monotonic() - began_s
        assert asyncio.all_tasks() == before
        return caught.value.attempts, took_s

    fleet = VirtualFleet(3)
    attempts, took_s = virtual_time.run(main())
    assert took_s == pytest.approx(1)
    assert attempts == len(fleet.requests) == 3
    assert fleet.told_ms()[0] == pytest.approx(1000, abs=10)


@both_routings
@pytest.mark.parametrize("left_out_s", [service_channel.LEFT_OUT_S, 0.02])
def test_no_storm_while_everybody_refuses_and_no_delay_when_somebody_is_back(routing, left_out_s, monkeypatch):
    """32 calls wait together for one of three workers: ten tries a second in all, and all are answered at once."""
    monkeypatch.setattr(service_channel, "LEFT_OUT_S", left_out_s)

    async def main():
        async with AsyncClient(transport=fleet, routing=routing, timeout_s=20) as client:
            for _ in range(6):
                await client.classify(IMAGE)
            fleet.refusing = set(fleet.workers)
            waiting = [asyncio.create_task(client.classify(IMAGE)) for _ in range(32)]
            await asyncio.sleep(5)
            fleet.refusing.remove(fleet.workers[0])
            back_s = time.monotonic()
            answers = await asyncio.gather(*waiting)
            return answers, time.monotonic() - back_s

    fleet = VirtualFleet(3)
    answers, late_s = virtual_time.run(main())
    tries = sum(answer.attempts for answer in answers) - 32
    met = 3 * 32 if left_out_s == service_channel.LEFT_OUT_S else 5 * 32
    assert tries <= met + 10 * (5 + late_s) + 1
    assert late_s < 0.3 + JITTER_S  # each of three is tried within 0.3 s
    assert {answer.worker for answer in answers} == {fleet.workers[0]}


@both_routings
def test_nobody_until_the_deadline(routing):
    """Where there is no worker, or only one that refuses, the error comes by the deadline."""

    async def main():
        fleet = VirtualFleet(1)
        fleet.refusing = set(fleet.workers)
        empty = FakeTransport(ANSWER, workers=[])
        for transport, error in ((fleet, WorkerFailed), (empty, NoWorker)):
            async with AsyncClient(transport=transport, routing=routing, timeout_s=1.5) as client:
                began_s = time.monotonic()
                with pytest.raises(error):
                    await client.classify(IMAGE)
                assert time.monotonic() - began_s <= 1.5 + 0.01

    virtual_time.run(main())


@pytest.mark.parametrize("fault", [ConnectionRefusedError, ConnectionResetError, TimeoutError])
def test_no_lookup_service_until_the_deadline(fault):
    """However the lookup service is away, it is tried at least `attempts` times, to the deadline at most."""

    class Away(FakeTransport):
        async def _looked_up(self, url, timeout_s):
            if fault is TimeoutError:
                await asyncio.sleep(timeout_s)
            return failure(500, "broken")

    async def main():
        async with AsyncClient(transport=Away(ANSWER), routing="lookup", timeout_s=1) as client:
            began_s = time.monotonic()
            with pytest.raises(LookupUnavailable) as caught:
                await client.classify(IMAGE)
            assert time.monotonic() - began_s <= 1.01
            assert caught.value.lookups >= 3

    virtual_time.run(main())
