"""The rotation of a service whose calls are split among versions: first the version, then its next instance. Pure.

Within a version instances are handed out as in any rotation. Which versions have how many turns is decided by
`registry.rollout.shares` and `registry.rollout.version_turns`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Container, Iterable, Sequence
from typing import TypeAlias

from registry.discovery.rotations.rotation import Rotation
from registry.instances.instance import Instance
from registry.rollout.record import Rollout, Weights
from registry.rollout.shares import shares
from registry.rollout.version_turns import VersionTurns


class SplitRotation:
    """Hands out instances so that each version, by default of its instances, has its share of the turns.

    `chance` draws where each version's own rotation starts. There is no ring that holds all instances.
    """

    only_ring = None

    def __init__(
        self, rollout: Rollout, instances: Iterable[Instance] = (), *, chance: random.Random | None = None
    ) -> None:
        self.rollout = rollout
        self._chance = chance
        self._turns: VersionTurns | None = None
        self._rotations: dict[str, Rotation] = {}
        self.replace(instances)

    def __len__(self) -> int:
        return sum(len(rotation) for rotation in self._rotations.values())

    def replace(self, instances: Iterable[Instance]) -> None:
        """Adopt a new membership; turns go on where they were as long as the shares stay the same."""
        members: dict[str, list[Instance]] = {}
        for instance in instances:
            members.setdefault(instance.version, []).append(instance)
        weights = shares(self.rollout, present([each for group in members.values() for each in group])).weights
        self._rotations = {version: self._rotation(version, members[version]) for version in weights}
        if self._turns is None or self._turns.weights != weights:
            self._turns = VersionTurns(weights) if weights else None

    def next(self) -> Instance | None:
        """The next instance of the version whose turn it is, or None when there is no instance."""
        return None if self._turns is None else self._rotations[self._turns.next()].next()

    def next_except(self, excluded: Container[str]) -> Instance | None:
        """The next instance whose id is not in `excluded`: of the version whose turn it is, else of another one."""
        if self._turns is None:
            return None
        first = self._turns.next()
        by_weight = sorted(self._rotations, key=lambda version: self._weights[version], reverse=True)
        for version in [first, *(other for other in by_weight if other != first)]:
            instance = self._rotations[version].next_except(excluded)
            if instance is not None:
                return instance
        return None

    def take(self, count: int) -> Sequence[Instance]:
        """`count` different instances in the order of their turns, fewer if there are fewer; as many turns pass."""
        turns = self._turns
        chosen: list[Instance] = []
        waiting = {version: deque(rotation.ahead(count)) for version, rotation in self._rotations.items()}
        while turns is not None and len(chosen) < count and waiting:
            version = turns.next()
            chosen.append(waiting[version].popleft())
            self._rotations[version].next()
            if not waiting[version]:
                del waiting[version]
                turns = VersionTurns({each: self._weights[each] for each in waiting}) if waiting else None
        return chosen

    def ahead(self, count: int) -> Sequence[Instance]:
        """Instances of the version that has the next turn, in the order of their turns; no turn passes."""
        return () if self._turns is None else self._rotations[self._turns.peek()].ahead(count)

    @property
    def _weights(self) -> Weights:
        return {} if self._turns is None else self._turns.weights

    def _rotation(self, version: str, members: list[Instance]) -> Rotation:
        rotation = self._rotations.get(version)
        if rotation is None:
            return Rotation(members, chance=self._chance)
        rotation.replace(members)
        return rotation


AnyRotation: TypeAlias = Rotation | SplitRotation
"""A rotation over instances, whether a split is in force or not."""


def present(instances: Sequence[Instance]) -> Weights:
    """The versions that have a healthy instance, or any where none is healthy, with their instances' weights."""
    serving = [instance for instance in instances if instance.health.serving] or instances
    weights: dict[str, int] = {}
    for instance in serving:
        weights[instance.version] = weights.get(instance.version, 0) + max(1, instance.weight)
    return weights
