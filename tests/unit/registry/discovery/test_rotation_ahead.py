"""Looking ahead in a rotation: what a DNS answer lists behind the worker whose turn it is."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from registry.consul.instance import Instance
from registry.discovery.rotation import Rotation


def rotation_of(weights: list[int], seed: int, *, steps: int) -> Rotation:
    members = [Instance("classify", f"w{n}", "127.0.0.1", 9000, weight=w) for n, w in enumerate(weights)]
    rotation = Rotation(members, chance=random.Random(seed))
    for _ in range(steps):
        rotation.next()
    return rotation


@given(
    weights=st.lists(st.integers(1, 9), max_size=9),
    seed=st.integers(0, 9999),
    steps=st.integers(0, 50),
    count=st.integers(0, 12),
)
def test_ahead_names_each_in_the_order_of_its_next_turn(weights: list[int], seed: int, steps: int, count: int) -> None:
    """Whatever the weights and the turns before: the workers in the order in which each would first be picked."""
    rotation, other = rotation_of(weights, seed, steps=steps), rotation_of(weights, seed, steps=steps)
    picked = [other.next() for _ in range(10 * len(weights) if weights else 0)]
    first_picks = list(dict.fromkeys(p for p in picked if p is not None))
    assert rotation.ahead(count) == first_picks[:count]


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=9), seed=st.integers(0, 9999))
def test_ahead_uses_up_nobodys_turn(weights: list[int], seed: int) -> None:
    """Who was first ahead is handed out next, and looking changes nothing for those after."""
    watched, other = rotation_of(weights, seed, steps=3), rotation_of(weights, seed, steps=3)
    for _ in range(20):
        first = watched.ahead(4)[0]
        assert watched.next() == first == other.next()
