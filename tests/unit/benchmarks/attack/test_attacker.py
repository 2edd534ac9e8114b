"""How long an attacker attacks."""

from __future__ import annotations

import asyncio

from benchmarks.attack.attacker import attack_for
from benchmarks.attack.catalogue import KINDS, Kind
from benchmarks.attack.targets import Findings, Targets

TARGETS = Targets(agent=1, relay=2, lookup=3, dns=4, proxy=5, workers=(6,))


async def endless(_: Targets, findings: Findings) -> None:
    findings.outcomes["begun"] += 1
    await asyncio.Event().wait()


async def finished(_: Targets, findings: Findings) -> None:
    await asyncio.sleep(0)
    findings.outcomes["done"] += 1


async def broken(_: Targets, findings: Findings) -> None:
    raise ValueError("of the attacker")


async def test_an_endless_attack_ends_after_its_time() -> None:
    """What it has seen until then is told."""
    findings = await attack_for(0.01, Kind("", lambda: endless), endless, TARGETS)
    assert (findings.outcomes["begun"], findings.wrong) == (1, [])


async def test_an_attack_that_finishes_is_waited_for() -> None:
    """It does all that it has to do, however short its time is."""
    findings = await attack_for(0.0, Kind("", lambda: finished, finishes=True), finished, TARGETS)
    assert (findings.outcomes["done"], findings.wrong) == (1, [])


async def test_an_attacker_that_fails_is_a_finding() -> None:
    """An attack that did not take place must not count as borne."""
    findings = await attack_for(0.0, Kind("", lambda: broken, finishes=True), broken, TARGETS)
    assert findings.wrong == ["the attack ended: ValueError('of the attacker')"]


def test_there_are_twelve_kinds() -> None:
    """The kinds have the numbers of the issue, and different names."""
    assert list(KINDS) == list(range(1, 13))
    assert len({kind.sends for kind in KINDS.values()}) == 12
