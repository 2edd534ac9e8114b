"""Where calls are split: first the version whose turn it is, then its next instance."""

from __future__ import annotations

import random
from collections import Counter

from registry.discovery.rotations.split_rotation import SplitRotation
from registry.instances.instance import Health, Instance
from registry.rollout.record import Rollout


def instance(name: str, version: str, *, weight: int = 1, health: Health = Health.PASSING) -> Instance:
    return Instance("flowers", name, "127.0.0.1", 9001, version=version, weight=weight, health=health)


A, B, C, D = (instance("a", "3"), instance("b", "3", weight=2), instance("c", "4"), instance("d", "5"))


def rotation(split: dict[str, int], *instances: Instance) -> SplitRotation:
    return SplitRotation(Rollout(split), instances, chance=random.Random(1))


def test_versions_have_their_shares_and_instances_theirs_within() -> None:
    """The number and the weights of a version's workers do not change what the version gets."""
    split = rotation({"3": 90, "4": 10}, A, B, C, D)
    assert Counter(split.next().id for _ in range(1000)) == {"a": 300, "b": 600, "c": 100}
    assert len(split) == 3


def test_a_version_that_comes_or_goes() -> None:
    """Its share goes to the others while it is away; unhealthy workers do not stand for it while others are healthy."""
    split = rotation({"3": 50, "4": 25, "5": 25}, A, C)
    assert Counter(split.next().id for _ in range(30)) == {"a": 20, "c": 10}
    split.replace([A, C, instance("d", "5", health=Health.CRITICAL)])
    assert Counter(split.next().id for _ in range(30)) == {"a": 20, "c": 10}
    split.replace([A, C, D])
    assert Counter(split.next().id for _ in range(40)) == {"a": 20, "c": 10, "d": 10}
    split.replace([])
    assert (split.next(), split.next_except(()), split.take(3), split.ahead(3), len(split)) == (None, None, [], (), 0)


def test_turns_go_on_over_a_change_that_leaves_the_shares() -> None:
    """A worker that joins its version every few calls does not start the turns anew."""
    split = rotation({"3": 90, "4": 10}, A, C)
    named = Counter[str]()
    for turn in range(100):
        split.replace([A, B, C] if turn % 2 else [A, C])
        chosen = split.next()
        assert chosen is not None
        named[chosen.version] += 1
    assert named == {"3": 90, "4": 10}


def test_excluded_instances_give_their_turn_to_their_version_first() -> None:
    split = rotation({"3": 1}, A, B)
    assert split.next_except({"a"}) == B
    assert rotation({"3": 9, "4": 1}, A, C).next_except({"a"}) == C
    assert rotation({"3": 9, "4": 1}, A, C).next_except({"a", "c"}) is None


def test_several_at_once_are_different_and_in_the_order_of_the_turns() -> None:
    split = rotation({"3": 2, "4": 1}, A, B, C, D)
    assert {i.id for i in split.take(3)} == {"a", "b", "c"}
    assert len(split.take(10)) == 3
    (first,) = split.take(1)
    assert first in (A, B, C)


def test_those_ahead_are_of_the_version_whose_turn_it_is() -> None:
    split = rotation({"3": 1, "4": 1}, A, B, C)
    for _ in range(6):
        ahead = split.ahead(10)
        assert len({each.version for each in ahead}) == 1
        assert split.next() == ahead[0]
