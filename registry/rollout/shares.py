"""Decides which versions of a service get its calls, from the record and from the workers that are there. Pure.

The weight of a version without a healthy worker goes to the other versions in proportion to theirs. Where no version
of the split has a healthy worker, every version that is no shadow gets calls by its workers' weights: an answer of
another version is better than none, and a worker that has taken over a newer version by itself must not end a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from registry.rollout.record import Rollout, Weights


@dataclass(frozen=True, slots=True)
class Shares:
    """The weights above 0 by which calls are spread, and the versions that are `absent` although they have a weight."""

    weights: Weights
    absent: tuple[str, ...] = ()

    @property
    def fractions(self) -> Mapping[str, float]:
        """Each version's part of the calls; they add up to 1."""
        total = sum(self.weights.values())
        return {version: weight / total for version, weight in self.weights.items()}


def shares(rollout: Rollout, present: Weights) -> Shares:
    """The shares where the versions that are `present` have workers of these weights, summed up."""
    wanted = {version: weight for version, weight in rollout.split.items() if weight > 0}
    weights = {version: weight for version, weight in wanted.items() if version in present}
    absent = tuple(version for version in wanted if version not in present)
    if not weights:
        weights = {v: weight for v, weight in present.items() if v not in rollout.shadows} or dict(present)
    return Shares(weights, absent)


def absence(service: str, absent: tuple[str, ...], weights: Weights) -> str:
    """The sentence that says which versions have a weight and no healthy worker, and who gets their calls."""
    plural = "s" if len(absent) > 1 else ""
    who = "have" if plural else "has"
    others = ", ".join(f"version {version or '(none)'}" for version in weights) or "nobody"
    return (
        f"Version{plural} {', '.join(absent)} of {service} {who} a weight and no healthy worker: {others} "
        f"get{'' if len(weights) > 1 else 's'} the calls."
    )
