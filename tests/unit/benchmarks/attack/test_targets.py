"""What attackers are given and what they tell."""

from __future__ import annotations

from benchmarks.attack.targets import Findings, Targets

TARGETS = Targets(agent=1, relay=2, lookup=3, dns=4, proxy=5, workers=(6, 7), leaving=(8,), attacker=1)


def test_targets_survive_the_way_to_another_process() -> None:
    """One line of JSON holds all of them."""
    assert Targets.from_json(TARGETS.to_json()) == TARGETS


def test_a_fault_is_noted_once() -> None:
    """An attack repeats itself, its findings do not."""
    findings = Findings()
    for holds in (True, False, False):
        findings.expect(holds, "it does not hold")
    assert findings.wrong == ["it does not hold"]
