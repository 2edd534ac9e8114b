"""Calls over a network that does anything at any moment: each ends in time, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from p2pclient import AsyncClient, P2PError, timeouts
from p2pclient.testing import FakeTransport, failure, labels

TIMEOUT_S, TOLERANCE_S = 0.6, 0.5


@pytest.mark.parametrize("routing", ["watch", "lookup"])
@pytest.mark.parametrize("hedge", [False, True])
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_a_call_ends_and_every_attempt_is_counted_out(routing, hedge, seed, monkeypatch):
    """Answers, refusals, resets, silence and cancelled callers, mixed: no call is late, no task or load stays."""
    monkeypatch.setattr(timeouts, "LATE_AT_LEAST_S", 0.02)
    chance = random.Random(seed)
    answer = labels([("tabby", 0.9)])

    async def anything(_request):
        fate = chance.random()
        await asyncio.sleep(chance.choice([0, 0.001, 0.03]))
        if fate < 0.5:
            return answer
        if fate < 0.6:
            await asyncio.sleep(10)
        if fate < 0.7:
            raise chance.choice([ConnectionRefusedError, ConnectionResetError, TimeoutError])
        return failure(chance.choice([400, 421, 429, 500, 503]), "no")

    before = asyncio.all_tasks()
    transport = FakeTransport(anything, workers=[f"worker-{number}:80" for number in range(4)])
    async with AsyncClient(transport=transport, routing=routing, hedge=hedge, timeout_s=TIMEOUT_S) as client:

        async def call():
            began_s = time.monotonic()
            try:
                attempts = (await client.classify(b"an image")).attempts
            except P2PError as error:
                attempts = error.attempts
            assert attempts >= 1
            assert time.monotonic() - began_s < TIMEOUT_S + TOLERANCE_S

        calls = [asyncio.create_task(call()) for _ in range(120)]
        for cancelled in chance.sample(calls, 20):
            asyncio.get_running_loop().call_later(chance.random() / 10, cancelled.cancel)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
        balancer = client._core.channel(None)._balancer
        assert balancer is None or [member.in_flight for member in balancer._members.values()] == [0] * 4
    assert asyncio.all_tasks() == before
