"""Decides through which splits a version comes to have all calls of its service. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from registry.rollout.record import Weights

PERCENT = 100


def plan(split: Weights, version: str, *, steps: int) -> Sequence[Weights]:
    """The split after each of so many equal steps, in percent; the last one gives `version` everything.

    `split` holds the weights now; the others keep their proportions to one another. Steps that would change nothing,
    because so many do not fit between the version's share now and all, are left out.
    """
    total = sum(split.values())
    share = Fraction(split.get(version, 0), total) if total else Fraction(0)
    others = {name: weight for name, weight in split.items() if name != version and weight > 0}
    found: list[Weights] = []
    for step in range(1, steps + 1):
        percent = PERCENT if step == steps or not others else round((share + (1 - share) * step / steps) * PERCENT)
        weights = _split(others, PERCENT - percent) | {version: percent}
        if not found or found[-1] != weights:
            found.append(weights)
    return [weights for weights in found if weights[version] > 0]


def _split(others: Weights, percent: int) -> dict[str, int]:
    """So many percent, in proportion to the weights, by largest remainder; versions that get none are left out."""
    total = sum(others.values())
    exact = {name: Fraction(weight * percent, total) for name, weight in others.items()}
    whole = {name: int(part) for name, part in exact.items()}
    by_remainder = sorted(exact, key=lambda name: exact[name] - whole[name], reverse=True)
    for name in by_remainder[: percent - sum(whole.values())]:
        whole[name] += 1
    return {name: part for name, part in whole.items() if part > 0}
