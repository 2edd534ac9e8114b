"""Lookups at Consul draw the version by its share and the worker by its weight; the dice are known here."""

from __future__ import annotations

import random
from collections import Counter

from p2pclient.discovery.consul.random_draw import draw
from p2pclient.types import Worker

WORKERS = [Worker("s", f"{version}{name}", "h", 1, version) for version in "34" for name in "abc"]


def test_versions_are_drawn_by_their_shares() -> None:
    """Of 1,000 about 900 and 100, within three standard deviations (28); within a version all workers as often."""
    chance = random.Random(1)
    drawn = Counter(draw(WORKERS, {"3": 90, "4": 10}, 1, chance=chance)[0].id for _ in range(1000))
    assert abs(sum(count for name, count in drawn.items() if name[0] == "4") - 100) <= 28
    assert all(abs(drawn[f"3{name}"] - 300) <= 43 for name in "abc")


def test_workers_are_drawn_by_their_weights() -> None:
    """Without a split the weights are all that counts: 3 to 1 of 1,000, within three standard deviations (41)."""
    chance = random.Random(1)
    heavy, light = Worker("s", "heavy", "h", 1, weight=3), Worker("s", "light", "h", 2)
    drawn = Counter(draw([light, heavy], {}, 1, chance=chance)[0].id for _ in range(1000))
    assert abs(drawn["heavy"] - 750) <= 41


def test_several_are_different_and_have_a_share() -> None:
    """More than there are is all of them, once; a version without a share is left out."""
    chance = random.Random(1)
    assert {each.id for each in draw(WORKERS, {"3": 1}, 9, chance=chance)} == {"3a", "3b", "3c"}
    assert len({each.id for each in draw(WORKERS, {"3": 1, "4": 1}, 5, chance=chance)}) == 5
    assert sorted(each.id for each in draw(WORKERS, {}, 9, chance=chance)) == [each.id for each in WORKERS]
    assert draw([], {"3": 1}, 2, chance=chance) == []
