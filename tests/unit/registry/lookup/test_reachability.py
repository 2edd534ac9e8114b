"""Which instances a lookup host reaches: bounded in time and in connections."""

from __future__ import annotations

import asyncio

import pytest

from registry.instances.instance import Instance
from registry.lookup import reachability
from registry.lookup.reachability import Reachability


def instances(count: int) -> list[Instance]:
    return [Instance("classify", f"w{port}", "127.0.0.1", port) for port in range(1, count + 1)]


async def test_addresses_that_take_too_long_are_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, the answer comes in time; what was not found out is missing."""
    tried = set()

    async def fault(instance: Instance) -> str:
        tried.add(instance.port)
        if instance.port > 1:
            await asyncio.Event().wait()
        return "connection refused"

    monkeypatch.setattr(reachability, "_fault", fault)
    monkeypatch.setattr(reachability, "IN_ALL_S", 0.05)
    found = await Reachability().faults(instances(500))
    assert found == {"127.0.0.1:1": "connection refused"}
    assert len(tried) <= reachability.AT_A_TIME + 1


async def test_results_are_used_again_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who ask at once cause one connection to each address, and later ones are tried anew."""
    tried = 0

    async def fault(_: Instance) -> str:
        nonlocal tried
        tried += 1
        return ""

    monkeypatch.setattr(reachability, "_fault", fault)
    probed = Reachability()
    answers = await asyncio.gather(*(probed.faults(instances(3)) for _ in range(10)))
    assert all(answer == dict.fromkeys(answer, "") and len(answer) == 3 for answer in answers)
    assert tried == 3
    monkeypatch.setattr(reachability, "KEPT_S", -1.0)
    await probed.faults(instances(3))
    assert tried == 6


async def test_a_host_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that neither opens nor fails counts as not reached after its time."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", never)
    monkeypatch.setattr(reachability, "TIMEOUT_S", 0.01)
    assert await Reachability().faults(instances(1)) == {"127.0.0.1:1": "no answer within 0.01 s"}
